import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { digestOf } from './digest.ts';

const test = suite('digest');

test("digestOf() is FNV-1a, 64 bits: its authors' test vectors", () => {
  assert.is(digestOf(''), 'cbf29ce484222325');
  assert.is(digestOf('a'), 'af63dc4c8601ec8c');
  assert.is(digestOf('foobar'), '85944171f73967e8');
});

test('digestOf() depends on every character, in all its digits', () => {
  const names = Array.from({ length: 5000 }, (_, i) => `net\0container-${i}\0eth${i % 3}`);
  for (const part of [(digest: string) => digest.slice(0, 11), (digest: string) => digest.slice(-10)]) {
    assert.is(new Set(names.map((name) => part(digestOf(name)))).size, names.length);
  }
});

test.run();
