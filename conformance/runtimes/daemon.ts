// A runtime's daemon, started in the namespace that plays the host and kept until it is stopped.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Namespace } from '../harness/namespace.ts';

const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 15_000;
const POLL_MS = 20;

export interface DaemonOptions {
  /** The namespace that plays the host. */
  readonly host: Namespace;
  readonly program: string;
  readonly args: readonly string[];
  /** File for its output: appended to, so that a restart's follows. */
  readonly log: string;
  /** Whether it answers. A throw counts as no. */
  isReady(): Promise<boolean> | boolean;
}

export class Daemon {
  readonly #options: DaemonOptions;
  readonly #child: ChildProcess;

  private constructor(options: DaemonOptions, child: ChildProcess) {
    this.#options = options;
    this.#child = child;
  }

  /** Start it and wait until it answers. Throws Error with the end of its log when it does not. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const log = openSync(options.log, 'a');
    const child = spawn('nsenter', [...options.host.enterArgs(), options.program, ...options.args], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const daemon = new Daemon(options, child);
    try {
      await once(child, 'spawn');
      await daemon.#waitUntilReady();
      return daemon;
    } catch (error) {
      await daemon.stop();
      throw error;
    }
  }

  /** End it as a service manager does, and wait for its end. Its containers are not its own and go on. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(timer);
  }

  /** What it has written so far. */
  get log(): string {
    return readFileSync(this.#options.log, 'utf8');
  }

  async #waitUntilReady(): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`${this.#options.program} ended at once: ${this.#lastLines()}`);
      }
      try {
        if (await this.#options.isReady()) return;
      } catch {
        // Not listening yet: asked again until the deadline.
      }
      if (Date.now() > deadline) {
        throw new Error(`${this.#options.program} does not answer after ${START_TIMEOUT_MS} ms: ${this.#lastLines()}`);
      }
      await sleep(POLL_MS);
    }
  }

  #lastLines(): string {
    return this.log.trimEnd().split('\n').slice(-12).join('\n');
  }
}
