// What qdiscs, classes and filters have in common: struct tcmsg followed by TCA_* attributes, and how a rate is told.
// Host order, but for the protocol of a filter.
//
//   0        1        2               4               8               12              16              20
//   +--------+--------+---------------+---------------+---------------+---------------+---------------+
//   | family |  pad   |   pad u16     | tcm_ifindex   | tcm_handle u32| tcm_parent u32| tcm_info u32  |
//   +--------+--------+---------------+---------------+---------------+---------------+---------------+
//
// struct tc_ratespec:
//
//   0        1        2               4               6               8               12
//   +--------+--------+---------------+---------------+---------------+---------------+
//   |cell_log|linklay.| overhead u16  | cell_align s16| mpu u16       | rate u32      |
//   +--------+--------+---------------+---------------+---------------+---------------+
//
// Source: include/uapi/linux/rtnetlink.h, pkt_sched.h (v6.12).

import { AF_UNSPEC } from '../../netlink/address-bytes.ts';
import type { Message } from '../../netlink/message.ts';
import { Attributes, ByteReader } from '../../netlink/reader.ts';
import { MessageWriter } from '../../netlink/writer.ts';

/** Parents of qdiscs that are not classes. */
export const TC_H_ROOT = 0xffffffff;
export const TC_H_INGRESS = 0xfffffff1;
/** The handle of an ingress or clsact qdisc. The kernel knows no other. */
export const INGRESS_HANDLE = 0xffff0000;
/**
 * The parent of filters that see what a link receives: TC_H_MIN_INGRESS of a clsact qdisc. An ingress qdisc has one list
 * of filters, and takes this name for it as well.
 */
export const TC_H_CLSACT_INGRESS = 0xfffffff2;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;

/** The kernel then reckons by itself and needs no rate table, since Linux 3.8 (__detect_linklayer() in sch_api.c). */
const TC_LINKLAYER_ETHERNET = 1;

/** What a rate is cut to in struct tc_ratespec when an attribute of 64 bits tells it whole. */
const MAX_RATE_32 = 0xffffffff;

/** The link that queues belong to; the name is for errors. */
export interface QueueLink {
  readonly index: number;
  readonly name: string;
}

/** A qdisc, a class or a filter, still to be read as one. */
export interface TrafficControl {
  readonly linkIndex: number;
  readonly handle: number;
  readonly parent: number;
  readonly info: number;
  readonly kind: string;
  /** The payload of TCA_OPTIONS: attributes for the kinds we know, but a structure for some others. */
  readonly options: Uint8Array | undefined;
}

/** Put two numbers together as tc(8) writes them: `handleOf(1, 2)` is 1:2. */
export function handleOf(major: number, minor: number): number {
  return ((major << 16) | minor) >>> 0;
}

/** Write a handle as tc(8) does, in hexadecimal. */
export function formatHandle(handle: number): string {
  if (handle === TC_H_ROOT) return 'root';
  if (handle === TC_H_INGRESS) return 'ingress';
  const minor = handle & 0xffff;
  return `${(handle >>> 16).toString(16)}:${minor === 0 ? '' : minor.toString(16)}`;
}

/** Write struct tcmsg. */
export function encodeTcmsg(linkIndex: number, handle: number, parent: number, info = 0): MessageWriter {
  return new MessageWriter().u8(AF_UNSPEC).u8(0).u16(0).s32(linkIndex).u32(handle).u32(parent).u32(info);
}

/** Write the kind and, if it has any, its options. Neither tc(8) nor older kernels mark them as nested. */
export function encodeKind(writer: MessageWriter, kind: string, options?: (writer: MessageWriter) => void): Uint8Array {
  writer.attributeString(TCA_KIND, kind);
  if (options) writer.attribute(TCA_OPTIONS, options);
  return writer.finish();
}

/** Read what all three kinds of message begin with. */
export function decodeTrafficControl(message: Message): TrafficControl {
  const reader = new ByteReader(message.payload).skip(4);
  const [linkIndex, handle, parent, info] = [reader.s32(), reader.u32(), reader.u32(), reader.u32()];
  const attributes = new Attributes(reader.rest());
  const kind = attributes.string(TCA_KIND) ?? '';
  return { linkIndex, handle, parent, info, kind, options: attributes.bytes(TCA_OPTIONS) };
}

/** Write struct tc_ratespec. `bytesPerSecond` is a whole number; encodeRate64() writes the rest of a large one. */
export function encodeRate(writer: MessageWriter, bytesPerSecond: number): void {
  writer.u8(0).u8(TC_LINKLAYER_ETHERNET).u16(0).u16(0).u16(0).u32(Math.min(bytesPerSecond, MAX_RATE_32));
}

/** Write the attribute that tells a rate whole when it does not fit struct tc_ratespec. */
export function encodeRate64(writer: MessageWriter, type: number, bytesPerSecond: number): void {
  if (bytesPerSecond >= MAX_RATE_32) writer.attribute(type, (rate) => rate.u64(BigInt(bytesPerSecond)));
}

/** Read the rate of a struct tc_ratespec, which the attribute of 64 bits takes the place of. */
export function decodeRate(reader: ByteReader, rate64: bigint | undefined): number {
  const rate = reader.skip(8).u32();
  return rate64 === undefined ? rate : Number(rate64);
}
