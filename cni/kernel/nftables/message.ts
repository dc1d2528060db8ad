// What every nf_tables message begins with: struct nfgenmsg, followed by attributes.
//
//   0            1            2                          4
//   +------------+------------+--------------------------+
//   | family u8  | version u8 | res_id u16 network order |
//   +------------+------------+--------------------------+
//
// The message type is the subsystem in its upper and the message in its lower byte.
// Source: include/uapi/linux/netfilter/nfnetlink.h (v6.12).

import type { Message } from '../netlink/message.ts';
import { Attributes, ByteReader } from '../netlink/reader.ts';
import { MessageWriter } from '../netlink/writer.ts';
import { NFNL_SUBSYS_NFTABLES } from './constants.ts';

const NFNETLINK_V0 = 0;
export const NFGENMSG_BYTES = 4;

/** The netlink type of an NFT_MSG_*. */
export function nftType(message: number): number {
  return (NFNL_SUBSYS_NFTABLES << 8) | message;
}

/** Begin a message's payload. `resourceId` is the subsystem in the two messages around a batch, 0 in all others. */
export function writeHeader(family: number, resourceId = 0): MessageWriter {
  return new MessageWriter().u8(family).u8(NFNETLINK_V0).be16(resourceId);
}

/** The attributes of a message. Throws MalformedMessageError when its bytes lie about their length. */
export function attributesOf(message: Message): Attributes {
  return new Attributes(new ByteReader(message.payload).skip(NFGENMSG_BYTES).rest());
}

/** The bytes of a payload's attributes, as written by writeHeader() and what follows it. */
export function attributeBytesOf(payload: Uint8Array): Uint8Array {
  return payload.subarray(NFGENMSG_BYTES);
}
