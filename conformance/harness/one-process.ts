// One call is one process: what strace sees the plugin execute and fork.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Command, Host, Invocation, Outcome } from './host.ts';

/** Run a call and fail unless it executes one program only and starts threads only. */
export function mustBeOneProcess(host: Host, command: Command, invocation: Invocation): Outcome {
  const trace = join(host.folder, 'trace');
  const under = ['strace', '-f', '-qq', '-e', 'trace=execve,execveat,clone,clone3,fork,vfork', '-o', trace];
  const outcome = host.invoke(command, { ...invocation, under });
  assert.is(outcome.code, 0, `${command} fails: ${outcome.stdout}${outcome.stderr}`);
  const lines = readFileSync(trace, 'utf8').split('\n').filter(Boolean);
  const executed = lines.filter((line) => /\bexecve(at)?\(/.test(line));
  assert.is(executed.length, 1, `${command} executes ${executed.length} programs:\n${executed.join('\n')}`);
  const started = lines.filter((line) => /\b(clone3?|v?fork)\(/.test(line));
  const processes = started.filter((line) => !line.includes('CLONE_THREAD'));
  assert.equal(processes, [], `${command} starts processes`);
  return outcome;
}
