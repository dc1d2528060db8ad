// Where the time of a call goes: what PODLINK_TRACE=1 prints, and what the caller waits for beyond it.

import type { Batch } from './call.ts';
import { Contender, podlink } from './contender.ts';
import { bridgeTask, CHAIN, type Task } from './network.ts';
import type { PhaseColumn, PhaseTimes } from './report.ts';
import { takeTurns, withContenders } from './turns.ts';

/** All before `main`: Node, the snapshot, the modules. */
const START = 'start';

const TASKS: readonly (readonly [id: string, what: string, task: Task])[] = [
  ['masquerade', 'bridge with masquerading', bridgeTask(true)],
  ['chain', 'chain', CHAIN],
];

interface Trace {
  readonly phases: readonly (readonly [name: string, ms: number])[];
  readonly totalMs: number;
}

export async function measurePhases(rounds: number): Promise<PhaseColumn[]> {
  const columns: PhaseColumn[] = [];
  for (const [id, what, task] of TASKS) {
    const start = (): Promise<Contender> => Contender.start('podlink', podlink(task, { env: { PODLINK_TRACE: '1' } }));
    const [series] = await withContenders([start], (...alone) => takeTurns(alone, { rounds }));
    if (!series) throw new TypeError('There is no series of the only contender');
    columns.push(columnOf(`${id} ADD`, `ADD, ${what}`, series.attach));
    columns.push(columnOf(`${id} DEL`, `DEL, ${what}`, series.detach));
  }
  return columns;
}

function columnOf(id: string, what: string, batches: readonly Batch[]): PhaseColumn {
  const traces = batches.map(({ endings }) => parseTrace(endings[0]?.stderr ?? ''));
  return {
    id,
    what,
    phases: phaseTimesOf(traces),
    work: traces.map(({ phases, totalMs }) => totalMs - (phases.find(([name]) => name === START)?.[1] ?? 0)),
    outside: batches.map(({ ms }, i) => ms - (traces[i]?.totalMs ?? Number.NaN)),
    whole: batches.map(({ ms }) => ms),
  };
}

/** In the order in which they first occur. A call that had no such phase counts as 0. */
function phaseTimesOf(traces: readonly Trace[]): PhaseTimes[] {
  const names = new Set(traces.flatMap(({ phases }) => phases.map(([name]) => name)));
  const timeIn = ({ phases }: Trace, name: string): number =>
    phases.reduce((sum, [each, ms]) => (each === name ? sum + ms : sum), 0);
  return [...names].map((name) => ({ name, ms: traces.map((trace) => timeIn(trace, name)) }));
}

/** Read `podlink: ADD: start 31.20, parse 0.41, total 40.02 ms`. Throws Error when it is not that. */
export function parseTrace(stderr: string): Trace {
  const [, list, total] = /^podlink: \w+: (.+), total (\d+\.\d+) ms$/m.exec(stderr) ?? [];
  if (list === undefined || total === undefined) throw new Error(`Not the trace of a call: ${JSON.stringify(stderr)}`);
  const phases = list.split(', ').map((phase): [string, number] => {
    const [, name = '', ms = ''] = /^(.+) (\d+\.\d+)$/.exec(phase) ?? [];
    return [name, Number(ms)];
  });
  return { phases, totalMs: Number(total) };
}
