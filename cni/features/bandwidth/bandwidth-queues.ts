// The queues and filters that hold a limit, as data for apply() and check() alike.
//
//   to the container            host's end of the veth pair, root: tbf 1:
//   with subnets                root: htb 1:, class 1:1 with the rate, bfifo 10: below it; a filter for each subnet
//   from the container          host's end, qdisc clsact, a filter that redirects everything to the ifb;
//                               ifb, root: tbf 1:
//   with subnets                a filter for each subnet: what is not limited just goes on, and never sees the ifb
//
// A subnet is where the other end is: the source of what comes to the container, the destination of what it sends. (The
// reference looks at the destination in both directions, so that of what comes to a container it sees the container's
// own address: one inside an unshaped subnet has no limit at all.)
//
// clsact and not ingress, of which a link can have only one: whoever adds filters of their own to it (agents for policies
// or metering) asks for clsact, and finds it there. They may have been first, too, and no filter or qdisc of theirs is
// changed: see bandwidth-repair.ts.
//
// htb and no tbf where packets must be told apart, since tbf has one queue; and htb only there, because whoever may set
// a packet's priority (SO_PRIORITY above 6, CAP_NET_ADMIN) chooses its class, and the way past all classes.

import { isDeepStrictEqual } from 'node:util';
import { encodeAddress } from '../../kernel/netlink/address-bytes.ts';
import { familyOf, splitCidr } from '../../address/ip.ts';
import type { Operation } from '../../kernel/netlink/connection.ts';
import {
  addFilter,
  ETH_P_ALL,
  ETH_P_IP,
  ETH_P_IPV6,
  type Filter,
  type WordMatch,
} from '../../kernel/rtnetlink/traffic/filter.ts';
import { addQdisc } from '../../kernel/rtnetlink/traffic/qdisc.ts';
import {
  handleOf,
  INGRESS_HANDLE,
  type QueueLink,
  TC_H_CLSACT_INGRESS,
  TC_H_INGRESS,
  TC_H_ROOT,
} from '../../kernel/rtnetlink/traffic/traffic-control.ts';
import { addHtbClass } from '../../kernel/rtnetlink/traffic/traffic-class.ts';
import type { BandwidthConfig } from './bandwidth-config.ts';
import type { BandwidthShape } from './bandwidth-shape.ts';

export const ROOT_HANDLE = handleOf(1, 0);
export const SHAPED_CLASS = handleOf(1, 1);
export const LEAF_HANDLE = handleOf(0x10, 0);
const SHAPED_MINOR = 1;

/** Filters of one priority have one protocol and kind. Among others' filters ours stand behind them, in this order. */
const PRIORITY_V4 = 1;
const PRIORITY_V6 = 2;
const PRIORITY_ALL = 3;

/** Offsets of the addresses from the network header (RFC 791, section 3.1; RFC 8200, section 3). */
const OFFSETS = {
  source: { v4: 12, v6: 8 },
  destination: { v4: 16, v6: 24 },
} as const;

export type Subnets = Pick<BandwidthConfig, 'subnets' | 'subnetsAre'>;

/** An ifb's: what comes there has been chosen before. */
export const NO_SUBNETS: Subnets = { subnets: [], subnetsAre: 'unshaped' };

/** The class that what no filter chooses one for waits in; 0 is none. */
export function defaultClassOf({ subnetsAre }: Subnets): number {
  return subnetsAre === 'unshaped' ? SHAPED_MINOR : 0;
}

/** The filters that choose a class for what comes to the container: none without subnets. */
export function ingressFilters({ subnets, subnetsAre }: Subnets): Filter[] {
  const classId = subnetsAre === 'unshaped' ? ROOT_HANDLE : SHAPED_CLASS;
  return subnets.map((cidr) => subnetFilter(cidr, 'source', { classId }));
}

/** The filters that redirect what the container sends to the ifb, or leave it alone. */
export function egressFilters({ subnets, subnetsAre }: Subnets, ifbIndex: number): Filter[] {
  const redirect = { redirectIndex: ifbIndex };
  const isUnshaped = subnetsAre === 'unshaped';
  const filters = subnets.map((cidr) => subnetFilter(cidr, 'destination', isUnshaped ? {} : redirect));
  const all: Filter = { protocol: ETH_P_ALL, priority: PRIORITY_ALL, matches: [], verdict: redirect };
  return isUnshaped ? [...filters, all] : filters;
}

/** What makes the limit of a link's root, on one that has none. `tickNs` is asked for only where it is needed. */
export function rootOperations(
  link: QueueLink,
  shape: BandwidthShape,
  subnets: Subnets,
  tickNs: () => number,
): Operation[] {
  if (subnets.subnets.length === 0) return [addQdisc(link, TC_H_ROOT, ROOT_HANDLE, { kind: 'tbf', ...shape })];
  const { limitBytes } = shape;
  return [
    addQdisc(link, TC_H_ROOT, ROOT_HANDLE, { kind: 'htb', defaultClass: defaultClassOf(subnets) }),
    addHtbClass(link, { parent: ROOT_HANDLE, handle: SHAPED_CLASS }, shape, tickNs()),
    addQdisc(link, SHAPED_CLASS, LEAF_HANDLE, { kind: 'bfifo', limitBytes }),
    ...ingressFilters(subnets).map((filter) => addFilter(link, ROOT_HANDLE, filter)),
  ];
}

/** What redirects what a link receives to the ifb. */
export function redirectOperations(link: QueueLink, subnets: Subnets, ifbIndex: number): Operation[] {
  return [
    addQdisc(link, TC_H_INGRESS, INGRESS_HANDLE, { kind: 'clsact' }),
    ...egressFilters(subnets, ifbIndex).map((filter) => addFilter(link, TC_H_CLSACT_INGRESS, filter)),
  ];
}

/** Whether two filters do the same with the same packets, whatever their place among all filters. */
export function isSameFilter(a: Filter, b: Filter): boolean {
  return isDeepStrictEqual({ ...a, priority: 0 }, { ...b, priority: 0 });
}

function subnetFilter(cidr: string, side: keyof typeof OFFSETS, verdict: Filter['verdict']): Filter {
  const isV4 = familyOf(splitCidr(cidr).address) === 4;
  return {
    protocol: isV4 ? ETH_P_IP : ETH_P_IPV6,
    priority: isV4 ? PRIORITY_V4 : PRIORITY_V6,
    matches: matchesOf(cidr, OFFSETS[side][isV4 ? 'v4' : 'v6']),
    verdict,
  };
}

/** The words of an address that a network fixes, in whole or in part. */
function matchesOf(cidr: string, offset: number): WordMatch[] {
  const { address, prefixLength } = splitCidr(cidr);
  const bytes = encodeAddress(address);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const matches: WordMatch[] = [];
  for (let at = 0; at < bytes.length && at * 8 < prefixLength; at += 4) {
    const bits = Math.min(prefixLength - at * 8, 32);
    const mask = (0xffffffff << (32 - bits)) >>> 0;
    matches.push({ offset: offset + at, mask, value: (view.getUint32(at) & mask) >>> 0 });
  }
  return matches;
}
