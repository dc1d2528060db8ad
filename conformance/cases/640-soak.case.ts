// Random calls, sixteen at once and some of them killed, for a minute: the node is as it was before.
//
// PODLINK_SOAK_MINUTES makes it longer; PODLINK_SOAK_SEED repeats one. `npm run soak` is the same without the suite.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { reportOf } from '../soak/report.ts';
import { soak } from '../soak/soak-run.ts';

enterOwnMachine();
const { test, run } = cases('soak');

test('random calls of random modes and features, sixteen at once, with random kills: nothing is left', {
  absent: 'DEL after a killed ADD',
}, async (host) => {
  const seed = Number(process.env.PODLINK_SOAK_SEED ?? Date.now() % 1_000_000);
  const seconds = 60 * Number(process.env.PODLINK_SOAK_MINUTES ?? 1);
  const outcome = await soak(host, { seconds, seed, parallel: 16 });
  const report = reportOf(outcome, seed);
  console.log(`\n${report}`);
  assert.is(outcome.failures.length + outcome.leaks.length, 0, report);
  assert.ok(outcome.attachments > seconds && outcome.kills > seconds / 2, report);
});

run();
