import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type ProgramEnd, type ProgramOptions, runProgram } from './child-process.ts';
import { isErrno } from './errno.ts';

const test = suite<{ dir: string }>('child process');
test.before.each((context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'podlink-child-'));
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true }));

function runScript(dir: string, script: string, more: Partial<ProgramOptions> = {}): ProgramEnd {
  const path = join(dir, 'program');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return runProgram(path, { env: {}, input: '', timeoutMs: 10_000, maxOutputBytes: 1_000, ...more });
}

test('runProgram() hands over environment and input, and gives the output and the exit status', ({ dir }) => {
  const { status, signal, stdout, stderr, error } = runScript(dir, 'echo "$A-$B $(cat) ü"; echo ä >&2; exit 3', {
    env: { A: 'a', B: undefined },
    input: 'in ö',
  });
  assert.equal([status, signal, stdout, stderr, error], [3, null, 'a- in ö ü\n', 'ä\n', undefined]);
});

test('runProgram() tells how it ended that did not exit', ({ dir }) => {
  assert.equal([runScript(dir, 'kill -9 $$').status, runScript(dir, 'kill -9 $$').signal], [null, 'SIGKILL']);
  assert.ok(isErrno(runScript(dir, 'exec sleep 60', { timeoutMs: 50 }).error, 'ETIMEDOUT'));
  assert.ok(isErrno(runScript(dir, 'exec yes').error, 'ENOBUFS'));
  const options = { env: {}, input: '', timeoutMs: 1_000, maxOutputBytes: 1_000 };
  assert.ok(isErrno(runProgram(join(dir, 'none'), options).error, 'ENOENT'));
});

test.run();
