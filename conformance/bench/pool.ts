// host-local alone, as a program of that name, in a pool in which others hold addresses already. They are files, as both
// write them, and not in the way of the next address: what is measured is what their number alone costs.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Contender, podlink, reference } from './contender.ts';
import { NETWORK, type Task } from './network.ts';
import type { Row } from './report.ts';
import { takeTurns, timesOf, withContenders } from './turns.ts';

/** The pool is a /16. */
const SIZES = [0, 1000, 60_000];

const HOST_LOCAL: Task = {
  ours: (host) => ({ type: 'host-local', ipam: host.hostLocal(['10.77.0.0/16']) }),
  reference: (host) => [{ type: 'host-local', ipam: host.hostLocal(['10.77.0.0/16']) }],
};

export async function measurePool(rounds: number): Promise<Row[]> {
  const protocols = [podlink(HOST_LOCAL), reference(HOST_LOCAL)];
  const starts = SIZES.flatMap((size) =>
    protocols.map((protocol) => async () => {
      const contender = await Contender.start(`host-local with ${size} reservations`, protocol);
      reserve(join(contender.host.dataDir, NETWORK), size);
      return contender;
    }),
  );
  const series = await withContenders(starts, (...all) => takeTurns(all, { rounds }));
  return SIZES.flatMap((size, i) =>
    (['ADD', 'DEL'] as const).map((verb): Row => {
      const times = series.map((each) => timesOf(verb === 'ADD' ? each.attach : each.detach));
      return {
        section: 'pool',
        id: `pool ${size} ${verb}`,
        what: `${verb} with ${size.toLocaleString('en')} addresses reserved`,
        unit: 'ms',
        ours: times[2 * i] ?? [],
        peer: times[2 * i + 1] ?? [],
      };
    }),
  );
}

/** From 10.77.10.1 on: the first ones stay free. */
function reserve(folder: string, count: number): void {
  mkdirSync(folder, { recursive: true });
  for (let i = 0; i < count; i++) {
    writeFileSync(join(folder, `10.77.${10 + Math.floor(i / 250)}.${(i % 250) + 1}`), `reserved-${i}\r\neth0`);
  }
}
