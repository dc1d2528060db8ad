import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  hostOrder,
  isEqual,
  compareBytes,
  knownBytes,
  maskedBytes,
  networkOrder,
  numberOf,
  paddedText,
} from './value.ts';

const test = suite('bytes of which some are unknown');

test('isEqual() says no for one byte that differs, and nothing where an unknown one decides', () => {
  const wanted = Uint8Array.of(1, 2, 3);
  assert.is(isEqual([1, 2, 3], wanted), true);
  assert.is(isEqual([undefined, 2, 4], wanted), false);
  assert.is(isEqual([1, undefined, 3], wanted), undefined);
  assert.is(isEqual([1, 2], wanted), undefined, 'a byte that is missing is not known');
});

test('compareBytes() orders as the kernel does, from the first byte on', () => {
  assert.is(compareBytes([1, 2], Uint8Array.of(1, 2)), 0);
  assert.ok((compareBytes([1, undefined], Uint8Array.of(2, 0)) ?? 0) < 0, 'the first byte decides');
  assert.is(compareBytes([1, undefined], Uint8Array.of(1, 0)), undefined);
});

test('maskedBytes() knows what a mask takes out', () => {
  assert.equal(maskedBytes([undefined, 0xff], Uint8Array.of(0, 0x0f), Uint8Array.of(1, 0)), [1, 0x0f]);
  assert.equal(maskedBytes([undefined], Uint8Array.of(1), Uint8Array.of(0)), [undefined]);
});

test('numbers and texts become bytes', () => {
  assert.equal(networkOrder(0x0102, 4), [0, 0, 1, 2]);
  assert.is(numberOf(hostOrder(0xfedcba98, 4)), 0xfedcba98);
  assert.is(numberOf([undefined, 0]), undefined);
  assert.equal(paddedText('lo', 4), [0x6c, 0x6f, 0, 0]);
  assert.is(knownBytes([undefined]), undefined);
});

test.run();
