// Who else has a host port. Maps that grow with the node's containers are asked port by port; only those for single
// addresses of the host are listed, when somebody wants a port of all addresses.

import { findElement, type Element, listElements } from '../kernel/nftables/element.ts';
import type { NftablesConnection } from '../kernel/nftables/connection.ts';
import type { NamedSet } from '../kernel/nftables/set.ts';
import { CniError, ERR_ALREADY_EXISTS } from '../protocol/errors.ts';
import { ownerComment, type ElementOwner } from './podlink-table.ts';
import { describePorts, isOverlapping, type PortClaim } from './portmap-config.ts';
import { claimedPorts, portKey } from './portmap-elements.ts';
import { portmapSetsOf } from './portmap-ruleset.ts';

/** Of more ports than these a listing is cheaper than a question for each. */
const MAX_QUESTIONS = 64;

/**
 * Throw CniError 102 when another attachment has one of the ports: for the same address of the host, or for all of them
 * while a single one is asked for, or the other way round.
 */
export function refuseTakenPorts(nft: NftablesConnection, owner: ElementOwner, claims: readonly PortClaim[]): void {
  const own = ownerComment(owner);
  for (const claim of claims) {
    const taken = standingInTheWay(nft, claim).find(({ comment }) => comment !== own);
    if (!taken) continue;
    const wanted = describePorts(claim);
    const found = describePorts(claimedPorts(claim.family, taken));
    throw new CniError(
      ERR_ALREADY_EXISTS,
      `Cannot map host port ${wanted}: ${found === wanted ? 'it' : found} is mapped to ${describeOwner(taken.comment)} already (if that one is gone, run "podlink gc")`,
    );
  }
}

function standingInTheWay(nft: NftablesConnection, claim: PortClaim): Element[] {
  const { any, anyRange, address, addressRange } = portmapSetsOf(claim.family);
  const ofAll = { ...claim, hostIp: undefined };
  return [
    ...findPorts(nft, any, ofAll),
    ...findPorts(nft, anyRange, ofAll),
    ...findPorts(nft, address, claim),
    ...findPorts(nft, addressRange, claim),
  ];
}

/** The elements of a map that have some of the ports. */
function findPorts(nft: NftablesConnection, map: NamedSet, claim: PortClaim): Element[] {
  const { firstPort, lastPort, hostIp, family } = claim;
  const isKeyKnown = hostIp !== undefined || map.key.length === 2;
  if (!isKeyKnown || lastPort - firstPort >= MAX_QUESTIONS) {
    return listElements(nft, map).filter((element) => isOverlapping(claim, claimedPorts(family, element)));
  }
  const ports = Array.from({ length: lastPort - firstPort + 1 }, (_, i) => firstPort + i);
  return ports.flatMap((port) => findElement(nft, map, portKey(map, claim, port)) ?? []);
}

function describeOwner(comment: string | undefined): string {
  const [network, containerId, ifname] = comment?.split('/') ?? [];
  if (ifname !== undefined) return `container "${containerId}" (network "${network}", interface "${ifname}")`;
  return comment === undefined ? 'somebody unknown' : `"${comment}"`;
}
