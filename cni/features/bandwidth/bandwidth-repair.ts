// Bandwidth limits on a link that has queues or filters already: those of an earlier call, which are completed, and those
// of others, which stay as they are.
//
// A root qdisc is ours by kind and handle, and an htb also by its class and the queue below that. A filter is ours by
// what it does: it matches what one of ours would, and redirects to this attachment's ifb, or to a link that is gone.

import { isErrno } from '../../kernel/errno.ts';
import type { NetlinkConnection, Operation } from '../../kernel/netlink/connection.ts';
import {
  addFilter,
  deleteFilter,
  type Filter,
  type ListedFilter,
  listAllFilters,
} from '../../kernel/rtnetlink/traffic/filter.ts';
import { quietIfb } from '../../kernel/rtnetlink/link/ifb.ts';
import { findLink, type Link, linkChange } from '../../kernel/rtnetlink/link/link.ts';
import { nanosecondsPerTick } from '../../kernel/rtnetlink/traffic/packet-clock.ts';
import { addQdisc, findQdisc, type Qdisc, replaceQdisc } from '../../kernel/rtnetlink/traffic/qdisc.ts';
import { findTrafficClass, replaceHtbClass } from '../../kernel/rtnetlink/traffic/traffic-class.ts';
import {
  formatHandle,
  INGRESS_HANDLE,
  type QueueLink,
  TC_H_CLSACT_INGRESS,
  TC_H_INGRESS,
  TC_H_ROOT,
} from '../../kernel/rtnetlink/traffic/traffic-control.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import { CniError, ERR_ALREADY_EXISTS } from '../../protocol/errors.ts';
import type { BandwidthConfig } from './bandwidth-config.ts';
import { findIfb, makeIfb } from './bandwidth-ifb.ts';
import { ifbAlias } from '../../attachment/marks.ts';
import {
  defaultClassOf,
  egressFilters,
  ingressFilters,
  isSameFilter,
  LEAF_HANDLE,
  NO_SUBNETS,
  ROOT_HANDLE,
  rootOperations,
  SHAPED_CLASS,
  type Subnets,
} from './bandwidth-queues.ts';
import type { BandwidthShape } from './bandwidth-shape.ts';

/** The queues that an attachment is to have. */
export interface WantedQueues {
  readonly key: AttachmentKey;
  /** The host's end of the veth pair. */
  readonly hostEnd: Link;
  readonly config: BandwidthConfig;
  /** To the container; undefined when nothing limits it. */
  readonly ingress: BandwidthShape | undefined;
  /** From the container. */
  readonly egress: BandwidthShape | undefined;
}

/** The last priority a filter can have. */
const MAX_PRIORITY = 0xffff;

/**
 * Make what is missing of the queues, and put right what has other numbers.
 *
 * Throws CniError 102 when another's root qdisc stands where one of ours belongs; nothing has been changed then.
 */
export function completeQueues(route: NetlinkConnection, wanted: WantedQueues): void {
  const { key, hostEnd, config, ingress, egress } = wanted;
  const left = egress && findIfb(route, key);
  if (ingress) refuseForeignRoot(route, hostEnd, config);
  if (left) refuseForeignRoot(route, left, NO_SUBNETS);
  if (ingress) completeRoot(route, hostEnd, ingress, config);
  if (!egress) return;
  const ifb = left ?? makeIfb(route, key, hostEnd.mtu);
  settleIfb(route, ifb, wanted);
  completeRoot(route, ifb, egress, NO_SUBNETS);
  completeRedirection(route, hostEnd, egressFilters(config, ifb.index));
}

function refuseForeignRoot(route: NetlinkConnection, link: QueueLink, subnets: Subnets): void {
  const root = findQdisc(route, link, TC_H_ROOT);
  if (!root || isOwnRoot(route, link, root, subnets)) return;
  throw new CniError(
    ERR_ALREADY_EXISTS,
    `Cannot limit the bandwidth of "${link.name}": somebody else's root qdisc ${root.kind} ${formatHandle(root.handle)} is in the way, and stays (tc qdisc del dev ${link.name} root)`,
  );
}

function isOwnRoot(route: NetlinkConnection, link: QueueLink, root: Qdisc, subnets: Subnets): boolean {
  if (root.handle !== ROOT_HANDLE) return false;
  if (subnets.subnets.length === 0) return root.kind === 'tbf';
  if (root.kind !== 'htb' || root.defaultClass !== defaultClassOf(subnets)) return false;
  if (!findTrafficClass(route, link, SHAPED_CLASS)) return true; // somebody has deleted ours
  const leaf = findQdisc(route, link, SHAPED_CLASS);
  return leaf?.kind === 'bfifo' && leaf.handle === LEAF_HANDLE;
}

function completeRoot(route: NetlinkConnection, link: QueueLink, shape: BandwidthShape, subnets: Subnets): void {
  if (!findQdisc(route, link, TC_H_ROOT)) {
    route.executeAll(rootOperations(link, shape, subnets, nanosecondsPerTick));
    return;
  }
  if (subnets.subnets.length === 0) {
    route.execute(replaceQdisc(link, TC_H_ROOT, ROOT_HANDLE, { kind: 'tbf', ...shape }));
    return;
  }
  const ids = { parent: ROOT_HANDLE, handle: SHAPED_CLASS };
  route.executeAll([
    replaceHtbClass(link, ids, shape, nanosecondsPerTick()),
    replaceQdisc(link, SHAPED_CLASS, LEAF_HANDLE, { kind: 'bfifo', limitBytes: shape.limitBytes }),
    ...filterOperations(route, { link, parent: ROOT_HANDLE, wanted: ingressFilters(subnets) }),
  ]);
}

/** Name the ifb's owner and take it up. Without IPv6 in the kernel, or with too small an MTU for it, there is none to switch off. */
function settleIfb(route: NetlinkConnection, ifb: QueueLink, { key, hostEnd }: WantedQueues): void {
  const up = linkChange(ifb, { isUp: true, mtu: hostEnd.mtu });
  try {
    route.executeAll([quietIfb(ifb, ifbAlias(key), true), up]);
  } catch (error) {
    if (!isErrno(error, 'EAFNOSUPPORT')) throw error;
    route.executeAll([quietIfb(ifb, ifbAlias(key), false), up]);
  }
}

function completeRedirection(route: NetlinkConnection, hostEnd: QueueLink, wanted: readonly Filter[]): void {
  // Either kind will do: attachments of an earlier version have ingress.
  const hasHook = findQdisc(route, hostEnd, TC_H_INGRESS) !== undefined;
  route.executeAll([
    ...(hasHook ? [] : [addQdisc(hostEnd, TC_H_INGRESS, INGRESS_HANDLE, { kind: 'clsact' })]),
    ...filterOperations(route, { link: hostEnd, parent: TC_H_CLSACT_INGRESS, wanted }),
  ]);
}

/** Replace all of our filters, behind those of others. Nothing when they are all there. */
function filterOperations(
  route: NetlinkConnection,
  place: { readonly link: QueueLink; readonly parent: number; readonly wanted: readonly Filter[] },
): Operation[] {
  const { link, parent, wanted } = place;
  const present = listAllFilters(route, link, parent);
  const own = present.filter(({ filter }) => filter && isOwnFilter(route, filter, wanted));
  const others = present.filter((listed) => !own.includes(listed) && !isHashTableOf(listed, own));
  const first = Math.max(0, ...others.map(({ priority }) => priority));
  // Without others they keep the priorities they have on a new link.
  const shift = Math.min(first, MAX_PRIORITY - Math.max(0, ...wanted.map(({ priority }) => priority)));
  return [
    ...own.map((filter) => deleteFilter(link, parent, filter)),
    ...wanted.map((filter) => addFilter(link, parent, { ...filter, priority: filter.priority + shift })),
  ];
}

function isOwnFilter(route: NetlinkConnection, filter: Filter, wanted: readonly Filter[]): boolean {
  const { redirectIndex } = filter.verdict;
  return wanted.some((candidate) => {
    if (isSameFilter(filter, candidate)) return true;
    if (redirectIndex === undefined || candidate.verdict.redirectIndex === undefined) return false;
    // The ifb that it led to has been deleted, and another made in its place.
    return (
      isSameFilter({ ...filter, verdict: candidate.verdict }, candidate) &&
      (redirectIndex === 0 || !findLink(route, redirectIndex))
    );
  });
}

/** The kernel lists each priority's hash tables as well, which go with their last filter. */
function isHashTableOf({ kind, filter, priority }: ListedFilter, own: readonly ListedFilter[]): boolean {
  return kind === 'u32' && filter === undefined && own.some((listed) => listed.priority === priority);
}
