import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { editDistance, nearestWord, suggest } from './spelling.ts';

const test = suite('spelling');

const DISTANCES: readonly (readonly [string, string, number])[] = [
  ['', '', 0],
  ['', 'abc', 3],
  ['abc', '', 3],
  ['bridge', 'bridge', 0],
  ['bridge', 'bridgr', 1],
  ['brdige', 'bridge', 1],
  ['isgatway', 'isgateway', 1],
  ['kitten', 'sitting', 3],
];
for (const [a, b, distance] of DISTANCES) {
  test(`editDistance() of "${a}" and "${b}" is ${distance}, either way`, () => {
    assert.is(editDistance(a, b), distance);
    assert.is(editDistance(b, a), distance);
  });
}

test('nearestWord() takes the nearest, whatever its case, and nothing that is far away', () => {
  const words = ['isGateway', 'isDefaultGateway', 'ipMasq', 'mtu'];
  assert.is(nearestWord('isgatway', words), 'isGateway');
  assert.is(nearestWord('ipmask', words), 'ipMasq');
  assert.is(nearestWord('MTU', words), 'mtu');
  assert.is(nearestWord('mtx', words), 'mtu');
  assert.is(nearestWord('flannel', words), undefined);
  assert.is(nearestWord('x', []), undefined);
});

test('suggest() is a question, or nothing', () => {
  assert.is(suggest('brige', ['bridge']), '; did you mean "bridge"?');
  assert.is(suggest('zzz', ['bridge']), '');
});

test.run();
