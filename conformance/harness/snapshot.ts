// The state of a host, its containers and the plugin's files, as text lines to compare.
//
// Left out is what the kernel does by itself and at its own time: link-local addresses, multicast routes, carrier,
// timers, and the local routes of an IPv6 address, which come only when it has been found to be nobody else's.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from './namespace.ts';
import type { Link } from './referee.ts';

export type Snapshot = readonly string[];

interface AddressedLink extends Link {
  readonly addr_info?: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
}

const SYSCTLS = ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding', 'net/ipv6/conf/default/accept_dad'];
/** A kernel may be built or booted without. */
const HAS_IPV6 = existsSync('/proc/sys/net/ipv6/conf');
const VOLATILE_FLAGS = new Set(['LOWER_UP', 'NO-CARRIER', 'RUNNING']);
const BRIDGE_KEYS = ['vlan_filtering', 'vlan_default_pvid', 'stp_state', 'group_fwd_mask', 'ageing_time'];
const PORT_KEYS = ['hairpin', 'isolated', 'learning', 'flood', 'guard', 'root_block'];

/** Look at namespaces and folders. `labels` names each namespace in the lines. */
export function takeSnapshot(namespaces: ReadonlyMap<string, Namespace>, folders: readonly string[]): Snapshot {
  const lines: string[] = [];
  for (const [label, namespace] of namespaces) {
    if (namespace.exists) lines.push(...networkLines(namespace).map((line) => `${label} ${line}`));
    else lines.push(`${label} gone`);
  }
  for (const folder of folders) lines.push(...fileLines(folder));
  return lines.sort();
}

/** Say what appeared (`+`) and what disappeared (`-`). Lines that match `ignored` do not count. */
export function compareSnapshots(before: Snapshot, after: Snapshot, ignored?: RegExp): string[] {
  const old = new Set(before);
  const now = new Set(after);
  return [
    ...before.filter((line) => !now.has(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !old.has(line)).map((line) => `+ ${line}`),
  ].filter((line) => !ignored?.test(line));
}

function networkLines(namespace: Namespace): string[] {
  const lines: string[] = [];
  for (const link of namespace.ipJson<AddressedLink>('-d', 'addr')) {
    lines.push(`link ${linkText(link)}`);
    for (const address of link.addr_info ?? [])
      if (address.scope !== 'link') lines.push(`address ${link.ifname} ${address.local}/${address.prefixlen}`);
  }
  for (const family of HAS_IPV6 ? ['-4', '-6'] : ['-4']) {
    const routes = namespace.ipJson<Record<string, unknown>>(family, '-d', 'route', 'show', 'table', 'all');
    lines.push(
      ...routes.filter((route) => !isOfKernelAlone(family, route)).map((route) => `route ${routeText(route)}`),
    );
    lines.push(
      ...namespace
        .ipJson<Record<string, unknown>>(family, 'rule')
        .map((rule) => `rule ${family} ${JSON.stringify(rule)}`),
    );
  }
  for (const key of HAS_IPV6 ? SYSCTLS : SYSCTLS.filter((each) => !each.includes('ipv6'))) {
    lines.push(`sysctl ${key}=${namespace.sysctl(key)}`);
  }
  lines.push(...nftLines(namespace));
  return lines;
}

function isOfKernelAlone(family: string, { dst, table, protocol }: Readonly<Record<string, unknown>>): boolean {
  if (/^(fe80:|ff00:)/.test(String(dst))) return true;
  return family === '-6' && table === 'local' && protocol === 'kernel';
}

function linkText(link: Link): string {
  const info = link.linkinfo;
  const pick = (source: Readonly<Record<string, unknown>> | undefined, keys: readonly string[]): string[] =>
    keys.filter((key) => source?.[key] !== undefined).map((key) => `${key}=${source?.[key]}`);
  return [
    link.ifname,
    info?.info_kind ?? '',
    link.address,
    `mtu=${link.mtu}`,
    `flags=${link.flags.filter((flag) => !VOLATILE_FLAGS.has(flag)).join(',')}`,
    `master=${link.master ?? ''}`,
    `promiscuity=${link.promiscuity ?? 0}`,
    ...(info?.info_kind === 'bridge' ? pick(info.info_data, BRIDGE_KEYS) : []),
    ...(info?.info_slave_kind === 'bridge' ? pick(info.info_slave_data, PORT_KEYS) : []),
  ].join(' ');
}

function routeText(route: Readonly<Record<string, unknown>>): string {
  const { flags: _, pref: __, ...rest } = route; // "linkdown" comes and goes with the carrier
  return JSON.stringify(rest);
}

function nftLines(namespace: Namespace): string[] {
  const { nftables } = JSON.parse(namespace.mustRun('nft', ['-j', 'list', 'ruleset'])) as { nftables: object[] };
  return nftables
    .filter((object) => !('metainfo' in object))
    .map((object) =>
      JSON.stringify(object, (key, value) =>
        key === 'handle' || key === 'packets' || key === 'bytes' ? undefined : value,
      ),
    )
    .map((text) => `nft ${text}`);
}

function fileLines(folder: string): string[] {
  const lines: string[] = [];
  let entries: string[];
  try {
    entries = readdirSync(folder, { recursive: true }).map(String);
  } catch {
    return []; // not made yet
  }
  for (const entry of entries) {
    const path = join(folder, entry);
    const isFolder = statSync(path).isDirectory();
    lines.push(isFolder ? `folder ${path}` : `file ${path} ${JSON.stringify(readFileSync(path, 'utf8'))}`);
  }
  return lines;
}
