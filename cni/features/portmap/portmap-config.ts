// The configuration of port mappings: `runtimeConfig.portMappings` as runtimes pass it, Docker's `hostBindingIPv4`, and
// the keys of the reference portmap plugin.

import { encodeAddress } from '../../kernel/netlink/address-bytes.ts';
import { canonicalAddress, IP_FAMILIES, familyOf } from '../../address/ip.ts';
import { addressFamily, mappedHint } from '../../protocol/address.ts';
import type { NetworkConfig } from '../../protocol/config.ts';
import { describeValue, FieldError, type Fields } from '../../protocol/fields.ts';
import { read } from '../../protocol/schema.ts';
import { describeUnmapped, type PortClaim, PROTOCOLS, type SinglePortClaim } from './portmap-claim.ts';
import { BINDING_KEYS, MAPPING_KEYS, MAX_PORT, PORTMAP_KEYS } from './portmap-keys.ts';
import { joinPorts, mergeClaims } from './portmap-merge.ts';

export interface PortmapConfig {
  readonly claims: readonly PortClaim[];
  /** Masquerade connections to which the container could not answer the right one: localhost's and its own. */
  readonly snat: boolean;
  /** Masquerade all connections to mapped ports; nothing without `snat`, as in the reference. */
  readonly masqAll: boolean;
}

const LOOPBACK_V6 = '::1';

/**
 * Read what ports are to be mapped; undefined for none. Throws FieldError.
 *
 * An entry whose `hostPort` is 0 or missing names a port of the container that is not published: the CRI's meaning of
 * 0 (PortMapping.host_port), and such entries must not fail a pod.
 */
export function parsePortmap(config: NetworkConfig, warn: (message: string) => void): PortmapConfig | undefined {
  const { fields, runtimeConfig } = config;
  const { hostBindingIPv4: binding } = read(fields, BINDING_KEYS);
  const parseHostIp = hostIpParser();
  const list = runtimeConfig.objects('portMappings') ?? [];
  const entries = list.flatMap((entry) => parseEntry(entry, parseHostIp(entry) ?? binding));
  if (entries.length === 0) return undefined;
  const [atLoopback, others] = divide(entries, ({ hostIp }) => hostIp === LOOPBACK_V6);
  const claims = joinPorts(mergeClaims(others));
  const { backend, externalSetMarkChain, snat, masqAll } = read(fields, PORTMAP_KEYS);
  if (atLoopback.length > 0) {
    const why = 'nothing can come back to ::1 from a container; 127.0.0.1 can be mapped';
    warn(describeUnmapped(atLoopback, why));
  }
  if (backend === 'iptables') {
    warn(`"${fields.at('backend')}" is "iptables", but ports are mapped with nftables`);
  }
  if (externalSetMarkChain) {
    warn(`"${fields.at('externalSetMarkChain')}" has no meaning here: connections are masqueraded without a mark`);
  }
  return { claims, snat, masqAll };
}

/** An entry for each family that it is for. */
function parseEntry(entry: Fields, hostIp: string | undefined): SinglePortClaim[] {
  const { hostPort, containerPort } = read(entry, MAPPING_KEYS);
  if (containerPort === undefined) {
    throw new FieldError(entry.at('containerPort'), `must be a whole number from 1 to ${MAX_PORT}, is missing`);
  }
  const protocol = parseProtocol(entry);
  if (hostPort === 0) return [];
  const ports = { path: entry.path, protocol, firstPort: hostPort, lastPort: hostPort, containerPort };
  if (hostIp === undefined) {
    return IP_FAMILIES.map((family) => ({ ...ports, family, hostIp, isForBoth: true }));
  }
  const family = familyOf(hostIp);
  const isAny = hostIp === '0.0.0.0' || hostIp === '::';
  return [{ ...ports, family, hostIp: isAny ? undefined : hostIp, isForBoth: false }];
}

function parseProtocol(entry: Fields): number {
  const text = entry.string('protocol') || 'tcp';
  const protocol = PROTOCOLS.get(text.toLowerCase());
  if (protocol !== undefined) return protocol;
  throw new FieldError(entry.at('protocol'), `must be one of "tcp", "udp", "sctp", is ${describeValue(text)}`);
}

/** Reads each address once: of thousands of entries most name the same. */
function hostIpParser(): (entry: Fields) => string | undefined {
  const known = new Map<string, string>();
  return (entry) => {
    const text = entry.string('hostIP') || undefined;
    if (text === undefined) return undefined;
    const address = known.get(text) ?? parseHostIp(text, entry.at('hostIP'));
    known.set(text, address);
    return address;
  };
}

function parseHostIp(text: string, path: string): string {
  if (addressFamily(text) === undefined)
    throw new FieldError(path, `must be an IP address, is ${describeValue(text)}${mappedHint(text)}`);
  const address = canonicalAddress(text);
  const [first = 0, second = 0, ...rest] = encodeAddress(address);
  const isV6 = rest.length > 2;
  if (isV6 && first === 0xfe && (second & 0xc0) === 0x80) {
    // See portmap-ruleset.ts.
    throw new FieldError(
      path,
      `cannot be a link-local address, is ${describeValue(text)}: routers forward none of its packets`,
    );
  }
  if (isV6 ? first === 0xff : first >= 224) {
    throw new FieldError(path, `must be an address that a host can have, is ${describeValue(text)}`);
  }
  return address;
}

function divide<Item>(items: readonly Item[], isFirst: (item: Item) => boolean): [first: Item[], second: Item[]] {
  const parts: [Item[], Item[]] = [[], []];
  for (const item of items) parts[isFirst(item) ? 0 : 1].push(item);
  return parts;
}
