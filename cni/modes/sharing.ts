// Sharing a network namespace: the other namespace's file is bind-mounted over CNI_NETNS, so that whatever the runtime
// starts at that path runs in it. DEL takes exactly that mount off, and the runtime finds its own namespace again.
//
// Nothing in the shared namespace is ever changed: no link, address, route or sysctl.

import { isErrno } from '../kernel/errno.ts';
import { countMounts } from '../kernel/mount-table.ts';
import { AF_INET, familyOf } from '../kernel/netlink/address-bytes.ts';
import type { NetlinkConnection } from '../kernel/netlink/connection.ts';
import { identityAt, identityOf, type Netns } from '../kernel/netns.ts';
import { listAddresses, RT_SCOPE_UNIVERSE } from '../kernel/rtnetlink/address.ts';
import { IFF_LOOPBACK, type Link, listLinks } from '../kernel/rtnetlink/link.ts';
import { listRoutes } from '../kernel/rtnetlink/route.ts';
import { withRtnetlink } from '../kernel/rtnetlink/socket.ts';
import { bindMount, MNT_DETACH, unmount, UMOUNT_NOFOLLOW } from '../kernel/syscalls.ts';
import {
  CniError,
  ERR_ALREADY_EXISTS,
  ERR_INVALID_ENVIRONMENT_VARIABLES,
  ERR_INVALID_NETWORK_CONFIG,
  ERR_KERNEL_REFUSED,
} from '../protocol/errors.ts';
import type { Ip } from '../protocol/result.ts';
import type { Attached, ModeRequest, Sandbox, Undo } from './mode.ts';

/** Stand-in for a sandbox that has no address: containerd refuses a pod without an IP. */
export const LOOPBACK_IP: Ip = { address: '127.0.0.1/8' };

/**
 * Mount `shared` over the sandbox's path, and look whether it is there: a runtime in another mount namespace would
 * start the container in its own empty namespace and report it as running.
 *
 * Throws CniError 102 when the path shows that namespace already, 100 when the mount cannot be made or seen.
 */
export function shareNamespace(sandbox: Sandbox, shared: Netns, undo: Undo): void {
  const wanted = identityOf(shared);
  if (identityAt(sandbox.path) === wanted) {
    throw new CniError(ERR_ALREADY_EXISTS, `${sandbox.path} is the shared namespace already: run DEL first`);
  }
  if (countMounts(sandbox.path) === 0) {
    throw new CniError(
      ERR_INVALID_ENVIRONMENT_VARIABLES,
      `Invalid CNI_NETNS: "${sandbox.path}" is not a mounted namespace file, so another namespace cannot be put in its place`,
    );
  }
  undo.push(`unmount ${sandbox.path}`, () => unshareNamespace(sandbox.path, wanted));
  // By descriptor: what is mounted is what was looked at, whatever its path means by now.
  bindMount(`/proc/self/fd/${shared.fd}`, sandbox.path);
  if (identityAt(sandbox.path) !== wanted) {
    throw new CniError(
      ERR_KERNEL_REFUSED,
      `The shared namespace cannot be seen at ${sandbox.path} after mounting it there`,
    );
  }
}

/**
 * Take our mount off the sandbox's path: only if the record names it, the path shows the shared namespace, and
 * something lies below. Anything else there is the runtime's.
 */
export function unshareNamespace(netnsPath: string, sharedIdentity: string | undefined): void {
  if (sharedIdentity === undefined || netnsPath === '') return;
  if (identityAt(netnsPath) !== sharedIdentity || countMounts(netnsPath) < 2) return;
  // Detached, since whoever has the file open (DEL itself has, to look at it) keeps the mount busy.
  unmount(netnsPath, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/**
 * The addresses others reach the namespace by, without an interface index: containerd counts those as the pod's. First
 * those of the interface with the default route, since the first is taken for the pod's IP.
 */
export function sharedAddresses(shared: Netns): Ip[] {
  return withRtnetlink(shared, (route) => {
    const preferred = listRoutes(route, AF_INET).find(({ dst }) => dst === '0.0.0.0/0')?.linkIndex;
    const rank = (link: Link) => Number(link.index !== preferred);
    const links = listLinks(route)
      .filter(({ isUp, flags }) => isUp && (flags & IFF_LOOPBACK) === 0)
      .sort((a, b) => rank(a) - rank(b));
    const ips = links.flatMap((link) => globalAddresses(route, link));
    return [...ips.filter(isIpv4), ...ips.filter((ip) => !isIpv4(ip))];
  });
}

function isIpv4({ address }: Ip): boolean {
  return familyOf(address) === AF_INET;
}

function globalAddresses(route: NetlinkConnection, link: Link): Ip[] {
  try {
    return listAddresses(route, link.index)
      .filter(({ scope }) => scope === RT_SCOPE_UNIVERSE)
      .map(({ cidr }) => ({ address: cidr }));
  } catch (error) {
    // The link has gone since it was listed, as others' containers do all the time on a host, and its addresses with it.
    if (isErrno(error, 'ENODEV')) return [];
    throw error;
  }
}

/** What a sharing mode reports. */
export function describeShared(shared: Netns): Attached {
  const ips = sharedAddresses(shared);
  return { interfaces: [], ips: ips.length > 0 ? ips : [LOOPBACK_IP], routes: [], dns: {} };
}

/** What of a request has no place in a namespace that belongs to somebody else. */
export function refuseOwnSettings(request: ModeRequest, mode: string): void {
  const { runtimeConfig, argsCni } = request.config;
  const asked: string[] = [];
  if ((runtimeConfig.list('ips') ?? []).length > 0) asked.push('runtimeConfig.ips');
  if ((argsCni.list('ips') ?? []).length > 0) asked.push('args.cni.ips');
  if (runtimeConfig.string('mac')) asked.push('runtimeConfig.mac');
  if (argsCni.string('mac')) asked.push('args.cni.mac');
  for (const name of ['IP', 'MAC']) if (request.cniArgs.get(name)) asked.push(`${name} in CNI_ARGS`);
  if (Object.values(runtimeConfig.object('bandwidth')?.raw ?? {}).some((rate) => rate !== 0)) {
    asked.push('runtimeConfig.bandwidth');
  }
  if (asked.length > 0) {
    throw new CniError(
      ERR_INVALID_NETWORK_CONFIG,
      mode === 'none'
        ? `Conflicting options: ${asked.join(', ')} and mode "none", which has no interface for them`
        : `Conflicting options: ${asked.join(', ')} and mode "${mode}": the namespace is shared, and nothing in it is changed`,
    );
  }
}

/** The port mappings a request asks for. */
export function hasPortMappings(request: ModeRequest): boolean {
  return (request.config.runtimeConfig.list('portMappings') ?? []).length > 0;
}
