// ADD, DEL and GC killed at every system call that changes something: the next DEL, GC or ADD finishes what was begun.
//
// After each kill one of the three follows in turn; PODLINK_FAULT_ROUNDS=all has all three follow each.

import { cases, type Reference } from '../harness/case.ts';
import { type FaultPoint, findFaultPoints, isQuestion, killAt } from '../harness/fault.ts';
import { type FaultScene, FaultTally, leftOf, RECOVERIES, setFaultScene } from '../harness/fault-scene.ts';
import type { Command, Host } from '../harness/host.ts';
import { mustAdd, mustPass } from '../harness/verdict.ts';

const { test, run } = cases('killed at each call');
const ABSENT: Reference = { absent: 'one process that could be stopped at each step' };
const EVERY_ROUND = process.env.PODLINK_FAULT_ROUNDS === 'all';

/** The recoveries that a point gets; `allowed` leaves out what is none after this command. */
function recoveriesOf(i: number, allowed: readonly string[]): typeof RECOVERIES {
  const possible = RECOVERIES.filter(([name]) => allowed.includes(name));
  return EVERY_ROUND ? possible : possible.slice(i % possible.length).slice(0, 1);
}

function killEverywhere(
  scene: FaultScene,
  command: Command,
  points: readonly FaultPoint[],
  recoveries: readonly string[],
  prepare: () => void,
): void {
  const { host, invocation, gc } = scene;
  const tally = new FaultTally();
  points
    .filter((point) => !isQuestion(point))
    .forEach((point, i) => {
      for (const [name, recover] of recoveriesOf(i, recoveries)) {
        tally.try(point, `${command} killed, then ${name}`, () => {
          prepare();
          try {
            killAt(host, command, command === 'GC' ? gc : invocation, point);
            recover(scene);
            return leftOf(scene);
          } finally {
            host.invoke('DEL', invocation); // so that the next point begins as this one did
          }
        });
      }
    });
  tally.finish();
}

/** Find where an ADD, and what takes it away, could be disturbed. */
function pointsOf({ host, invocation }: FaultScene, command: Command, under: () => FaultPoint[]): FaultPoint[] {
  if (command !== 'ADD') mustAdd(host, invocation);
  const points = under();
  if (command === 'ADD') mustPass(host, 'DEL', invocation);
  return points;
}

function sceneOf(host: Host): FaultScene {
  const scene = setFaultScene(host);
  // Once through, so that what is made for the first of all is there.
  mustAdd(host, scene.invocation);
  mustPass(host, 'DEL', scene.invocation);
  return scene;
}

test('ADD killed at each call: DEL, GC or another ADD leaves nothing of it', ABSENT, (host) => {
  const scene = sceneOf(host);
  const points = pointsOf(scene, 'ADD', () => findFaultPoints(host, 'ADD', scene.invocation));
  killEverywhere(scene, 'ADD', points, ['DEL', 'GC', 'ADD again'], () => undefined);
});

test('DEL killed at each call: the next DEL, or GC, finishes', ABSENT, (host) => {
  const scene = sceneOf(host);
  const points = pointsOf(scene, 'DEL', () => findFaultPoints(host, 'DEL', scene.invocation));
  killEverywhere(scene, 'DEL', points, ['DEL', 'GC'], () => void mustAdd(host, scene.invocation));
});

test('GC killed at each call: the next GC, or DEL, finishes', ABSENT, (host) => {
  const scene = sceneOf(host);
  const points = pointsOf(scene, 'GC', () => findFaultPoints(host, 'GC', scene.gc));
  killEverywhere(scene, 'GC', points, ['DEL', 'GC'], () => void mustAdd(host, scene.invocation));
});

run();
