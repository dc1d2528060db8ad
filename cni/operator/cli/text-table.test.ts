import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { count, formatPairs, formatTable, PLAIN, printable, styleFor, wrap } from './text-table.ts';

const test = suite('text table');

test('formatTable() aligns columns, shows "-" for nothing and has no space at the end of a line', () => {
  const text = formatTable(
    ['NAME', 'X', 'LAST'],
    [
      ['a', '', 'b'],
      ['longer', { text: 'y', colour: 'red' }, ''],
    ],
    PLAIN,
  );
  assert.is(text, 'NAME    X  LAST\na       -  b\nlonger  y  -');
});

test('formatTable() without rows is its titles', () => assert.is(formatTable(['A', 'B'], [], PLAIN), 'A  B'));

test('formatTable() pads by what is to be seen, not by colours', () => {
  const bracket = (_: string, text: string) => `<${text}>`;
  const rows = [
    [{ text: 'ab', colour: 'red' as const }, 'x'],
    ['abcd', 'y'],
  ];
  assert.is(formatTable(['N', 'M'], rows, bracket), '<N     M>\n<ab>    x\nabcd  y');
});

test('formatTable() and formatPairs() show control characters as escapes', () => {
  assert.match(formatTable(['A'], [['x\u001b[31mred\n']], PLAIN), /x\\u001b\[31mred\\n/);
  assert.is(formatPairs([['name', 'a\u0007']]), 'name:  a\\u0007');
});

test('formatPairs() gives each of several values a line', () => {
  assert.is(
    formatPairs([
      ['routes', ['a', 'b']],
      ['x', ''],
    ]),
    'routes:  a\n         b\nx:       -',
  );
});

test('wrap() breaks at spaces and never in a word', () => {
  assert.equal(wrap('aa bb cc', 5), ['aa bb', 'cc']);
  assert.equal(wrap('aaaaaaaaaa b', 5), ['aaaaaaaaaa', 'b']);
  assert.equal(wrap('', 5), ['']);
});

test('wrap() keeps a command whole that somebody is to copy', () => {
  assert.equal(wrap('run `ip link set lo up` now', 9), ['run', '`ip link set lo up`', 'now']);
  assert.equal(wrap('then "podlink gc", or wait', 12), ['then', '"podlink gc",', 'or wait']);
  assert.equal(wrap('a "quoted word" is no command', 9), ['a "quoted', 'word" is', 'no', 'command']);
});

test('styleFor() colours only for a terminal', () => {
  assert.is(styleFor(false)('red', 'x'), 'x');
  assert.is(styleFor(true)('red', 'x'), '\u001b[31mx\u001b[39m');
});

test('count() knows one from many', () => {
  assert.is(count(1, 'network'), '1 network');
  assert.is(count(0, 'network'), '0 networks');
  assert.is(count(2, 'address', 'addresses'), '2 addresses');
  assert.is(printable('plain'), 'plain');
});

test.run();
