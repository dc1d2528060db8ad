// What iproute2 and nft say about a namespace, in the terms the cases ask for.

import type { Namespace } from './namespace.ts';

export interface Link {
  readonly ifname: string;
  readonly ifindex: number;
  readonly mtu: number;
  /** MAC address. */
  readonly address: string;
  readonly flags: readonly string[];
  readonly operstate: string;
  readonly master?: string;
  readonly ifalias?: string;
  readonly promiscuity?: number;
  /** Index of the other end of a veth pair, in the namespace that link_netnsid stands for. */
  readonly link_index?: number;
  readonly link_netnsid?: number;
  /** Name of the other end, where that is in the same namespace. */
  readonly link?: string;
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_data?: Readonly<Record<string, unknown>>;
    readonly info_slave_kind?: string;
    readonly info_slave_data?: Readonly<Record<string, unknown>>;
  };
}

export interface AddressEntry {
  readonly family: 'inet' | 'inet6';
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
  readonly tentative?: boolean;
  readonly dadfailed?: boolean;
}

export interface RouteEntry {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly metric?: number;
  readonly protocol?: string;
  readonly metrics?: readonly Readonly<Record<string, number>>[];
}

/** All links of a namespace, loopback included. */
export function linksOf(namespace: Namespace): Link[] {
  return namespace.ipJson<Link>('-d', 'link');
}

export function findLink(namespace: Namespace, name: string): Link | undefined {
  return linksOf(namespace).find((link) => link.ifname === name);
}

/** Throws Error when there is no such link. */
export function getLink(namespace: Namespace, name: string): Link {
  const link = findLink(namespace, name);
  if (!link) throw new Error(`There is no link "${name}" in ${namespace.name}`);
  return link;
}

export function isUp(link: Link): boolean {
  return link.flags.includes('UP');
}

/** The links whose master is the bridge. */
export function portsOf(namespace: Namespace, bridge: string): Link[] {
  return linksOf(namespace).filter((link) => link.master === bridge);
}

/** A flag of a bridge port, e.g. `hairpin` or `isolated`, as `bridge -d link` tells it. */
export function portFlag(namespace: Namespace, port: string, flag: string): unknown {
  const entries = namespace.bridgeJson<Readonly<Record<string, unknown>>>('-d', 'link', 'show', 'dev', port);
  return entries[0]?.[flag];
}

/** The addresses of a link, the kernel's own link-local ones left out. */
function addressEntriesOf(namespace: Namespace, link: string): AddressEntry[] {
  const entries = namespace.ipJson<{ addr_info?: AddressEntry[] }>('addr', 'show', 'dev', link);
  return (entries[0]?.addr_info ?? []).filter((entry) => !(entry.family === 'inet6' && entry.scope === 'link'));
}

/** Likewise, as text with the prefix. */
export function addressesOf(namespace: Namespace, link: string): string[] {
  return addressEntriesOf(namespace, link).map((entry) => `${entry.local}/${entry.prefixlen}`);
}

/** The routes of the main table through a link, the kernel's own IPv6 multicast and link-local ones left out. */
function routesOf(namespace: Namespace, link: string): RouteEntry[] {
  return [
    ...namespace.ipJson<RouteEntry>('-4', 'route', 'show', 'dev', link),
    ...namespace.ipJson<RouteEntry>('-6', 'route', 'show', 'dev', link),
  ].filter((route) => !route.dst.startsWith('fe80::') && !route.dst.startsWith('ff00::'));
}

/** Likewise, as text: `default via 10.1.2.1`. */
export function routeTextsOf(namespace: Namespace, link: string): string[] {
  return routesOf(namespace, link).map((route) => `${route.dst}${route.gateway ? ` via ${route.gateway}` : ''}`);
}
