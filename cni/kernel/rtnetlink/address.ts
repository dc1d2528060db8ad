// Addresses of links: struct ifaddrmsg followed by IFA_* attributes.
//
//   0        1        2        3        4               8
//   +--------+--------+--------+--------+---------------+
//   | family | prefix | flags  | scope  | ifa_index u32 |
//   +--------+--------+--------+--------+---------------+
//
// Source: include/uapi/linux/if_addr.h (v6.12). The index is in host order, addresses in network order.

import { AF_UNSPEC, decodeAddress, encodeAddress, afOf } from '../netlink/address-bytes.ts';
import { familyOf, type IpFamily, splitCidr, lastAddressOf } from '../../address/ip.ts';
import { isErrno } from '../errno.ts';
import { type NetlinkConnection, type Operation, understand } from '../netlink/connection.ts';
import { type Message, NLM_F_CREATE, NLM_F_EXCL } from '../netlink/message.ts';
import { Attributes, ByteReader, MalformedMessageError } from '../netlink/reader.ts';
import { MessageWriter } from '../netlink/writer.ts';

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;

/** IPv4: not the first of its subnet on the link. IPv6 (IFA_F_TEMPORARY): for a while, against being followed (RFC 8981). */
export const IFA_F_SECONDARY = 0x01;
/** Do not look for duplicates (RFC 4862, 5.4): the address can be used at once. */
export const IFA_F_NODAD = 0x02;
/** The search for duplicates found one. */
export const IFA_F_DADFAILED = 0x08;
/** Its preferred lifetime is over: not for new connections. */
export const IFA_F_DEPRECATED = 0x20;
/** The search for duplicates is still going on: the address cannot be used yet. */
export const IFA_F_TENTATIVE = 0x40;

export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_LINK = 253;
export const RT_SCOPE_HOST = 254;

export interface LinkAddress {
  /** Address with prefix length, e.g. "10.1.2.3/24". */
  readonly cidr: string;
  readonly linkIndex: number;
  /** IFA_F_*. */
  readonly flags: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
}

/** Write the message that adds or deletes an address. */
export function encodeLinkAddress(linkIndex: number, cidr: string, flags: number): Uint8Array {
  const { address, prefixLength } = splitCidr(cidr);
  const family = familyOf(address);
  const bytes = encodeAddress(address);
  const writer = new MessageWriter()
    .u8(afOf(family))
    .u8(prefixLength)
    .u8(0)
    .u8(RT_SCOPE_UNIVERSE)
    .u32(linkIndex)
    .attributeBytes(IFA_LOCAL, bytes)
    .attributeBytes(IFA_ADDRESS, bytes);
  // As the reference plugins do, and `ip address add … brd +`: without it the link is left without a broadcast address.
  if (family === 4 && prefixLength < 31) writer.attributeBytes(IFA_BROADCAST, encodeAddress(lastAddressOf(cidr)));
  // The header's flags field has only eight bits.
  if (flags !== 0) writer.attributeU32(IFA_FLAGS, flags);
  return writer.finish();
}

/** Read an RTM_NEWADDR message. */
export function decodeLinkAddress(message: Message): LinkAddress {
  const reader = new ByteReader(message.payload).skip(1);
  const [prefixLength, shortFlags, scope, linkIndex] = [reader.u8(), reader.u8(), reader.u8(), reader.u32()];
  const attributes = new Attributes(reader.rest());
  // IFA_ADDRESS is the peer's on a point-to-point IPv4 link; IFA_LOCAL is absent for IPv6.
  const bytes = attributes.bytes(IFA_LOCAL) ?? attributes.bytes(IFA_ADDRESS);
  if (!bytes) throw new MalformedMessageError(`An address of link ${linkIndex} has no address`);
  const flags = attributes.u32(IFA_FLAGS) ?? shortFlags;
  return { cidr: `${decodeAddress(bytes)}/${prefixLength}`, linkIndex, flags, scope };
}

/**
 * Add an address to a link. `flags`: IFA_F_NODAD for one that is known to be unique.
 *
 * Throws NetlinkError EEXIST when the link has it already.
 */
export function addAddress(route: NetlinkConnection, linkIndex: number, cidr: string, flags = 0): void {
  route.execute(addressAddition(linkIndex, cidr, flags));
}

/** The request of addAddress(), to be sent together with others. */
export function addressAddition(linkIndex: number, cidr: string, flags: number): Operation {
  return {
    operation: `add address ${cidr}`,
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: encodeLinkAddress(linkIndex, cidr, flags),
  };
}

/** Delete an address of a link. False when the link does not have it. */
export function deleteAddress(route: NetlinkConnection, linkIndex: number, cidr: string): boolean {
  try {
    const payload = encodeLinkAddress(linkIndex, cidr, 0);
    route.execute({ operation: `delete address ${cidr}`, type: RTM_DELADDR, flags: 0, payload });
    return true;
  } catch (error) {
    // ENXIO: the link has no IPv6, e.g. because its MTU is under 1280.
    if (isErrno(error, 'EADDRNOTAVAIL', 'ENODEV', 'ENXIO')) return false;
    throw error;
  }
}

/** The addresses of one link, of both families or of one. Throws NetlinkError ENODEV when there is no such link. */
export function listAddresses(route: NetlinkConnection, linkIndex: number, family?: IpFamily): LinkAddress[] {
  const operation = `list addresses of link ${linkIndex}`;
  const af = family === undefined ? AF_UNSPEC : afOf(family);
  const payload = new MessageWriter().u8(af).u8(0).u8(0).u8(0).u32(linkIndex).finish();
  return route
    .dump({ operation, type: RTM_GETADDR, flags: 0, payload })
    .map((message) => understand({ operation }, () => decodeLinkAddress(message)))
    .filter((address) => address.linkIndex === linkIndex); // kernels before 4.20 send all
}
