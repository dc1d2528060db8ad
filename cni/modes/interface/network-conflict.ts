// Networks that the host has a way to already: the kernel sends what is for one address to one link only.
//
// Looked for when a link of the host gets a gateway's address, which happens once in the life of a bridge. The main
// table tells it all: another table, as a bridge in a VRF has it, is no conflict.

import { networkOf, overlaps, splitCidr } from '../../address/ip.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { findLink, type Link, listLinks } from '../../kernel/rtnetlink/link/link.ts';
import { describeRoute, listRoutes, type Route, RT_TABLE_MAIN } from '../../kernel/rtnetlink/route.ts';
import { CniError, ERR_ALREADY_EXISTS } from '../../protocol/errors.ts';
import { familiesOf } from './gateway.ts';
import type { Host } from '../../attachment/attachment.ts';

/** include/uapi/linux/rtnetlink.h: where the kernel keeps the host's own addresses. */
const RT_TABLE_LOCAL = 255;

/** A way of the host to addresses of a network, by another link. */
interface Conflict {
  readonly network: string;
  readonly route: Route;
  readonly link: Link;
}

/**
 * Look for other ways to the networks of gateway addresses that `link` has just got, and warn of them.
 *
 * Throws CniError 102 when the same network is that of another bridge with containers of podlink: the kernel would send
 * the answers for both networks' containers to the first.
 */
export function examineConflicts(host: Host, link: Link, gateways: readonly string[]): void {
  const conflicts = findConflicts(host.route, link, gateways);
  if (conflicts.length === 0) return;
  for (const conflict of conflicts) refuseTwin(host.route, link, conflict);
  for (const conflict of conflicts) host.warn(describeConflict(link, conflict));
}

/** Find other links' routes and addresses in the networks of `gateways`: of each link the first. */
export function findConflicts(
  route: NetlinkConnection,
  link: Pick<Link, 'index'>,
  gateways: readonly string[],
): Conflict[] {
  const networks = [...new Set(gateways.map(networkOf))];
  const routes = [...familiesOf(networks)].flatMap((family) => listRoutes(route, family));
  const found = networks.flatMap((network) =>
    // The connected networks first: an address of the host is part of one nearly always.
    [RT_TABLE_MAIN, RT_TABLE_LOCAL].flatMap((table) =>
      routes
        .filter((each) => (each.table ?? RT_TABLE_MAIN) === table && each.linkIndex !== undefined)
        .filter((each) => each.linkIndex !== link.index && splitCidr(each.dst).prefixLength > 0)
        .filter((each) => overlaps(network, each.dst))
        .map((each) => ({ network, route: each })),
    ),
  );
  const byLink = new Map(found.toReversed().map((each) => [`${each.network} ${each.route.linkIndex}`, each]));
  return [...byLink.values()].toReversed().flatMap((each) => {
    const other = findLink(route, each.route.linkIndex ?? 0);
    return other ? [{ ...each, link: other }] : [];
  });
}

function refuseTwin(route: NetlinkConnection, link: Link, { network, route: { dst }, link: other }: Conflict): void {
  if (other.kind !== 'bridge' || dst !== network) return;
  const networks = listLinks(route).flatMap(({ masterIndex, alias }) => {
    const [program, name] = alias?.split(' ') ?? [];
    return masterIndex === other.index && program === 'podlink' && name !== undefined ? [name] : [];
  });
  if (networks.length === 0) return;
  const names = [...new Set(networks)].map((name) => `"${name}"`).join(', ');
  throw new CniError(
    ERR_ALREADY_EXISTS,
    `Cannot give "${link.name}" an address of ${network}: bridge "${other.name}" has that network, with containers of network ${names}, and the kernel sends what is for these addresses to one of the bridges only (give one of the networks another subnet)`,
  );
}

/** Say what the conflict is and what comes of it. */
export function describeConflict(link: Pick<Link, 'name'>, { network, route, link: other }: Conflict): string {
  const what =
    route.table === RT_TABLE_LOCAL
      ? `address ${splitCidr(route.dst).address} of "${other.name}"`
      : `${describeRoute(route)} of "${other.name}"`;
  return `network ${network} of "${link.name}" overlaps ${what}: the host reaches these addresses by one of the two links only (use another subnet)`;
}
