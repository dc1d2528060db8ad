import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCniArgs } from './args.ts';
import { CniError } from './errors.ts';

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

for (const [text, piece] of [
  ['A', 'A'],
  ['A=1;IP', 'IP'],
  ['A=1;=2', '=2'],
  ['A=1; ;B=2', ' '],
] as const) {
  test(`parseCniArgs() refuses "${text}" and names the piece`, () => {
    assert.throws(
      () => parseCniArgs(text),
      (error: unknown) =>
        error instanceof CniError &&
        error.code === 4 &&
        error.message === `Invalid CNI_ARGS: "${piece}" must be KEY=VALUE`,
    );
  });
}

test.run();
