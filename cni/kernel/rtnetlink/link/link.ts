// Links (network interfaces) of rtnetlink: struct ifinfomsg followed by IFLA_* attributes. Host order throughout.
//
//   0        1        2               4               8               12              16
//   +--------+--------+---------------+---------------+---------------+---------------+
//   | family |  pad   | ifi_type u16  | ifi_index s32 | ifi_flags u32 | ifi_change u32|
//   +--------+--------+---------------+---------------+---------------+---------------+
//
// Source: include/uapi/linux/rtnetlink.h, if_link.h, if.h (v6.12).

import { AF_UNSPEC, decodeMac, encodeMac } from '../../netlink/address-bytes.ts';
import { isErrno } from '../../errno.ts';
import { type NetlinkConnection, type Operation, understand } from '../../netlink/connection.ts';
import { type Message, NLM_F_CREATE, NLM_F_EXCL } from '../../netlink/message.ts';
import { type Attributes, ByteReader, Attributes as List, MalformedMessageError } from '../../netlink/reader.ts';
import { encodeText } from '../../netlink/text.ts';
import { MessageWriter } from '../../netlink/writer.ts';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;

export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_LINK = 5;
export const IFLA_QDISC = 6;
export const IFLA_MASTER = 10;
export const IFLA_TXQLEN = 13;
export const IFLA_OPERSTATE = 16;
export const IFLA_LINKINFO = 18;
export const IFLA_NET_NS_FD = 28;
export const IFLA_IFALIAS = 20;
export const IFLA_GROUP = 27;
export const IFLA_EXT_MASK = 29;
export const IFLA_PROMISCUITY = 30;
export const IFLA_LINK_NETNSID = 37;

export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;
export const IFLA_INFO_SLAVE_KIND = 4;
export const IFLA_INFO_SLAVE_DATA = 5;

export const IFF_UP = 0x1;
export const IFF_LOOPBACK = 0x8;
export const IFF_PROMISC = 0x100;
export const IFF_ALLMULTI = 0x200;

/** Leave out the statistics of IPv6 and of virtual functions. The link's own counters are always sent. */
const RTEXT_FILTER_SKIP_STATS = 8;

/** IFNAMSIZ - 1: bytes of the longest name a link can have. */
export const MAX_LINK_NAME_BYTES = 15;

/** RFC 2863 operational states, as IFLA_OPERSTATE numbers them. */
const OPERSTATES = ['unknown', 'notpresent', 'down', 'lowerlayerdown', 'testing', 'dormant', 'up'] as const;
export type Operstate = (typeof OPERSTATES)[number];

export interface Link {
  readonly index: number;
  readonly name: string;
  /** IFF_* of the device. */
  readonly flags: number;
  readonly isUp: boolean;
  /** Lower case with colons; empty for a link without an address. */
  readonly mac: string;
  readonly mtu: number;
  readonly operstate: Operstate;
  /** Driver name of a virtual link ("veth", "bridge", …); undefined for lo and hardware. */
  readonly kind: string | undefined;
  /** Index of the bridge (or other master) it is a port of. */
  readonly masterIndex: number | undefined;
  /** Index of the veth peer (or lower link). If `peerNetnsId` is there, it is an index in that other namespace. */
  readonly peerIndex: number | undefined;
  readonly peerNetnsId: number | undefined;
  readonly alias: string | undefined;
  /** How many ask for promiscuous mode: packet captures count too, so this is no mirror of a configuration. */
  readonly promiscuity: number;
  /** Packets. */
  readonly txQueueLength: number;
  /** Kind of the root qdisc: "noqueue" for a virtual link that nobody has given one. */
  readonly qdisc: string | undefined;
  /** Attributes of the driver (IFLA_INFO_DATA), and of the bridge port it is (IFLA_INFO_SLAVE_DATA). */
  readonly driverAttributes: Attributes | undefined;
  readonly portAttributes: Attributes | undefined;
}

/** Changes to make to a link, or properties of a new one. What is absent is left as it is. */
export interface LinkChange {
  readonly isUp?: boolean;
  readonly isPromiscuous?: boolean;
  /** Whether it takes in all multicast packets. */
  readonly isAllMulticast?: boolean;
  readonly name?: string;
  readonly mac?: string;
  /** Bytes. */
  readonly mtu?: number;
  /** Packets. */
  readonly txQueueLength?: number;
  /** 0 takes the link off its bridge. */
  readonly masterIndex?: number;
  /** At most 255 bytes; '' takes it away. The kernel ignores it on creation without a word: set it afterwards. */
  readonly alias?: string;
  /** File descriptor of the namespace the link is made in. */
  readonly netnsFd?: number;
}

/** Write struct ifinfomsg and the attributes that every kind of link shares. */
export function encodeLink(writer: MessageWriter, index: number, change: LinkChange): MessageWriter {
  let flags = 0;
  let mask = 0;
  for (const [flag, isSet] of [
    [IFF_UP, change.isUp],
    [IFF_PROMISC, change.isPromiscuous],
    [IFF_ALLMULTI, change.isAllMulticast],
  ] as const) {
    if (isSet === undefined) continue;
    mask |= flag;
    if (isSet) flags |= flag;
  }
  writer.u8(AF_UNSPEC).u8(0).u16(0).s32(index).u32(flags).u32(mask);
  if (change.name !== undefined) writer.attributeString(IFLA_IFNAME, change.name);
  if (change.mac !== undefined) writer.attributeBytes(IFLA_ADDRESS, encodeMac(change.mac));
  if (change.mtu !== undefined) writer.attributeU32(IFLA_MTU, change.mtu);
  if (change.txQueueLength !== undefined) writer.attributeU32(IFLA_TXQLEN, change.txQueueLength);
  if (change.masterIndex !== undefined) writer.attributeU32(IFLA_MASTER, change.masterIndex);
  if (change.netnsFd !== undefined) writer.attributeU32(IFLA_NET_NS_FD, change.netnsFd);
  // Without a terminating zero, which the kernel would count: the policy allows 255 bytes, and none takes the alias away.
  if (change.alias !== undefined) writer.attributeBytes(IFLA_IFALIAS, encodeText(change.alias));
  return writer;
}

/** Read an RTM_NEWLINK message. */
export function decodeLink(message: Message): Link {
  const reader = new ByteReader(message.payload).skip(4);
  const [index, flags] = [reader.s32(), reader.u32()];
  const attributes = new List(reader.skip(4).rest());
  const info = attributes.nested(IFLA_LINKINFO);
  const name = attributes.string(IFLA_IFNAME);
  if (name === undefined) throw new MalformedMessageError(`Link ${index} has no name`);
  return {
    index,
    name,
    flags,
    isUp: (flags & IFF_UP) !== 0,
    mac: decodeMac(attributes.bytes(IFLA_ADDRESS) ?? new Uint8Array()),
    mtu: attributes.u32(IFLA_MTU) ?? 0,
    operstate: OPERSTATES[attributes.u8(IFLA_OPERSTATE) ?? 0] ?? 'unknown',
    kind: info?.string(IFLA_INFO_KIND),
    masterIndex: attributes.u32(IFLA_MASTER),
    peerIndex: attributes.u32(IFLA_LINK),
    peerNetnsId: attributes.s32(IFLA_LINK_NETNSID),
    alias: attributes.string(IFLA_IFALIAS),
    promiscuity: attributes.u32(IFLA_PROMISCUITY) ?? 0,
    txQueueLength: attributes.u32(IFLA_TXQLEN) ?? 0,
    qdisc: attributes.string(IFLA_QDISC),
    driverAttributes: info?.nested(IFLA_INFO_DATA),
    // The ports of a bond or a team have other attributes under the same numbers.
    portAttributes: info?.string(IFLA_INFO_SLAVE_KIND) === 'bridge' ? info.nested(IFLA_INFO_SLAVE_DATA) : undefined,
  };
}

/**
 * Ask for one link by its name or index; undefined when there is none.
 *
 * Throws NetlinkError for anything else the kernel has against it.
 */
export function findLink(route: NetlinkConnection, which: string | number): Link | undefined {
  const query = linkQuery(which);
  try {
    return readLink(query, route.execute(query));
  } catch (error) {
    if (isErrno(error, 'ENODEV')) return undefined;
    throw error;
  }
}

/** Like findLink(), for several at once. */
export function findLinks(route: NetlinkConnection, which: readonly (string | number)[]): (Link | undefined)[] {
  const queries = which.map(linkQuery);
  const answers = route.attemptAll(queries);
  return queries.map((query, i) => {
    const { messages = [], failure } = answers[i] ?? {};
    if (failure && !isErrno(failure, 'ENODEV')) throw failure;
    return readLink(query, messages);
  });
}

/** The request for one link, to be sent together with others. */
export function linkQuery(which: string | number): Operation {
  const writer = new MessageWriter();
  if (typeof which === 'number') encodeLink(writer, which, {});
  else encodeLink(writer, 0, { name: which });
  writer.attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  const operation = `get link "${which}"`;
  return { operation, type: RTM_GETLINK, flags: 0, payload: writer.finish(), isQuery: true };
}

/** The link in the answer to linkQuery(). Throws NetlinkError EBADMSG. */
export function readLink(query: Operation, [message]: readonly Message[]): Link | undefined {
  return message && understand(query, () => decodeLink(message));
}

/** All links of the namespace. */
export function listLinks(route: NetlinkConnection): Link[] {
  const operation = 'list links';
  const payload = encodeLink(new MessageWriter(), 0, {}).attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS).finish();
  const messages = route.dump({ operation, type: RTM_GETLINK, flags: 0, payload });
  return messages.map((message) => understand({ operation }, () => decodeLink(message)));
}

/** Make a link of a kind. `encodeDriver` writes the driver's own attributes. Throws NetlinkError EEXIST if the name is taken. */
export function addLink(
  route: NetlinkConnection,
  kind: string,
  properties: LinkChange & { readonly name: string },
  encodeDriver?: (writer: MessageWriter) => void,
): void {
  const writer = encodeLink(new MessageWriter(), 0, properties).nested(IFLA_LINKINFO, (info) => {
    info.attributeString(IFLA_INFO_KIND, kind);
    if (encodeDriver) info.nested(IFLA_INFO_DATA, encodeDriver);
  });
  route.execute({
    operation: `add ${kind} "${properties.name}"`,
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: writer.finish(),
  });
}

/** Change a link. Throws NetlinkError ENODEV when it is gone. */
export function setLink(route: NetlinkConnection, link: { index: number; name: string }, change: LinkChange): void {
  route.execute(linkChange(link, change));
}

/** The request of setLink(), to be sent together with others. */
export function linkChange(link: { index: number; name: string }, change: LinkChange): Operation {
  return {
    operation: `change link "${link.name}"`,
    type: RTM_SETLINK,
    flags: 0,
    payload: encodeLink(new MessageWriter(), link.index, change).finish(),
  };
}

/** Delete a link, by name or index. One end of a veth pair takes the other with it. False when there is none. */
export function deleteLink(route: NetlinkConnection, which: string | number): boolean {
  const writer = new MessageWriter();
  if (typeof which === 'number') encodeLink(writer, which, {});
  else encodeLink(writer, 0, { name: which });
  try {
    route.execute({ operation: `delete link "${which}"`, type: RTM_DELLINK, flags: 0, payload: writer.finish() });
    return true;
  } catch (error) {
    if (isErrno(error, 'ENODEV')) return false;
    throw error;
  }
}
