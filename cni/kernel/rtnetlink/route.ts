// Routes: struct rtmsg followed by RTA_* attributes.
//
//   0        1        2        3        4        5        6        7        8               12
//   +--------+--------+--------+--------+--------+--------+--------+--------+---------------+
//   | family |dst_len |src_len |  tos   | table  |protocol| scope  |  type  | rtm_flags u32 |
//   +--------+--------+--------+--------+--------+--------+--------+--------+---------------+
//
// Source: include/uapi/linux/rtnetlink.h (v6.12). Numbers in host order, addresses in network order.

import { AF_INET, decodeAddress, encodeAddress, afOf } from '../netlink/address-bytes.ts';
import { familyOf, type IpFamily, splitCidr } from '../../address/ip.ts';
import { isErrno } from '../errno.ts';
import { type NetlinkConnection, type Operation, understand } from '../netlink/connection.ts';
import { type Message, NLM_F_APPEND, NLM_F_CREATE } from '../netlink/message.ts';
import { Attributes, ByteReader, MalformedMessageError } from '../netlink/reader.ts';
import { MessageWriter } from '../netlink/writer.ts';
import { RT_SCOPE_LINK, RT_SCOPE_UNIVERSE } from './address.ts';

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;

const RTAX_MTU = 2;
const RTAX_ADVMSS = 8;

export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
/** What ip(8) and the reference plugins write: "installed during boot", i.e. by hand and not by a routing daemon. */
const RTPROT_BOOT = 3;
/** sizeof(struct rtnexthop). */
const RTNEXTHOP_BYTES = 8;
const RTN_UNICAST = 1;
/** Leads to this machine: packets to it are taken in, and sockets may be bound to it. */
export const RTN_LOCAL = 2;
/** A route the kernel made for its own cache; not part of the table. */
const RTM_F_CLONED = 0x200;

export interface Route {
  /** Destination with prefix length; "0.0.0.0/0" and "::/0" are the default routes. */
  readonly dst: string;
  readonly gateway?: string;
  readonly linkIndex?: number;
  /** Metric; 0 or absent is the kernel's default (0 for IPv4, 1024 for IPv6). */
  readonly priority?: number;
  /** RT_TABLE_*; absent is the main table. */
  readonly table?: number;
  /** RT_SCOPE_*; absent means universe with a gateway and link without. */
  readonly scope?: number;
  /** Bytes. */
  readonly mtu?: number;
  /** Bytes. */
  readonly advmss?: number;
  /** RTN_*; absent is unicast. */
  readonly type?: number;
}

/** A route as the kernel tells of it. */
export interface FoundRoute extends Route {
  /** The address that packets get which are sent by it, where the route says so. */
  readonly source?: string;
  /** Of a route with several next hops, the link of each. */
  readonly nextHopLinks?: readonly number[];
}

/** Write a route. */
export function encodeRoute(route: Route): Uint8Array {
  const { address, prefixLength } = splitCidr(route.dst);
  const table = route.table ?? RT_TABLE_MAIN;
  const writer = new MessageWriter()
    .u8(afOf(familyOf(address)))
    .u8(prefixLength)
    .u8(0)
    .u8(0)
    .u8(table > 255 ? 0 : table)
    .u8(RTPROT_BOOT)
    .u8(route.scope ?? (route.gateway === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE))
    .u8(route.type ?? RTN_UNICAST)
    .u32(0);
  if (prefixLength > 0) writer.attributeBytes(RTA_DST, encodeAddress(address));
  if (route.gateway !== undefined) writer.attributeBytes(RTA_GATEWAY, encodeAddress(route.gateway));
  if (route.linkIndex !== undefined) writer.attributeU32(RTA_OIF, route.linkIndex);
  if (route.priority !== undefined) writer.attributeU32(RTA_PRIORITY, route.priority);
  if (table > 255) writer.attributeU32(RTA_TABLE, table);
  if (route.mtu !== undefined || route.advmss !== undefined) {
    writer.nested(RTA_METRICS, (metrics) => {
      if (route.mtu !== undefined) metrics.attributeU32(RTAX_MTU, route.mtu);
      if (route.advmss !== undefined) metrics.attributeU32(RTAX_ADVMSS, route.advmss);
    });
  }
  return writer.finish();
}

/** Read an RTM_NEWROUTE message. A multipath route has neither gateway nor link here, only the links of its next hops. */
export function decodeRoute(message: Message): FoundRoute & { readonly isCloned: boolean } {
  const reader = new ByteReader(message.payload);
  const [af, prefixLength] = [reader.u8(), reader.u8()];
  const shortTable = reader.skip(2).u8();
  const [scope, type] = [reader.skip(1).u8(), reader.u8()];
  const flags = reader.u32();
  const attributes = new Attributes(reader.rest());
  const dst = attributes.bytes(RTA_DST);
  const gateway = attributes.bytes(RTA_GATEWAY);
  const linkIndex = attributes.u32(RTA_OIF);
  const priority = attributes.u32(RTA_PRIORITY);
  const source = attributes.bytes(RTA_PREFSRC);
  const nextHops = attributes.bytes(RTA_MULTIPATH);
  const metrics = attributes.nested(RTA_METRICS);
  const [mtu, advmss] = [metrics?.u32(RTAX_MTU), metrics?.u32(RTAX_ADVMSS)];
  return {
    dst: `${dst ? decodeAddress(dst) : af === AF_INET ? '0.0.0.0' : '::'}/${prefixLength}`,
    ...(gateway && { gateway: decodeAddress(gateway) }),
    ...(linkIndex !== undefined && { linkIndex }),
    ...(priority !== undefined && { priority }),
    table: attributes.u32(RTA_TABLE) ?? shortTable,
    scope,
    ...(mtu !== undefined && { mtu }),
    ...(advmss !== undefined && { advmss }),
    ...(type !== RTN_UNICAST && { type }),
    ...(source && { source: decodeAddress(source) }),
    ...(nextHops && { nextHopLinks: decodeNextHops(nextHops) }),
    isCloned: (flags & RTM_F_CLONED) !== 0,
  };
}

/** The links of a list of struct rtnexthop: rtnh_len u16, rtnh_flags u8, rtnh_hops u8, rtnh_ifindex s32, attributes. */
function decodeNextHops(bytes: Uint8Array): number[] {
  const reader = new ByteReader(bytes);
  const links: number[] = [];
  while (reader.remaining >= RTNEXTHOP_BYTES) {
    const attributesLength = reader.u16() - RTNEXTHOP_BYTES;
    links.push(reader.skip(2).s32());
    if (attributesLength < 0) throw new MalformedMessageError('A next hop is shorter than its header');
    reader.skip(Math.min(reader.remaining, (attributesLength + 3) & ~3));
  }
  return links;
}

/** Describe a route as an operator would write it. */
export function describeRoute(route: Route): string {
  return route.gateway === undefined ? `route ${route.dst}` : `route ${route.dst} via ${route.gateway}`;
}

/**
 * Add a route, after those that there are to the same destination.
 *
 * Throws NetlinkError EEXIST when the very same route is there, ENETUNREACH when the gateway cannot be reached through
 * the link.
 */
export function addRoute(connection: NetlinkConnection, route: Route): void {
  connection.execute(routeAddition(route));
}

/** The request of addRoute(), to be sent together with others. */
export function routeAddition(route: Route): Operation {
  return {
    operation: `add ${describeRoute(route)}`,
    type: RTM_NEWROUTE,
    flags: NLM_F_CREATE | NLM_F_APPEND,
    payload: encodeRoute(route),
  };
}

/** Delete a route like those addRoute() makes; one of a routing daemon or the kernel itself is none. False when there is none. */
export function deleteRoute(connection: NetlinkConnection, route: Route): boolean {
  try {
    connection.execute({
      operation: `delete ${describeRoute(route)}`,
      type: RTM_DELROUTE,
      flags: 0,
      payload: encodeRoute(route),
    });
    return true;
  } catch (error) {
    if (isErrno(error, 'ESRCH', 'ENODEV')) return false;
    throw error;
  }
}

/** The routes of all tables of one family, without the kernel's cached ones. */
export function listRoutes(connection: NetlinkConnection, family: IpFamily): FoundRoute[] {
  const operation = 'list routes';
  const payload = new MessageWriter().u8(afOf(family)).u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u32(0).finish();
  return connection
    .dump({ operation, type: RTM_GETROUTE, flags: 0, payload })
    .map((message) => understand({ operation }, () => decodeRoute(message)))
    .filter((route) => !route.isCloned)
    .map(({ isCloned, ...route }) => route);
}
