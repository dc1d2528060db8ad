import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type BandwidthShape, shapeOf } from './bandwidth-shape.ts';

const test = suite('bandwidth shape');

function shape(bitsPerSecond: number, burstBits?: number, mtu = 1500): BandwidthShape & { warnings: string[] } {
  const warnings: string[] = [];
  const limit = { bitsPerSecond, burstBits, burstPath: 'ingressBurst' };
  return { ...shapeOf(limit, mtu, (message) => warnings.push(message)), warnings };
}

test('shapeOf() keeps a burst that is sane', () => {
  assert.equal(shape(8e6, 8e5), { bytesPerSecond: 1e6, burstBytes: 1e5, limitBytes: 125_000, warnings: [] });
  assert.equal(shape(8e6, 8e6).burstBytes, 1e6, 'one second');
  assert.equal(shape(2e6, 1518 * 8).burstBytes, 1518, 'one packet');
});

test('shapeOf() chooses a tenth of a second without a burst, and says nothing', () => {
  assert.equal(shape(8e6), { bytesPerSecond: 1e6, burstBytes: 1e5, limitBytes: 125_000, warnings: [] });
  assert.equal([shape(8e3).burstBytes, shape(8e3, undefined, 9000).burstBytes], [1518, 9018], 'but one packet');
  assert.equal(shape(8e3).warnings, []);
});

test('shapeOf() replaces a burst that defeats the limit', () => {
  const { burstBytes, warnings } = shape(1e7, 2 ** 31 - 1);
  assert.is(burstBytes, 125_000);
  assert.equal(warnings, [
    '"ingressBurst" of 2147483647 bits is so much that the limit would not hold: 1000000 bits are used instead',
  ]);
  assert.is(shape(8e6, 8e6 + 8).burstBytes, 1e5, 'a byte more than a second');
  assert.equal(shape(1e10, 2 ** 31 - 1), {
    bytesPerSecond: 1.25e9,
    burstBytes: 268_435_455,
    limitBytes: 299_685_455,
    warnings: [],
  });
});

test('shapeOf() raises a burst with which the limit is never reached', () => {
  const { burstBytes, warnings } = shape(2e6, 800);
  assert.is(burstBytes, 1518);
  assert.equal(warnings, [
    '"ingressBurst" of 800 bits is too little for the limit to be reached: 12144 bits are used instead',
  ]);
  assert.is(shape(8e9, 8e5).burstBytes, 4e6, 'four milliseconds');
});

test('shapeOf() lets one packet pass at the slowest rate, though it takes more than a second', () => {
  assert.equal(shape(8), { bytesPerSecond: 1, burstBytes: 1518, limitBytes: 1519, warnings: [] });
  assert.equal(shape(8, 1518 * 8).warnings, []);
});

test('shapeOf() stays within 32 bits', () => {
  for (const rate of [1e13, 2 ** 63, 2 ** 64]) {
    const { bytesPerSecond, burstBytes, limitBytes } = shape(rate);
    assert.equal([bytesPerSecond, burstBytes, limitBytes], [rate / 8, 0xffffffff, 0xffffffff]);
  }
  assert.is(shape(2 ** 40, 2 ** 40).burstBytes, 0xffffffff);
});

test.run();
