import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ageSeconds, formatAge, formatTime } from './age.ts';

const test = suite('age');
const NOW = new Date('2026-11-21T12:00:00Z');

const AGES: readonly (readonly [created: string, age: string])[] = [
  ['2026-11-21T12:00:00Z', '0s'],
  ['2026-11-21T11:58:01Z', '119s'],
  ['2026-11-21T11:58:00Z', '2m'],
  ['2026-11-21T10:00:01Z', '119m'],
  ['2026-11-21T10:00:00Z', '2h'],
  ['2026-11-19T12:00:00Z', '2d'],
  ['2026-11-21T13:00:00Z', 'in the future'],
  ['yesterday', '?'],
];
for (const [created, age] of AGES) {
  test(`formatAge() of ${created} is ${age}`, () => assert.is(formatAge(created, NOW), age));
}

test('ageSeconds() is undefined for what is no time', () => {
  assert.is(ageSeconds('x', NOW), undefined);
  assert.is(ageSeconds('2026-11-21T11:59:59.900Z', NOW), 0);
});

test('formatTime() is readable, and leaves what is no time as it is', () => {
  assert.is(formatTime('2026-11-21T07:52:03.123Z'), '2026-11-21 07:52:03 UTC');
  assert.is(formatTime('x'), 'x');
});

test.run();
