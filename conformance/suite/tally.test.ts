import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Ending, tallyOf } from './tally.ts';

const test = suite('tally');

function ending(output: string, exitCode: number | null = 0, signal: string | null = null): Ending {
  return { output, exitCode, signal };
}

function totals(total: number, passed: number, skipped = 0): string {
  return `\n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   ${skipped}\n  Duration:  3.1ms\n\n`;
}

test('tallyOf() counts passed and failed tests', () => {
  const tally = tallyOf(ending(` names • • ✘   (2 / 3)\n${totals(3, 2)}`, 1));
  assert.equal(tally, { passed: 2, failed: 1, skips: [], problems: [] });
});

test('tallyOf() counts a SKIP line as skipped and not as passed', () => {
  const tally = tallyOf(ending(` vlan • SKIP bridge VLANs: the kernel has none\n•   (2 / 2)\n${totals(2, 2)}`));
  assert.equal(tally.passed, 1);
  assert.equal(tally.skips, [{ title: 'bridge VLANs', reason: 'the kernel has none' }]);
  assert.is(tally.failed, 0);
});

test('tallyOf() takes a crash for a failure', () => {
  assert.is(tallyOf(ending('SyntaxError: x', 1)).failed, 1);
  assert.match(tallyOf(ending(' names • ', null, 'SIGSEGV')).problems[0] ?? '', /SIGSEGV/);
});

test('tallyOf() takes an exit code that no test explains for a failure', () => {
  assert.equal(tallyOf(ending(totals(2, 2), 1)).problems, ['ended with exit code 1']);
});

test('tallyOf() takes a file without tests for a failure', () => {
  assert.equal(tallyOf(ending(totals(0, 0))).problems, ['executed no test']);
});

test('tallyOf() takes tests left out without a reason for a failure', () => {
  assert.is(tallyOf(ending(totals(2, 2, 3))).failed, 1);
});

test('tallyOf() does not take a title that begins with another word for a skip', () => {
  assert.is(tallyOf(ending(`NOSKIP a: b\n${totals(1, 1)}`)).skips.length, 0);
});

test.run();
