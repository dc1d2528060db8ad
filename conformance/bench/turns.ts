// Measuring in turns: each contender attaches and takes off in every round, who is first changes from round to round, so
// that whatever else the machine does meets all of them.

import type { Batch } from './call.ts';
import type { Contender } from './contender.ts';

/** The measurements of one contender, one of each a round. */
export interface Series {
  readonly attach: Batch[];
  readonly detach: Batch[];
}

export interface TurnOptions {
  readonly rounds: number;
  /** How many pods a turn attaches together; 1 when absent. */
  readonly atOnce?: number;
  /** Whose pods may fail. */
  readonly mayFail?: ReadonlySet<Contender>;
}

/** Let all take their turns; a first round does not count. Gives the series in the order of the contenders. */
export async function takeTurns(contenders: readonly Contender[], options: TurnOptions): Promise<Series[]> {
  const { rounds, atOnce = 1 } = options;
  const series = new Map(contenders.map((contender): [Contender, Series] => [contender, { attach: [], detach: [] }]));
  for (let round = 0; round <= rounds; round++) {
    for (const [contender, { attach, detach }] of round % 2 === 0 ? series : [...series].toReversed()) {
      const mayFail = options.mayFail?.has(contender) ?? false;
      const attached = await contender.attach(atOnce, { mayFail });
      const detached = await contender.detach({ mayFail });
      if (round === 0) continue;
      attach.push(attached);
      detach.push(detached);
    }
  }
  return [...series.values()];
}

/** How long each batch took. */
export function timesOf(batches: readonly Batch[]): number[] {
  return batches.map(({ ms }) => ms);
}

/** Start contenders, measure, and remove them whatever happens. */
export async function withContenders<Result>(
  starts: readonly (() => Promise<Contender>)[],
  measure: (...contenders: Contender[]) => Promise<Result>,
): Promise<Result> {
  const contenders: Contender[] = [];
  try {
    for (const start of starts) contenders.push(await start());
    return await measure(...contenders);
  } finally {
    for (const contender of contenders) await contender.remove();
  }
}
