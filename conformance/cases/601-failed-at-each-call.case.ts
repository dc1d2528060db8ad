// ADD, DEL and GC with an error at every system call that changes something or asks for it: the answer has a code of its
// own, a failed ADD leaves nothing by itself, and a failed DEL or GC is finished by the next.

import { cases, type Reference } from '../harness/case.ts';
import { failAt, type FaultPoint, findAnswers, findFaultPoints } from '../harness/fault.ts';
import { faultOf, FaultTally, leftAfterError, setFaultScene } from '../harness/fault-scene.ts';
import type { Outcome } from '../harness/host.ts';
import { mustAdd, mustPass } from '../harness/verdict.ts';

const { test, run } = cases('an error at each call');
const ABSENT: Reference = { absent: 'one process that could be disturbed at each step' };
/** The way back out of a namespace: a process that is in the wrong one must not go on. */
function mayAbort({ call }: FaultPoint, { code, signal }: Outcome): boolean {
  return call === 'setns' && (signal === 'SIGABRT' || code === 134);
}

for (const [what, find] of [
  ['an error at each call of ADD', findFaultPoints],
  ["each of the kernel's answers to ADD lost", findAnswers],
] as const) {
  test(`${what}: success, or an error with a code that leaves nothing`, ABSENT, (host) => {
    const scene = setFaultScene(host);
    const points = find(host, 'ADD', scene.invocation);
    mustPass(host, 'DEL', scene.invocation);
    const tally = new FaultTally();
    for (const point of points) {
      tally.try(point, 'ADD', () => {
        const outcome = failAt(host, 'ADD', scene.invocation, point);
        try {
          if (outcome.code === 0 || mayAbort(point, outcome)) mustPass(host, 'DEL', scene.invocation);
          else if (faultOf(outcome) !== undefined) return faultOf(outcome);
          return leftAfterError(scene);
        } finally {
          host.invoke('DEL', scene.invocation);
        }
      });
    }
    tally.finish();
  });
}

for (const command of ['DEL', 'GC'] as const) {
  test(
    `an error at each call of ${command}: success, or an error with a code, and the next one finishes`,
    ABSENT,
    (host) => {
      const scene = setFaultScene(host);
      const invocation = command === 'GC' ? scene.gc : scene.invocation;
      mustAdd(host, scene.invocation);
      const points = findFaultPoints(host, command, invocation);
      const tally = new FaultTally();
      for (const point of points) {
        tally.try(point, command, () => {
          mustAdd(host, scene.invocation);
          try {
            const outcome = failAt(host, command, invocation, point);
            if (faultOf(outcome) !== undefined && !mayAbort(point, outcome)) return faultOf(outcome);
            if (outcome.code !== 0) mustPass(host, command, invocation);
            return leftAfterError(scene);
          } finally {
            host.invoke('DEL', scene.invocation);
          }
        });
      }
      tally.finish();
    },
  );
}

run();
