import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatUtc } from './utc.ts';

const test = suite('ipam utc');

test('formatUtc() agrees with Date on every day of 1970 to 2500, and on any moment', () => {
  const end = Date.UTC(2500, 0, 1);
  // Somewhat less than a day: each day at another time of it.
  for (let ms = 0; ms < end; ms += 86_399_987) assert.is(formatUtc(ms), new Date(ms).toISOString());
  for (const text of [
    '1970-01-01T00:00:00.000Z',
    '2000-02-29T23:59:59.999Z',
    '2100-02-28T23:59:59.999Z',
    '2100-03-01T00:00:00.000Z',
    '9999-12-31T23:59:59.999Z',
  ])
    assert.is(formatUtc(Date.parse(text)), text);
});

test.run();
