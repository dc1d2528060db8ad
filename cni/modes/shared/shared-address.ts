// The addresses that a container in somebody else's namespace is reported with: at most one of each family, since the
// Kubernetes API refuses a pod with more (validatePodIPs), and the one that a kubelet reports for a pod in the host's
// network.
//
//   1. a default route of the family: the address of its link, or its own source address, or one on lo (unnumbered links,
//      RFC 5549). Of several routes the one with the lowest metric that leads to an address
//   2. none of this family, but of the other: the address of that link, or none. The bridges of a node that has no IPv6
//      route have IPv6 addresses all the same, and they are not the node's
//   3. none at all: the first link with an address, for both families
//
// Loopback, link-local and multicast addresses are none of these, whatever their scope says.

import { encodeAddress } from '../../kernel/netlink/address-bytes.ts';
import { type IpFamily, splitCidr, IP_FAMILIES } from '../../address/ip.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { isErrno } from '../../kernel/errno.ts';
import type { Netns } from '../../kernel/netns.ts';
import {
  IFA_F_DADFAILED,
  IFA_F_DEPRECATED,
  IFA_F_SECONDARY,
  IFA_F_TENTATIVE,
  listAddresses,
  RT_SCOPE_UNIVERSE,
} from '../../kernel/rtnetlink/address.ts';
import { IFF_LOOPBACK, listLinks } from '../../kernel/rtnetlink/link/link.ts';
import { listRoutes, RT_TABLE_MAIN } from '../../kernel/rtnetlink/route.ts';
import { withRtnetlink } from '../../kernel/rtnetlink/socket.ts';
import type { Ip } from '../../protocol/result/result.ts';

/**
 * Stand-in for a host without an address: containerd refuses a pod without an IP. The API server refuses this one in the
 * endpoints of a Service, which such a node cannot have either.
 */
export const LOOPBACK_IP: Ip = { address: '127.0.0.1/8' };

/**
 * Stand-in for a container without an address: the dummy address of RFC 7600, which nobody has. A runtime takes it as the
 * pod's IP, and the API server in the endpoints of a Service, where it refuses 127.0.0.1 and all other pods with it.
 */
export const DUMMY_IP: Ip = { address: '192.0.0.8/32' };

/** LOOPBACK_IFINDEX of the kernel: lo is the first link of every namespace. */
const LO_INDEX = 1;
/** The metric of an IPv6 route that has none. */
const DEFAULT_METRIC = { 4: 0, 6: 1024 };
const NOT_PREFERRED = IFA_F_SECONDARY | IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TENTATIVE;

/** Find the addresses by which others reach a namespace: none, or one of each family, IPv4 first. */
export function findOwnAddresses(netns: Netns): Ip[] {
  return withRtnetlink(netns, (route) => {
    const [ipv4, ipv6] = [listDefaults(route, 4), listDefaults(route, 6)];
    const found =
      ipv4.length + ipv6.length === 0
        ? addressesOfFirstLink(route)
        : [
            addressByRoutes(route, 4, ipv4) ?? addressOfLinks(route, 4, ipv6),
            addressByRoutes(route, 6, ipv6) ?? addressOfLinks(route, 6, ipv4),
          ];
    return found.flatMap((address) => (address === undefined ? [] : [{ address }]));
  });
}

/** A next hop of a default route. */
interface Default {
  readonly linkIndex: number;
  readonly source: string | undefined;
}

/** The default routes of the main table, the preferred one first. Those that lead nowhere (unreachable, blackhole) are none. */
function listDefaults(route: NetlinkConnection, family: IpFamily): Default[] {
  const any = family === 4 ? '0.0.0.0/0' : '::/0';
  return listRoutes(route, family)
    .filter(({ dst, table, type }) => dst === any && table === RT_TABLE_MAIN && type === undefined)
    .map(({ priority = DEFAULT_METRIC[family], ...each }) => ({ ...each, priority }))
    .sort((a, b) => a.priority - b.priority)
    .flatMap(({ linkIndex, nextHopLinks = [], source }) =>
      [...(linkIndex === undefined ? [] : [linkIndex]), ...nextHopLinks].map((index) => ({ linkIndex: index, source })),
    );
}

function addressByRoutes(route: NetlinkConnection, family: IpFamily, defaults: readonly Default[]): string | undefined {
  if (defaults.length === 0) return undefined;
  const onLoopback = listUsable(route, LO_INDEX, family);
  for (const { linkIndex, source } of defaults) {
    const onLink = listUsable(route, linkIndex, family);
    const ofRoute = [...onLink, ...onLoopback].find((cidr) => splitCidr(cidr).address === source);
    const found = ofRoute ?? onLink[0];
    if (found !== undefined) return found;
  }
  return onLoopback[0];
}

function addressOfLinks(route: NetlinkConnection, family: IpFamily, defaults: readonly Default[]): string | undefined {
  for (const { linkIndex } of defaults) {
    const [found] = listUsable(route, linkIndex, family);
    if (found !== undefined) return found;
  }
  return undefined;
}

function addressesOfFirstLink(route: NetlinkConnection): (string | undefined)[] {
  const links = listLinks(route)
    .filter(({ isUp, flags }) => isUp && (flags & IFF_LOOPBACK) === 0)
    .sort((a, b) => a.index - b.index);
  for (const { index } of links) {
    const found = IP_FAMILIES.map((family) => listUsable(route, index, family)[0]);
    if (found.some((address) => address !== undefined)) return found;
  }
  return [];
}

/** The addresses of a link that others can use, those first that are meant to be used. */
function listUsable(route: NetlinkConnection, linkIndex: number, family: IpFamily): string[] {
  try {
    return listAddresses(route, linkIndex, family)
      .filter(({ scope, cidr }) => scope === RT_SCOPE_UNIVERSE && isUnicast(cidr))
      .map(({ cidr, flags }) => ({ cidr, isOther: Number((flags & NOT_PREFERRED) !== 0) }))
      .sort((a, b) => a.isOther - b.isOther)
      .map(({ cidr }) => cidr);
  } catch (error) {
    // The link has gone since it was listed, as others' containers do all the time on a host, and its addresses with it.
    if (isErrno(error, 'ENODEV')) return [];
    throw error;
  }
}

/** Neither unspecified, loopback, link-local nor multicast: Go's IsGlobalUnicast(), by which the kubelet chooses. */
function isUnicast(cidr: string): boolean {
  const [first = 0, second = 0, ...rest] = encodeAddress(splitCidr(cidr).address);
  if (rest.length === 2) return first !== 0 && first !== 127 && first < 224 && !(first === 169 && second === 254);
  const isLinkLocal = first === 0xfe && (second & 0xc0) === 0x80;
  const isUnspecifiedOrLoopback = first + second === 0 && rest.slice(0, -1).every((byte) => byte === 0);
  return first !== 0xff && !isLinkLocal && !isUnspecifiedOrLoopback;
}
