// An ADD that is killed at any of its calls: DEL leaves nothing of it, with and without the namespace.

import { everyFeature, mustBeAsBefore } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import { atEach, CALLS, kill, setScene } from '../harness/interruption.ts';
import { mustPass } from '../harness/verdict.ts';

const { test, run } = cases('killed ADD');
const ABSENT: Reference = { absent: 'one process that could be stopped at each step' };

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

test('killed at every third message with every feature: DEL leaves nothing', ABSENT, (host) => {
  const scene = setScene(host, everyFeature(9000), everyFeature(8000));
  atEach(scene, 'sendto', (n) => {
    if (n % 3 !== 0) return;
    kill(host, scene, 'sendto', n);
    mustPass(host, 'DEL', scene.invocation);
    mustBeAsBefore(host, scene);
  });
});

run();
