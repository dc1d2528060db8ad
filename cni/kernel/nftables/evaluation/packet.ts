// A packet that only exists in thought: what is known of one kind of traffic when it meets the rules of a hook.

import { encodeAddress } from '../../netlink/address-bytes.ts';
import { NFPROTO_IPV4, NFPROTO_IPV6 } from '../constants.ts';
import { IPS_DST_NAT } from '../expressions/ct.ts';
import { IPPROTO_TCP } from '../key.ts';
import { networkOrder, paddedText, unknownBytes, type Value } from './value.ts';

// include/uapi/linux/netfilter/nf_conntrack_common.h: NF_CT_STATE_BIT() of a connection's states
export const CT_STATE_ESTABLISHED = 1 << 1;
export const CT_STATE_NEW = 1 << 3;
// … and enum ip_conntrack_status
const IPS_SEEN_REPLY = 1 << 1;
const IPS_CONFIRMED = 1 << 3;

const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const TTL = 63;

const IFNAMSIZ = 16;

/** An interface, as far as it is known. */
export interface PacketInterface {
  /** A name that ends in "*" stands for any that begins so. */
  readonly name?: string;
  /** Of rtnl_link_ops: "bridge". */
  readonly kind?: string;
}

/** One end: an address and a port; what is undefined is not known. */
export interface Endpoint {
  readonly address?: string;
  readonly port?: number;
  /** Whether the address is one of the node's own. */
  readonly isLocal: boolean;
}

export interface Packet {
  /** NFPROTO_IPV4 or NFPROTO_IPV6. */
  readonly family: number;
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly input: PacketInterface | undefined;
  readonly output: PacketInterface | undefined;
  /** A CT_STATE_*. */
  readonly state: number;
  /** Whether the connection goes elsewhere than it asked for: to a published port. */
  readonly isRedirected: boolean;
  /** Whether it goes from port to port of a bridge, and meets the rules of IP on its way (br_netfilter). */
  readonly isBridged: boolean;
}

/** The IPS_* of the packet's connection. */
export function connectionStatus({ state, isRedirected }: Packet): number {
  const answered = state === CT_STATE_ESTABLISHED ? IPS_SEEN_REPLY | IPS_CONFIRMED : 0;
  return answered | (isRedirected ? IPS_DST_NAT : 0);
}

/** The bytes of the IP header. Total length, identification and checksum are not known. */
export function networkHeader({ family, protocol, from, to }: Packet): Value {
  const addresses = [...addressBytes(family, from), ...addressBytes(family, to)];
  if (family === NFPROTO_IPV6) {
    return [0x60, 0, 0, 0, undefined, undefined, protocol, TTL, ...addresses].slice(0, IPV6_HEADER_BYTES);
  }
  const head = [0x45, 0, undefined, undefined, undefined, undefined, 0x40, 0, TTL, protocol, undefined, undefined];
  return [...head, ...addresses].slice(0, IPV4_HEADER_BYTES);
}

/** The bytes of the transport header: ports, and of TCP the flags of what opens or answers a connection. */
export function transportHeader({ protocol, from, to, state }: Packet): Value {
  const ports = [from, to].flatMap(({ port }) => (port === undefined ? unknownBytes(2) : networkOrder(port, 2)));
  if (protocol !== IPPROTO_TCP) return [...ports, ...unknownBytes(4)];
  const flags = state === CT_STATE_NEW ? 0x02 : 0x10;
  return [...ports, ...unknownBytes(8), undefined, flags, ...unknownBytes(6)];
}

/** The address of an end, in network order. */
function addressBytes(family: number, { address }: Endpoint): Value {
  if (address === undefined) return unknownBytes(family === NFPROTO_IPV4 ? 4 : 16);
  return [...encodeAddress(address)];
}

/** The name of an interface as the kernel keeps it. */
export function nameBytes(name: string | undefined): Value {
  if (name === undefined) return unknownBytes(IFNAMSIZ);
  if (!name.endsWith('*')) return paddedText(name, IFNAMSIZ);
  const prefix = name.slice(0, -1);
  return [...paddedText(prefix, prefix.length), ...unknownBytes(IFNAMSIZ - prefix.length)];
}
