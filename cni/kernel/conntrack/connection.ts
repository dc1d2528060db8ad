// The way to the connections that the kernel tracks (ctnetlink): look at some of them, and make the kernel forget them.
//
// A tracked connection keeps the translation of its first packet for as long as packets come. A UDP client that goes on
// sending to a mapped port is why some have to be forgotten: its flow leads past a new mapping, or on to an old one.

import { isErrno } from '../errno.ts';
import { NetlinkConnection, understand } from '../netlink/connection.ts';
import type { Message } from '../netlink/message.ts';
import { NETLINK_NETFILTER, openTransport } from '../netlink/transport.ts';
import { inNetns, type Netns } from '../netns.ts';
import { decodeFlow, encodeFlowDump, encodeFlowIdentity, type Flow, type FlowFilter, isMeant } from './flow.ts';

// include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h (v6.12)
const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;

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

/** Make the kernel forget the flows that a filter means, and no others. Says how many they were. Throws like listFlows(). */
export function deleteFlows(conntrack: NetlinkConnection, filter: FlowFilter): number {
  return listFlows(conntrack, filter).filter((flow) => deleteFlow(conntrack, flow)).length;
}

/** False when the flow has ended already: one that has begun since with the same addresses has another ID, and stays. */
function deleteFlow(conntrack: NetlinkConnection, flow: Flow): boolean {
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
