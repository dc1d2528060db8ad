// Bridges: a link that switches between its ports (net/bridge/br_netlink.c, include/uapi/linux/if_link.h, v6.12).

import type { NetlinkConnection } from '../../netlink/connection.ts';
import { MessageWriter } from '../../netlink/writer.ts';
import {
  addLink,
  encodeLink,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  type Link,
  type LinkChange,
  RTM_NEWLINK,
} from './link.ts';

const IFLA_BR_FORWARD_DELAY = 1;
const IFLA_BR_STP_STATE = 5;
const IFLA_BR_VLAN_FILTERING = 7;
const IFLA_BR_VLAN_PROTOCOL = 8;
const IFLA_BR_VLAN_DEFAULT_PVID = 39;

export interface BridgeProperties extends LinkChange {
  readonly name: string;
  /** Needs CONFIG_BRIDGE_VLAN_FILTERING; without it the kernel answers EOPNOTSUPP. */
  readonly vlanFiltering?: boolean;
}

/** Add a bridge. Throws NetlinkError EEXIST if the name is taken by any link. */
export function addBridge(route: NetlinkConnection, properties: BridgeProperties): void {
  const { vlanFiltering, ...shared } = properties;
  addLink(
    route,
    'bridge',
    shared,
    vlanFiltering === undefined
      ? undefined
      : (driver) => driver.attributeU8(IFLA_BR_VLAN_FILTERING, Number(vlanFiltering)),
  );
}

/** Whether a bridge filters by VLAN; undefined when the kernel was built without that. */
export function isVlanFiltering(bridge: Link): boolean | undefined {
  // br_fill_info() always sends the first attribute, the second only with CONFIG_BRIDGE_VLAN_FILTERING.
  if (bridge.kind !== 'bridge' || !bridge.driverAttributes?.has(IFLA_BR_VLAN_PROTOCOL)) return undefined;
  return bridge.driverAttributes.u8(IFLA_BR_VLAN_FILTERING) === 1;
}

/** The VLAN that a bridge puts each new port in, untagged; 0 when it puts them in none. */
export function defaultVlanOf(bridge: Link): number {
  return (bridge.kind === 'bridge' && bridge.driverAttributes?.u16(IFLA_BR_VLAN_DEFAULT_PVID)) || 0;
}

/** Have a bridge filter by VLAN. Throws NetlinkError EOPNOTSUPP without CONFIG_BRIDGE_VLAN_FILTERING. */
export function turnOnVlanFiltering(route: NetlinkConnection, bridge: { index: number; name: string }): void {
  const writer = encodeLink(new MessageWriter(), bridge.index, {}).nested(IFLA_LINKINFO, (info) =>
    info
      .attributeString(IFLA_INFO_KIND, 'bridge')
      .nested(IFLA_INFO_DATA, (driver) => driver.attributeU8(IFLA_BR_VLAN_FILTERING, 1)),
  );
  const operation = `turn on VLAN filtering of bridge "${bridge.name}"`;
  route.execute({ operation, type: RTM_NEWLINK, flags: 0, payload: writer.finish() });
}

/** Whether a bridge runs the spanning tree protocol, so that its ports may be blocked or learning. */
export function hasSpanningTree(bridge: Link): boolean {
  return bridge.kind === 'bridge' && (bridge.driverAttributes?.u32(IFLA_BR_STP_STATE) ?? 0) !== 0;
}

/** How long a port of a bridge with STP listens, and learns again as long, before it forwards. In seconds; sent in USER_HZ. */
export function forwardDelayOf(bridge: Link): number {
  return (bridge.driverAttributes?.u32(IFLA_BR_FORWARD_DELAY) ?? 0) / 100;
}
