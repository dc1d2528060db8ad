// A container in two networks with the same ports, and a call that is killed while it waits for them or hands them over: the
// DEL that follows leaves them with the other network, and nothing else. What 600 kills has one network.

import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import { FaultTally } from '../harness/fault-scene.ts';
import { type FaultPoint, findFaultPoints, isQuestion, killAt } from '../harness/fault.ts';
import { allAt, holdersOf, networkOf } from '../harness/port-networks.ts';
import { resultOf } from '../harness/verdict.ts';
import { mustPassWhole } from '../harness/whole-chain.ts';

const { test, run } = cases('killed with ports in two networks');
const OURS: Reference = { absent: 'elements that tell their owner' };

/** Its requests to the kernel, and the records: case 600 has the rest of a call. */
function isAboutPorts(point: FaultPoint): boolean {
  const { call, path = '' } = point;
  return !isQuestion(point) && (call.startsWith('send') || /\/(attachments|locks)\//.test(path));
}

for (const command of ['ADD', 'DEL'] as const) {
  test(
    `${command} of one of two networks killed at each call: its DEL leaves the ports with the other`,
    OURS,
    (host) => {
      const container = host.addContainer();
      const [first, second] = [networkOf(host, 0), networkOf(host, 1)].map((each) => ({ ...each, container }));
      if (!first || !second) throw new Error('There are two networks');
      // Of ADD the second, which has to wait; of DEL the first, which hands over.
      const [victim, other] = command === 'ADD' ? [second, first] : [first, second];
      const addBoth = (): void => {
        for (const invocation of [first, second]) resultOf(host.invoke('ADD', invocation), invocation.config);
      };
      const prepare = (): void =>
        command === 'ADD' ? void resultOf(host.invoke('ADD', other), other.config) : addBoth();
      const removeBoth = (): void => {
        for (const invocation of [victim, other]) mustPassWhole(host, 'DEL', invocation);
      };
      // Once through, so that what is made for the first of all is there.
      addBoth();
      removeBoth();
      prepare();
      const points = findFaultPoints(host, command, victim).filter(isAboutPorts);
      removeBoth();
      const before = host.snapshot();
      const tally = new FaultTally();
      for (const point of points) {
        tally.try(point, `${command} killed, then DEL`, () => {
          prepare();
          try {
            killAt(host, command, victim, point);
            mustPassWhole(host, 'DEL', victim);
            assert.equal(holdersOf(host), allAt(other.ifname));
          } finally {
            for (const invocation of [victim, other]) host.invoke('DEL', invocation);
          }
          const left = host.leftSince(before);
          return left.length === 0 ? undefined : left.join('\n');
        });
      }
      tally.finish();
    },
  );
}

run();
