import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseTrace } from './phases.ts';

const test = suite('bench phases');

test('parseTrace() reads names with spaces, and leaves the total apart', () => {
  const trace = parseTrace('podlink: ADD: start 31.20, record again 0.41, total 31.61 ms\n');
  assert.equal(trace, {
    phases: [
      ['start', 31.2],
      ['record again', 0.41],
    ],
    totalMs: 31.61,
  });
});

test('parseTrace() refuses what is no trace', () => {
  for (const text of ['', 'podlink: warning\n', 'podlink: ADD: start 1.00 ms\n'])
    assert.throws(
      () => parseTrace(text),
      (error: Error) => /Not the trace/.test(error.message),
    );
});

test.run();
