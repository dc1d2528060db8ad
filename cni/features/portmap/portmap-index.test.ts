import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SeededRandom } from '../../kernel/testing/random.ts';
import type { ClaimedPorts } from './portmap-claim.ts';
import { PortIndex } from './portmap-index.ts';

const test = suite('index of ports');

const FAMILIES = [4, 6] as const;
const ADDRESSES = [undefined, undefined, '192.0.2.1', '192.0.2.2'];

/** Few protocols, addresses and ports, so that much overlaps and much touches. */
function randomPorts(random: SeededRandom, maxPort: number): ClaimedPorts {
  const firstPort = 1 + random.below(maxPort);
  const lastPort = random.below(3) === 0 ? firstPort + random.below(10) : firstPort;
  const hostIp = ADDRESSES[random.below(ADDRESSES.length)];
  return { family: random.pick(FAMILIES), protocol: random.pick([6, 17]), hostIp, firstPort, lastPort };
}

function isOverlapping(a: ClaimedPorts, b: ClaimedPorts): boolean {
  return (
    a.family === b.family &&
    a.protocol === b.protocol &&
    (a.hostIp === undefined || b.hostIp === undefined || a.hostIp === b.hostIp) &&
    a.firstPort <= b.lastPort &&
    b.firstPort <= a.lastPort
  );
}

test('overlapping() finds what comparing each with each finds', () => {
  const random = new SeededRandom(16);
  for (let round = 0; round < 200; round++) {
    const items = Array.from({ length: random.below(60) }, () => randomPorts(random, 50));
    const index = new PortIndex(items);
    for (let i = 0; i < 20; i++) {
      const ports = randomPorts(random, 60);
      const expected = items.filter((item) => isOverlapping(item, ports));
      const found = index.overlapping(ports);
      assert.equal(new Set(found), new Set(expected), `round ${round}: ${JSON.stringify(ports)}`);
      assert.is(found.length, expected.length);
    }
  }
});

test('overlapping() looks at no more of many than it finds, but for a few', () => {
  let looks = 0;
  const watched = (firstPort: number) => ({
    family: 4 as const,
    protocol: 6,
    hostIp: undefined,
    firstPort,
    get lastPort() {
      looks++;
      return firstPort;
    },
  });
  const index = new PortIndex(Array.from({ length: 20_000 }, (_, i) => watched(2 * i + 1)));
  looks = 0;
  for (let port = 1; port <= 40_000; port++) {
    const ports = { family: 4 as const, protocol: 6, hostIp: undefined, firstPort: port, lastPort: port };
    assert.is(index.overlapping(ports).length, port % 2);
  }
  assert.ok(looks <= 40_000, `${looks} looks`);
});

test.run();
