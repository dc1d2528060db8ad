// Two witnesses that a namespace's links, addresses and routes stay as they are while something goes on: `ip monitor`,
// which hears of every change, and a sampler, which looks for itself.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../harness/namespace.ts';

const SAMPLER = fileURLToPath(new URL('network-sampler.ts', import.meta.url));
/**
 * The kernel has done with what was before: it looks for duplicates of IPv6 addresses for a second or two, and tells of
 * a link's carrier up to a second late.
 */
const QUIET_MS = 2500;
const QUIET_TIMEOUT_MS = 20_000;

export interface WatchReport {
  readonly samples: number;
  readonly longestGapMs: number;
  /** What the sampler saw appear or disappear. */
  readonly changes: readonly string[];
  /** What the kernel announced. */
  readonly events: readonly string[];
}

export class NetworkWatch {
  readonly #sampler: Witness;
  readonly #monitor: Witness;

  private constructor(sampler: Witness, monitor: Witness) {
    this.#sampler = sampler;
    this.#monitor = monitor;
  }

  /** Watch what is at `enterArgs`, nsenter's arguments for a namespace, from when nothing has changed there for a while. */
  static async start(enterArgs: readonly string[], intervalMs: number): Promise<NetworkWatch> {
    const monitor = new Witness(enterArgs, 'ip', ['monitor', 'link', 'address', 'route']);
    await monitor.waitUntilQuiet();
    const sampler = new Witness(enterArgs, process.execPath, [SAMPLER, String(intervalMs)]);
    await sampler.waitFor('ready\n');
    return new NetworkWatch(sampler, monitor);
  }

  /** End both and give what they saw. */
  async stop(): Promise<WatchReport> {
    const report = await this.#sampler.end();
    const events = await this.#monitor.kill();
    const seen = JSON.parse(report.slice('ready\n'.length)) as Omit<WatchReport, 'events'>;
    return { ...seen, events: events.split('\n').filter(Boolean) };
  }
}

/** nsenter's arguments for the namespace that plays the host, or for that of a process. */
export function enterArgsOf(where: Namespace | number): string[] {
  return typeof where === 'number' ? [`--net=/proc/${where}/ns/net`, '--'] : where.enterArgs();
}

/** A program whose output is collected until it ends. */
class Witness {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #output = '';

  constructor(enterArgs: readonly string[], program: string, args: readonly string[]) {
    this.#child = spawn('nsenter', [...enterArgs, program, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#exited = once(this.#child, 'close');
    this.#child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#output += chunk;
    });
  }

  async waitFor(text: string): Promise<void> {
    while (!this.#output.includes(text)) {
      if (this.#child.exitCode !== null) throw new Error(`${this.#child.spawnargs.join(' ')} has ended at once`);
      await sleep(10);
    }
  }

  /** Wait until it has said nothing for a while, and forget what it said before. */
  async waitUntilQuiet(): Promise<void> {
    const deadline = Date.now() + QUIET_TIMEOUT_MS;
    let heard: string;
    do {
      if (Date.now() > deadline) throw new Error(`The network does not come to rest: ${this.#output}`);
      heard = this.#output;
      await sleep(QUIET_MS);
    } while (this.#output !== heard);
    this.#output = '';
  }

  /** Close its standard input and wait for its end. */
  async end(): Promise<string> {
    this.#child.stdin?.end();
    await this.#exited;
    return this.#output;
  }

  async kill(): Promise<string> {
    if (this.#child.exitCode !== null) throw new Error(`${this.#child.spawnargs.join(' ')} has ended before its time`);
    this.#child.kill('SIGKILL');
    await this.#exited;
    return this.#output;
  }
}
