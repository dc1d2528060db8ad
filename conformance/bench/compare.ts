// Two builds of podlink against each other, in turns: what a trick buys is the difference between a build with it and
// one without.
//
// usage: node conformance/bench/compare.ts EXECUTABLE EXECUTABLE [ROUNDS]      60 rounds when absent; root
//
// Every round attaches a pod with a bridge, masquerading and one port, and takes it off again. Both files are copied anew
// several times, in changing order, since a start also depends on how the kernel keeps a file in its page cache.

import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { Contender, podlink } from './contender.ts';
import { bridgeTask, portsOf, RESIDENT_PORT, type Task } from './network.ts';
import { medianOf } from './statistics.ts';
import { takeTurns, timesOf, withContenders } from './turns.ts';

const ONE_PORT: Pick<Task, 'ours'> = {
  ours: (host, slot) => ({
    ...bridgeTask(true).ours(host, slot),
    runtimeConfig: { portMappings: portsOf(0).map((port) => ({ ...port, hostPort: RESIDENT_PORT + slot })) },
  }),
};

/** How often the files are copied. */
const PASSES = 6;

interface Times {
  readonly add: number[];
  readonly del: number[];
  /** Processor time of both calls, in steps of 10 ms: only its mean says something. */
  readonly cpu: number[];
}

/** Measure one copy of each. `programs`: in the order in which they are copied. Gives their times in that order. */
async function measurePass(programs: readonly string[], folder: string, rounds: number): Promise<Times[]> {
  const copies = programs.map((program, i) => {
    const copy = join(folder, `podlink-${i}`);
    copyFileSync(program, copy);
    return copy;
  });
  const starts = copies.map((program, i) => () => Contender.start(`build ${i + 1}`, podlink(ONE_PORT, { program })));
  const series = await withContenders(starts, (...both) => takeTurns(both, { rounds }));
  for (const copy of copies) rmSync(copy);
  return series.map(({ attach, detach }) => ({
    ...{ add: timesOf(attach), del: timesOf(detach) },
    cpu: attach.map(({ cpuMs }, i) => cpuMs + (detach[i]?.cpuMs ?? Number.NaN)),
  }));
}

/** Format one line: the medians of both, the difference, and the median difference of what was measured in one round. */
function formatLine(what: string, first: readonly number[], second: readonly number[]): string {
  const [a, b] = [medianOf(first), medianOf(second)];
  const paired = medianOf(second.map((value, i) => value - (first[i] ?? Number.NaN)));
  const cells = [a, b, b - a, 100 * (b / a - 1), paired, (100 * paired) / a];
  return `${what.padEnd(12)}${cells.map((cell) => cell.toFixed(2).padStart(10)).join('')}`;
}

function meanOf(series: readonly number[]): number {
  return series.reduce((sum, value) => sum + value, 0) / series.length;
}

async function compare(programs: readonly string[], folder: string, rounds: number): Promise<string> {
  const [first, second]: [Times, Times] = [
    { add: [], del: [], cpu: [] },
    { add: [], del: [], cpu: [] },
  ];
  for (let pass = 0; pass < PASSES; pass++) {
    const isTurned = pass % 2 === 1;
    const found = await measurePass(isTurned ? programs.toReversed() : programs, folder, Math.ceil(rounds / PASSES));
    for (const [total, times] of [first, second].map((each, i) => [each, found[isTurned ? 1 - i : i]] as const)) {
      total.add.push(...(times?.add ?? []));
      total.del.push(...(times?.del ?? []));
      total.cpu.push(...(times?.cpu ?? []));
    }
  }
  const both = ({ add, del }: Times): number[] => add.map((ms, i) => ms + (del[i] ?? Number.NaN));
  return [
    `n = ${first.add.length}`.padEnd(12) +
      ['first', 'second', 'ms', '%', 'paired ms', '%'].map((head) => head.padStart(10)).join(''),
    formatLine('ADD', first.add, second.add),
    formatLine('DEL', first.del, second.del),
    formatLine('ADD and DEL', both(first), both(second)),
    formatLine('processor', [meanOf(first.cpu)], [meanOf(second.cpu)]),
  ].join('\n');
}

const disk = tmpdir();
const [first, second, rounds = '60'] = process.argv.slice(2);
if (first === undefined || second === undefined || !/^[1-9]\d{0,3}$/.test(rounds)) {
  console.error('usage: node conformance/bench/compare.ts EXECUTABLE EXECUTABLE [ROUNDS]');
  process.exit(2);
}
enterOwnMachine();
const folder = mkdtempSync(join(disk, 'podlink-compare-'));
// Hosts put their folders there: reservations are written to a disk.
process.env.TMPDIR = folder;
try {
  console.log(await compare([resolve(first), resolve(second)], folder, Number(rounds)));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
