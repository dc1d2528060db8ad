// Classes of an htb qdisc: each is given a rate. struct tcmsg, TCA_KIND "htb", and in TCA_OPTIONS TCA_HTB_PARMS: two
// struct tc_ratespec (rate and ceiling), then
//
//   24              28              32              36              40              44
//   +---------------+---------------+---------------+---------------+---------------+
//   | buffer u32    | cbuffer u32   | quantum u32   | level u32     | prio u32      |
//   +---------------+---------------+---------------+---------------+---------------+
//
// Host order. The buffers are the bursts in ticks (packet-clock.ts).
//
// Source: include/uapi/linux/pkt_sched.h, net/sched/sch_htb.c (v6.12).

import { isErrno } from '../../errno.ts';
import { type NetlinkConnection, type Operation, understand } from '../../netlink/connection.ts';
import { type Message, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE } from '../../netlink/message.ts';
import { Attributes, ByteReader } from '../../netlink/reader.ts';
import { burstTicks } from './packet-clock.ts';
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

const RTM_NEWTCLASS = 40;
const RTM_GETTCLASS = 42;

const TCA_HTB_PARMS = 1;
const TCA_HTB_RATE64 = 6;
const TCA_HTB_CEIL64 = 7;

/** Bytes a class may send in its turn. Of one class, any; but the kernel's own choice makes it complain in its log. */
const QUANTUM_BYTES = 65_536;

export interface HtbClass {
  readonly bytesPerSecond: number;
  readonly burstBytes: number;
}

/** A class as the kernel tells it. */
export interface TrafficClass {
  readonly handle: number;
  readonly kind: string;
  readonly bytesPerSecond: number | undefined;
  readonly ceilingBytesPerSecond: number | undefined;
  readonly burstTicks: number | undefined;
}

/** Where a class is: its own handle, and that of the class or qdisc above it. */
export interface ClassPlace {
  readonly parent: number;
  readonly handle: number;
}

/** Write a class that may never send faster than its rate. */
export function encodeHtbClass(
  linkIndex: number,
  { parent, handle }: ClassPlace,
  htb: HtbClass,
  tickNs: number,
): Uint8Array {
  const { bytesPerSecond, burstBytes } = htb;
  const ticks = burstTicks(burstBytes, bytesPerSecond, tickNs);
  return encodeKind(encodeTcmsg(linkIndex, handle, parent), 'htb', (options) => {
    options.attribute(TCA_HTB_PARMS, (parms) => {
      encodeRate(parms, bytesPerSecond);
      encodeRate(parms, bytesPerSecond);
      parms.u32(ticks).u32(ticks).u32(QUANTUM_BYTES).u32(0).u32(0);
    });
    encodeRate64(options, TCA_HTB_RATE64, bytesPerSecond);
    encodeRate64(options, TCA_HTB_CEIL64, bytesPerSecond);
  });
}

/** Read an RTM_NEWTCLASS message. */
export function decodeTrafficClass(message: Message): TrafficClass {
  const { options, handle, kind } = decodeTrafficControl(message);
  const attributes = kind === 'htb' && options ? new Attributes(options) : undefined;
  const parms = attributes?.bytes(TCA_HTB_PARMS);
  const reader = parms && new ByteReader(parms);
  return {
    handle,
    kind,
    bytesPerSecond: reader && decodeRate(reader, attributes?.u64(TCA_HTB_RATE64)),
    ceilingBytesPerSecond: reader && decodeRate(reader, attributes?.u64(TCA_HTB_CEIL64)),
    burstTicks: reader?.u32(),
  };
}

/** Add a class of an htb qdisc. `tickNs` is nanosecondsPerTick()'s. */
export function addHtbClass(link: QueueLink, place: ClassPlace, htb: HtbClass, tickNs: number): Operation {
  return {
    operation: `add htb class ${formatHandle(place.handle)} of "${link.name}"`,
    type: RTM_NEWTCLASS,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: encodeHtbClass(link.index, place, htb, tickNs),
  };
}

/** Give a class of an htb qdisc these numbers, or add it. `tickNs` is nanosecondsPerTick()'s. */
export function replaceHtbClass(link: QueueLink, place: ClassPlace, htb: HtbClass, tickNs: number): Operation {
  return {
    ...addHtbClass(link, place, htb, tickNs),
    operation: `replace htb class ${formatHandle(place.handle)} of "${link.name}"`,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
  };
}

/** Ask for a class; undefined when neither it nor its qdisc is there. Throws NetlinkError ENODEV when the link is gone. */
export function findTrafficClass(route: NetlinkConnection, link: QueueLink, handle: number): TrafficClass | undefined {
  const operation = `get class ${formatHandle(handle)} of "${link.name}"`;
  const payload = encodeTcmsg(link.index, handle, 0).finish();
  try {
    const [message] = route.execute({ operation, type: RTM_GETTCLASS, flags: NLM_F_ECHO, payload });
    return message && understand({ operation }, () => decodeTrafficClass(message));
  } catch (error) {
    // EINVAL, EOPNOTSUPP: the qdisc there has no classes.
    if (isErrno(error, 'ENOENT', 'EINVAL', 'EOPNOTSUPP')) return undefined;
    throw error;
  }
}
