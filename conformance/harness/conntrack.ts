// What `conntrack` says a host remembers of connections, and a UDP client with a port of its own to make it remember.

import { fileURLToPath } from 'node:url';
import type { Namespace } from './namespace.ts';

const CLIENT = fileURLToPath(new URL('./fixed-port.ts', import.meta.url));

export interface UdpQuestion {
  readonly from: Namespace;
  readonly fromPort: number;
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** Send from a fixed port until it is answered or the time is over. Tells the answer; empty when there was none. */
export function askFromPort({ from, fromPort, address, port, timeoutMs }: UdpQuestion): string {
  const args = [CLIENT, String(fromPort), address, String(port), String(timeoutMs)];
  return from.run(process.execPath, args).stdout.trim();
}

/** The UDP connections from a source port that a host knows, as `conntrack -L` shows them. */
export function udpFlowsFrom(host: Namespace, fromPort: number): string[] {
  return host
    .mustRun('conntrack', ['-L', '-p', 'udp', '--orig-port-src', String(fromPort)])
    .split('\n')
    .filter(Boolean);
}
