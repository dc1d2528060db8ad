// A DEL that is killed at any of its calls, or has one refused: what it left the next one removes, and the neighbour
// keeps everything meanwhile.

import * as assert from 'uvu/assert';
import { everyFeature, mustBeAsBefore } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { ErrorDocument } from '../harness/document.ts';
import { atEach, kill, refuse, setScene } from '../harness/interruption.ts';
import { canPing } from '../harness/traffic.ts';
import { mustAdd, mustPass } from '../harness/verdict.ts';

const { test, run } = cases('interrupted DEL');
const ABSENT: Reference = { absent: 'one process that could be stopped at each step' };

/** What the next call sees to: an index of the reservations that could not be kept up, and the empty file of a lock. */
const FOR_NEXT_CALL = /^[+-] file \S+\/\.podlink\/pods\/(owners|taken)\/|^\+ file \S+\.eth0\.lock ""$/;

for (const [call, errno] of [
  ['sendto', 'ENOBUFS'],
  ['unlink', 'EROFS'],
] as const) {
  // Of the many messages each has its turn in one test or the other.
  const isTurn = (n: number, turn: number) => call !== 'sendto' || n % 2 === turn;

  test(`killed at each ${call}: the next DEL leaves nothing`, ABSENT, (host) => {
    const scene = setScene(host, everyFeature(9000), everyFeature(8000));
    atEach(
      scene,
      call,
      (n) => {
        if (!isTurn(n, 0)) return;
        mustAdd(host, scene.invocation);
        kill(host, scene, call, n, 'DEL');
        mustPass(host, 'DEL', scene.invocation);
        mustBeAsBefore(host, scene);
      },
      'DEL',
    );
  });

  test(`refused ${errno} at each ${call}: says so or has done all, and the next DEL leaves nothing`, ABSENT, (host) => {
    const scene = setScene(host, everyFeature(9000), everyFeature(8000));
    let failures = 0;
    atEach(
      scene,
      call,
      (n) => {
        if (!isTurn(n, 1)) return;
        mustAdd(host, scene.invocation);
        const outcome = refuse(host, scene, { call, errno, n }, 'DEL');
        if (outcome.code === 0) mustBeAsBefore(host, scene, FOR_NEXT_CALL);
        else {
          failures += 1;
          const { code, msg } = outcome.json as ErrorDocument;
          assert.ok([5, 100, 104].includes(code), `code of the error at ${call} ${n}: ${outcome.stdout}`);
          assert.match(msg, /^Cannot /);
        }
        mustPass(host, 'DEL', scene.invocation);
        mustBeAsBefore(host, scene);
      },
      'DEL',
    );
    assert.ok(failures > 0, `no DEL minds a failing ${call}`);
  });
}

test('after a killed DEL the container can be attached anew', ABSENT, (host) => {
  const scene = setScene(host);
  atEach(
    scene,
    'sendto',
    (n) => {
      if (n % 2 === 0) return;
      mustAdd(host, scene.invocation);
      kill(host, scene, 'sendto', n, 'DEL');
      mustPass(host, 'DEL', { ...scene.invocation, netns: '' });
      mustAdd(host, scene.invocation);
      assert.ok(canPing(scene.pod, '10.77.0.1'), `no ping after a kill at message ${n}`);
      mustPass(host, 'DEL', scene.invocation);
      mustBeAsBefore(host, scene);
    },
    'DEL',
  );
});

run();
