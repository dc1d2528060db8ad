// Queueing disciplines: what a link sends waits in a tree of them; clsact, or the older ingress, is where filters see
// what it receives. struct tcmsg, TCA_KIND, and TCA_OPTIONS of each kind. Host order.
//
// tbf (TCA_TBF_PARMS), a queue of bytes that is emptied at a rate: two struct tc_ratespec, then
//
//   24              28              32              36
//   +---------------+---------------+---------------+
//   | limit u32     | buffer u32    | mtu u32       |
//   +---------------+---------------+---------------+
//
// buffer is in ticks (packet-clock.ts) and ignored where TCA_TBF_BURST tells the burst in bytes (Linux 3.13).
// htb (TCA_HTB_INIT), classes (traffic-class.ts) that filters choose from: version, rate2quantum, defcls, debug,
// direct_pkts, each u32. bfifo: the limit in bytes, u32, without an attribute. clsact, ingress: nothing.
//
// Source: include/uapi/linux/pkt_sched.h, net/sched/sch_tbf.c, sch_htb.c, sch_fifo.c (v6.12).

import { isErrno } from '../../errno.ts';
import { type NetlinkConnection, type Operation, understand } from '../../netlink/connection.ts';
import { type Message, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE } from '../../netlink/message.ts';
import { Attributes, ByteReader } from '../../netlink/reader.ts';
import type { MessageWriter } from '../../netlink/writer.ts';
import {
  decodeRate,
  decodeTrafficControl,
  encodeKind,
  encodeRate,
  encodeRate64,
  encodeTcmsg,
  formatHandle,
  type QueueLink,
} from './traffic-control.ts';

const RTM_NEWQDISC = 36;
const RTM_GETQDISC = 38;

const TCA_TBF_PARMS = 1;
const TCA_TBF_RATE64 = 4;
const TCA_TBF_BURST = 6;

const TCA_HTB_INIT = 2;
const HTB_VERSION = 3;
/** Bytes a second of rate for a byte of quantum, as tc(8) sends it; of no effect where classes name their quantum. */
const HTB_RATE_TO_QUANTUM = 10;

export interface Tbf {
  readonly kind: 'tbf';
  readonly bytesPerSecond: number;
  readonly burstBytes: number;
  /** Bytes that may wait. */
  readonly limitBytes: number;
}

export interface Htb {
  readonly kind: 'htb';
  /** Minor number of the class of what no filter chooses a class for; 0 sends it on at once. */
  readonly defaultClass: number;
}

export interface Bfifo {
  readonly kind: 'bfifo';
  readonly limitBytes: number;
}

/** Has filters for both directions (Linux 4.5), and stands where an ingress qdisc would: a link has one of the two. */
export interface Clsact {
  readonly kind: 'clsact';
}

export type QdiscOptions = Tbf | Htb | Bfifo | Clsact | { readonly kind: 'ingress' };

/** A qdisc as the kernel tells it. The burst comes back in ticks; other kinds than ours have no options. */
export interface Qdisc {
  readonly linkIndex: number;
  readonly handle: number;
  readonly parent: number;
  readonly kind: string;
  readonly bytesPerSecond?: number;
  readonly burstTicks?: number;
  readonly limitBytes?: number;
  readonly defaultClass?: number;
}

/** Write a qdisc. */
export function encodeQdisc(linkIndex: number, parent: number, handle: number, options: QdiscOptions): Uint8Array {
  const writer = encodeTcmsg(linkIndex, handle, parent);
  return options.kind === 'ingress' || options.kind === 'clsact'
    ? encodeKind(writer, options.kind)
    : encodeKind(writer, options.kind, (nested) => encodeOptions(nested, options));
}

function encodeOptions(writer: MessageWriter, options: Tbf | Htb | Bfifo): void {
  switch (options.kind) {
    case 'tbf':
      writer.attribute(TCA_TBF_PARMS, (parms) => {
        encodeRate(parms, options.bytesPerSecond);
        // No peak rate.
        parms.bytes(new Uint8Array(12)).u32(options.limitBytes).u32(0).u32(0);
      });
      writer.attributeU32(TCA_TBF_BURST, options.burstBytes);
      encodeRate64(writer, TCA_TBF_RATE64, options.bytesPerSecond);
      return;
    case 'htb':
      writer.attribute(TCA_HTB_INIT, (init) =>
        init.u32(HTB_VERSION).u32(HTB_RATE_TO_QUANTUM).u32(options.defaultClass).u32(0).u32(0),
      );
      return;
    case 'bfifo':
      writer.u32(options.limitBytes);
  }
}

/** Read an RTM_NEWQDISC message. */
export function decodeQdisc(message: Message): Qdisc {
  const { options, linkIndex, handle, parent, kind } = decodeTrafficControl(message);
  return { linkIndex, handle, parent, kind, ...(options && decodeOptions(kind, options)) };
}

function decodeOptions(kind: string, options: Uint8Array): Partial<Qdisc> {
  if (kind === 'bfifo') return { limitBytes: new ByteReader(options).u32() };
  if (kind === 'htb') {
    const init = new Attributes(options).bytes(TCA_HTB_INIT);
    return init ? { defaultClass: new ByteReader(init).skip(8).u32() } : {};
  }
  if (kind !== 'tbf') return {};
  const attributes = new Attributes(options);
  const parms = attributes.bytes(TCA_TBF_PARMS);
  if (!parms) return {};
  const reader = new ByteReader(parms);
  const bytesPerSecond = decodeRate(reader, attributes.u64(TCA_TBF_RATE64));
  const [limitBytes, burstTicks] = [reader.skip(12).u32(), reader.u32()];
  return { bytesPerSecond, limitBytes, burstTicks };
}

/** Add a qdisc below `parent`: TC_H_ROOT, TC_H_INGRESS or a class. EEXIST if one was added there before. */
export function addQdisc(link: QueueLink, parent: number, handle: number, options: QdiscOptions): Operation {
  return {
    operation: `add ${options.kind} qdisc ${formatHandle(parent)} of "${link.name}"`,
    type: RTM_NEWQDISC,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: encodeQdisc(link.index, parent, handle, options),
  };
}

/**
 * Give the qdisc below `parent` these options, or add it. One of the same kind and handle keeps what waits in it; what else
 * is there goes, with its classes and filters. EOPNOTSUPP or EINVAL for a kind whose options stay as they are (htb).
 */
export function replaceQdisc(link: QueueLink, parent: number, handle: number, options: QdiscOptions): Operation {
  return {
    ...addQdisc(link, parent, handle, options),
    operation: `replace ${options.kind} qdisc ${formatHandle(parent)} of "${link.name}"`,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
  };
}

/**
 * Ask for the qdisc below `parent`; undefined when there is none, or only the one that a link has by itself.
 *
 * Throws NetlinkError ENODEV when the link is gone.
 */
export function findQdisc(route: NetlinkConnection, link: QueueLink, parent: number): Qdisc | undefined {
  const operation = `get qdisc ${formatHandle(parent)} of "${link.name}"`;
  // Kernels before 6.7 tell it only to whom asks for an echo (qdisc_notify()).
  const request = {
    operation,
    type: RTM_GETQDISC,
    flags: NLM_F_ECHO,
    payload: encodeTcmsg(link.index, 0, parent).finish(),
  };
  try {
    const [message] = route.execute(request);
    const qdisc = message && understand(request, () => decodeQdisc(message));
    // Only those that somebody has made have a handle.
    return qdisc?.handle === 0 ? undefined : qdisc;
  } catch (error) {
    // EINVAL: older kernels do not tell one that the link has by itself.
    if (isErrno(error, 'ENOENT', 'EINVAL')) return undefined;
    throw error;
  }
}
