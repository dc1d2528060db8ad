// Bridges: a link that switches between its ports (net/bridge/br_netlink.c, include/uapi/linux/if_link.h, v6.12).

import type { NetlinkConnection } from '../netlink/connection.ts';
import { addLink, type Link, type LinkChange } from './link.ts';

const IFLA_BR_VLAN_FILTERING = 7;

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
  const value = bridge.driverAttributes?.u8(IFLA_BR_VLAN_FILTERING);
  return value === undefined ? undefined : value !== 0;
}
