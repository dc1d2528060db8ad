// Interrupting an ADD or a DEL at each of its system calls: what it calls is found out by tracing one left in peace.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { mustBeAsBefore, networkInUse } from './attachment.ts';
import type { Config } from './document.ts';
import type { Host, Invocation, Outcome } from './host.ts';
import type { Namespace } from './namespace.ts';
import type { Snapshot } from './snapshot.ts';
import { mustAdd, mustPass } from './verdict.ts';

/** What changes something: messages to the kernel, and files put in place. */
export const CALLS = ['sendto', 'rename', 'link', 'unlink'] as const;
export type Call = (typeof CALLS)[number];

type Interrupted = 'ADD' | 'DEL';

/** A container about to be attached, and how many calls that, and its DEL, take. */
export interface Scene {
  readonly config: Config;
  readonly pod: Namespace;
  readonly before: Snapshot;
  readonly invocation: Invocation;
  /** How often each call is made. */
  readonly counts: Readonly<Record<Interrupted, ReadonlyMap<Call, number>>>;
}

/** The words that put a program under strace. */
export function strace(...args: string[]): string[] {
  // Not with --seccomp-bpf: strace 6.1 then does not deliver the signal that it is to inject.
  return ['strace', '-f', '-qq', ...args];
}

/**
 * Find out how many calls an ADD and a DEL make by tracing them. Afterwards the container is not attached.
 *
 * `shared`: keys of the network beside its usual ones; `own`: those that the container has in place of the neighbour's.
 */
export function setScene(host: Host, shared: Config = {}, own: Config = {}): Scene {
  const { config: network } = networkInUse(host, shared);
  const config = { ...network, ...own };
  const pod = host.addContainer('pod');
  const before = host.snapshot();
  const invocation = { config, container: pod };
  const trace = (command: Interrupted) => join(host.folder, `trace-${command}`);
  const under = (command: Interrupted) => strace('-e', `trace=${CALLS.join()}`, '-o', trace(command));
  mustAdd(host, { ...invocation, under: under('ADD') });
  mustPass(host, 'DEL', { ...invocation, under: under('DEL') });
  mustBeAsBefore(host, { pod, before });
  const counts = { ADD: countCalls(trace('ADD')), DEL: countCalls(trace('DEL')) };
  assert.ok((counts.ADD.get('sendto') ?? 0) >= 8, `an ADD sends ${counts.ADD.get('sendto')} messages only`);
  return { config, pod, before, invocation, counts };
}

function countCalls(trace: string): Map<Call, number> {
  const calls = [...readFileSync(trace, 'utf8').matchAll(/^\d+ +(\w+)\(/gm)].map((match) => match[1]);
  return new Map(CALLS.map((call) => [call, calls.filter((made) => made === call).length]));
}

/** Stop the Nth call of an ADD, or of a DEL, for each N. */
export function atEach(scene: Scene, call: Call, visit: (n: number) => void, command: Interrupted = 'ADD'): void {
  const count = scene.counts[command].get(call) ?? 0;
  assert.ok(count > 0, `${command} makes no ${call}`);
  for (let n = 1; n <= count; n++) visit(n);
}

/** Run an ADD, or a DEL, that is killed at its Nth call. */
export function kill(host: Host, { invocation }: Scene, call: Call, n: number, command: Interrupted = 'ADD'): void {
  const under = strace('-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${n}`, '-o', '/dev/null');
  const { code, signal, stdout } = host.invoke(command, { ...invocation, under });
  assert.ok(
    signal === 'SIGKILL' || code === 137,
    `${command} killed at ${call} ${n} ends with ${code} ${signal}: ${stdout}`,
  );
}

/** Run an ADD, or a DEL, whose Nth call the kernel refuses. */
export function refuse(
  host: Host,
  { invocation }: Scene,
  { call, errno, n }: { readonly call: Call; readonly errno: string; readonly n: number },
  command: Interrupted = 'ADD',
): Outcome {
  const under = strace('-e', `trace=${call}`, '-e', `inject=${call}:error=${errno}:when=${n}`, '-o', '/dev/null');
  return host.invoke(command, { ...invocation, under });
}
