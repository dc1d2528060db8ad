import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { emptyTakenMap, PAGE_BYTES, TakenMap } from './taken-map.ts';

const test = suite('ipam taken map');

test('skipTaken() finds the first clear bit, across bytes and pages, and never beyond the end', () => {
  const map = emptyTakenMap();
  const base = 0x0a000000n;
  for (let i = 3n; i < 9000n; i++) map.set(4, base + i, true);
  map.set(4, base + 8191n, false);
  for (const [from, to, expected] of [
    [0n, 10n, 0n],
    [3n, 20n, undefined],
    [3n, 8190n, undefined],
    [3n, 8191n, 8191n],
    [8191n, 8191n, 8191n],
    [8192n, 9000n, 9000n],
    [8192n, 100_000_000n, 9000n],
    [9001n, 9001n, 9001n],
    [10n, 9n, undefined],
  ] as const)
    assert.is(
      map.skipTaken(4, base + from, base + to),
      expected === undefined ? undefined : base + expected,
      `${from}`,
    );
  assert.is(map.skipTaken(6, base + 5n, base + 9n), base + 5n, 'the same number of the other family');
});

test('countTaken() counts between two addresses, also over a range of more pages than there are', () => {
  const map = emptyTakenMap();
  for (const number of [1n, 4095n, 4096n, 2n ** 63n, 2n ** 64n]) map.set(6, number, true);
  map.set(4, 1n, true);
  assert.is(map.countTaken(6, 0n, 2n ** 64n), 5);
  assert.is(map.countTaken(6, 1n, 4095n), 2);
  assert.is(map.countTaken(6, 2n, 4096n), 2);
  assert.is(map.countTaken(6, 4097n, 2n ** 64n - 1n), 1);
  assert.is(map.countTaken(4, 0n, 2n ** 32n - 1n), 1);
});

test('set() tells which byte of which page has changed, and when there is no bit left in it', () => {
  const map = emptyTakenMap();
  const { bytes, ...change } = map.set(4, 0x0a100009n, true);
  assert.equal(change, { name: '4-a100', position: 1, isNew: true, isEmpty: false });
  assert.is(bytes.length, PAGE_BYTES);
  assert.is(bytes[1], 2);
  assert.is(map.isTaken(4, 0x0a100009n), true);
  assert.equal(map.entries(), [['4-a100', bytes]]);
  const again = { name: '4-a100', bytes, position: 1, isNew: false };
  assert.equal(map.set(4, 0x0a10000an, true), { ...again, isEmpty: false });
  assert.is(bytes[1], 6);
  assert.equal(map.set(4, 0x0a100010n, true), { ...again, position: 2, isEmpty: false });
  assert.equal(map.set(4, 0x0a100009n, false), { ...again, isEmpty: false });
  assert.equal(map.set(4, 0x0a10000an, false), { ...again, isEmpty: false }, 'another byte has a bit');
  assert.equal(map.set(4, 0x0a100010n, false), { ...again, position: 2, isEmpty: true });
  assert.is(map.isTaken(4, 0x0a100009n), false);
  assert.equal(map.entries(), []);
  assert.is(map.set(4, 0x0a100009n, true).isNew, true);
});

test('pages are read once, and only those that are asked about', () => {
  const asked: string[] = [];
  const map = new TakenMap({
    read(name) {
      asked.push(name);
      return name === '4-1' ? Buffer.alloc(PAGE_BYTES, 0xff) : undefined;
    },
    names: () => ['4-1', '6-1'],
  });
  assert.is(map.skipTaken(4, 4096n, 99_999n), 8192n);
  assert.is(map.skipTaken(4, 4100n, 99_999n), 8192n);
  assert.is(map.countTaken(4, 0n, 2n ** 32n - 1n), 4096);
  assert.equal(asked, ['4-1', '4-2']);
});

test.run();
