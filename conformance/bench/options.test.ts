import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseOptions } from './options.ts';
import { roundsOf, SECTIONS } from './section.ts';

const test = suite('bench options');

const saysOf = (...argv: string[]): string => {
  try {
    parseOptions(argv);
  } catch (error) {
    return (error as Error).message;
  }
  return 'no error';
};

test('parseOptions() takes all sections and 30 rounds when nothing is said', () => {
  const { rounds, sections, write } = parseOptions([]);
  assert.equal([rounds, sections, write], [30, SECTIONS.map(({ name }) => name), false]);
});

test('parseOptions() gives the chosen sections once and in the order of the table', () => {
  assert.equal(parseOptions(['--only', 'phases,bridge,phases']).sections, ['bridge', 'phases']);
});

test('parseOptions() names a wrong option and what it must be', () => {
  assert.match(saysOf('--only', 'bridge,chains'), /"chains": must be one of bridge, chain, burst/);
  for (const rounds of ['0', '-1', '1.5', 'x', '', '10000']) assert.match(saysOf(`--rounds=${rounds}`), /--rounds is/);
  assert.match(saysOf('--write', '--only', 'bridge'), /leave out --only/);
  assert.match(saysOf('--wirte'), /--wirte/);
});

test('roundsOf() gives long sections fewer rounds, but not more than are asked for', () => {
  assert.equal(
    [roundsOf('chain', 30), roundsOf('burst', 30), roundsOf('burst', 5), roundsOf('burst', 2)],
    [30, 6, 3, 2],
  );
});

test.run();
