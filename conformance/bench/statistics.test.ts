import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { maximumOf, medianOf, p95Of } from './statistics.ts';

const test = suite('bench statistics');

test('medianOf() gives the middle one, or the mean of two', () => {
  assert.equal([medianOf([9]), medianOf([30, 1, 2]), medianOf([4, 1, 100, 2])], [9, 2, 3]);
});

test('p95Of() gives the nearest rank: of few the largest, of a hundred the 95th', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.equal([p95Of([3]), p95Of([1, 50, 2]), p95Of(hundred)], [3, 50, 95]);
});

test('an empty series has no median, no p95 and no maximum', () => {
  assert.equal([medianOf([]), p95Of([]), maximumOf([])].map(Number.isNaN), [true, true, true]);
});

test('the series itself is not sorted', () => {
  const series = [3, 1, 2];
  medianOf(series);
  p95Of(series);
  assert.equal(series, [3, 1, 2]);
});

test.run();
