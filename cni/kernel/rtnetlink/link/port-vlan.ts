// The VLANs of a bridge's port, where the kernel has bridge VLAN filtering.
//
// They are changed by IFLA_AF_SPEC/IFLA_BRIDGE_VLAN_INFO of RTM_SETLINK and RTM_DELLINK with family AF_BRIDGE, and listed
// by RTM_GETVLAN (Linux 5.6), which can be asked for one port:
//
//   0        1        2               4                               8
//   +--------+--------+---------------+-------------------------------+
//   | family |     reserved           |          ifindex u32          |  struct br_vlan_msg
//   +--------+--------+---------------+-------------------------------+
//   BRIDGE_VLANDB_ENTRY nested, one for each run of VLANs that are alike:
//     BRIDGE_VLANDB_ENTRY_INFO   struct bridge_vlan_info: flags u16, vid u16
//     BRIDGE_VLANDB_ENTRY_RANGE  the last VLAN of the run u16; absent for a single one
//
// Source: include/uapi/linux/if_bridge.h, rtnetlink.h, net/bridge/br_vlan.c (v6.12). Host order.

import { AF_BRIDGE } from '../../netlink/address-bytes.ts';
import { type NetlinkConnection, type Operation, understand } from '../../netlink/connection.ts';
import type { Message } from '../../netlink/message.ts';
import { Attributes, ByteReader, MalformedMessageError } from '../../netlink/reader.ts';
import { MessageWriter } from '../../netlink/writer.ts';
import { RTM_DELLINK, RTM_SETLINK } from './link.ts';

const RTM_GETVLAN = 114;

const IFLA_AF_SPEC = 26;
const IFLA_BRIDGE_VLAN_INFO = 2;
const BRIDGE_VLAN_INFO_PVID = 0x02;
const BRIDGE_VLAN_INFO_UNTAGGED = 0x04;

const BRIDGE_VLANDB_ENTRY = 1;
const BRIDGE_VLANDB_ENTRY_INFO = 1;
const BRIDGE_VLANDB_ENTRY_RANGE = 2;
/** sizeof(struct br_vlan_msg) */
const BR_VLAN_MSG_BYTES = 8;

/** A VLAN of a port. `isPvid`: untagged packets that come in belong to it. `isUntagged`: its packets go out without a tag. */
export interface PortVlan {
  readonly id: number;
  readonly isPvid: boolean;
  readonly isUntagged: boolean;
}

interface Port {
  readonly index: number;
  readonly name: string;
}

/**
 * The request that adds VLANs to a port, or changes those it is in already. The kernel refuses it with EOPNOTSUPP without
 * bridge VLAN filtering, and for a link that is no port.
 */
export function portVlanAddition(port: Port, vlans: readonly PortVlan[]): Operation {
  return portVlanChange(RTM_SETLINK, `add VLANs to bridge port "${port.name}"`, port.index, vlans);
}

/** The request that takes VLANs off a port; those it does not have are ignored by the kernel. */
export function portVlanDeletion(port: Port, ids: readonly number[]): Operation {
  const vlans = ids.map((id) => ({ id, isPvid: false, isUntagged: false }));
  return portVlanChange(RTM_DELLINK, `delete VLANs of bridge port "${port.name}"`, port.index, vlans);
}

/**
 * List the VLANs of a port in the order of their numbers. Throws NetlinkError EOPNOTSUPP without bridge VLAN filtering or before
 * Linux 5.6, EINVAL when the link is no port.
 */
export function listPortVlans(route: NetlinkConnection, port: Port): PortVlan[] {
  const operation = `list VLANs of bridge port "${port.name}"`;
  const payload = new MessageWriter().u8(AF_BRIDGE).u8(0).u16(0).u32(port.index).finish();
  const messages = route.dump({ operation, type: RTM_GETVLAN, flags: 0, payload });
  const vlans = messages.flatMap((message) => understand({ operation }, () => decodePortVlans(message)));
  return vlans.sort((a, b) => a.id - b.id);
}

/** Read an RTM_NEWVLAN message. */
function decodePortVlans({ payload }: Pick<Message, 'payload'>): PortVlan[] {
  const attributes = new Attributes(new ByteReader(payload).skip(BR_VLAN_MSG_BYTES).rest());
  const entries = attributes.all.filter(({ type }) => type === BRIDGE_VLANDB_ENTRY);
  return entries.flatMap(({ payload: entry }) => decodeRun(new Attributes(entry)));
}

function decodeRun(entry: Attributes): PortVlan[] {
  const info = entry.bytes(BRIDGE_VLANDB_ENTRY_INFO);
  if (info === undefined) throw new MalformedMessageError('VLAN of a bridge port without a number');
  const reader = new ByteReader(info);
  const [flags, first] = [reader.u16(), reader.u16()];
  const count = (entry.u16(BRIDGE_VLANDB_ENTRY_RANGE) ?? first) - first + 1;
  const [isPvid, isUntagged] = [(flags & BRIDGE_VLAN_INFO_PVID) !== 0, (flags & BRIDGE_VLAN_INFO_UNTAGGED) !== 0];
  return Array.from({ length: Math.max(count, 0) }, (_, i) => ({ id: first + i, isPvid, isUntagged }));
}

function portVlanChange(type: number, operation: string, index: number, vlans: readonly PortVlan[]): Operation {
  const writer = new MessageWriter().u8(AF_BRIDGE).u8(0).u16(0).s32(index).u32(0).u32(0);
  writer.nested(IFLA_AF_SPEC, (spec) => {
    for (const { id, isPvid, isUntagged } of vlans) {
      const flags = (isPvid ? BRIDGE_VLAN_INFO_PVID : 0) | (isUntagged ? BRIDGE_VLAN_INFO_UNTAGGED : 0);
      // struct bridge_vlan_info: flags u16, vid u16
      spec.attribute(IFLA_BRIDGE_VLAN_INFO, (info) => info.u16(flags).u16(id));
    }
  });
  return { operation, type, flags: 0, payload: writer.finish() };
}
