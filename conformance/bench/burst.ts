// Many pods at the same moment: a node that starts, or is drained.
//
// Every pod is asked for at once; a pod's time counts from then, so it includes its wait for a processor. The reference may
// fail here, which is counted: its plugins run iptables, whose transactions can collide.

import type { Batch } from './call.ts';
import { rivals } from './one-pod.ts';
import { CHAIN } from './network.ts';
import type { Row } from './report.ts';
import { maximumOf } from './statistics.ts';
import { type Series, takeTurns, timesOf, withContenders } from './turns.ts';

const SIZES = [1, 8, 32];

export async function measureBurst(rounds: number): Promise<Row[]> {
  return await withContenders(rivals(CHAIN), async (ours, peer) => {
    const rows: Row[] = [];
    for (const size of SIZES) {
      if (!ours || !peer) throw new TypeError('A burst has two contenders');
      const series = await takeTurns([ours, peer], { rounds, atOnce: size, mayFail: new Set([peer]) });
      rows.push(...rowsOf(size, series));
    }
    return rows;
  });
}

function rowsOf(size: number, [ours, peer]: readonly Series[]): Row[] {
  if (!ours || !peer) throw new TypeError('A burst has two series');
  const pods = size === 1 ? '1 pod' : `${size} pods`;
  const row = (
    verb: 'ADD' | 'DEL',
    id: string,
    what: string,
    unit: Row['unit'],
    of: (batch: Batch) => number[],
  ): Row => {
    const part = verb === 'ADD' ? 'attach' : 'detach';
    return {
      section: 'burst',
      id: `burst ${size} ${verb} ${id}`,
      what: `${verb} of ${pods}, ${what}`,
      unit,
      ours: ours[part].flatMap(of),
      peer: peer[part].flatMap(of),
      peerFailures: peer[part].flatMap(failuresOf).length,
      isCharted: size === 32 && id === 'all',
    };
  };
  const all = (batch: Batch) => timesOf([batch]);
  const each = (batch: Batch) => batch.endings.flatMap(({ failure, ms }) => (failure === undefined ? ms : []));
  const slowest = (batch: Batch) => [maximumOf(each(batch))];
  const rate = (batch: Batch) => [(1000 * each(batch).length) / batch.ms];
  if (size === 1) return [row('ADD', 'all', 'done', 'ms', all), row('DEL', 'all', 'done', 'ms', all)];
  return (['ADD', 'DEL'] as const).flatMap((verb) => [
    row(verb, 'all', 'all done', 'ms', all),
    row(verb, 'each', 'each pod', 'ms', each),
    row(verb, 'slowest', 'the slowest', 'ms', slowest),
    row(verb, 'rate', 'throughput', 'pods/s', rate),
  ]);
}

function failuresOf({ endings }: Batch): string[] {
  return endings.flatMap(({ failure }) => failure ?? []);
}
