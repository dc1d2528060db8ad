// The elements of port mappings: one for each port, or for several that keep their number, and those that have some of
// the connections masqueraded.

import { AF_INET, encodeAddress } from '../kernel/netlink/address-bytes.ts';
import type { Element } from '../kernel/nftables/element.ts';
import { decodePort, encodeInterfaceName, encodeKey, encodePort } from '../kernel/nftables/key.ts';
import { decodeAddress } from '../kernel/netlink/address-bytes.ts';
import type { NamedSet } from '../kernel/nftables/set.ts';
import type { ClaimedPorts, PortClaim } from './portmap-claim.ts';
import { PORTMAP_LOCALHOST, portmapSetsOf } from './portmap-ruleset.ts';

/** The element that leads a claim's ports to the container. */
export function portElement(claim: PortClaim, containerIp: string): Element {
  const { family, hostIp, firstPort, lastPort, containerPort } = claim;
  const sets = portmapSetsOf(family);
  const address = encodeAddress(containerIp);
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
export function claimedPorts(family: PortClaim['family'], { set, key, keyEnd = key }: Element): ClaimedPorts {
  const addressBytes = set.key.length === 3 ? (set.key[0]?.bytes ?? 0) : 0;
  return {
    family,
    hostIp: addressBytes === 0 ? undefined : decodeAddress(key.subarray(0, addressBytes)),
    protocol: key[addressBytes] ?? 0,
    firstPort: decodePort(key.subarray(addressBytes + 4)),
    lastPort: decodePort(keyEnd.subarray(addressBytes + 4)),
  };
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
  if (family === AF_INET) elements.push({ set: PORTMAP_LOCALHOST, key: encodeKey(PORTMAP_LOCALHOST.key, [address]) });
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
