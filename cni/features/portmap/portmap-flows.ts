// Connections without a beginning that the kernel could tell: of UDP, and of SCTP while it is restarted. Who sends to a
// host port again and again, and gets no answer or one from a container that is gone, keeps alive what the kernel
// remembers of it, and with it the old way. So that is forgotten when a port gets another meaning.

import { isErrno } from '../../kernel/errno.ts';
import { splitCidr } from '../../address/ip.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import {
  deleteFlow,
  deleteFlows,
  flushFlows,
  listFlows,
  mayTrack,
  openConntrack,
} from '../../kernel/conntrack/connection.ts';
import type { Flow, FlowFilter } from '../../kernel/conntrack/flow.ts';
import { IPPROTO_TCP } from '../../kernel/nftables/key.ts';
import { listAddresses } from '../../kernel/rtnetlink/address.ts';
import { listLinks } from '../../kernel/rtnetlink/link/link.ts';
import { addressFamily } from '../../protocol/address.ts';
import { isObject } from '../../protocol/fields.ts';
import type { ClaimedPorts } from './portmap-claim.ts';
import { PortIndex } from './portmap-index.ts';

/** Ports of the host whose connections go to a container. As it stands in the record. */
export interface PortFlows extends ClaimedPorts {
  readonly containerIp: string;
}

/** Whether connections to a claim's ports need to be forgotten: TCP begins with a packet that the kernel knows as such. */
export function needsFlush({ protocol }: ClaimedPorts): boolean {
  return protocol !== IPPROTO_TCP;
}

/** Forget the connections to the ports of the host that do not go to the container: they are from before. */
export function flushForAdd(route: NetlinkConnection, ports: readonly PortFlows[]): void {
  forgetFlows(
    ports,
    ({ containerIp }) => ({ replySourceOtherThan: containerIp }),
    ({ original }) => isHostAddress(route, original.destination),
  );
}

/** Forget the connections to the ports that go to the container. */
export function flushForDelete(ports: readonly PortFlows[]): void {
  forgetFlows(
    ports,
    ({ containerIp }) => ({ replySource: containerIp }),
    () => true,
  );
}

/** For more ports than these, of one family and protocol, all flows of these are listed once. */
const FEW_PORTS = 16;

function forgetFlows(
  ports: readonly PortFlows[],
  answeredBy: (port: PortFlows) => Partial<FlowFilter>,
  isOurs: (flow: Flow) => boolean,
): void {
  const groups = [
    ...Map.groupBy(ports, ({ family, protocol, containerIp }) => `${family} ${protocol} ${containerIp}`).values(),
  ];
  const [many, few] = [groups.filter(isMany), groups.filter((group) => !isMany(group)).flat()];
  const doubtful = few.filter(({ firstPort, lastPort }) => firstPort !== lastPort || mayTrack(firstPort));
  if (many.length === 0 && doubtful.length === 0) return;
  const conntrack = openConntrack();
  try {
    for (const port of doubtful) forget(conntrack, port, answeredBy(port), isOurs);
    for (const group of many) forgetMany(conntrack, group, answeredBy, isOurs);
  } finally {
    conntrack.close();
  }
}

function isMany(group: readonly PortFlows[]): boolean {
  return group.length > FEW_PORTS;
}

/** A listing walks through the kernel's whole table: one for each of thousands of ports would take minutes. */
function forgetMany(
  conntrack: NetlinkConnection,
  ports: readonly PortFlows[],
  answeredBy: (port: PortFlows) => Partial<FlowFilter>,
  isOurs: (flow: Flow) => boolean,
): void {
  const [first] = ports;
  if (!first) return;
  const { family, protocol } = first;
  const index = new PortIndex(ports);
  const known = new Map<string, boolean>();
  for (const flow of listFlows(conntrack, { family, protocol, ...answeredBy(first) })) {
    const { destination: hostIp, destinationPort: port = 0 } = flow.original;
    if (index.overlapping({ family, protocol, hostIp, firstPort: port, lastPort: port }).length === 0) continue;
    const isMeant = known.get(hostIp) ?? isOurs(flow);
    known.set(hostIp, isMeant);
    if (isMeant) deleteFlow(conntrack, flow);
  }
}

function forget(
  conntrack: NetlinkConnection,
  { family, protocol, hostIp, firstPort, lastPort }: PortFlows,
  answeredBy: Partial<FlowFilter>,
  isOurs: (flow: Flow) => boolean,
): void {
  const filter: FlowFilter = {
    family,
    protocol,
    ...answeredBy,
    ...(hostIp !== undefined && { originalDestination: hostIp }),
    ...(firstPort === lastPort && { originalDestinationPort: firstPort }),
  };
  // Nothing else is meant than the filter says when it is about a single port that leads to the container.
  if (answeredBy.replySource !== undefined && firstPort === lastPort && flushFlows(conntrack, filter)) return;
  const targets = new Map<string, FlowFilter>();
  for (const flow of listFlows(conntrack, filter)) {
    const { destination, destinationPort: port = 0 } = flow.original;
    const name = `${destination} ${port}`;
    if (port < firstPort || port > lastPort || targets.has(name) || !isOurs(flow)) continue;
    targets.set(name, { ...filter, originalDestination: destination, originalDestinationPort: port });
  }
  for (const target of targets.values()) deleteFlows(conntrack, target);
}

/** Whether an address is one of this host: to others the same port means something else. */
function isHostAddress(route: NetlinkConnection, address: string): boolean {
  if (address.startsWith('127.')) return true;
  return listLinks(route).some(({ index }) => hasAddress(route, index, address));
}

function hasAddress(route: NetlinkConnection, linkIndex: number, address: string): boolean {
  try {
    return listAddresses(route, linkIndex).some(({ cidr }) => splitCidr(cidr).address === address);
  } catch (error) {
    // The link has gone since it was listed, and its addresses with it.
    if (isErrno(error, 'ENODEV')) return false;
    throw error;
  }
}

/** The ports of a record. What cannot be one is left out: a record is a file that anything may have happened to. */
export function recordedPorts(recorded: unknown): PortFlows[] {
  if (!Array.isArray(recorded)) return [];
  return recorded.flatMap((value: unknown) => {
    if (!isObject(value)) return [];
    const { hostIp, protocol, firstPort, lastPort, containerIp } = value;
    // Not the record's own: version 0.1.0 wrote the kernel's number.
    const family = typeof containerIp === 'string' ? addressFamily(containerIp) : undefined;
    const isPort =
      family !== undefined &&
      (hostIp === undefined || (typeof hostIp === 'string' && addressFamily(hostIp) === family)) &&
      [protocol, firstPort, lastPort].every((number) => Number.isInteger(number));
    return isPort ? [{ ...(value as unknown as PortFlows), family }] : [];
  });
}
