// The claim of a port mapping: ports of the host, where they lead, and how a message names them.

import type { IpFamily } from '../../address/ip.ts';
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from '../../kernel/nftables/key.ts';

/** Ports of the host, of one family. */
export interface ClaimedPorts {
  readonly family: IpFamily;
  /** The host's address they are for, in canonical form; undefined for all of the family. */
  readonly hostIp: string | undefined;
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly firstPort: number;
  readonly lastPort: number;
}

/** Ports that lead to a container: a single one, or several that keep their number. */
export interface PortClaim extends ClaimedPorts {
  /** The key they come from, for errors. */
  readonly path: string;
  /** Whether the same is claimed for the other family, so that a container without one of them lacks nothing. */
  readonly isForBoth: boolean;
  /** Undefined for several: the container's ports are those of the host. */
  readonly containerPort: number | undefined;
}

/** The claim of a single port. */
export interface SinglePortClaim extends PortClaim {
  readonly containerPort: number;
}

export const PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ['tcp', IPPROTO_TCP],
  ['udp', IPPROTO_UDP],
  ['sctp', IPPROTO_SCTP],
]);

/** Of more ports than these a message gives the number. */
const MAX_NAMED = 10;

/** Say that ports are not mapped, and why. */
export function describeUnmapped(ports: readonly ClaimedPorts[], why: string): string {
  const verb = new Set(ports.map(describePorts)).size === 1 ? 'is' : 'are';
  return `Host ${describePortList(ports)} ${verb} not mapped: ${why}`;
}

/** Name ports, each once: `port 80/tcp`, `ports 80/tcp, 53/udp and 3 more`. */
export function describePortList(ports: readonly ClaimedPorts[]): string {
  const names = [...new Set(ports.map(describePorts))];
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : '';
  return `${names.length === 1 ? 'port' : 'ports'} ${names.slice(0, MAX_NAMED).join(', ')}${more}`;
}

/** Show host ports: `8080/tcp`, `192.0.2.1:8000-8010/udp`, `[2001:db8::1]:53/udp`. */
export function describePorts({ family, hostIp, protocol, firstPort, lastPort }: ClaimedPorts): string {
  const address = hostIp === undefined ? '' : family === 4 ? `${hostIp}:` : `[${hostIp}]:`;
  const ports = firstPort === lastPort ? firstPort : `${firstPort}-${lastPort}`;
  const name = [...PROTOCOLS].find(([, number]) => number === protocol)?.[0] ?? protocol;
  return `${address}${ports}/${name}`;
}
