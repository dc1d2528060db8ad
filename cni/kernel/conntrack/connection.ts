// The way to the connections that the kernel tracks (ctnetlink): look at some of them, and make the kernel forget them.
//
// A tracked connection keeps the translation of its first packet for as long as packets come. A UDP client that goes on
// sending to a mapped port is why some have to be forgotten: its flow leads past a new mapping, or on to an old one.

import { closeSync, openSync, readSync } from 'node:fs';
import { isErrno } from '../errno.ts';
import { NetlinkConnection, understand } from '../netlink/connection.ts';
import type { Message } from '../netlink/message.ts';
import { NETLINK_NETFILTER, openTransport } from '../netlink/transport.ts';
import { inNetns, type Netns } from '../netns.ts';
import { findSysctl } from '../sysctl.ts';
import {
  decodeFlow,
  encodeFlowDump,
  encodeFlowFlush,
  encodeFlowIdentity,
  type Flow,
  type FlowFilter,
  isMeant,
} from './flow.ts';

// include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h (v6.12)
const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;

/** Lines of so many connections fit the page that the kernel writes /proc files to, and are read at one go. */
const FEW_FLOWS = 16;
const PAGE_BYTES = 4096;
/** More than the line of any connection: where there is room for it, there is no further one. */
const LINE_BYTES = 1024;

/**
 * Whether the kernel may track a connection to a port, of whatever protocol, in the calling thread's namespace; true as
 * well where it does not say.
 *
 * Asked before a dump, which locks each of the table's buckets, empty or not: 4.7 ms for the 262,144 of a node with 4 GiB.
 * The text of the table takes a tenth of that, but only what one read gives is sure to be whole.
 */
export function mayTrack(port: number): boolean {
  const count = Number(findSysctl(['netfilter', 'nf_conntrack_count']) ?? Number.NaN);
  if (count === 0) return false;
  if (!(count <= FEW_FLOWS)) return true;
  return readFewFlows()?.includes(` dport=${port} `) ?? true;
}

/** The table as text; undefined where the kernel has no such file (CONFIG_NF_CONNTRACK_PROCFS), or it holds more. */
function readFewFlows(): string | undefined {
  let fd: number;
  try {
    fd = openSync('/proc/thread-self/net/nf_conntrack', 'r');
  } catch {
    return undefined; // the dump does without it, and says what else is wrong
  }
  try {
    const page = Buffer.allocUnsafe(PAGE_BYTES);
    const length = readSync(fd, page);
    return length <= PAGE_BYTES - LINE_BYTES ? page.toString('latin1', 0, length) : undefined;
  } finally {
    closeSync(fd);
  }
}

/** Open connection tracking in the given namespace, or in the calling thread's own. Close it after use. */
export function openConntrack(netns?: Netns): NetlinkConnection {
  const open = () => new NetlinkConnection(openTransport(NETLINK_NETFILTER));
  return netns ? inNetns(netns, open) : open();
}

/**
 * The flows that a filter means; none in a kernel that does not track connections.
 *
 * From Linux 5.8 on the kernel picks them, so that a node with a million flows hands over the few that are meant.
 * Throws NetlinkError, and AddressError for an address in the filter that is none.
 */
export function listFlows(conntrack: NetlinkConnection, filter: FlowFilter): Flow[] {
  const operation = 'list connections';
  return dumpFlows(conntrack, filter, operation)
    .map((message) => understand({ operation }, () => decodeFlow(message)))
    .filter((flow): flow is Flow => flow !== undefined && isMeant(flow, filter));
}

/**
 * Make the kernel forget the flows that a filter means, and no others, by itself. False when it cannot: before Linux 6.8,
 * and for a filter that it knows only in part.
 *
 * Looks at the buckets of the table that are not empty, unlike a dump: see mayTrack(). Throws NetlinkError.
 */
export function flushFlows(conntrack: NetlinkConnection, filter: FlowFilter): boolean {
  const payload = encodeFlowFlush(filter);
  if (!payload) return false;
  try {
    conntrack.execute({
      operation: 'delete connections',
      type: conntrackType(IPCTNL_MSG_CT_DELETE),
      flags: 0,
      payload,
    });
    return true;
  } catch (error) {
    // Older kernels take the tuple for that of a single flow, and miss half of it.
    if (isErrno(error, 'EINVAL', 'EOPNOTSUPP')) return false;
    throw error;
  }
}

/** Make the kernel forget the flows that a filter means, and no others. Says how many they were. Throws like listFlows(). */
export function deleteFlows(conntrack: NetlinkConnection, filter: FlowFilter): number {
  return listFlows(conntrack, filter).filter((flow) => deleteFlow(conntrack, flow)).length;
}

/**
 * Make the kernel forget a flow. False when it has ended already: one that has begun since with the same addresses has
 * another ID, and stays.
 */
export function deleteFlow(conntrack: NetlinkConnection, flow: Flow): boolean {
  const { source, destination, destinationPort } = flow.original;
  const port = destinationPort === undefined ? '' : ` port ${destinationPort}`;
  try {
    conntrack.execute({
      operation: `delete the connection from ${source} to ${destination}${port}`,
      type: conntrackType(IPCTNL_MSG_CT_DELETE),
      flags: 0,
      payload: encodeFlowIdentity(flow),
    });
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

function dumpFlows(conntrack: NetlinkConnection, filter: FlowFilter, operation: string): Message[] {
  const dump = (isFiltering: boolean) =>
    conntrack.dump({
      operation,
      type: conntrackType(IPCTNL_MSG_CT_GET),
      flags: 0,
      payload: encodeFlowDump(filter, isFiltering),
    });
  try {
    return dump(true);
  } catch (error) {
    // A kernel that knows CTA_FILTER but not all that we ask of it.
    if (!isErrno(error, 'EINVAL', 'EOPNOTSUPP')) throw error;
  }
  try {
    return dump(false);
  } catch (error) {
    // nfnetlink's answer to a subsystem it does not have. There is nothing else in this request to be invalid.
    if (isErrno(error, 'EINVAL')) return [];
    throw error;
  }
}

function conntrackType(message: number): number {
  return (NFNL_SUBSYS_CTNETLINK << 8) | message;
}
