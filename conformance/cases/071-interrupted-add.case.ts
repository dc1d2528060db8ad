// An ADD that is killed, or that the kernel refuses something, at each message it sends: what it sends is found out by
// tracing one that is left in peace. After a kill DEL leaves nothing, and so does a second ADD with its DEL; a refusal
// leaves nothing by itself.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { mustBeAsBefore, networkInUse } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { Config, ErrorDocument } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import type { Snapshot } from '../harness/snapshot.ts';
import { canPing } from '../harness/traffic.ts';
import { mustAdd, mustPass } from '../harness/verdict.ts';

const { test, run } = cases('interrupted ADD');
const ABSENT: Reference = { absent: 'one process that could be stopped at each step' };
/** What changes something: messages to the kernel, and files put in place. */
const CALLS = ['sendto', 'rename', 'link', 'unlink'] as const;
type Call = (typeof CALLS)[number];

interface Scene {
  readonly config: Config;
  readonly pod: Namespace;
  readonly before: Snapshot;
  readonly invocation: Invocation;
  /** How often an ADD makes each call. */
  readonly counts: ReadonlyMap<Call, number>;
}

function strace(...args: string[]): string[] {
  // Not with --seccomp-bpf: strace 6.1 then does not deliver the signal that it is to inject.
  return ['strace', '-f', '-qq', ...args];
}

function setScene(host: Host): Scene {
  const config = networkInUse(host);
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
function atEach(scene: Scene, call: Call, visit: (n: number) => void): void {
  const count = scene.counts.get(call) ?? 0;
  assert.ok(count > 0, `an ADD makes no ${call}`);
  for (let n = 1; n <= count; n++) visit(n);
}

function kill(host: Host, { invocation }: Scene, call: Call, n: number): void {
  const under = strace('-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${n}`, '-o', '/dev/null');
  const { code, signal, stdout } = host.invoke('ADD', { ...invocation, under });
  assert.ok(signal === 'SIGKILL' || code === 137, `ADD killed at ${call} ${n} ends with ${code} ${signal}: ${stdout}`);
}

for (const call of CALLS) {
  test(`killed at each ${call}: DEL leaves nothing`, ABSENT, (host) => {
    const scene = setScene(host);
    atEach(scene, call, (n) => {
      kill(host, scene, call, n);
      mustPass(host, 'DEL', scene.invocation);
      mustBeAsBefore(host, scene);
    });
  });
}

for (const call of ['sendto', 'rename'] as const) {
  test(`killed at each ${call}: the next ADD works, and its DEL leaves nothing`, ABSENT, (host) => {
    const scene = setScene(host);
    atEach(scene, call, (n) => {
      kill(host, scene, call, n);
      const result = mustAdd(host, scene.invocation);
      assert.is(result.ips?.length, 2, `addresses after a kill at ${call} ${n}`);
      assert.ok(canPing(scene.pod, '10.77.0.1'), `no ping after a kill at ${call} ${n}`);
      mustPass(host, 'DEL', scene.invocation);
      mustBeAsBefore(host, scene);
    });
  });
}

test('killed at each message with the namespace gone afterwards: DEL without it leaves nothing', ABSENT, (host) => {
  const scene = setScene(host);
  // The messages that make something come late: half of them will do.
  atEach(scene, 'sendto', (n) => {
    if (n % 2 === 0) return;
    kill(host, scene, 'sendto', n);
    mustPass(host, 'DEL', { ...scene.invocation, netns: '' });
    mustBeAsBefore(host, scene);
  });
});

for (const [call, errno] of [
  ['sendto', 'ENOBUFS'],
  ['rename', 'ENOSPC'],
  ['link', 'EROFS'],
] as const) {
  test(`refused ${errno} at each ${call}: succeeds all the same or leaves nothing`, ABSENT, (host) => {
    const scene = setScene(host);
    let failures = 0;
    atEach(scene, call, (n) => {
      const inject = `inject=${call}:error=${errno}:when=${n}`;
      const under = strace('-e', `trace=${call}`, '-e', inject, '-o', '/dev/null');
      const outcome = host.invoke('ADD', { ...scene.invocation, under });
      const where = `${call} ${n}: ${outcome.stdout}${outcome.stderr}`;
      if (outcome.code === 0) mustPass(host, 'DEL', scene.invocation);
      else {
        failures += 1;
        const { code, msg } = outcome.json as ErrorDocument;
        assert.ok([5, 100].includes(code), `code of the error at ${where}`);
        assert.match(msg, /^[A-Z]/);
      }
      mustBeAsBefore(host, scene);
    });
    assert.ok(failures > 0, `no ADD minds a failing ${call}`);
  });
}

test('the namespace vanishes between: a failure that leaves nothing, or a success that DEL takes away', ABSENT, async (host) => {
  const scene = setScene(host);
  const delay = strace('-e', 'trace=rename', '-e', 'inject=rename:delay_enter=400000:when=1', '-o', '/dev/null');
  const adding = host.start('ADD', { ...scene.invocation, under: delay });
  await new Promise((resolve) => setTimeout(resolve, 250));
  scene.pod.remove();
  const outcome = await adding;
  assert.ok(outcome.json, `prints no JSON: ${outcome.stdout}`);
  if (outcome.code !== 0) mustBeAsBefore(host, scene);
  mustPass(host, 'DEL', scene.invocation);
  mustBeAsBefore(host, scene);
});

run();
