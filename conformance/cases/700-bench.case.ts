// The bench, briefly: it measures, judges and writes, so that it can be trusted when it is asked.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';

const { test, run } = cases('bench');
const BENCH = fileURLToPath(new URL('../bench/bench.ts', import.meta.url));
const ITSELF = { absent: 'a benchmark against itself' };
const ROUNDS = 2;

interface Measured {
  readonly id: string;
  readonly ours: readonly number[];
  readonly peer: readonly number[];
}

const runBench = (...args: string[]) => spawnSync(process.execPath, [BENCH, ...args], { encoding: 'utf8' });
const benchFolders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('podlink-bench-'));

test('two rounds of bridge and host-local: every number is in the table, and nothing is left', ITSELF, (host) => {
  const [json, svg] = [join(host.folder, 'bench.json'), join(host.folder, 'bench.svg')];
  const before = benchFolders();
  const { status, stdout, stderr } = runBench(
    '--rounds',
    String(ROUNDS),
    '--only',
    'bridge',
    '--json',
    json,
    '--svg',
    svg,
  );
  assert.is(status, 0, stderr);
  const { rows } = JSON.parse(readFileSync(json, 'utf8')) as { rows: readonly Measured[] };
  assert.equal(
    rows.map(({ id }) => id),
    ['bridge ADD', 'bridge DEL', 'masquerade ADD', 'masquerade DEL'],
  );
  for (const { id, ours, peer } of rows) {
    assert.equal([ours.length, peer.length], [ROUNDS, ROUNDS], id);
    assert.ok(
      [...ours, ...peer].every((ms) => ms > 1),
      `${id}: ${ours} against ${peer} ms`,
    );
  }
  const cell = String.raw` +[\d,.]+ ms \|`;
  const lines = stdout.match(
    new RegExp(String.raw`^\| (ADD|DEL), with.* \|${cell}${cell}${cell}${cell} +\d+\.\d\d \| +2 \|$`, 'gm'),
  );
  assert.is(lines?.length, rows.length, stdout);
  assert.is(stdout.match(/ (met|missed) \|$/gm)?.length, 2, stdout);
  assert.match(readFileSync(svg, 'utf8'), /^<svg .*<title.*ADD, with masquerading: podlink [\d.]+ ms.*<\/svg>\n$/s);
  assert.equal(benchFolders(), before, 'folders left in the temporary directory');
});

test('what cannot be measured is refused with what it must be', ITSELF, () => {
  for (const [args, says] of [
    [['--only', 'nothing'], /"nothing": must be one of bridge, chain/],
    [['--rounds', '0'], /--rounds is "0": must be/],
    [['--write', '--only', 'chain'], /leave out --only/],
  ] as const) {
    const { status, stdout, stderr } = runBench(...args);
    assert.is(status, 1);
    assert.is(stdout, '');
    assert.match(stderr, says);
  }
});

run();
