// The elements of port mappings: one for each port, or for several that keep their number, and those that have some of
// the connections masqueraded.

import { decodeAddress, encodeAddress } from '../../kernel/netlink/address-bytes.ts';
import type { Element } from '../../kernel/nftables/element.ts';
import {
  decodePort,
  encodeInterfaceName,
  encodeKey,
  encodePort,
  IPV6_ADDR,
  keyLength,
} from '../../kernel/nftables/key.ts';
import type { NamedSet } from '../../kernel/nftables/set.ts';
import type { ClaimedPorts, PortClaim } from './portmap-claim.ts';
import { PORTMAP_LOCALHOST, PORTMAP_V4, PORTMAP_V6, portmapSetsOf } from './portmap-ruleset.ts';

/** The element that leads a claim's ports to the container. `address`: the container's, encoded. */
export function portElement(claim: PortClaim, address: Uint8Array): Element {
  const { family, hostIp, firstPort, lastPort, containerPort } = claim;
  const sets = portmapSetsOf(family);
  if (containerPort === undefined) {
    const set = hostIp === undefined ? sets.anyRange : sets.addressRange;
    const keyEnd = portKey(set, claim, lastPort);
    return { set, key: portKey(set, claim, firstPort), keyEnd, data: encodeKey(set.data ?? [], [address]) };
  }
  const set = hostIp === undefined ? sets.any : sets.address;
  const data = encodeKey(set.data ?? [], [address, encodePort(containerPort)]);
  return { set, key: portKey(set, claim, firstPort), data };
}

/** The key of one of a claim's ports, in a map for single addresses of the host or in one for all. */
export function portKey(map: NamedSet, { hostIp, protocol }: ClaimedPorts, port: number): Uint8Array {
  const fields = [Uint8Array.of(protocol), encodePort(port)];
  return encodeKey(map.key, hostIp === undefined ? fields : [encodeAddress(hostIp), ...fields]);
}

/** What ports an element of one of the maps stands for. */
export function claimedPorts({ set, key, keyEnd = key }: Element): ClaimedPorts {
  const [address] = set.key.length === 3 ? set.key : [];
  const addressBytes = address?.bytes ?? 0;
  return {
    family: set.data?.[0] === IPV6_ADDR ? 6 : 4,
    hostIp: address && decodeAddress(key.subarray(0, addressBytes)),
    protocol: key[addressBytes] ?? 0,
    firstPort: decodePort(key.subarray(addressBytes + 4)),
    lastPort: decodePort(keyEnd.subarray(addressBytes + 4)),
  };
}

/** The port of the container that an element of one of the maps leads to; undefined where ports keep their number. */
export function containerPortOf({ set, data }: Element): number | undefined {
  const [address, port] = set.data ?? [];
  return address && port && data ? decodePort(data.subarray(keyLength([address]))) : undefined;
}

/** Whether an element that leads a port to one address of a container leads to the same port as one to another address. */
export function leadsToSamePort(a: Element, b: Element): boolean {
  return a.set === b.set && isPortMap(a.set) && containerPortOf(a) === containerPortOf(b);
}

const PORT_MAPS = new Set(
  [PORTMAP_V4, PORTMAP_V6].flatMap(({ any, anyRange, address, addressRange }) => [
    any,
    anyRange,
    address,
    addressRange,
  ]),
);

/** Whether a set is one of those that lead ports to containers. */
export function isPortMap(set: NamedSet): boolean {
  return PORT_MAPS.has(set);
}

export interface MasqueradedConnections {
  /** The container's address with mapped ports. */
  readonly containerIp: string;
  /** All its addresses of that family. */
  readonly ownIps: readonly string[];
  /** The host's interface in the container's network, if neighbours would get no answer as they expect it. */
  readonly neighboursBy: string | undefined;
}

/** The elements that have connections masqueraded which could not be answered otherwise. */
export function hairpinElements(family: PortClaim['family'], connections: MasqueradedConnections): Element[] {
  const { containerIp, ownIps, neighboursBy } = connections;
  const { own, neighbours } = portmapSetsOf(family);
  const address = encodeAddress(containerIp);
  const elements = ownIps.map((ip) => ({ set: own, key: encodeKey(own.key, [encodeAddress(ip), address]) }));
  if (family === 4) elements.push({ set: PORTMAP_LOCALHOST, key: encodeKey(PORTMAP_LOCALHOST.key, [address]) });
  if (neighboursBy === undefined) return elements;
  return [
    ...elements,
    { set: neighbours, key: encodeKey(neighbours.key, [encodeInterfaceName(neighboursBy), address]) },
  ];
}

/** The element that has all connections masqueraded. */
export function masqueradeAllElement(family: PortClaim['family'], containerIp: string): Element {
  const { masqAll } = portmapSetsOf(family);
  return { set: masqAll, key: encodeKey(masqAll.key, [encodeAddress(containerIp)]) };
}
