// Whether the limits of an attachment are in place: the queues with their numbers, the filters, the ifb.

import { type AttachmentDiagnosis, diagnose } from '../../diagnosis/attachment-diagnosis.ts';
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

/** Find what is wrong with the limit on what a link sends. */
export function checkRoot(
  route: NetlinkConnection,
  link: QueueLink,
  shape: BandwidthShape,
  subnets: Subnets,
): AttachmentDiagnosis[] {
  const { name } = link;
  const root = findQdisc(route, link, TC_H_ROOT);
  const kind = subnets.subnets.length === 0 ? 'tbf' : 'htb';
  if (root?.kind !== kind || root.handle !== ROOT_HANDLE) {
    const present = root ? `${root.kind} ${formatHandle(root.handle)}` : 'missing';
    const expected = `${kind} ${formatHandle(ROOT_HANDLE)}`;
    return [diagnose('root-qdisc-differs', { subject: name, expected, found: present })];
  }
  if (kind === 'tbf') {
    return [
      ...compare([name, 'rate'], root.bytesPerSecond, shape.bytesPerSecond),
      ...compareBurst(name, root, shape),
      ...compare([name, 'limit'], root.limitBytes, shape.limitBytes),
    ];
  }
  const shaped = findTrafficClass(route, link, SHAPED_CLASS);
  const leaf = findQdisc(route, link, SHAPED_CLASS);
  return [
    ...compare([name, 'default class'], root.defaultClass, defaultClassOf(subnets)),
    ...compare([name, 'rate'], shaped?.bytesPerSecond, shape.bytesPerSecond),
    ...compare([name, 'ceiling'], shaped?.ceilingBytesPerSecond, shape.bytesPerSecond),
    ...compareBurst(name, shaped, shape),
    ...compare([name, 'limit'], leaf?.kind === 'bfifo' ? leaf.limitBytes : undefined, shape.limitBytes),
    ...checkFilters(route, link, ROOT_HANDLE, ingressFilters(subnets)),
  ];
}

/** Find what is wrong with the way from what a link receives to the ifb, and with the limit there. */
export function checkEgress(
  route: NetlinkConnection,
  { link, ifbName }: { readonly link: QueueLink; readonly ifbName: string },
  shape: BandwidthShape,
  subnets: Subnets,
): AttachmentDiagnosis[] {
  const ifb = findLink(route, ifbName);
  if (ifb?.kind !== 'ifb') return [diagnose('ifb-gone', { subject: ifbName })];
  const hook = findQdisc(route, link, TC_H_INGRESS);
  return [
    ...(ifb.isUp ? [] : [diagnose('ifb-down', { subject: ifbName })]),
    ...(hook
      ? checkFilters(route, link, TC_H_CLSACT_INGRESS, egressFilters(subnets, ifb.index))
      : [diagnose('clsact-qdisc-gone', { subject: link.name })]),
    ...checkRoot(route, ifb, shape, NO_SUBNETS),
  ];
}

/** Others may have filters there, too, so that ours have other priorities than wanted; only their order counts. */
function checkFilters(
  route: NetlinkConnection,
  link: QueueLink,
  parent: number,
  wanted: readonly Filter[],
): AttachmentDiagnosis[] {
  const present = listFilters(route, link, parent);
  const places = wanted.map((filter) => present.find((candidate) => isSameFilter(candidate, filter))?.priority);
  const subject = link.name;
  const found = places.filter((place) => place !== undefined).length;
  if (found < wanted.length) return [diagnose('filters-gone', { subject, expected: wanted.length, found })];
  const all = places[wanted.findIndex(({ matches, protocol }) => protocol === ETH_P_ALL && matches.length === 0)];
  if (all !== undefined && places.some((place = 0) => place > all)) {
    return [diagnose('filters-out-of-order', { subject })];
  }
  return [];
}

function compare(
  [link, object]: readonly [link: string, object: string],
  present: number | undefined,
  wanted: number,
): AttachmentDiagnosis[] {
  if (present === wanted) return [];
  return [diagnose('bandwidth-differs', { subject: link, object, expected: wanted, found: present ?? 'missing' })];
}

/** The kernel tells a burst as a time, in whole ticks, and reckons it with a rounded reciprocal of the rate. */
function compareBurst(
  link: string,
  present: { readonly burstTicks?: number | undefined; readonly bytesPerSecond?: number | undefined } | undefined,
  { burstBytes, bytesPerSecond }: BandwidthShape,
): AttachmentDiagnosis[] {
  const tickNs = nanosecondsPerTick();
  // More than the 275 s that 32 bits of ticks can tell: only a rate of some bytes has such a burst.
  if (burstTicks(burstBytes, bytesPerSecond, tickNs) === MAX_TICKS) return [];
  const { burstTicks: ticks, bytesPerSecond: rate } = present ?? {};
  const wanted = { subject: link, object: 'burst', expected: burstBytes };
  if (ticks === undefined || rate === undefined)
    return [diagnose('bandwidth-differs', { ...wanted, found: 'missing' })];
  const bytesPerTick = (tickNs * rate) / 1e9;
  const bytes = ticks * bytesPerTick;
  if (Math.abs(bytes - burstBytes) <= 2 * bytesPerTick + burstBytes / 1e6 + 1) return [];
  return [diagnose('bandwidth-differs', { ...wanted, found: Math.round(bytes) })];
}
