// Calls plugins as a runtime does, from a process that stays in the namespace that plays the host: a call costs the start
// of the plugin and nothing else.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../harness/namespace.ts';
import type { Batch, Sequence } from './call.ts';

const END = fileURLToPath(new URL('./caller-end.ts', import.meta.url));
const STDERR = 2;

export class Caller {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Start the process and wait until it listens. Throws Error when it does not. */
  static async start(host: Namespace): Promise<Caller> {
    const child = spawn('nsenter', [...host.enterArgs(), process.execPath, END], {
      // Standard output is the report.
      stdio: ['ignore', STDERR, STDERR, 'ipc'],
    });
    const caller = new Caller(child);
    await caller.#next();
    return caller;
  }

  /** Run sequences, all at once, and wait for all. One alone is waited for without any other work in between. */
  async run(sequences: readonly Sequence[]): Promise<Batch> {
    this.#child.send(sequences);
    return (await this.#next()) as Batch;
  }

  /** End the process. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }

  async #next(): Promise<unknown> {
    const end = new AbortController();
    try {
      const died = once(this.#child, 'exit', { signal: end.signal }).then(([code, signal]) => {
        throw new Error(`The process that calls the plugins ended with ${signal ?? code}`);
      });
      const [message] = (await Promise.race([once(this.#child, 'message', { signal: end.signal }), died])) as unknown[];
      return message;
    } finally {
      end.abort();
    }
  }
}
