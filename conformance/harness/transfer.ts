// Measured transfers between namespaces.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Namespace } from './namespace.ts';

const END = fileURLToPath(new URL('./transfer-end.ts', import.meta.url));
/** Until the burst is used up and TCP knows the way. */
const WARM_MS = 400;
const MEASURED_MS = 1000;
/** A TCP segment of full size with timestamps: 1448 bytes of payload in a frame of 1514; of IPv6 1428. */
const FRAME_BYTES = 1514;
const PAYLOAD_BYTES = { v4: 1448, v6: 1428 };

export interface Transfer {
  readonly from: Namespace;
  readonly to: Namespace;
  /** Where the receiver listens. */
  readonly address: string;
  readonly port?: number;
}

/**
 * Send by TCP as fast as it goes and tell the bits a second on the wire, which are what a limit counts: Ethernet, IP and
 * TCP headers with the payload. Throws Error when the receiver ends without a number.
 */
export async function measureTransfer({ from, to, address, port = 7790 }: Transfer): Promise<number> {
  const receiver = start(to, ['receive', address, String(port), String(WARM_MS), String(MEASURED_MS)]);
  const ended = once(receiver, 'close');
  let said = '';
  receiver.stdout.setEncoding('utf8');
  let sender: ReturnType<typeof start> | undefined;
  const timer = setTimeout(() => receiver.kill('SIGKILL'), 15_000);
  try {
    await Promise.race([once(receiver.stdout, 'data'), ended]);
    receiver.stdout.on('data', (chunk: string) => {
      said += chunk;
    });
    sender = start(from, ['send', address, String(port)]);
    await ended;
    const payload = Number(said.trim());
    if (!(payload > 0)) throw new Error(`No transfer from ${from.name} to ${address} in ${to.name}`);
    return payload * (FRAME_BYTES / PAYLOAD_BYTES[address.includes(':') ? 'v6' : 'v4']);
  } finally {
    clearTimeout(timer);
    if (sender && sender.exitCode === null) {
      const gone = once(sender, 'close');
      sender.kill('SIGKILL');
      await gone;
    }
  }
}

function start(namespace: Namespace, args: readonly string[]): ChildProcessByStdio<null, Readable, null> {
  return spawn('nsenter', [...namespace.enterArgs(), process.execPath, END, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}
