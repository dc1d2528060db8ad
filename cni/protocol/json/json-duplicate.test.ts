import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findDuplicateKey } from './json-duplicate.ts';
import { seededRandom } from '../testing/mutation.ts';

const test = suite('duplicate keys');

const ROWS: readonly (readonly [string, string | undefined])[] = [
  ['{}', undefined],
  ['{"a":1,"b":1}', undefined],
  ['{"a":1,"a":1}', 'a'],
  ['{"a" :\n1 ,\t"a"\n: 2}', 'a'],
  ['{"a":{"b":1},"c":{"b":1}}', undefined],
  ['{"a":{"b":1,"c":[],"b":1}}', 'a.b'],
  ['{"l":[{"x":1},{"x":1}]}', undefined],
  ['{"l":[{"x":1},{"x":1,"y":[[{"z":0,"z":0}]]}]}', 'l[1].y[0][0].z'],
  ['{"a":1,"\\u0061":2}', 'a'],
  ['{"\\"":1,"\\u0022":2}', '"'],
  ['{"\\\\":1,"\\\\":2}', '\\'],
  ['{"\\\\\\"a":1,"b\\\\":":"}', undefined],
  ['{"a:b":":\\":\\"","c":"a\\\\"}', undefined],
  ['{"a":":","b":"\\\\\\":","a":0}', 'a'],
  ['{"net.core.x":"1","net.core.x":"2"}', 'net.core.x'],
  ['{"sysctl":{"net.core.x":"1","net.core.x":"1"}}', 'sysctl.net.core.x'],
  ['{"__proto__":1,"__proto__":2}', '__proto__'],
  ['{"__proto__":{"a":1},"constructor":2}', undefined],
  ['{"toString":1}', undefined],
  ['{"a":1,"A":2}', undefined],
  ['{"1":1,"1":2}', '1'],
  ['{"":1,"":2}', ''],
  ['[{"a":1},"a","a",null,{"b":null,"b":null}]', '[4].b'],
  ['{"a":{"a":{"a":{}}}}', undefined],
  ['{"a":{"a":1,"b":{"a":1}},"b":1,"a":{}}', 'a'],
  ['"a:\\"b"', undefined],
];
for (const [text, path] of ROWS) {
  test(`findDuplicateKey() of ${text}`, () => assert.is(findDuplicateKey(text, JSON.parse(text)), path));
}

test('findDuplicateKey() finds one among thousands of random documents, and none in the same without it', () => {
  const next = seededRandom(77);
  const random = (below: number): number => Math.floor(next() * below);
  const words = ['a', 'b:', '"', '\\', '\\"', ':', ',', '{', '}', '[', 'é', '\n', '":'];
  const word = (): string => Array.from({ length: random(4) }, () => words[random(words.length)]).join('');
  const document = (depth: number): unknown => {
    const kind = depth > 3 ? 0 : random(3);
    if (kind === 0) return word();
    if (kind === 1) return Array.from({ length: random(3) }, () => document(depth + 1));
    return Object.fromEntries(Array.from({ length: random(4) }, () => [word(), document(depth + 1)]));
  };
  let tried = 0;
  for (let round = 0; round < 3000; round++) {
    const text = JSON.stringify(document(0), undefined, random(3));
    assert.is(findDuplicateKey(text, JSON.parse(text)), undefined, text);
    if (!/^\{\s*"/.test(text)) continue;
    const [key = ''] = Object.keys(JSON.parse(text));
    const twice = text.replace(/\s*\}$/, `,${JSON.stringify(key)} : [{"a":":"}]}`);
    assert.is(findDuplicateKey(twice, JSON.parse(twice)), key, twice);
    tried++;
  }
  assert.ok(tried > 300, `${tried} with a key twice`);
});

test.run();
