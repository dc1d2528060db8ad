// The routes of a further network of a container: those that are there stay the way, and the new ones stand behind them.
//
// Of two routes to one destination the kernel takes the one with the lower metric. With equal ones it takes the older in
// IPv4, and spreads traffic over both in IPv6: half of the connections would then leave by a network that leads nowhere,
// or with an address that is not that network's.

import { familyOf, networkOf } from '../../address/ip.ts';
import { type Route as KernelRoute, RT_TABLE_MAIN } from '../../kernel/rtnetlink/route.ts';
import type { Route } from '../../protocol/result/result.ts';
import { defaultRouteOf } from './sandbox-interface.ts';

/** The metric of the default route of an internal network, which leads to the host and no further: behind any other. */
const LAST_RESORT_METRIC = 32_768;
/** The metric that the kernel gives an IPv6 route without one (IP6_RT_PRIO_USER in include/uapi/linux/ipv6_route.h). */
const DEFAULT_IPV6_METRIC = 1024;
const MAX_METRIC = 0xffff_ffff;

/**
 * Give each route a metric behind those of the routes `present` to the same destination. A route whose metric is
 * configured keeps it, or gets the next that is free. Where nothing is in the way a route stays as it is, except for the
 * default route of an internal network.
 */
export function placeRoutes(
  routes: readonly Route[],
  present: readonly KernelRoute[],
  { isInternal }: { readonly isInternal: boolean },
): Route[] {
  return routes.map((route) => {
    const isLastResort = isInternal && !route.priority && isDefaultRoute(route);
    const taken = metricsOfRivals(route, present);
    const metric = isLastResort ? LAST_RESORT_METRIC : metricOf(route);
    const wanted = route.priority ? metric : behind(metric, isLastResort ? taken : taken.filter(isOrdinary));
    const priority = firstFree(wanted, taken);
    return priority === defaultMetricOf(route.dst) ? route : { ...route, priority };
  });
}

function isDefaultRoute({ dst, table }: Route): boolean {
  return networkOf(dst) === defaultRouteOf(familyOf(dst)) && (table || RT_TABLE_MAIN) === RT_TABLE_MAIN;
}

/** The metric that the kernel gives a route, or reports of one, that says none. */
export function metricOf({ dst, priority }: Pick<KernelRoute, 'dst' | 'priority'>): number {
  return priority || defaultMetricOf(dst);
}

function defaultMetricOf(dst: string): number {
  return familyOf(dst) === 6 ? DEFAULT_IPV6_METRIC : 0;
}

function metricsOfRivals(route: Route, present: readonly KernelRoute[]): number[] {
  const dst = networkOf(route.dst);
  const table = route.table || RT_TABLE_MAIN;
  return present.filter((other) => other.dst === dst && (other.table || RT_TABLE_MAIN) === table).map(metricOf);
}

function isOrdinary(metric: number): boolean {
  return metric < LAST_RESORT_METRIC;
}

function behind(metric: number, taken: readonly number[]): number {
  return Math.min(Math.max(metric, ...taken.map((other) => other + 1)), MAX_METRIC);
}

/** The next metric that no other route has; from the last one of all the search goes on downwards. */
function firstFree(metric: number, taken: readonly number[]): number {
  const used = new Set(taken);
  let free = metric;
  while (used.has(free) && free < MAX_METRIC) free += 1;
  while (used.has(free)) free -= 1;
  return free;
}
