import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Stopwatch } from './stopwatch.ts';

const test = suite('stopwatch');

test('mark() counts the first phase from the start of the process, and the others from mark to mark', () => {
  const before = process.uptime() * 1000;
  const stopwatch = new Stopwatch();
  stopwatch.mark('start');
  stopwatch.mark('parse');
  const [start, parse] = stopwatch.phases;
  assert.equal([start?.name, parse?.name], ['start', 'parse']);
  assert.ok((start?.ms ?? 0) >= before);
  assert.ok((parse?.ms ?? -1) >= 0 && (parse?.ms ?? 99) < 50);
  assert.is(stopwatch.totalMs, (start?.ms ?? 0) + (parse?.ms ?? 0));
});

test('toString() names every phase and the total', () => {
  const stopwatch = new Stopwatch();
  stopwatch.mark('start');
  stopwatch.mark('ipam');
  assert.match(String(stopwatch), /^start \d+\.\d\d, ipam \d+\.\d\d, total \d+\.\d\d ms$/);
});

test.run();
