// Traffic between namespaces: ping, and an exchange over TCP or UDP that tells whom the server saw.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { SLOWNESS } from './command.ts';
import type { Namespace } from './namespace.ts';

const ECHO = fileURLToPath(new URL('./echo.ts', import.meta.url));
const DEFAULT_PORT = 7777;
/** For traffic that must pass. Long, since the machine may be busy. */
export const ANSWER_TIMEOUT_MS = 5000 * SLOWNESS;
/** For traffic that must not pass: a pod next door answers in far under a millisecond. */
export const SILENCE_TIMEOUT_MS = 700 * SLOWNESS;

export interface Exchange {
  readonly from: Namespace;
  readonly to: Namespace;
  readonly address: string;
  readonly protocol?: 'tcp' | 'udp';
  readonly timeoutMs?: number;
  /** Where the client turns to when that is not where the server listens: a mapped port. */
  readonly via?: { readonly address: string; readonly port: number };
  /** Called when the server listens, before the client starts. */
  readonly whenReady?: () => void;
}

export interface Reply {
  readonly answered: boolean;
  /** The client's address as the server saw it; empty when there was no answer. */
  readonly seenFrom: string;
  /** Why there was no answer. */
  readonly reason: string;
  /** From starting the client to its end: includes some 50 ms for the client to start. */
  readonly ms: number;
}

/** One ping, answered within `timeoutMs` or not. IPv4 or IPv6 by the address. */
export function canPing(from: Namespace, address: string, timeoutMs = 3000 * SLOWNESS): boolean {
  const seconds = String(timeoutMs / 1000);
  return (
    from.run('ping', ['-n', '-c', '1', '-W', seconds, '-w', String(Math.ceil(timeoutMs / 1000)), address]).code === 0
  );
}

/** Listen in one namespace and ask from another. */
export async function exchange(options: Exchange): Promise<Reply> {
  const { from, to, address, protocol = 'tcp', timeoutMs = ANSWER_TIMEOUT_MS } = options;
  const server = spawn(
    'nsenter',
    [...to.enterArgs(), process.execPath, ECHO, 'serve', protocol, address, String(DEFAULT_PORT)],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  const exited = once(server, 'exit');
  let complaint = '';
  server.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    complaint += chunk;
  });
  try {
    await Promise.race([once(server.stdout, 'data'), exited]);
    if (server.exitCode !== null) throw new Error(`Cannot listen on ${address} in ${to.name}: ${complaint.trim()}`);
    options.whenReady?.();
    const { address: asked, port } = options.via ?? { address, port: DEFAULT_PORT };
    const output = from.run(process.execPath, [ECHO, 'ask', protocol, asked, String(port), String(timeoutMs)]);
    return {
      answered: output.code === 0,
      seenFrom: output.stdout.trim().replace(/^::ffff:/, ''),
      reason: output.stderr.trim(),
      ms: output.ms,
    };
  } finally {
    server.kill('SIGKILL');
    await exited;
  }
}
