// An ADD that the kernel refuses one of its calls, or whose namespace vanishes under it, leaves nothing by itself.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { everyFeature, mustBeAsBefore } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { ErrorDocument } from '../harness/document.ts';
import { atEach, refuse, setScene, strace } from '../harness/interruption.ts';
import { mustPass } from '../harness/verdict.ts';

const { test, run } = cases('ADD with refused calls');
const ABSENT: Reference = { absent: 'one process that could be stopped at each step' };

for (const [call, errno] of [
  ['sendto', 'ENOBUFS'],
  ['rename', 'ENOSPC'],
  ['link', 'EROFS'],
] as const) {
  test(`refused ${errno} at each ${call}: succeeds all the same or leaves nothing`, ABSENT, (host) => {
    const scene = setScene(host);
    let failures = 0;
    atEach(scene, call, (n) => {
      const outcome = refuse(host, scene, { call, errno, n });
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

test('refused at every third message with every feature: leaves nothing', ABSENT, (host) => {
  const scene = setScene(host, everyFeature(9000), everyFeature(8000));
  let failures = 0;
  atEach(scene, 'sendto', (n) => {
    if (n % 3 !== 1) return;
    const { code } = refuse(host, scene, { call: 'sendto', errno: 'ENOBUFS', n });
    if (code === 0) mustPass(host, 'DEL', scene.invocation);
    else failures += 1;
    mustBeAsBefore(host, scene);
  });
  assert.ok(failures > 0, 'no ADD minds a refused message');
});

test(
  'the namespace vanishes between: a failure that leaves nothing, or a success that DEL takes away',
  ABSENT,
  async (host) => {
    const scene = setScene(host);
    const delay = strace('-e', 'trace=rename', '-e', 'inject=rename:delay_enter=400000:when=1', '-o', '/dev/null');
    const adding = host.start('ADD', { ...scene.invocation, under: delay });
    const records = join(host.runDir, 'attachments', 'pods');
    // The call that is delayed puts the record in place: everything the namespace is needed for comes after it.
    for (const deadline = performance.now() + 10_000; ; ) {
      if (readdirSync(records).includes(`${scene.pod.name}.eth0.json.tmp`)) break;
      assert.ok(performance.now() < deadline, 'no record is being written');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    scene.pod.remove();
    const outcome = await adding;
    assert.ok(outcome.json, `prints no JSON: ${outcome.stdout}`);
    if (outcome.code !== 0) mustBeAsBefore(host, scene);
    mustPass(host, 'DEL', scene.invocation);
    mustBeAsBefore(host, scene);
  },
);

run();
