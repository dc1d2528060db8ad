// npm run soak: random calls at random containers for as long as asked.
//
// usage: node conformance/soak/soak.ts [--minutes N] [--seed N] [--parallel N]
//
// The last line is `attachments N, calls N, kills N, leaks N`; the exit code is 1 when anything was unexpected or is left.

import { parseArgs } from 'node:util';
import { Host } from '../harness/host.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { reportOf } from './report.ts';
import { mustHavePrograms, soak } from './soak-run.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    parallel: { type: 'string', default: '16' },
  },
});
const [minutes, seed, parallel] = [values.minutes, values.seed, values.parallel].map(Number) as [
  number,
  number,
  number,
];
if (!(minutes > 0) || !Number.isInteger(seed) || !(Number.isInteger(parallel) && parallel > 0)) {
  console.error('usage: soak [--minutes N] [--seed N] [--parallel N], all of them positive numbers');
  process.exit(2);
}

process.argv.push('--seed', String(seed)); // the same one inside the machine of its own
enterOwnMachine();
mustHavePrograms();
const host = new Host();
try {
  const outcome = await soak(host, { seconds: minutes * 60, seed, parallel });
  console.log(reportOf(outcome, seed));
  process.exitCode = outcome.failures.length + outcome.leaks.length === 0 ? 0 : 1;
} finally {
  host.remove();
}
