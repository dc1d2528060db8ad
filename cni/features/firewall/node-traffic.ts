// The traffic of a bridge's containers, as packets that other firewalls of the node can be asked about.

import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { isErrno } from '../../kernel/errno.ts';
import { firstHostOf, networkOf } from '../../address/ip.ts';
import { NFPROTO_IPV4, NFPROTO_IPV6 } from '../../kernel/nftables/constants.ts';
import {
  CT_STATE_ESTABLISHED,
  CT_STATE_NEW,
  type Endpoint,
  type Packet,
  type PacketInterface,
} from '../../kernel/nftables/evaluation/packet.ts';
import { IPPROTO_TCP, IPPROTO_UDP } from '../../kernel/nftables/key.ts';
import { findSysctl } from '../../kernel/sysctl.ts';
import type { Fields } from '../../protocol/fields.ts';

export type Family = 4 | 6;

/** A kind of traffic: to the world, from it to published ports, among the containers, and to the node itself. */
export type TrafficKind = 'outgoing' | 'returning' | 'published' | 'neighbours' | 'to-node';

/** The node's addresses and interfaces of one family, as far as they are known. */
export interface NodeFamily {
  readonly family: Family;
  /** An address that a container of the bridge has, or could have. */
  readonly container: string | undefined;
  /** The node's address on the bridge. */
  readonly gateway: string | undefined;
  /** The interface of the default route, and the node's address there. */
  readonly uplink: string | undefined;
  readonly node: string | undefined;
  /** Whether traffic from port to port of a bridge passes the rules of IP. */
  readonly isBridgeFiltered: boolean;
}

/** The containers of a bridge, and what they are to reach. */
export interface BridgeTraffic {
  readonly bridge: string;
  /** Those that the containers have addresses of. */
  readonly families: readonly NodeFamily[];
  /** Whether the node is their gateway, to more than itself. */
  readonly isRouted: boolean;
  readonly isPublishing: boolean;
  /** Whether they may reach each other. */
  readonly hasNeighbours: boolean;
}

/** A packet of a kind of traffic, before its destination is changed to a container's and afterwards. */
export interface Sample {
  readonly kind: TrafficKind;
  readonly family: Family;
  readonly arriving: Packet;
  readonly passing: Packet;
}

/** Hosts of the world that no rule is about: a name server's, reached by its addresses. */
const WORLD: Readonly<Record<Family, string>> = { 4: '9.9.9.9', 6: '2620:fe::9' };
/** Ports that nobody has a rule for. */
const CLIENT_PORT = 45_678;
const SERVICE_PORT = 49_999;

/** One packet of TCP and one of UDP for each kind of traffic that the containers are to have. */
export function samplesOf(traffic: BridgeTraffic): Sample[] {
  return traffic.families.flatMap((node) =>
    [IPPROTO_TCP, IPPROTO_UDP].flatMap((protocol) => samplesOfFamily(traffic, node, protocol)),
  );
}

function samplesOfFamily(traffic: BridgeTraffic, node: NodeFamily, protocol: number): Sample[] {
  const { family } = node;
  const ends = endsOf(node);
  const [bridge, uplink] = [{ name: traffic.bridge, kind: 'bridge' }, interfaceOf(node.uplink)];
  const common = { family: protocolFamily(family), protocol, state: CT_STATE_NEW };
  const plain = { ...common, isRedirected: false, isBridged: false };
  const sample = (kind: TrafficKind, passing: Packet, arriving = passing): Sample => ({
    kind,
    family,
    arriving,
    passing,
  });
  const samples: Sample[] = [];
  if (traffic.isRouted) {
    const out: Packet = { ...plain, from: ends.container, to: ends.world, input: bridge, output: uplink };
    const back: Packet = {
      ...plain,
      state: CT_STATE_ESTABLISHED,
      from: { ...ends.world, port: SERVICE_PORT },
      to: { ...ends.container, port: CLIENT_PORT },
      input: uplink,
      output: bridge,
    };
    samples.push(sample('outgoing', out), sample('returning', back));
  }
  if (traffic.isRouted && traffic.isPublishing) {
    const passing: Packet = { ...publishedPacket(node, protocol, SERVICE_PORT), output: bridge };
    samples.push(
      sample('published', { ...passing, to: ends.service, isRedirected: true }, { ...passing, output: undefined }),
    );
  }
  if (node.isBridgeFiltered && traffic.hasNeighbours) {
    const to = { ...ends.service };
    samples.push(
      sample('neighbours', { ...plain, isBridged: true, from: ends.container, to, input: bridge, output: bridge }),
    );
  }
  if (node.gateway !== undefined) {
    const to = { address: node.gateway, port: SERVICE_PORT, isLocal: true };
    samples.push(sample('to-node', { ...plain, from: ends.container, to, input: bridge, output: undefined }));
  }
  return samples;
}

/** Make the packet that a stranger sends to a port of the node, as it arrives. */
export function publishedPacket(node: NodeFamily, protocol: number, port: number): Packet {
  return {
    family: protocolFamily(node.family),
    protocol,
    from: { address: WORLD[node.family], port: CLIENT_PORT, isLocal: false },
    to: { ...(node.node !== undefined && { address: node.node }), port, isLocal: true },
    input: interfaceOf(node.uplink),
    output: undefined,
    state: CT_STATE_NEW,
    isRedirected: false,
    isBridged: false,
  };
}

/** A frame from port to port of the bridge, for tables of the bridge family. */
export function frameSamples({ families, hasNeighbours }: BridgeTraffic): Sample[] {
  return (hasNeighbours ? families : []).map((node) => {
    const ends = endsOf(node);
    const passing: Packet = {
      family: protocolFamily(node.family),
      protocol: IPPROTO_TCP,
      from: ends.container,
      to: ends.service,
      input: { name: 'veth*', kind: 'veth' },
      output: { name: 'veth*', kind: 'veth' },
      state: CT_STATE_NEW,
      isRedirected: false,
      isBridged: true,
    };
    return { kind: 'neighbours', family: node.family, arriving: passing, passing };
  });
}

function endsOf(node: NodeFamily): Readonly<Record<'container' | 'service' | 'world', Endpoint>> {
  const address = node.container === undefined ? {} : { address: node.container };
  return {
    container: { ...address, port: CLIENT_PORT, isLocal: false },
    service: { ...address, port: SERVICE_PORT, isLocal: false },
    world: { address: WORLD[node.family], port: SERVICE_PORT, isLocal: false },
  };
}

function protocolFamily(family: Family): number {
  return family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}

function interfaceOf(name: string | undefined): PacketInterface {
  return name === undefined ? {} : { name };
}

/** The addresses that containers of a bridge have or may get, and those of the bridge. */
export interface BridgeAddresses {
  /** CIDRs, of containers or of their networks. */
  readonly containers: readonly string[];
  readonly gateways: readonly string[];
}

/** Describe the traffic that a network's configuration promises, on the node that the calling thread is on. */
export function trafficOf(
  bridge: string,
  fields: Pick<Fields, 'get'>,
  { addresses, isPublishing }: { readonly addresses: BridgeAddresses; readonly isPublishing: boolean },
): BridgeTraffic {
  const isGateway = ['isGateway', 'isDefaultGateway'].some((key) => fields.get(key) === true);
  const gateways = isGateway ? addresses.gateways : [];
  return {
    bridge,
    families: lookAtNode({ ...addresses, gateways }),
    isRouted: isGateway && fields.get('internal') !== true,
    isPublishing,
    hasNeighbours: fields.get('icc') !== false && fields.get('portIsolation') !== true,
  };
}

function lookAtNode({ containers, gateways }: BridgeAddresses): NodeFamily[] {
  return ([4, 6] as const).flatMap((family): NodeFamily[] => {
    const cidr = containers.find((each) => isOfFamily(each, family));
    if (cidr === undefined) return [];
    const uplink = (family === 4 ? findUplink4() : findUplink6()) ?? findOtherInterface(family, gateways);
    const call = findSysctl(['bridge', family === 4 ? 'bridge-nf-call-iptables' : 'bridge-nf-call-ip6tables']);
    return [
      {
        family,
        container: networkOf(cidr) === cidr ? firstHostOf(cidr) : cidr.split('/')[0],
        gateway: gateways.find((each) => isOfFamily(each, family)),
        uplink,
        node: uplink === undefined ? undefined : addressOn(uplink, family),
        isBridgeFiltered: call === '1',
      },
    ];
  });
}

function isOfFamily(address: string, family: Family): boolean {
  return address.includes(':') === (family === 6);
}

/** Find an interface with an address of the family, other than the bridge, on a node without a default route. */
function findOtherInterface(family: Family, gateways: readonly string[]): string | undefined {
  const others = Object.entries(networkInterfaces()).filter(([, addresses = []]) =>
    addresses.every(({ internal, address }) => !internal && !gateways.includes(address)),
  );
  return others.find(([name]) => addressOn(name, family) !== undefined)?.[0];
}

function addressOn(name: string, family: Family): string | undefined {
  const addresses = networkInterfaces()[name] ?? [];
  return addresses.find((each) => each.family === `IPv${family}` && !each.address.startsWith('fe80:'))?.address;
}

/** /proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask, numbers in hexadecimal but the metric. */
function findUplink4(): string | undefined {
  const defaults = fieldsOf('route').filter(([, destination, , , , , , mask]) => destination === NONE && mask === NONE);
  return defaults.toSorted((a, b) => Number(a[6]) - Number(b[6]))[0]?.[0];
}

const NONE = '00000000';

/** /proc/net/ipv6_route: destination, its length, source, its length, gateway, metric, …, interface. */
function findUplink6(): string | undefined {
  const defaults = fieldsOf('ipv6_route').filter(
    ([, length, , , gateway]) => length === '00' && /[^0]/.test(gateway ?? ''),
  );
  return defaults.toSorted((a, b) => Number.parseInt(a[5] ?? '', 16) - Number.parseInt(b[5] ?? '', 16))[0]?.at(-1);
}

function fieldsOf(name: string): string[][] {
  try {
    const lines = readFileSync(`/proc/thread-self/net/${name}`, 'utf8').split('\n');
    return lines.filter((line) => line !== '').map((line) => line.trim().split(/\s+/));
  } catch (error) {
    // A kernel without IPv6.
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
