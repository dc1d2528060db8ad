// What CHECK is told an attachment must be: prevResult, and from the record what prevResult's version cannot say.

import { canonicalAddress, canonicalCidr } from '../address/ip.ts';
import type { Attached, Expected } from '../attachment/attachment.ts';
import type { Ip, Result, Route } from '../protocol/result/result.ts';
import type { Unsaid } from '../protocol/result/unsaid.ts';

/** Complete a result that was read in an older version. `own`: what ADD recorded as this attachment's; undefined without a record. */
export function completeResult(told: Result, unsaid: Unsaid, own: Attached | undefined): Expected {
  if (!own) return { ...told, unsaid };
  return {
    // Without the MTU, which a later plugin may have lowered: nothing would say so.
    interfaces: unsaid.interfaces ? own.interfaces.map(({ mtu: _, ...rest }) => rest) : told.interfaces,
    ips: unsaid.interfaces ? completeIps(told.ips, own.ips) : told.ips,
    routes: unsaid.routeAttributes ? completeRoutes(told.routes, own.routes) : told.routes,
    dns: told.dns,
  };
}

/** Ours as they are on record, and those of others, of which nothing tells on which interface they are. */
function completeIps(told: readonly Ip[], own: readonly Ip[]): Ip[] {
  const known = new Set(own.map(({ address }) => canonicalCidr(address)));
  return [...own, ...told.filter(({ address }) => !known.has(canonicalCidr(address)))];
}

/** Two routes on record may differ in nothing but what was not said: each stands for one of those that were told. */
function completeRoutes(told: readonly Route[], own: readonly Route[]): Route[] {
  const left = [...own];
  return told.map((route) => {
    const index = left.findIndex((candidate) => identityOf(candidate) === identityOf(route));
    const [recorded] = index < 0 ? [] : left.splice(index, 1);
    return { ...recorded, ...route };
  });
}

function identityOf({ dst, gw }: Route): string {
  return `${canonicalCidr(dst)} ${gw === undefined ? '' : canonicalAddress(gw)}`;
}
