// The flags and the state that a bridge has for one of its ports. Its VLANs are port-vlan.ts's.
//
// They are IFLA_BRPORT_* in IFLA_LINKINFO/IFLA_INFO_SLAVE_DATA of RTM_NEWLINK on the port; the same numbers come back in
// RTM_GETLINK.
//
// Source: include/uapi/linux/if_link.h, if_bridge.h (v6.12). Host order.

import { isErrno } from '../../errno.ts';
import { AF_BRIDGE } from '../../netlink/address-bytes.ts';
import type { NetlinkConnection, Operation } from '../../netlink/connection.ts';
import { MessageWriter } from '../../netlink/writer.ts';
import {
  encodeLink,
  IFLA_INFO_SLAVE_DATA,
  IFLA_INFO_SLAVE_KIND,
  IFLA_LINKINFO,
  type Link,
  RTM_NEWLINK,
  RTM_SETLINK,
} from './link.ts';

const IFLA_PROTINFO = 12;
const IFLA_BRPORT_STATE = 1;
const IFLA_BRPORT_MODE = 4; // BRPORT: hairpin
const IFLA_BRPORT_ISOLATED = 33;
/** Port states (BR_STATE_* of if_bridge.h). */
export const BR_STATE_DISABLED = 0;
export const BR_STATE_FORWARDING = 3;

export interface BridgePortFlags {
  /** Send a packet out of the port it came in by: a container can then reach itself through a service address. */
  readonly hairpin: boolean;
  /** No traffic with other isolated ports. Linux 4.18. */
  readonly isolated: boolean;
}

/** Set a port's flags, and its alias in the same message. Throws NetlinkError EOPNOTSUPP when the link is no port. */
export function setBridgePort(
  route: NetlinkConnection,
  port: { index: number; name: string },
  flags: BridgePortFlags,
  alias?: string,
): void {
  route.execute(portChange(port, flags, alias));
}

/** The request of setBridgePort(), to be sent together with others; a port without an index is found by its name. */
export function portChange(
  port: { readonly index?: number; readonly name: string },
  flags: BridgePortFlags,
  alias?: string,
): Operation {
  const change = { ...(port.index === undefined && { name: port.name }), ...(alias !== undefined && { alias }) };
  const writer = encodeLink(new MessageWriter(), port.index ?? 0, change);
  writer.nested(IFLA_LINKINFO, (info) =>
    info
      .attributeString(IFLA_INFO_SLAVE_KIND, 'bridge')
      .nested(IFLA_INFO_SLAVE_DATA, (data) =>
        data
          .attributeU8(IFLA_BRPORT_MODE, Number(flags.hairpin))
          .attributeU8(IFLA_BRPORT_ISOLATED, Number(flags.isolated)),
      ),
  );
  return { operation: `set bridge port "${port.name}"`, type: RTM_NEWLINK, flags: 0, payload: writer.finish() };
}

/** A port's flags, as findLink() and listLinks() see them; undefined when the link is no bridge port. */
export function bridgePortFlags(link: Link): BridgePortFlags | undefined {
  const attributes = link.portAttributes;
  if (!attributes?.has(IFLA_BRPORT_MODE)) return undefined;
  return {
    hairpin: attributes.u8(IFLA_BRPORT_MODE) === 1,
    isolated: attributes.u8(IFLA_BRPORT_ISOLATED) === 1,
  };
}

/** A port's BR_STATE_*: disabled until its link has a carrier and the bridge has noticed; undefined when the link is no port. */
export function bridgePortState(link: Link): number | undefined {
  return link.portAttributes?.u8(IFLA_BRPORT_STATE);
}

/**
 * Let no frame pass a port any more. At once, while deleting its link takes the kernel some 20 ms.
 *
 * False when the bridge has STP, whose state it is then, or the link is no port (any more), or it is down anyway.
 */
export function disableBridgePort(route: NetlinkConnection, port: { index: number; name: string }): boolean {
  // The kernel takes a state only this way: in IFLA_INFO_SLAVE_DATA, where flags are, it passes it over without a word.
  const writer = new MessageWriter().u8(AF_BRIDGE).u8(0).u16(0).s32(port.index).u32(0).u32(0);
  writer.nested(IFLA_PROTINFO, (info) => info.attributeU8(IFLA_BRPORT_STATE, BR_STATE_DISABLED));
  try {
    const operation = `disable bridge port "${port.name}"`;
    route.execute({ operation, type: RTM_SETLINK, flags: 0, payload: writer.finish() });
    return true;
  } catch (error) {
    if (isErrno(error, 'EBUSY', 'ENODEV', 'ENETDOWN', 'EOPNOTSUPP')) return false;
    throw error;
  }
}
