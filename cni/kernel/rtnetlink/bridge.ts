// Bridges: a link that switches between its ports (net/bridge/br_netlink.c, include/uapi/linux/if_link.h, v6.12).

import type { NetlinkConnection } from '../netlink/connection.ts';
import { addLink, type Link, type LinkChange } from './link.ts';

const IFLA_BR_FORWARD_DELAY = 1;
const IFLA_BR_STP_STATE = 5;
const IFLA_BR_VLAN_FILTERING = 7;
const IFLA_BR_VLAN_PROTOCOL = 8;

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

/** Whether a bridge runs the spanning tree protocol, so that its ports may be blocked or learning. */
export function hasSpanningTree(bridge: Link): boolean {
  return bridge.kind === 'bridge' && (bridge.driverAttributes?.u32(IFLA_BR_STP_STATE) ?? 0) !== 0;
}

/** How long a port of a bridge with STP listens, and learns again as long, before it forwards. In seconds; sent in USER_HZ. */
export function forwardDelayOf(bridge: Link): number {
  return (bridge.driverAttributes?.u32(IFLA_BR_FORWARD_DELAY) ?? 0) / 100;
}
