// Filters of kind u32: what to do with packets in which some words of 32 bits have some values. struct tcmsg with the
// priority in the upper half of tcm_info and the protocol, in network order, in the lower; TCA_KIND "u32"; and in
// TCA_OPTIONS a class or an action, and TCA_U32_SEL:
//
//   0        1        2        3        4               6               8               10              12              16
//   +--------+--------+--------+--------+---------------+---------------+---------------+---------------+---------------+
//   | flags  |offshift| nkeys  |  pad   | offmask be16  | off u16       | offoff s16    | hoff s16      | hmask be32    |
//   +--------+--------+--------+--------+---------------+---------------+---------------+---------------+---------------+
//
// and for each of nkeys words: mask be32, val be32, off s32 (from the network header), offmask s32.
// The action mirred (TCA_MIRRED_PARMS) hands the packet to another link: index, capab, action, refcnt, bindcnt,
// eaction, ifindex, each 32 bits in host order.
//
// Source: include/uapi/linux/pkt_cls.h, tc_act/tc_mirred.h, net/sched/cls_u32.c (v6.12).

import { type NetlinkConnection, type Operation, understand } from '../../netlink/connection.ts';
import { type Message, NLM_F_CREATE, NLM_F_EXCL } from '../../netlink/message.ts';
import { Attributes, ByteReader } from '../../netlink/reader.ts';
import type { MessageWriter } from '../../netlink/writer.ts';
import { decodeTrafficControl, encodeKind, encodeTcmsg, formatHandle, type QueueLink } from './traffic-control.ts';

const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

// include/uapi/linux/if_ether.h
export const ETH_P_ALL = 0x0003;
export const ETH_P_IP = 0x0800;
export const ETH_P_IPV6 = 0x86dd;

const TCA_U32_CLASSID = 1;
const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TC_U32_TERMINAL = 1;

const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TC_ACT_STOLEN = 4;
const TCA_EGRESS_REDIR = 1;

/** A word of the packet, in network order, at a distance from its network header. */
export interface WordMatch {
  readonly offset: number;
  readonly mask: number;
  readonly value: number;
}

/** What becomes of a packet that matches: a class to wait in, a link to be sent by, or neither, and it just goes on. */
export type FilterVerdict =
  | { readonly classId: number; readonly redirectIndex?: never }
  | { readonly redirectIndex: number; readonly classId?: never }
  | { readonly classId?: never; readonly redirectIndex?: never };

export interface Filter {
  /** ETH_P_*. Filters of one priority all have the same. */
  readonly protocol: number;
  /** The filter with the lowest number is asked first. */
  readonly priority: number;
  /** All of them must match; none matches every packet. */
  readonly matches: readonly WordMatch[];
  readonly verdict: FilterVerdict;
}

/** A filter, or a part of one such as its hash table, as a dump tells it. */
export interface ListedFilter {
  /** The kernel's number for it among those of its priority. */
  readonly handle: number;
  readonly protocol: number;
  readonly priority: number;
  /** "u32", "bpf", "flower", … */
  readonly kind: string;
  /** Undefined when it is not a u32 filter that matches words. */
  readonly filter: Filter | undefined;
}

/** Write a filter below the qdisc with the handle `parent`. */
export function encodeFilter(linkIndex: number, parent: number, filter: Filter): Uint8Array {
  const { protocol, priority, verdict } = filter;
  return encodeKind(encodeTcmsg(linkIndex, 0, parent, infoOf(priority, protocol)), 'u32', (options) => {
    if (verdict.classId !== undefined) options.attributeU32(TCA_U32_CLASSID, verdict.classId);
    if (verdict.redirectIndex !== undefined) encodeRedirect(options, verdict.redirectIndex);
    // The kernel wants a word: with an empty mask it is always the right one.
    const matches = filter.matches.length > 0 ? filter.matches : [{ offset: 0, mask: 0, value: 0 }];
    options.attribute(TCA_U32_SEL, (selector) => {
      selector.u8(TC_U32_TERMINAL).u8(0).u8(matches.length).u8(0).bytes(new Uint8Array(12));
      for (const { offset, mask, value } of matches) selector.be32(mask).be32(value).s32(offset).s32(0);
    });
  });
}

/** One action, in its place in the list of actions. */
function encodeRedirect(writer: MessageWriter, linkIndex: number): void {
  writer.attribute(TCA_U32_ACT, (actions) =>
    actions.attribute(1, (action) =>
      action
        .attributeString(TCA_ACT_KIND, 'mirred')
        .nested(TCA_ACT_OPTIONS, (options) =>
          options.attribute(TCA_MIRRED_PARMS, (parms) =>
            parms.u32(0).u32(0).s32(TC_ACT_STOLEN).s32(0).s32(0).s32(TCA_EGRESS_REDIR).u32(linkIndex),
          ),
        ),
    ),
  );
}

/** Read an RTM_NEWTFILTER message; undefined for what is no u32 filter with words to match, e.g. its hash table. */
export function decodeFilter(message: Message): Filter | undefined {
  const { info, kind, options } = decodeTrafficControl(message);
  const attributes = kind === 'u32' && options ? new Attributes(options) : undefined;
  const selector = attributes?.bytes(TCA_U32_SEL);
  if (!attributes || !selector) return undefined;
  const reader = new ByteReader(selector);
  const count = reader.skip(2).u8();
  reader.skip(13);
  const matches: WordMatch[] = [];
  for (let i = 0; i < count; i++) {
    const [mask, value, offset] = [reader.be32(), reader.be32(), reader.s32()];
    reader.skip(4);
    if (mask !== 0) matches.push({ offset, mask, value });
  }
  return { protocol: swap16(info & 0xffff), priority: info >>> 16, matches, verdict: decodeVerdict(attributes) };
}

/** The verdict of the first action, if it is a redirection. */
function decodeVerdict(attributes: Attributes): FilterVerdict {
  const action = attributes.nested(TCA_U32_ACT)?.nested(1);
  const parms =
    action?.string(TCA_ACT_KIND) === 'mirred' ? action.nested(TCA_ACT_OPTIONS)?.bytes(TCA_MIRRED_PARMS) : undefined;
  if (parms) {
    const reader = new ByteReader(parms).skip(20);
    const [kind, redirectIndex] = [reader.s32(), reader.u32()];
    if (kind === TCA_EGRESS_REDIR) return { redirectIndex };
  }
  const classId = attributes.u32(TCA_U32_CLASSID);
  return classId === undefined ? {} : { classId };
}

/** Add a filter to the qdisc with the handle `parent`. */
export function addFilter(link: QueueLink, parent: number, filter: Filter): Operation {
  return {
    operation: `add filter ${filter.priority} to qdisc ${formatHandle(parent)} of "${link.name}"`,
    type: RTM_NEWTFILTER,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: encodeFilter(link.index, parent, filter),
  };
}

/** Delete one filter of the qdisc with the handle `parent`. ENOENT if it is gone. */
export function deleteFilter(link: QueueLink, parent: number, filter: Omit<ListedFilter, 'filter'>): Operation {
  const { handle, priority, protocol, kind } = filter;
  return {
    operation: `delete filter ${priority} of qdisc ${formatHandle(parent)} of "${link.name}"`,
    type: RTM_DELTFILTER,
    flags: 0,
    payload: encodeKind(encodeTcmsg(link.index, handle, parent, infoOf(priority, protocol)), kind),
  };
}

/** List all filters of a qdisc, of every kind and owner; none when there is no such qdisc. */
export function listAllFilters(route: NetlinkConnection, link: QueueLink, parent: number): ListedFilter[] {
  const operation = `list filters of qdisc ${formatHandle(parent)} of "${link.name}"`;
  const payload = encodeTcmsg(link.index, 0, parent).finish();
  const messages = route.dump({ operation, type: RTM_GETTFILTER, flags: 0, payload });
  return messages.map((message) =>
    understand({ operation }, () => {
      const { handle, info, kind } = decodeTrafficControl(message);
      return { handle, kind, protocol: swap16(info & 0xffff), priority: info >>> 16, filter: decodeFilter(message) };
    }),
  );
}

/** The u32 filters of a qdisc that match words; none when there is no such qdisc. */
export function listFilters(route: NetlinkConnection, link: QueueLink, parent: number): Filter[] {
  return listAllFilters(route, link, parent).flatMap(({ filter }) => filter ?? []);
}

function infoOf(priority: number, protocol: number): number {
  return ((priority << 16) | swap16(protocol)) >>> 0;
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}
