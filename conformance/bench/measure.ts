// The measuring itself, in a machine of its own (runtimes/own-machine.ts); bench.ts runs it.
//
//   measure.ts PLAN FOLDER    PLAN as JSON; FOLDER is on the disk that reservations are written to. Prints the findings as
//                             JSON; how far it is goes to standard error
//
// Every program is read once before, so that none starts from the disk.

import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { EXECUTABLE, REFERENCE_FOLDER } from '../harness/plugin.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { measureBurst } from './burst.ts';
import { measureCost } from './cost.ts';
import { measureCrowd } from './crowded.ts';
import { priceOfStart } from './machine.ts';
import { measureNetavark } from './netavark.ts';
import { measureBridge, measureChain, measurePorts } from './one-pod.ts';
import type { Plan } from './options.ts';
import { measurePhases } from './phases.ts';
import { measurePool } from './pool.ts';
import type { Findings, PhaseColumn, Row } from './report.ts';
import { measureSandbox } from './sandbox.ts';
import { roundsOf, type SectionName } from './section.ts';

type Measure = (rounds: number) => Promise<Row[]>;

const MEASURES: Readonly<Record<Exclude<SectionName, 'phases'>, Measure>> = {
  bridge: measureBridge,
  chain: measureChain,
  burst: measureBurst,
  crowd: measureCrowd,
  ports: measurePorts,
  pool: measurePool,
  cost: measureCost,
  sandbox: measureSandbox,
  netavark: measureNetavark,
};

function readOnce(file: string): void {
  const chunk = Buffer.allocUnsafe(1 << 20);
  const fd = openSync(file, 'r');
  while (readSync(fd, chunk) > 0) {
    // into the page cache
  }
  closeSync(fd);
}

async function measure({ rounds, sections }: Plan): Promise<Findings> {
  for (const file of [EXECUTABLE, ...readdirSync(REFERENCE_FOLDER).map((name) => join(REFERENCE_FOLDER, name))])
    readOnce(file);
  const startMs = await priceOfStart();
  const rows: Row[] = [];
  const phases: PhaseColumn[] = [];
  for (const name of sections) {
    const own = roundsOf(name, rounds);
    const started = performance.now();
    if (name === 'phases') phases.push(...(await measurePhases(own)));
    else rows.push(...(await MEASURES[name](own)));
    console.error(`${name}: ${own} rounds, ${Math.round((performance.now() - started) / 1000)} s`);
  }
  return { startMs, rows, phases };
}

enterOwnMachine();
const [plan = '', folder = ''] = process.argv.slice(2);
// Hosts put their folders there.
process.env.TMPDIR = folder;
console.log(JSON.stringify(await measure(JSON.parse(plan) as Plan)));
