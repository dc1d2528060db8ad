// Who else has a host port. Maps that grow with the node's containers are asked port by port; only those for single
// addresses of the host are listed, when somebody wants a port of all addresses, and only if they are not empty.

import { understand } from '../kernel/netlink/connection.ts';
import { generationQuery, type NftablesConnection, readGeneration } from '../kernel/nftables/connection.ts';
import { type ElementPlace, elementQuery, listElements, readElementAt } from '../kernel/nftables/element.ts';
import { getSet, type NamedSet, readElementCount } from '../kernel/nftables/set.ts';
import { CniError, ERR_ALREADY_EXISTS } from '../protocol/errors.ts';
import { type ElementOwner, ownerComment } from './podlink-table.ts';
import { type ClaimedPorts, describePorts, type PortClaim } from './portmap-claim.ts';
import { claimedPorts, portKey } from './portmap-elements.ts';
import { portmapSetsOf } from './portmap-ruleset.ts';

/** Of more ports than these a listing is cheaper than a question for each. */
const MAX_QUESTIONS = 64;

/**
 * Throw CniError 102 when another attachment has one of the ports: for the same address of the host, or for all of them
 * while a single one is asked for, or the other way round. Returns the generation of the ruleset from before the look.
 *
 * All questions go in one datagram: one by one, those about two ports took 2 ms of an ADD.
 */
export function refuseTakenPorts(nft: NftablesConnection, owner: ElementOwner, claims: readonly PortClaim[]): number {
  const own = ownerComment(owner);
  const looks = claims.flatMap(looksAt);
  const places = looks.flatMap((look) => look.places);
  const listed = [...new Set(looks.flatMap(({ map, isListed }) => (isListed ? map : [])))];
  const queries = [...places.map(elementQuery), ...listed.map(getSet)];
  const [generation, ...answers] = nft.askAll([generationQuery(), ...queries]);

  const elements = places.flatMap(({ set }, i) => {
    const query = queries[i];
    return (query && readElementAt(set, query, answers[i])) ?? [];
  });
  listed.forEach((map, i) => {
    const [query, answer] = [queries[places.length + i], answers[places.length + i]];
    const count = query && understand(query, () => readElementCount(answer));
    if (count !== 0) elements.push(...listElements(nft, map));
  });

  for (const { claim, map } of looks) {
    const taken = elements.find(
      (element) =>
        element.set === map && element.comment !== own && isOverlapping(claim, claimedPorts(claim.family, element)),
    );
    if (!taken) continue;
    const wanted = describePorts(claim);
    const found = describePorts(claimedPorts(claim.family, taken));
    throw new CniError(
      ERR_ALREADY_EXISTS,
      `Cannot map host port ${wanted}: ${found === wanted ? 'it' : found} is mapped to ${describeOwner(taken.comment)} already (if that one is gone, run "podlink gc")`,
    );
  }
  return readGeneration(generation);
}

/** What has to be looked at for a claim in one of the maps: some places, or all of it. */
interface Look {
  readonly claim: PortClaim;
  readonly map: NamedSet;
  readonly places: readonly ElementPlace[];
  readonly isListed: boolean;
}

function looksAt(claim: PortClaim): Look[] {
  const { any, anyRange, address, addressRange } = portmapSetsOf(claim.family);
  return [any, anyRange, address, addressRange].map((map) => lookInto(map, claim));
}

function lookInto(map: NamedSet, claim: PortClaim): Look {
  const { firstPort, lastPort, hostIp } = claim;
  const isForAll = map.key.length === 2;
  if ((hostIp === undefined && !isForAll) || lastPort - firstPort >= MAX_QUESTIONS) {
    return { claim, map, places: [], isListed: true };
  }
  const place = isForAll ? { ...claim, hostIp: undefined } : claim;
  const ports = Array.from({ length: lastPort - firstPort + 1 }, (_, i) => firstPort + i);
  return { claim, map, places: ports.map((port) => ({ set: map, key: portKey(map, place, port) })), isListed: false };
}

function describeOwner(comment: string | undefined): string {
  const [network, containerId, ifname] = comment?.split('/') ?? [];
  if (ifname !== undefined) return `container "${containerId}" (network "${network}", interface "${ifname}")`;
  return comment === undefined ? 'somebody unknown' : `"${comment}"`;
}

/** What two claims both need. */
function isOverlapping(a: ClaimedPorts, b: ClaimedPorts): boolean {
  return (
    a.family === b.family &&
    a.protocol === b.protocol &&
    (a.hostIp === undefined || b.hostIp === undefined || a.hostIp === b.hostIp) &&
    a.firstPort <= b.lastPort &&
    b.firstPort <= a.lastPort
  );
}
