// Neighbours: which MAC address an IP address is at. struct ndmsg followed by NDA_* attributes.
//
//   0        1        2               4               8               10       11       12
//   +--------+--------+---------------+---------------+---------------+--------+--------+
//   | family |  pad   |   pad u16     | ndm_ifindex   | ndm_state u16 | flags  |  type  |
//   +--------+--------+---------------+---------------+---------------+--------+--------+
//
// Source: include/uapi/linux/neighbour.h (v6.12). Numbers in host order, addresses in network order.

import { AF_UNSPEC, decodeAddress, decodeMac, encodeAddress, encodeMac, afOf } from '../netlink/address-bytes.ts';
import { familyOf } from '../../address/ip.ts';
import { isErrno } from '../errno.ts';
import { type NetlinkConnection, understand } from '../netlink/connection.ts';
import { type Message, NLM_F_CREATE, NLM_F_REPLACE } from '../netlink/message.ts';
import { Attributes, ByteReader } from '../netlink/reader.ts';
import { MessageWriter } from '../netlink/writer.ts';

const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;

const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;

export const NUD_PERMANENT = 0x80;

export interface Neighbour {
  readonly address: string;
  /** Undefined while nobody has answered for the address. */
  readonly mac: string | undefined;
  readonly linkIndex: number;
  /** NUD_*. */
  readonly state: number;
}

/** Write a neighbour. */
export function encodeNeighbour(
  linkIndex: number,
  address: string,
  mac: string | undefined,
  state: number,
): Uint8Array {
  const writer = new MessageWriter()
    .u8(afOf(familyOf(address)))
    .u8(0)
    .u16(0)
    .u32(linkIndex)
    .u16(state)
    .u8(0)
    .u8(0)
    .attributeBytes(NDA_DST, encodeAddress(address));
  if (mac !== undefined) writer.attributeBytes(NDA_LLADDR, encodeMac(mac));
  return writer.finish();
}

/** Read an RTM_NEWNEIGH message; undefined for an entry of a bridge's forwarding table, which has no IP address. */
export function decodeNeighbour(message: Message): Neighbour | undefined {
  const reader = new ByteReader(message.payload).skip(4);
  const [linkIndex, state] = [reader.u32(), reader.u16()];
  const attributes = new Attributes(reader.skip(2).rest());
  const address = attributes.bytes(NDA_DST);
  const mac = attributes.bytes(NDA_LLADDR);
  return address && { address: decodeAddress(address), mac: mac && decodeMac(mac), linkIndex, state };
}

/** Say for good where an address is; replaces what was known. */
export function setNeighbour(route: NetlinkConnection, linkIndex: number, address: string, mac: string): void {
  route.execute({
    operation: `set neighbour ${address}`,
    type: RTM_NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    payload: encodeNeighbour(linkIndex, address, mac, NUD_PERMANENT),
  });
}

/** Forget an address. False when it was not known. */
export function deleteNeighbour(route: NetlinkConnection, linkIndex: number, address: string): boolean {
  try {
    route.execute({
      operation: `delete neighbour ${address}`,
      type: RTM_DELNEIGH,
      flags: 0,
      payload: encodeNeighbour(linkIndex, address, undefined, 0),
    });
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV', 'ENXIO')) return false;
    throw error;
  }
}

/** The neighbours known on one link, of both families. */
export function listNeighbours(route: NetlinkConnection, linkIndex: number): Neighbour[] {
  const operation = `list neighbours of link ${linkIndex}`;
  const payload = new MessageWriter()
    .u8(AF_UNSPEC)
    .u8(0)
    .u16(0)
    .u32(0)
    .u16(0)
    .u8(0)
    .u8(0)
    .attributeU32(NDA_IFINDEX, linkIndex)
    .finish();
  return route
    .dump({ operation, type: RTM_GETNEIGH, flags: 0, payload })
    .map((message) => understand({ operation }, () => decodeNeighbour(message)))
    .filter((neighbour) => neighbour !== undefined);
}
