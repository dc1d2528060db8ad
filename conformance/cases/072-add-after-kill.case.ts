// After an ADD that was killed at any of its calls the next one works, and its DEL leaves nothing.

import * as assert from 'uvu/assert';
import { mustBeAsBefore } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import { atEach, kill, setScene } from '../harness/interruption.ts';
import { canPing } from '../harness/traffic.ts';
import { mustAdd, mustPass } from '../harness/verdict.ts';

const { test, run } = cases('ADD after a killed one');
const ABSENT: Reference = { absent: 'one process that could be stopped at each step' };

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

run();
