import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCniArgs, readCniArgs } from './args.ts';

const test = suite('args');

const PARSED: readonly (readonly [text: string, entries: readonly (readonly [string, string])[]])[] = [
  ['', []],
  [';', []],
  ['A=1', [['A', '1']]],
  ['A=1;', [['A', '1']]],
  [
    'A=1;;B=2',
    [
      ['A', '1'],
      ['B', '2'],
    ],
  ],
  ['A=b=c==', [['A', 'b=c==']]],
  ['A=', [['A', '']]],
  ['A=1;A=2', [['A', '2']]],
  [
    'a=1;A=2',
    [
      ['a', '1'],
      ['A', '2'],
    ],
  ],
  [
    'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart',
    [
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAMESPACE', 'shop'],
      ['K8S_POD_NAME', 'cart'],
    ],
  ],
  ['__proto__=x', [['__proto__', 'x']]],
];
for (const [text, entries] of PARSED) {
  test(`parseCniArgs() reads "${text}"`, () => assert.equal([...parseCniArgs(text)], entries));
}

for (const [text, malformed, rest] of [
  ['A', 'A', []],
  ['A=1;IP', 'IP', ['A']],
  ['A=1;=2', '=2', ['A']],
  ['A=1; ;B=2', ' ', ['A', 'B']],
  ['none;=x;A=1', 'none', ['A']],
  ['A=1;B=2', undefined, ['A', 'B']],
] as const) {
  test(`readCniArgs() of "${text}" tells of the first malformed piece, and reads the others`, () => {
    const read = readCniArgs(text);
    assert.is(read.malformed, malformed);
    assert.equal([...read.args.keys()], rest);
  });
}

test.run();
