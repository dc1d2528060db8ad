// Interrupting an ADD at each of its system calls: what it calls is found out by tracing one that is left in peace.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { mustBeAsBefore, networkInUse } from './attachment.ts';
import type { Config } from './document.ts';
import type { Host, Invocation } from './host.ts';
import type { Namespace } from './namespace.ts';
import type { Snapshot } from './snapshot.ts';
import { mustAdd, mustPass } from './verdict.ts';

/** What changes something: messages to the kernel, and files put in place. */
export const CALLS = ['sendto', 'rename', 'link', 'unlink'] as const;
export type Call = (typeof CALLS)[number];

/** A container about to be attached, and how many calls that takes. */
export interface Scene {
  readonly config: Config;
  readonly pod: Namespace;
  readonly before: Snapshot;
  readonly invocation: Invocation;
  /** How often an ADD makes each call. */
  readonly counts: ReadonlyMap<Call, number>;
}

/** The words that put a program under strace. */
export function strace(...args: string[]): string[] {
  // Not with --seccomp-bpf: strace 6.1 then does not deliver the signal that it is to inject.
  return ['strace', '-f', '-qq', ...args];
}

/** Find out how many calls an ADD makes by tracing one, which is taken away again. */
export function setScene(host: Host): Scene {
  const { config } = networkInUse(host);
  const pod = host.addContainer('pod');
  const before = host.snapshot();
  const invocation = { config, container: pod };
  const trace = join(host.folder, 'trace');
  mustAdd(host, { ...invocation, under: strace('-e', `trace=${CALLS.join()}`, '-o', trace) });
  mustPass(host, 'DEL', invocation);
  mustBeAsBefore(host, { pod, before });
  const calls = [...readFileSync(trace, 'utf8').matchAll(/^\d+ +(\w+)\(/gm)].map((match) => match[1]);
  const counts = new Map(CALLS.map((call) => [call, calls.filter((made) => made === call).length]));
  assert.ok((counts.get('sendto') ?? 0) >= 8, `an ADD sends ${counts.get('sendto')} messages only`);
  return { config, pod, before, invocation, counts };
}

/** Stop the Nth call of an ADD, for each N. */
export function atEach(scene: Scene, call: Call, visit: (n: number) => void): void {
  const count = scene.counts.get(call) ?? 0;
  assert.ok(count > 0, `an ADD makes no ${call}`);
  for (let n = 1; n <= count; n++) visit(n);
}

/** Run an ADD that is killed at its Nth call. */
export function kill(host: Host, { invocation }: Scene, call: Call, n: number): void {
  const under = strace('-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${n}`, '-o', '/dev/null');
  const { code, signal, stdout } = host.invoke('ADD', { ...invocation, under });
  assert.ok(signal === 'SIGKILL' || code === 137, `ADD killed at ${call} ${n} ends with ${code} ${signal}: ${stdout}`);
}
