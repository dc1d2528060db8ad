// The other owners of a host port. Maps that grow with the node's containers are asked port by port; those for single addresses
// of the host are listed when somebody wants a port of all addresses, if they are not empty, and all are for whoever wants
// hundreds of ports.
//
// A port that another interface of the same container has leads to it already: then the attachment waits, and gets the
// port when that one goes. A port whose owner is gone is taken over. Of the others nothing but that they have the port is
// said in an error, which whoever started the container gets to read: the operator hears more.

import { understand } from '../../kernel/netlink/connection.ts';
import { generationQuery, type NftablesConnection, readGeneration } from '../../kernel/nftables/connection.ts';
import {
  type Element,
  type ElementPlace,
  elementQuery,
  listElements,
  readElementAt,
  withoutRepetition,
} from '../../kernel/nftables/element.ts';
import { getSet, type NamedSet, readElementCount } from '../../kernel/nftables/set.ts';
import { CniError, ERR_INVALID_NETWORK_CONFIG, ERR_TRY_AGAIN_LATER } from '../../protocol/errors.ts';
import { describeOwner, type ElementClaim, type Owners } from '../elements/element-owners.ts';
import { type ClaimedPorts, describePorts, describePortList, type PortClaim } from './portmap-claim.ts';
import { claimedPorts, containerPortOf, portKey } from './portmap-elements.ts';
import { PortIndex } from './portmap-index.ts';
import { portmapSetsOf } from './portmap-ruleset.ts';

/** For more ports than these all maps are listed. */
const MAX_QUESTIONS = 64;

/** A claim, and the element that leads its ports to the container. */
export interface ClaimWithElement extends PortClaim {
  readonly element: Element;
}

/**
 * Find out which of the ports can be had: for the same address of the host, or for all of them while a single one is asked
 * for, or the other way round.
 *
 * Throws CniError 11 when an attachment that may be in use has one of them, and 7 when another interface of the container
 * leads one to another port of the container.
 */
export function claimPorts(nft: NftablesConnection, owners: Owners, claims: readonly ClaimWithElement[]): ElementClaim {
  const { generation, elements } = findElementsOfOthers(nft, owners, claims);
  const index = new PortIndex(claims);
  const waiting = new Set<Element>();
  const abandoned: Element[] = [];
  const notices: string[] = [];
  for (const element of elements) {
    const found = claimedPorts(element);
    const wanted = index.overlapping(found);
    const [first] = wanted;
    if (!first) continue;
    const relation = owners.relationOf(element.comment);
    if (relation === 'gone') abandoned.push(element);
    else if (relation === 'other') throw takenError(first, found, element);
    else {
      for (const claim of wanted) {
        refuseContradiction(claim, element);
        if (claim.element.set !== element.set) continue;
        waiting.add(claim.element);
        if (!isSamePorts(claim, found)) notices.push(describePartWait(claim, found, element));
      }
    }
  }
  return { generation, waiting: [...waiting], abandoned, notices: [...notices, ...describeTakeOvers(abandoned)] };
}

/** All in one datagram: one by one, the questions about two ports took 2 ms of an ADD. */
function findElementsOfOthers(
  nft: NftablesConnection,
  owners: Owners,
  claims: readonly PortClaim[],
): { generation: number; elements: Element[] } {
  const looks = looksFor(claims);
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
    if (count !== 0) for (const element of listElements(nft, map)) elements.push(element);
  });
  return {
    generation: readGeneration(generation),
    // A range is the answer to each question about one of its ports.
    elements: withoutRepetition(elements.filter(({ comment }) => owners.relationOf(comment) !== 'self')),
  };
}

/** What has to be looked at for a claim in one of the maps: some places, or all of it. */
interface Look {
  readonly map: NamedSet;
  readonly places: readonly ElementPlace[];
  readonly isListed: boolean;
}

function looksFor(claims: readonly PortClaim[]): Look[] {
  const ports = claims.reduce((sum, { firstPort, lastPort }) => sum + lastPort - firstPort + 1, 0);
  const isMany = ports > MAX_QUESTIONS;
  if (!isMany) return claims.flatMap((claim) => mapsOf(claim).map((map) => lookInto(map, claim)));
  const maps = new Set(claims.flatMap(mapsOf));
  return Array.from(maps, (map) => ({ map, places: [], isListed: true }));
}

function mapsOf({ family }: PortClaim): NamedSet[] {
  const { any, anyRange, address, addressRange } = portmapSetsOf(family);
  return [any, anyRange, address, addressRange];
}

function lookInto(map: NamedSet, claim: PortClaim): Look {
  const { firstPort, lastPort, hostIp } = claim;
  const isForAll = map.key.length === 2;
  if (hostIp === undefined && !isForAll) return { map, places: [], isListed: true };
  const place = isForAll ? { ...claim, hostIp: undefined } : claim;
  const ports = Array.from({ length: lastPort - firstPort + 1 }, (_, i) => firstPort + i);
  return { map, places: ports.map((port) => ({ set: map, key: portKey(map, place, port) })), isListed: false };
}

function takenError(claim: ClaimedPorts, found: ClaimedPorts, { comment }: Element): CniError {
  const [wanted, taken] = [describePorts(claim), describePorts(found)];
  const has = taken === wanted ? 'it' : taken;
  return new CniError(
    ERR_TRY_AGAIN_LATER,
    `Cannot map host port ${wanted}: another container that is running has ${has}; the runtime will try again ("podlink attachment ls --port ${claim.firstPort}" names the container)`,
    '',
    { note: `Host port ${taken} is mapped to ${describeOwner(comment)}` },
  );
}

function refuseContradiction(claim: PortClaim, element: Element): void {
  const found = claimedPorts(element);
  const [wanted, has] = [claim.containerPort, containerPortOf(element)];
  // Several ports keep their number: then the other must keep its own.
  const [wantedPort, hasPort] = [wanted ?? found.firstPort, has ?? claim.firstPort];
  if (wantedPort === hasPort || (wanted === undefined && has === undefined)) return;
  throw new CniError(
    ERR_INVALID_NETWORK_CONFIG,
    `Invalid "${claim.path}": host port ${describePorts(claim)} cannot lead to port ${wantedPort}: ${describeOwner(element.comment)} leads ${describePorts(found)} to port ${hasPort} of the same container`,
  );
}

function isSamePorts(a: ClaimedPorts, b: ClaimedPorts): boolean {
  return a.firstPort === b.firstPort && a.lastPort === b.lastPort;
}

function describePartWait(claim: ClaimedPorts, found: ClaimedPorts, { comment }: Element): string {
  return `Host ports ${describePorts(claim)} are mapped when ${describeOwner(comment)} is detached, which has ${describePorts(found)}`;
}

function describeTakeOvers(abandoned: readonly Element[]): string[] {
  return Array.from(
    Map.groupBy(abandoned, ({ comment }) => comment),
    ([comment, elements]) =>
      `Took over host ${describePortList(elements.map(claimedPorts))} from ${describeOwner(comment)}: its interface is gone`,
  );
}
