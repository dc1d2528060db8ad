// The container's end: sysctls, addresses, up, routes, as the reference plugins' ConfigureIface orders them.

import { monotonicMs } from '../../kernel/clock.ts';
import { familyOf, type IpFamily, networkOf } from '../../address/ip.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { inNetns } from '../../kernel/netns.ts';
import {
  addressAddition,
  IFA_F_DADFAILED,
  IFA_F_NODAD,
  IFA_F_TENTATIVE,
  listAddresses,
} from '../../kernel/rtnetlink/address.ts';
import { type Link, linkChange, setLink } from '../../kernel/rtnetlink/link/link.ts';
import { type Route as KernelRoute, routeAddition } from '../../kernel/rtnetlink/route.ts';
import { sleep } from '../../kernel/syscalls.ts';
import { ensureSysctl, findSysctl, type SysctlKey, setSysctl } from '../../kernel/sysctl.ts';
import { CniError, ERR_KERNEL_REFUSED } from '../../protocol/errors.ts';
import type { Route } from '../../protocol/result/result.ts';
import type { Addressing, Sandbox } from '../../attachment/attachment.ts';

/** RFC 4862 sends one probe and waits a second; the kernel delays the first by up to another. */
const DAD_TIMEOUT_MS = 5_000;
const DAD_POLL_MS = 20;

/** The container's side of an operation: its namespace, and rtnetlink in it. */
export interface SandboxWork {
  readonly sandbox: Sandbox;
  readonly route: NetlinkConnection;
}

type LinkRef = Pick<Link, 'index' | 'name'>;

export interface SandboxOptions {
  readonly enabledad: boolean;
  /** The container has another interface, by which answers of this one may leave. */
  readonly isFurther: boolean;
}

/** Configure the interface: it is up with its addresses and routes when this returns. Waits for nothing, unless `enabledad`. */
export function configureSandboxInterface(
  { sandbox, route }: SandboxWork,
  link: LinkRef,
  addressing: Addressing,
  options: SandboxOptions,
): void {
  const hasIpv6 = addressing.ips.some(({ address }) => familyOf(address) === 6);
  inNetns(sandbox.netns, () => setSandboxSysctls(link.name, hasIpv6, options));
  sandbox.beforeUp?.();
  // IPAM has seen to it that the address is nobody else's, so the kernel need not ask around for a second.
  const flags = options.enabledad ? 0 : IFA_F_NODAD;
  const ready = addressing.ips.map(({ address }) => addressAddition(link.index, address, flags));
  ready.push(linkChange(link, { isUp: true }));
  const routes = kernelRoutes(addressing, link).map(routeAddition);
  if (options.enabledad && hasIpv6) {
    route.executeAll(ready);
    waitForDuplicateDetection(route, link);
    route.executeAll(routes);
  } else {
    // Carried out in this order, and the first refusal is what is reported: those behind it fail for want of it.
    route.executeAll([...ready, ...routes]);
  }
}

function setSandboxSysctls(link: string, hasIpv6: boolean, { enabledad, isFurther }: SandboxOptions): void {
  // The first network answers what comes in by a published port: a strict filter would drop that.
  if (isFurther && isReversePathStrict(link)) trySysctl(['ipv4', 'conf', link, 'rp_filter'], '2');
  if (hasIpv6) {
    const isOff = (name: string): boolean => (findSysctl(['ipv6', 'conf', name, 'disable_ipv6']) ?? '0') !== '0';
    if (isOff('lo')) trySysctl(['ipv6', 'conf', 'lo', 'disable_ipv6'], '0');
    if (isOff(link)) ensureSysctl(['ipv6', 'conf', link, 'disable_ipv6'], '0');
    trySysctl(['ipv6', 'conf', link, 'keep_addr_on_down'], '1');
  }
  // The link-local address too: until it may be used, the interface cannot take part in neighbour discovery.
  if (enabledad) trySysctl(['ipv6', 'conf', link, 'enhanced_dad'], '1');
  trySysctl(['ipv6', 'conf', link, 'accept_dad'], enabledad ? '1' : '0');
  // See announceAddresses().
  trySysctl(['ipv4', 'conf', link, 'arp_notify'], '1');
  if (hasIpv6) trySysctl(['ipv6', 'conf', link, 'ndisc_notify'], '1');
}

/**
 * Have the kernel announce the addresses of an interface to its neighbours, by ARP and by unsolicited neighbour
 * advertisements: whoever knows an address by the MAC of a container that is gone would lose what it sends for up to a
 * minute. Call it when frames get through; what the kernel announces when the interface comes up is too early for that.
 *
 * The kernel does it for every interface with arp_notify or ndisc_notify whose MAC is set, also to the one it has
 * (NETDEV_CHANGEADDR in inetdev_event() and ndisc_netdev_event()): one message of netlink, where a packet socket would take
 * five system calls. Never fails: nobody but a neighbour with a stale entry misses it.
 */
export function announceAddresses(route: NetlinkConnection, link: LinkRef & Pick<Link, 'mac'>): void {
  try {
    setLink(route, link, { mac: link.mac });
  } catch {
    // The driver does not take a MAC while the link is up, or the link has just gone.
  }
}

/** Whether packets are dropped that come in by another link than their answers leave by: the larger value counts. */
export function isReversePathStrict(link: string): boolean {
  const values = ['all', link].map((name) => Number(findSysctl(['ipv4', 'conf', name, 'rp_filter']) ?? 0));
  return Math.max(...values) === 1;
}

/** As in the reference plugins these are best effort: a kernel without IPv6 does not have them. */
export function trySysctl(key: SysctlKey, value: string): void {
  try {
    setSysctl(key, value);
  } catch {
    // No such key, or a read-only /proc/sys: the network works without.
  }
}

function waitForDuplicateDetection(route: NetlinkConnection, link: LinkRef): void {
  const deadline = monotonicMs() + DAD_TIMEOUT_MS;
  for (;;) {
    const addresses = listAddresses(route, link.index);
    const duplicate = addresses.find(({ flags }) => flags & IFA_F_DADFAILED);
    if (duplicate) {
      throw new CniError(
        ERR_KERNEL_REFUSED,
        `Cannot use address ${duplicate.cidr} on "${link.name}": duplicate address detection found another owner`,
      );
    }
    if (!addresses.some(({ flags }) => flags & IFA_F_TENTATIVE)) return;
    if (monotonicMs() > deadline) {
      throw new CniError(
        ERR_KERNEL_REFUSED,
        `Duplicate address detection on "${link.name}" did not end within ${DAD_TIMEOUT_MS} ms`,
      );
    }
    sleep(DAD_POLL_MS);
  }
}

/**
 * The routes of an IPAM result as the kernel takes them: a route without gateway goes through the first gateway of its
 * family, or directly to the link if there is none; one that stands twice is added once.
 */
export function kernelRoutes(addressing: Addressing, link: { readonly index: number }): KernelRoute[] {
  const routes = addressing.routes.map((entry) => kernelRoute(entry, addressing, link.index));
  const seen = new Set<string>();
  return routes.filter((entry) => {
    const identity = [entry.dst, entry.gateway, entry.priority, entry.table].join(' ');
    return !seen.has(identity) && seen.add(identity);
  });
}

function kernelRoute(entry: Route, addressing: Addressing, linkIndex: number): KernelRoute {
  const family = familyOf(entry.dst);
  // A route that says it ends on the link (scope 253) has no gateway by its own word.
  const gateway =
    entry.gw ?? (entry.scope === undefined || entry.scope === 0 ? firstGateway(addressing, family) : undefined);
  return {
    dst: networkOf(entry.dst),
    linkIndex,
    ...(gateway !== undefined && { gateway }),
    ...(entry.priority !== undefined && { priority: entry.priority }),
    ...(entry.table && { table: entry.table }),
    ...(entry.scope !== undefined && { scope: entry.scope }),
    ...(entry.mtu !== undefined && { mtu: entry.mtu }),
    ...(entry.advmss !== undefined && { advmss: entry.advmss }),
  };
}

function firstGateway(addressing: Addressing, family: IpFamily): string | undefined {
  return addressing.ips.find(({ gateway }) => gateway !== undefined && familyOf(gateway) === family)?.gateway;
}

/** The default route of a family. */
export function defaultRouteOf(family: IpFamily): string {
  return family === 4 ? '0.0.0.0/0' : '::/0';
}
