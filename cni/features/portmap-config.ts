// The configuration of port mappings: `runtimeConfig.portMappings` as runtimes pass it, Docker's `hostBindingIPv4`, and
// the keys of the reference portmap plugin.

import {
  AF_INET,
  AF_INET6,
  canonicalAddress,
  decodeAddress,
  encodeAddress,
  type IpFamily,
} from '../kernel/netlink/address-bytes.ts';
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../kernel/nftables/key.ts';
import { addressFamily } from '../protocol/address.ts';
import type { NetworkConfig } from '../protocol/config.ts';
import { describeValue, FieldError, type Fields } from '../protocol/fields.ts';

/** Ports of the host, of one family. */
export interface ClaimedPorts {
  readonly family: IpFamily;
  /** The host's address they are for, in canonical form; undefined for all of the family. */
  readonly hostIp: string | undefined;
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly firstPort: number;
  readonly lastPort: number;
}

/** Ports that lead to a container: a single one, or several that keep their number. */
export interface PortClaim extends ClaimedPorts {
  /** The key they come from, for errors. */
  readonly path: string;
  /** Whether the same is claimed for the other family, so that a container without one of them lacks nothing. */
  readonly isForBoth: boolean;
  /** Undefined for several: the container's ports are those of the host. */
  readonly containerPort: number | undefined;
}

export interface PortmapConfig {
  readonly claims: readonly PortClaim[];
  /** Masquerade connections to which the container could not answer the right one: localhost's and its own. */
  readonly snat: boolean;
  /** Masquerade all connections to mapped ports; nothing without `snat`, as in the reference. */
  readonly masqAll: boolean;
}

const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ['tcp', IPPROTO_TCP],
  ['udp', IPPROTO_UDP],
  ['sctp', IPPROTO_SCTP],
]);

const MAX_PORT = 65535;

/**
 * Read what ports are to be mapped; undefined for none. Throws FieldError.
 *
 * An entry whose `hostPort` is 0 or missing names a port of the container that is not published: the CRI's meaning of
 * 0 (PortMapping.host_port), and such entries must not fail a pod.
 */
export function parsePortmap(config: NetworkConfig, warn: (message: string) => void): PortmapConfig | undefined {
  const { fields, runtimeConfig } = config;
  const binding = parseHostBinding(fields);
  const entries = (runtimeConfig.objects('portMappings') ?? []).flatMap((entry) => parseEntry(entry, binding));
  if (entries.length === 0) return undefined;
  refuseOverlaps(entries);
  refuseConditions(fields);
  const backend = fields.oneOf('backend', ['iptables', 'nftables', '']);
  if (backend === 'iptables') {
    warn(`"${fields.at('backend')}" is "iptables", but ports are mapped with nftables`);
  }
  if (fields.string('externalSetMarkChain')) {
    warn(`"${fields.at('externalSetMarkChain')}" has no meaning here: connections are masqueraded without a mark`);
  }
  // Likewise without meaning, and nobody can miss it.
  fields.integer('markMasqBit', 0, 31);
  return {
    claims: joinPorts(entries),
    snat: fields.boolean('snat') ?? true,
    masqAll: fields.boolean('masqAll') ?? false,
  };
}

/**
 * Where mappings without a `hostIP` listen. As in Docker, 0.0.0.0 stands for all addresses, those of IPv6 too, and any
 * other address for itself alone.
 */
function parseHostBinding(fields: Fields): string | undefined {
  const text = fields.string('hostBindingIPv4') || undefined;
  if (text === undefined) return undefined;
  if (addressFamily(text) !== 4) {
    throw new FieldError(fields.at('hostBindingIPv4'), `must be an IPv4 address, is ${describeValue(text)}`);
  }
  return text === '0.0.0.0' ? undefined : text;
}

/** An entry for each family that it is for. */
function parseEntry(entry: Fields, binding: string | undefined): PortClaim[] {
  const hostPort = entry.integer('hostPort', 0, MAX_PORT) ?? 0;
  const containerPort = entry.integer('containerPort', 1, MAX_PORT);
  if (containerPort === undefined) {
    throw new FieldError(entry.at('containerPort'), `must be a whole number from 1 to ${MAX_PORT}, is missing`);
  }
  const protocol = parseProtocol(entry);
  const hostIp = parseHostIp(entry) ?? binding;
  if (hostPort === 0) return [];
  const ports = { path: entry.path, protocol, firstPort: hostPort, lastPort: hostPort, containerPort };
  if (hostIp === undefined) {
    return ([AF_INET, AF_INET6] as const).map((family) => ({ ...ports, family, hostIp, isForBoth: true }));
  }
  const family = addressFamily(hostIp) === 4 ? AF_INET : AF_INET6;
  const isAny = hostIp === '0.0.0.0' || hostIp === '::';
  return [{ ...ports, family, hostIp: isAny ? undefined : hostIp, isForBoth: false }];
}

function parseProtocol(entry: Fields): number {
  const text = entry.string('protocol') || 'tcp';
  const protocol = PROTOCOLS.get(text.toLowerCase());
  if (protocol !== undefined) return protocol;
  throw new FieldError(entry.at('protocol'), `must be one of "tcp", "udp", "sctp", is ${describeValue(text)}`);
}

function parseHostIp(entry: Fields): string | undefined {
  const text = entry.string('hostIP') || undefined;
  if (text === undefined) return undefined;
  if (addressFamily(text) === undefined) {
    throw new FieldError(entry.at('hostIP'), `must be an IP address, is ${describeValue(text)}`);
  }
  const address = withoutMapping(canonicalAddress(text));
  if (address === '::1') {
    // See portmap-ruleset.ts.
    throw new FieldError(entry.at('hostIP'), 'cannot be ::1, from which the kernel lets nothing out: use 127.0.0.1');
  }
  return address;
}

/** An IPv4 address in IPv6's spelling (::ffff:192.0.2.1, RFC 4291, 2.5.5.2) is IPv4: such are the packets that are sent to it. */
function withoutMapping(address: string): string {
  const bytes = encodeAddress(address);
  const isMapped = bytes.length === 16 && bytes.subarray(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 0xff));
  return isMapped ? decodeAddress(bytes.subarray(12)) : address;
}

/** The same host port twice is a contradiction or a mistake, whichever container port it leads to. */
function refuseOverlaps(entries: readonly PortClaim[]): void {
  entries.forEach((entry, i) => {
    const other = entries.slice(0, i).find((earlier) => isOverlapping(earlier, entry));
    if (!other) return;
    throw new FieldError(
      entry.path,
      `host port ${describePorts(entry)} is mapped by "${other.path}" (${describePorts(other)}) already`,
    );
  });
}

/** A condition keeps somebody out: to leave it away would let them in. */
function refuseConditions(fields: Fields): void {
  for (const key of ['conditionsV4', 'conditionsV6']) {
    if ((fields.strings(key) ?? []).length === 0) continue;
    throw new FieldError(fields.at(key), 'must be empty: podlink maps ports without further conditions');
  }
}

/** What two claims both need. */
export function isOverlapping(a: ClaimedPorts, b: ClaimedPorts): boolean {
  return (
    a.family === b.family &&
    a.protocol === b.protocol &&
    (a.hostIp === undefined || b.hostIp === undefined || a.hostIp === b.hostIp) &&
    a.firstPort <= b.lastPort &&
    b.firstPort <= a.lastPort
  );
}

/** Make one claim of ports that follow each other and keep their number. */
function joinPorts(entries: readonly PortClaim[]): PortClaim[] {
  const joined: PortClaim[] = [];
  for (const entry of entries.toSorted(compareClaims)) {
    const last = joined.at(-1);
    if (last && isContinuedBy(last, entry)) {
      joined[joined.length - 1] = { ...last, lastPort: entry.lastPort, containerPort: undefined };
    } else {
      joined.push(entry);
    }
  }
  return joined;
}

/** Any order will do that keeps the ports of one address together. Not localeCompare(): its first use takes ICU 13 ms. */
function compareClaims(a: PortClaim, b: PortClaim): number {
  const [hostA = '', hostB = ''] = [a.hostIp, b.hostIp];
  return (
    a.family - b.family ||
    a.protocol - b.protocol ||
    Number(hostA > hostB) - Number(hostA < hostB) ||
    a.firstPort - b.firstPort
  );
}

function isContinuedBy(claim: PortClaim, next: PortClaim): boolean {
  const keepsNumber = (claim.containerPort ?? claim.firstPort) === claim.firstPort;
  return (
    keepsNumber &&
    next.containerPort === next.firstPort &&
    next.firstPort === claim.lastPort + 1 &&
    next.family === claim.family &&
    next.protocol === claim.protocol &&
    next.hostIp === claim.hostIp &&
    next.isForBoth === claim.isForBoth
  );
}

/** Show host ports: `8080/tcp`, `192.0.2.1:8000-8010/udp`, `[2001:db8::1]:53/udp`. */
export function describePorts({ family, hostIp, protocol, firstPort, lastPort }: ClaimedPorts): string {
  const address = hostIp === undefined ? '' : family === AF_INET ? `${hostIp}:` : `[${hostIp}]:`;
  const ports = firstPort === lastPort ? firstPort : `${firstPort}-${lastPort}`;
  const name = [...PROTOCOLS].find(([, number]) => number === protocol)?.[0] ?? protocol;
  return `${address}${ports}/${name}`;
}
