import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { skipFunction } from './skipped-function.ts';

const test = suite('skipped function');

/** Node itself. */
const node = readFileSync(process.execPath);
const SYMBOL = '_ZN2v811CpuProfiler38UseDetailedSourcePositionsForProfilingEPNS_7IsolateE';

test('skipFunction() changes the first instruction of the function and nothing else, and Node still runs', () => {
  const changed = Buffer.from(skipFunction(node, SYMBOL));
  const at = changed.findIndex((byte, i) => byte !== node[i]);
  const instruction = process.arch === 'x64' ? [0xc3] : [0xc0, 0x03, 0x5f, 0xd6];
  assert.equal([...changed.subarray(at, at + instruction.length)], instruction);
  const behind = at + instruction.length;
  assert.is(changed.compare(node, behind, node.length, behind, changed.length), 0);
  const dir = mkdtempSync(join(tmpdir(), 'podlink-skip-'));
  try {
    writeFileSync(join(dir, 'node'), changed, { mode: 0o755 });
    assert.is(
      execFileSync(join(dir, 'node'), ['-e', 'process.stdout.write(String(6 * 7))'], { encoding: 'utf8' }),
      '42',
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('skipFunction() refuses a function that is not there, and an executable that it does not know', () => {
  const says = (executable: Uint8Array, symbol: string): string => {
    try {
      skipFunction(executable, symbol);
      return 'nothing';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
  assert.is(
    says(node, 'UseDetailedSourcePositions'),
    'There is no function UseDetailedSourcePositions in this version of Node',
  );
  assert.is(says(new Uint8Array(64), SYMBOL), 'Cannot change an executable for this architecture');
});

test.run();
