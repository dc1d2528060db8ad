// One pod after the other: what a kubelet waits for on a quiet node.

import { Contender, podlink, reference } from './contender.ts';
import { bridgeTask, CHAIN, MANY_PORTS, type Task } from './network.ts';
import type { Row } from './report.ts';
import type { SectionName } from './section.ts';
import { takeTurns, timesOf, withContenders } from './turns.ts';

/** The contenders of a task: podlink and the reference plugins. */
export function rivals(task: Task): (() => Promise<Contender>)[] {
  return [() => Contender.start('podlink', podlink(task)), () => Contender.start('the reference', reference(task))];
}

export async function measureBridge(rounds: number): Promise<Row[]> {
  return [
    ...(await measureTask('bridge', 'bridge', ', without masquerading', bridgeTask(false), rounds)),
    ...(await measureTask('bridge', 'masquerade', ', with masquerading', bridgeTask(true), rounds)),
  ];
}

export async function measureChain(rounds: number): Promise<Row[]> {
  return await measureTask('chain', 'chain', '', CHAIN, rounds);
}

export async function measurePorts(rounds: number): Promise<Row[]> {
  return await measureTask('ports', 'ports', '', MANY_PORTS, rounds);
}

async function measureTask(section: SectionName, id: string, what: string, task: Task, rounds: number): Promise<Row[]> {
  const series = await withContenders(rivals(task), (...both) => takeTurns(both, { rounds }));
  const row = (verb: string, part: 'attach' | 'detach'): Row => {
    const [ours = [], peer = []] = series.map((each) => timesOf(each[part]));
    return {
      section,
      id: `${id} ${verb}`,
      what: `${verb}${what}`,
      unit: 'ms',
      ours,
      peer,
      isCharted: id !== 'bridge',
    };
  };
  return [row('ADD', 'attach'), row('DEL', 'detach')];
}
