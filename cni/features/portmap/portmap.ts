// Port mappings: what is sent to a port of the host arrives at a port of the container, from outside, from the host, from
// other containers and from itself, with the client's address wherever the answer finds its way back with it.
//
// The rules are portmap-ruleset.ts's and the same for all. An attachment is elements (portmap-elements.ts): a port that
// another container has is refused (portmap-conflict.ts). What is no element is the sysctl route_localnet of the
// bridge (route-localnet.ts), and the connections of UDP and SCTP that the kernel has to forget (portmap-flows.ts).

import { encodeAddress } from '../../kernel/netlink/address-bytes.ts';
import { canonicalAddress, familyOf, type IpFamily, splitCidr, IP_FAMILIES } from '../../address/ip.ts';
import { diagnose } from '../../diagnosis/attachment-diagnosis.ts';
import { findSysctl } from '../../kernel/sysctl.ts';
import type { Fields } from '../../protocol/fields.ts';
import type { AttachedInterface, ConnectedAttachment } from '../../attachment/attachment.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import type { Feature, FeatureHost, FeaturePlan, NftablesState } from '../feature.ts';
import { describeUnmapped } from './portmap-claim.ts';
import { parsePortmap, type PortmapConfig } from './portmap-config.ts';
import { type ClaimWithElement, claimPorts } from './portmap-conflict.ts';
import { hairpinElements, leadsToSamePort, masqueradeAllElement, portElement } from './portmap-elements.ts';
import { flushForAdd, flushForDelete, needsFlush, type PortFlows, recordedPorts } from './portmap-flows.ts';
import { PORTMAP_TABLE } from './portmap-keys.ts';
import { PORTMAP_RULESET } from './portmap-ruleset.ts';
import { claimRouteLocalnet, releaseRouteLocalnet, routeLocalnetKey, routesLocalnet } from './route-localnet.ts';

export const portmapFeature: Feature = {
  name: 'portmap',
  keys: PORTMAP_TABLE,
  rulesets: [PORTMAP_RULESET],
  plan({ config, hasOwnInterface, warn }) {
    if (!hasOwnInterface) return undefined;
    const portmap = parsePortmap(config, warn);
    return portmap && planPortmap(portmap, config.fields);
  },
  remove(host, { key, objects }) {
    releaseRouteLocalnet(host, key);
    flushForDelete(recordedPorts(objects?.ports));
  },
};

function planPortmap(portmap: PortmapConfig, fields: Fields): FeaturePlan {
  const hasHairpin = fields.boolean('hairpinMode') ?? false;
  // Each step of an ADD asks for them: parsing the addresses anew took 0.4 ms.
  const known = new WeakMap<AttachedInterface, ServedClaim[]>();
  const servedOf = (attachment: AttachedInterface): ServedClaim[] => {
    const served = known.get(attachment) ?? servedClaims(portmap, attachment);
    known.set(attachment, served);
    return served;
  };
  return {
    objects(attachment) {
      const ports = servedOf(attachment);
      warnOfUnserved(portmap, attachment);
      if (portmap.snat && !hasHairpin) warnOfHairpin(attachment, ports);
      return { ports: ports.filter(needsFlush).map(flowsOf) };
    },
    nftables: (attachment) => stateOf(portmap, attachment, servedOf(attachment)),
    // Not before: the rules that guard the host's 127.0.0.1 are in place by now.
    settle(attachment, waiting) {
      const { gateway, host } = attachment;
      if (gateway !== undefined && needsLocalhost(portmap, servedOf(attachment))) openLocalhost(attachment, gateway);
      const led = servedOf(attachment).filter(({ element }) => !waiting.has(element));
      flushForAdd(host.route, led.filter(needsFlush).map(flowsOf));
    },
    check(attachment) {
      const { gateway } = attachment;
      if (gateway === undefined || !needsLocalhost(portmap, servedOf(attachment))) return [];
      const value = findSysctl(routeLocalnetKey(gateway));
      if (value === undefined || routesLocalnet(gateway)) return [];
      return [diagnose('localhost-unreached', { subject: gateway, expected: '1', found: value })];
    },
  };
}

/** A claim, and the container's address that it leads to. */
interface ServedClaim extends ClaimWithElement {
  readonly containerIp: string;
}

/** The claims of families of which the container has an address. Of several, the first is the one that ports lead to. */
function servedClaims({ claims }: PortmapConfig, attachment: AttachedInterface): ServedClaim[] {
  const targets = new Map(
    IP_FAMILIES.flatMap((family) => {
      const ip = canonicalAddresses(attachment).find(isOf(family));
      return ip === undefined ? [] : [[family, { ip, bytes: encodeAddress(ip) }] as const];
    }),
  );
  return claims.flatMap((claim) => {
    const target = targets.get(claim.family);
    return target ? [{ ...claim, containerIp: target.ip, element: portElement(claim, target.bytes) }] : [];
  });
}

/** A container without an address of the right family starts all the same, as with the reference. */
function warnOfUnserved({ claims }: PortmapConfig, { host, addresses }: ConnectedAttachment): void {
  if (addresses.length === 0) {
    host.warn(describeUnmapped(claims, 'the container has no address'));
    return;
  }
  for (const family of IP_FAMILIES) {
    if (addresses.some(isOf(family))) continue;
    const unserved = claims.filter((claim) => claim.family === family && !claim.isForBoth);
    const name = family === 4 ? 'IPv4' : 'IPv6';
    if (unserved.length > 0) host.warn(describeUnmapped(unserved, `the container has no ${name} address`));
  }
}

function isOf(family: number): (address: string) => boolean {
  return (address) => familyOf(address) === family;
}

function canonicalAddresses({ addresses }: AttachedInterface): string[] {
  return addresses.map((cidr) => canonicalAddress(splitCidr(cidr).address));
}

function stateOf(portmap: PortmapConfig, attachment: AttachedInterface, served: readonly ServedClaim[]): NftablesState {
  const byAddress = new Map(served.map(({ containerIp, family }) => [containerIp, family]));
  return {
    rulesets: [PORTMAP_RULESET],
    elements: [
      ...served.map(({ element }) => element),
      ...[...byAddress].flatMap(([containerIp, family]) => {
        if (!portmap.snat) return [];
        if (portmap.masqAll) return [masqueradeAllElement(family, containerIp)];
        const neighboursBy = seesBridgedPackets(family) ? undefined : attachment.gateway;
        const ownIps = canonicalAddresses(attachment).filter((address) => familyOf(address) === family);
        return hairpinElements(family, { containerIp, ownIps, neighboursBy });
      }),
    ],
    ...(served.length > 0 && { claim: (nft, owners) => claimPorts(nft, owners, served) }),
    isServedBy: leadsToSamePort,
  };
}

/**
 * Whether what goes from one port of a bridge to another passes the hooks of IP, and with them connection tracking: then
 * the answer to a neighbour is translated on its way. Otherwise it would reach the neighbour with an address that it
 * has not sent to.
 */
function seesBridgedPackets(family: IpFamily): boolean {
  const key = family === 4 ? 'bridge-nf-call-iptables' : 'bridge-nf-call-ip6tables';
  return findSysctl(['bridge', key]) === '1';
}

/**
 * Where bridged packets pass the hooks of IP, those of a container to its own mapped port are bridged, and turned back
 * to the port they came from only with `hairpinMode`.
 */
function warnOfHairpin({ host, key, gatewayMac }: ConnectedAttachment, served: readonly ServedClaim[]): void {
  // In a VLAN they are translated behind the bridge (bridged-gateway-ruleset.ts).
  if (gatewayMac !== undefined) return;
  if (!served.some(({ family }) => seesBridgedPackets(family))) return;
  host.warn(
    `Container "${key.containerId}" will not reach itself by its own mapped ports: net.bridge.bridge-nf-call-iptables is 1, so network "${key.network}" needs "hairpinMode": true`,
  );
}

function needsLocalhost(portmap: PortmapConfig, served: readonly ServedClaim[]): boolean {
  return portmap.snat && served.some(({ family }) => family === 4);
}

/** Let connections from 127.0.0.1 in: a container starts without them, too. */
function openLocalhost({ host, key }: ConnectedAttachment, gateway: string): void {
  const problem = attemptClaim(host, gateway, key);
  if (problem !== undefined) host.warn(`Mapped ports are not reached from 127.0.0.1: ${problem}`);
}

/** Undefined once it is claimed, else the reason why it cannot be. */
function attemptClaim(host: FeatureHost, gateway: string, key: AttachmentKey): string | undefined {
  try {
    return claimRouteLocalnet(host, gateway, key) ? undefined : `there is no interface "${gateway}" on the host`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function flowsOf({ family, hostIp, protocol, firstPort, lastPort, containerIp }: ServedClaim): PortFlows {
  return { family, hostIp, protocol, firstPort, lastPort, containerIp };
}
