// A transport that hands out datagrams byte by byte as a test scripts them: for replies that FakeTransport, which makes
// them well-formed, cannot give.

import { EAGAIN, ErrnoError } from '../errno.ts';
import type { Transport } from '../netlink/transport.ts';

/** Answers the datagrams sent so far with those to receive next. `sequence` is the last request's. */
export type DatagramScript = (sequence: number, sent: Uint8Array) => readonly Uint8Array[];

/** Like the kernel's socket it fails with EAGAIN when nothing is left to receive. */
export class ScriptedTransport implements Transport {
  readonly sent: Uint8Array[] = [];
  readonly #script: DatagramScript;
  readonly #datagrams: Uint8Array[] = [];
  isClosed = false;

  constructor(script: DatagramScript) {
    this.#script = script;
  }

  /** Datagrams that nobody has received yet. */
  get left(): number {
    return this.#datagrams.length;
  }

  send(datagram: Uint8Array): void {
    const sent = new Uint8Array(datagram); // not slice(), which of a Buffer makes no copy
    this.sent.push(sent);
    const sequence = new DataView(sent.buffer).getUint32(8, true);
    this.#datagrams.push(...this.#script(sequence, sent));
  }

  receive(): Uint8Array {
    const datagram = this.#datagrams.shift();
    if (!datagram) throw new ErrnoError('Cannot receive from the kernel', { syscall: 'recv', errno: EAGAIN });
    return datagram;
  }

  close(): void {
    this.isClosed = true;
  }
}
