import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compareMachineStates, RUN_MARK, readMachineState } from './leaks.ts';

const test = suite('leaks');
const mark = `leaks-test-${process.pid}`;

test('compareMachineStates() tells what appeared and what disappeared', () => {
  const differences = compareMachineStates(new Set(['link: a', 'link: b']), new Set(['link: b', 'link: c']));
  assert.equal(differences, ['- link: a', '+ link: c']);
});

test('readMachineState() sees a temp folder that stayed', () => {
  const before = readMachineState(mark);
  const folder = mkdtempSync(join(tmpdir(), 'podlink-leaks-'));
  try {
    const differences = compareMachineStates(before, readMachineState(mark));
    assert.ok(
      differences.some((line) => line.startsWith('+ temp folder: podlink-leaks-')),
      differences.join('\n'),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('readMachineState() sees a process that still runs', async () => {
  const child = spawn('sleep', ['30'], { env: { ...process.env, [RUN_MARK]: mark }, stdio: 'ignore' });
  try {
    await once(child, 'spawn');
    const running = [...readMachineState(mark)].filter((line) => line.startsWith('process: '));
    assert.equal(running, [`process: ${child.pid} sleep 30`]);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  assert.not([...readMachineState(mark)].some((line) => line.startsWith('process: ')));
});

test('readMachineState() knows the links of the machine', () => {
  assert.ok(readMachineState(mark).has('link: lo'));
});

test.run();
