import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { setVariable, skipFunction } from './node-patch.ts';

const test = suite('node patch');

/** Node itself. */
const node = readFileSync(process.execPath);
const FUNCTION = '_ZN2v811CpuProfiler38UseDetailedSourcePositionsForProfilingEPNS_7IsolateE';
const VARIABLE = '_ZN4absl12_GLOBAL__N_124synch_deadlock_detectionE.0';

/** The message of the error that `action` ends with. */
function messageOf(action: () => unknown): string {
  try {
    action();
    return 'nothing';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What the changed Node says to a script. */
function run(changed: Uint8Array, script: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'podlink-patch-'));
  try {
    writeFileSync(join(dir, 'node'), changed, { mode: 0o755 });
    return execFileSync(join(dir, 'node'), ['-e', script], { encoding: 'utf8' });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** The bytes that differ from Node's own, as one range. */
function difference(changed: Buffer): { at: number; before: number[]; after: number[] } {
  const at = changed.findIndex((byte, i) => byte !== node[i]);
  let end = Math.min(at + 8, node.length);
  while (end > at && changed[end - 1] === node[end - 1]) end--;
  assert.is(changed.compare(node, end, node.length, end, changed.length), 0);
  return { at, before: [...node.subarray(at, end)], after: [...changed.subarray(at, end)] };
}

test('skipFunction() changes the first instruction of the function and nothing else, and Node still runs', () => {
  const changed = Buffer.from(skipFunction(node, FUNCTION));
  const { at } = difference(changed);
  const instruction = process.arch === 'x64' ? [0xc3] : [0xc0, 0x03, 0x5f, 0xd6];
  assert.equal([...changed.subarray(at, at + instruction.length)], instruction);
  assert.is(run(changed, 'process.stdout.write(String(6 * 7))'), '42');
});

test('setVariable() changes the first value of the variable and nothing else, and Node still runs', () => {
  const changed = Buffer.from(setVariable(node, VARIABLE, 2, 0));
  const { before, after } = difference(changed);
  assert.equal([before, after], [[2], [0]]);
  const script = `new (require('node:worker_threads').Worker)('process.exit(7)', { eval: true })
    .on('exit', (code) => process.stdout.write(String(code)))`;
  assert.is(run(changed, script), '7');
});

test('what is not there is refused, and so is an executable that is not known', () => {
  assert.is(
    messageOf(() => skipFunction(node, 'UseDetailedSourcePositions')),
    'There is no UseDetailedSourcePositions in this version of Node',
  );
  assert.is(
    messageOf(() => setVariable(node, VARIABLE, 1, 0)),
    `${VARIABLE} begins as 2 in this version of Node, and not as 1`,
  );
  assert.is(
    messageOf(() => skipFunction(new Uint8Array(64), FUNCTION)),
    'Cannot change an executable for this architecture',
  );
});

test.run();
