// Turns the host into a router, which a gateway has to be, without taking the host's own IPv6 routes away.

import { readdirSync } from 'node:fs';
import { isErrno } from '../../kernel/errno.ts';
import type { IpFamily } from '../../address/ip.ts';
import { ensureSysctl, findSysctl, setSysctl } from '../../kernel/sysctl.ts';

/**
 * Turn forwarding on for a family. Stays on: other containers need it.
 *
 * With IPv6 the kernel stops to accept router advertisements on every interface that has accept_ra = 1 once it forwards
 * (Documentation/networking/ip-sysctl.rst), and a host that got its default route that way loses it. So those
 * interfaces are first set to 2, "accept even when forwarding": nothing changes for them.
 */
export function ensureForwarding(family: IpFamily): void {
  if (family !== 6) {
    ensureSysctl(['ipv4', 'ip_forward'], '1');
    return;
  }
  const forwarding = ['ipv6', 'conf', 'all', 'forwarding'];
  if (findSysctl(forwarding) === '1') return;
  for (const link of readdirSync('/proc/sys/net/ipv6/conf')) {
    if (link === 'all' || link === 'default' || link === 'lo') continue;
    if (findSysctl(['ipv6', 'conf', link, 'accept_ra']) === '1' && !keepAdvertisements(link)) break;
  }
  ensureSysctl(forwarding, '1');
}

/** False when /proc/sys is read-only: then forwarding is what the operator must hear of. */
function keepAdvertisements(link: string): boolean {
  try {
    setSysctl(['ipv6', 'conf', link, 'accept_ra'], '2');
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return true; // the link is gone by now
    if (isErrno(error, 'EROFS')) return false;
    throw error;
  }
}
