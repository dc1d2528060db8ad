// Whether the limits of an attachment are in place: the queues with their numbers, the filters, the ifb.

import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { ETH_P_ALL, type Filter, listFilters } from '../../kernel/rtnetlink/traffic/filter.ts';
import { findLink } from '../../kernel/rtnetlink/link/link.ts';
import { burstTicks, MAX_TICKS, nanosecondsPerTick } from '../../kernel/rtnetlink/traffic/packet-clock.ts';
import { findQdisc } from '../../kernel/rtnetlink/traffic/qdisc.ts';
import { findTrafficClass } from '../../kernel/rtnetlink/traffic/traffic-class.ts';
import {
  formatHandle,
  type QueueLink,
  TC_H_CLSACT_INGRESS,
  TC_H_INGRESS,
  TC_H_ROOT,
} from '../../kernel/rtnetlink/traffic/traffic-control.ts';
import {
  defaultClassOf,
  egressFilters,
  ingressFilters,
  isSameFilter,
  NO_SUBNETS,
  ROOT_HANDLE,
  SHAPED_CLASS,
  type Subnets,
} from './bandwidth-queues.ts';
import type { BandwidthShape } from './bandwidth-shape.ts';

/** Say what is wrong with the limit on what a link sends. */
export function checkRoot(
  route: NetlinkConnection,
  link: QueueLink,
  shape: BandwidthShape,
  subnets: Subnets,
): string[] {
  const of = `of "${link.name}"`;
  const root = findQdisc(route, link, TC_H_ROOT);
  const kind = subnets.subnets.length === 0 ? 'tbf' : 'htb';
  if (root?.kind !== kind || root.handle !== ROOT_HANDLE) {
    const present = root ? `${root.kind} ${formatHandle(root.handle)}` : 'missing';
    return [`the root qdisc ${of} is ${present} instead of ${kind} ${formatHandle(ROOT_HANDLE)}`];
  }
  if (kind === 'tbf') {
    return [
      ...compare(`the rate ${of}`, root.bytesPerSecond, shape.bytesPerSecond),
      ...compareBurst(of, root, shape),
      ...compare(`the limit ${of}`, root.limitBytes, shape.limitBytes),
    ];
  }
  const shaped = findTrafficClass(route, link, SHAPED_CLASS);
  const leaf = findQdisc(route, link, SHAPED_CLASS);
  return [
    ...compare(`the default class ${of}`, root.defaultClass, defaultClassOf(subnets)),
    ...compare(`the rate ${of}`, shaped?.bytesPerSecond, shape.bytesPerSecond),
    ...compare(`the ceiling ${of}`, shaped?.ceilingBytesPerSecond, shape.bytesPerSecond),
    ...compareBurst(of, shaped, shape),
    ...compare(`the limit ${of}`, leaf?.kind === 'bfifo' ? leaf.limitBytes : undefined, shape.limitBytes),
    ...checkFilters(route, link, ROOT_HANDLE, ingressFilters(subnets)),
  ];
}

/** Say what is wrong with the way from what a link receives to the ifb, and with the limit there. */
export function checkEgress(
  route: NetlinkConnection,
  { link, ifbName }: { readonly link: QueueLink; readonly ifbName: string },
  shape: BandwidthShape,
  subnets: Subnets,
): string[] {
  const ifb = findLink(route, ifbName);
  if (ifb?.kind !== 'ifb') return [`the ifb "${ifbName}" is missing`];
  const hook = findQdisc(route, link, TC_H_INGRESS);
  return [
    ...(ifb.isUp ? [] : [`the ifb "${ifbName}" is down`]),
    ...(hook
      ? checkFilters(route, link, TC_H_CLSACT_INGRESS, egressFilters(subnets, ifb.index))
      : [`the clsact qdisc of "${link.name}" is missing`]),
    ...checkRoot(route, ifb, shape, NO_SUBNETS),
  ];
}

/** Others may have filters there, too, so that ours have other priorities than wanted; only their order counts. */
function checkFilters(route: NetlinkConnection, link: QueueLink, parent: number, wanted: readonly Filter[]): string[] {
  const present = listFilters(route, link, parent);
  const places = wanted.map((filter) => present.find((candidate) => isSameFilter(candidate, filter))?.priority);
  const missing = places.filter((place) => place === undefined).length;
  if (missing > 0)
    return [`${missing} of ${wanted.length} filters of "${link.name}" for the bandwidth limit are missing`];
  const all = places[wanted.findIndex(({ matches, protocol }) => protocol === ETH_P_ALL && matches.length === 0)];
  if (all !== undefined && places.some((place = 0) => place > all)) {
    return [`the filters of "${link.name}" for the bandwidth limit are not in their order`];
  }
  return [];
}

function compare(what: string, present: number | undefined, wanted: number): string[] {
  return present === wanted ? [] : [`${what} is ${present ?? 'missing'} instead of ${wanted}`];
}

/** The kernel tells a burst as a time, in whole ticks, and reckons it with a rounded reciprocal of the rate. */
function compareBurst(
  of: string,
  present: { readonly burstTicks?: number | undefined; readonly bytesPerSecond?: number | undefined } | undefined,
  { burstBytes, bytesPerSecond }: BandwidthShape,
): string[] {
  const tickNs = nanosecondsPerTick();
  // More than the 275 s that 32 bits of ticks can tell: only a rate of some bytes has such a burst.
  if (burstTicks(burstBytes, bytesPerSecond, tickNs) === MAX_TICKS) return [];
  const { burstTicks: ticks, bytesPerSecond: rate } = present ?? {};
  if (ticks === undefined || rate === undefined) return [`the burst ${of} is missing instead of ${burstBytes}`];
  const bytesPerTick = (tickNs * rate) / 1e9;
  const bytes = ticks * bytesPerTick;
  if (Math.abs(bytes - burstBytes) <= 2 * bytesPerTick + burstBytes / 1e6 + 1) return [];
  return [`the burst ${of} is ${Math.round(bytes)} instead of ${burstBytes}`];
}
