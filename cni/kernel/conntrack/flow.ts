// A connection that the kernel tracks (here: a flow), and the filter of a dump, as ctnetlink's attributes.
//
//   struct nfgenmsg, CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_STATUS, CTA_TIMEOUT, CTA_MARK, CTA_USE, CTA_ID, CTA_ZONE, …
//   CTA_TUPLE_* { CTA_TUPLE_IP { CTA_IP_V4_SRC, … }, CTA_TUPLE_PROTO { CTA_PROTO_NUM, … }, CTA_TUPLE_ZONE }
//
// The original tuple is what the one who began the flow sent, the reply tuple what is expected back: behind a DNAT the
// reply's source is the container and not the destination that was asked for.
// Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h, net/netfilter/nf_conntrack_netlink.c (v6.12). Numbers are in
// network order, but for the two of CTA_FILTER.

import { decodeAddress, encodeAddress, afOf, familyOfAf } from '../netlink/address-bytes.ts';
import { canonicalAddress, familyOf, type IpFamily } from '../../address/ip.ts';
import type { Message } from '../netlink/message.ts';
import { Attributes, ByteReader, MalformedMessageError } from '../netlink/reader.ts';
import { MessageWriter, NLA_F_NESTED } from '../netlink/writer.ts';

/** struct nfgenmsg: family u8, version u8, res_id u16. */
const NFGENMSG_BYTES = 4;
const NFNETLINK_V0 = 0;
/** Any other version than 0 makes the family of a deletion count. */
const FLUSH_VERSION = 1;

export const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const CTA_ZONE = 18;
/** Linux 5.8; an older kernel ignores it and sends all flows of the family. */
const CTA_FILTER = 25;

const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;

const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;

const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;

const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;

// net/netfilter/nf_conntrack_netlink.c: CTA_FILTER_F_*, which parts of a tuple have to be equal.
const CTA_FILTER_F_CTA_IP_SRC = 1 << 0;
const CTA_FILTER_F_CTA_IP_DST = 1 << 1;
const CTA_FILTER_F_CTA_PROTO_NUM = 1 << 3;
const CTA_FILTER_F_CTA_PROTO_DST_PORT = 1 << 5;

/** One direction of a flow. A protocol without ports (ICMP) has none here. */
export interface FlowTuple {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
}

export interface Flow {
  readonly family: IpFamily;
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly original: FlowTuple;
  readonly reply: FlowTuple;
  /** 0 unless a rule puts connections into a zone of their own. */
  readonly zone: number;
  /** What deletes this flow and no later one with the same addresses: attributes as the kernel sent them. */
  readonly identity: FlowIdentity;
}

interface FlowIdentity {
  readonly originalTuple: Uint8Array;
  readonly zone: Uint8Array | undefined;
  readonly id: Uint8Array | undefined;
}

/** Which flows are meant: all that is given must hold. Addresses are of the family. */
export interface FlowFilter {
  readonly family: IpFamily;
  /** IPPROTO_*: 6 for TCP, 17 for UDP, 132 for SCTP. */
  readonly protocol: number;
  readonly originalDestination?: string;
  readonly originalDestinationPort?: number;
  /** Who answers, e.g. the container behind a mapped port. */
  readonly replySource?: string;
  /** Anybody but this one answers. */
  readonly replySourceOtherThan?: string;
}

/**
 * Write struct nfgenmsg and, if `isFiltering`, as much of the filter as the kernel can apply.
 *
 * Throws RangeError for an address of another family, AddressError for one that is none.
 */
export function encodeFlowDump(filter: FlowFilter, isFiltering: boolean): Uint8Array {
  for (const address of [filter.originalDestination, filter.replySource, filter.replySourceOtherThan]) {
    if (address !== undefined && familyOf(address) !== filter.family) {
      throw new RangeError(`Invalid address "${address}" in a filter of family ${filter.family}`);
    }
  }
  return encodeFilter(filter, isFiltering, NFNETLINK_V0);
}

/**
 * Write the filter for IPCTNL_MSG_CT_DELETE; undefined for one that the kernel cannot apply in full, without which it would
 * delete more than is meant.
 */
export function encodeFlowFlush(filter: FlowFilter): Uint8Array | undefined {
  const { family, replySourceOtherThan, replySource } = filter;
  if (family !== 4 || replySourceOtherThan !== undefined || replySource === undefined) return undefined;
  // With version 0 the kernel would not look at the family, and then not at the addresses (ctnetlink_del_conntrack()).
  return encodeFilter(filter, true, FLUSH_VERSION);
}

function encodeFilter(filter: FlowFilter, isFiltering: boolean, version: number): Uint8Array {
  const writer = writeHeader(filter.family, version);
  if (!isFiltering) return writer.finish();
  const { originalDestination, originalDestinationPort: port, replySource } = filter;
  // Of IPv6 the kernel gives out all flows but those with the address: ctnetlink_filter_match_tuple() compares the wrong
  // way round (seen with 6.18). So it is not asked to, and the addresses are compared here alone.
  const hasAddresses = filter.family === 4;
  let originalFlags = CTA_FILTER_F_CTA_PROTO_NUM;
  let replyFlags = 0;
  writer.nested(CTA_TUPLE_ORIG, (tuple) => {
    if (originalDestination !== undefined && hasAddresses) {
      originalFlags |= CTA_FILTER_F_CTA_IP_DST;
      tuple.nested(CTA_TUPLE_IP, (ip) => ip.attributeBytes(CTA_IP_V4_DST, encodeAddress(originalDestination)));
    }
    tuple.nested(CTA_TUPLE_PROTO, (protocol) => {
      protocol.attributeU8(CTA_PROTO_NUM, filter.protocol);
      if (port === undefined) return;
      originalFlags |= CTA_FILTER_F_CTA_PROTO_DST_PORT;
      protocol.attribute(CTA_PROTO_DST_PORT, (value) => value.be16(port));
    });
  });
  if (replySource !== undefined && hasAddresses) {
    replyFlags = CTA_FILTER_F_CTA_IP_SRC;
    writer.nested(CTA_TUPLE_REPLY, (tuple) => {
      tuple.nested(CTA_TUPLE_IP, (ip) => ip.attributeBytes(CTA_IP_V4_SRC, encodeAddress(replySource)));
    });
  }
  return writer
    .nested(CTA_FILTER, (flags) => {
      // Host order.
      flags.attributeU32(CTA_FILTER_ORIG_FLAGS, originalFlags).attributeU32(CTA_FILTER_REPLY_FLAGS, replyFlags);
    })
    .finish();
}

function writeHeader(family: IpFamily, version = NFNETLINK_V0): MessageWriter {
  return new MessageWriter().u8(afOf(family)).u8(version).be16(0);
}

/**
 * Write what names one flow for IPCTNL_MSG_CT_DELETE.
 *
 * Never without the tuple: the kernel takes a request that names no flow for one to delete them all.
 */
export function encodeFlowIdentity({ family, identity }: Flow): Uint8Array {
  const writer = writeHeader(family).attributeBytes(CTA_TUPLE_ORIG | NLA_F_NESTED, identity.originalTuple);
  if (identity.zone) writer.attributeBytes(CTA_ZONE, identity.zone);
  if (identity.id) writer.attributeBytes(CTA_ID, identity.id);
  return writer.finish();
}

/** Read an IPCTNL_MSG_CT_NEW message; undefined for a flow that is of neither IPv4 nor IPv6. */
export function decodeFlow(message: Message): Flow | undefined {
  const family = familyOfAf(new ByteReader(message.payload).u8());
  if (family === undefined) return undefined;
  const attributes = new Attributes(new ByteReader(message.payload).skip(NFGENMSG_BYTES).rest());
  const originalTuple = attributes.bytes(CTA_TUPLE_ORIG);
  const tuple = attributes.nested(CTA_TUPLE_ORIG);
  const reply = attributes.nested(CTA_TUPLE_REPLY);
  const protocol = tuple?.nested(CTA_TUPLE_PROTO)?.u8(CTA_PROTO_NUM);
  if (!tuple || !reply || !originalTuple || protocol === undefined) {
    throw new MalformedMessageError('A flow has no tuple or no protocol');
  }
  const zone = attributes.bytes(CTA_ZONE);
  return {
    family,
    protocol,
    original: decodeTuple(tuple, family),
    reply: decodeTuple(reply, family),
    zone: zone === undefined ? 0 : new ByteReader(zone).be16(),
    identity: { originalTuple, zone, id: attributes.bytes(CTA_ID) },
  };
}

function decodeTuple(tuple: Attributes, family: IpFamily): FlowTuple {
  const ip = tuple.nested(CTA_TUPLE_IP);
  const protocol = tuple.nested(CTA_TUPLE_PROTO);
  const source = ip?.bytes(family === 4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC);
  const destination = ip?.bytes(family === 4 ? CTA_IP_V4_DST : CTA_IP_V6_DST);
  if (!source || !destination) throw new MalformedMessageError('The tuple of a flow has no addresses');
  return {
    source: decodeAddress(source),
    destination: decodeAddress(destination),
    sourcePort: decodePort(protocol?.bytes(CTA_PROTO_SRC_PORT)),
    destinationPort: decodePort(protocol?.bytes(CTA_PROTO_DST_PORT)),
  };
}

function decodePort(bytes: Uint8Array | undefined): number | undefined {
  return bytes && new ByteReader(bytes).be16();
}

/** Whether a flow is one of those that a filter means. */
export function isMeant(flow: Flow, filter: FlowFilter): boolean {
  const { originalDestination, originalDestinationPort, replySource, replySourceOtherThan } = filter;
  return (
    flow.family === filter.family &&
    flow.protocol === filter.protocol &&
    (originalDestination === undefined || flow.original.destination === canonicalAddress(originalDestination)) &&
    (originalDestinationPort === undefined || flow.original.destinationPort === originalDestinationPort) &&
    (replySource === undefined || flow.reply.source === canonicalAddress(replySource)) &&
    (replySourceOtherThan === undefined || flow.reply.source !== canonicalAddress(replySourceOtherThan))
  );
}
