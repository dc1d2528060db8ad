// What a pod costs beside time: processor time of all processes, and the memory of the largest of them.
//
// Processor time is what the kernel has counted for them, less what it does afterwards on its own account (removing links
// waits for RCU in a kernel thread). It comes in steps of 10 ms, but adds up exactly over the rounds: only the mean of all
// rounds is given. Memory is ru_maxrss of wait4(2), as GNU time reads it; of a program that others run at the same time most
// of it is shared.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Call, Sequence } from './call.ts';
import { Contender, podlink, type Protocol, reference } from './contender.ts';
import { bridgeTask, CHAIN, type Task } from './network.ts';
import type { Row } from './report.ts';
import { maximumOf } from './statistics.ts';
import { takeTurns, withContenders } from './turns.ts';

const TIME = '/usr/bin/time';
const MEMORY_ROUNDS = 3;

const TASKS: readonly (readonly [id: string, what: string, task: Task])[] = [
  ['masquerade', 'bridge with masquerading', bridgeTask(true)],
  ['chain', "the kubelet's chain", CHAIN],
];

export async function measureCost(rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [id, what, task] of TASKS) {
    const [ours = [], peer = []] = await cpuOf(task, rounds);
    rows.push({
      section: 'cost',
      id: `${id} cpu`,
      what: `Processor time of ADD and DEL, ${what} (mean of ${rounds})`,
      unit: 'ms',
      ours,
      peer,
    });
    const [ourPeak = [], peerPeak = []] = await memoryOf(task, Math.min(rounds, MEMORY_ROUNDS));
    rows.push({
      section: 'cost',
      id: `${id} memory`,
      what: `Memory of the largest process, ${what}`,
      unit: 'MB',
      ours: ourPeak,
      peer: peerPeak,
    });
  }
  return rows;
}

async function cpuOf(task: Task, rounds: number): Promise<number[][]> {
  const starts = [podlink(task), reference(task)].map((protocol) => () => Contender.start('cost', protocol));
  const series = await withContenders(starts, (...both) => takeTurns(both, { rounds }));
  return series.map(({ attach, detach }) => {
    const total = [...attach, ...detach].reduce((sum, { cpuMs }) => sum + cpuMs, 0);
    return [total / rounds];
  });
}

async function memoryOf(task: Task, rounds: number): Promise<number[][]> {
  const meters = [new MemoryMeter(podlink(task)), new MemoryMeter(reference(task))];
  const starts = meters.map((meter) => () => Contender.start('cost', meter));
  return await withContenders(starts, async (...both) => {
    const peaks: number[][] = both.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (const [i, contender] of both.entries()) {
        meters[i]?.reset();
        await contender.attach();
        await contender.detach();
        peaks[i]?.push(meters[i]?.peakMb ?? Number.NaN);
      }
    }
    return peaks;
  });
}

/** Runs the calls of another protocol under GNU time, which writes the peak of each into a file. */
class MemoryMeter implements Protocol {
  readonly #protocol: Protocol;
  #files: string[] = [];

  constructor(protocol: Protocol) {
    this.#protocol = protocol;
  }

  attach: Protocol['attach'] = (host, pod) => this.#metered(host.folder, this.#protocol.attach(host, pod));

  detach: Protocol['detach'] = (host, pod, result) =>
    this.#metered(host.folder, this.#protocol.detach(host, pod, result));

  reset(): void {
    this.#files = [];
  }

  /** The most that any process needed since the reset. */
  get peakMb(): number {
    return maximumOf(this.#files.map((file) => Number(readFileSync(file, 'utf8').trim()) / 1024));
  }

  #metered(folder: string, sequence: Sequence): Sequence {
    return { ...sequence, calls: sequence.calls.map((call) => this.#meteredCall(folder, call)) };
  }

  #meteredCall(folder: string, call: Call): Call {
    const file = join(folder, `memory-${this.#files.length}`);
    this.#files.push(file);
    return { ...call, program: TIME, args: ['-q', '-f', '%M', '-o', file, call.program, ...(call.args ?? [])] };
  }
}
