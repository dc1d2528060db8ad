// Turns the host into a router, which a gateway has to be, without taking the host's own IPv6 routes away.

import { readdirSync } from 'node:fs';
import { AF_INET6, type IpFamily } from '../kernel/netlink/address-bytes.ts';
import { ensureSysctl, findSysctl, setSysctl } from '../kernel/sysctl.ts';

/**
 * Turn forwarding on for a family. Stays on: other containers need it.
 *
 * With IPv6 the kernel stops to accept router advertisements on every interface that has accept_ra = 1 once it forwards
 * (Documentation/networking/ip-sysctl.rst), and a host that got its default route that way loses it. So those
 * interfaces are first set to 2, "accept even when forwarding": nothing changes for them.
 */
export function ensureForwarding(family: IpFamily): void {
  if (family !== AF_INET6) {
    ensureSysctl(['ipv4', 'ip_forward'], '1');
    return;
  }
  if (findSysctl(['ipv6', 'conf', 'all', 'forwarding']) === '1') return;
  for (const link of readdirSync('/proc/sys/net/ipv6/conf')) {
    if (link === 'all' || link === 'default' || link === 'lo') continue;
    if (findSysctl(['ipv6', 'conf', link, 'accept_ra']) === '1') setSysctl(['ipv6', 'conf', link, 'accept_ra'], '2');
  }
  ensureSysctl(['ipv6', 'conf', 'all', 'forwarding'], '1');
}
