import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { attribute, bytes, join } from '../testing/bytes.ts';
import { isAsDefined } from './definition.ts';

const test = suite('nftables definition');
const NESTED = 0x8000;
const [one, two] = [bytes('00 00 00 01'), bytes('00 00 00 02')];

test('isAsDefined() allows attributes beyond the definition, in any order', () => {
  assert.ok(
    isAsDefined(
      join(attribute(1, one), attribute(2, two)),
      join(attribute(9, two), attribute(2, two), attribute(1, one)),
    ),
  );
});

test('isAsDefined() sees another value, and one that is missing', () => {
  assert.not.ok(isAsDefined(attribute(1, one), attribute(1, two)));
  assert.not.ok(isAsDefined(attribute(1, one), attribute(2, one)));
  assert.not.ok(isAsDefined(attribute(1, one), attribute(1, join(one, two))));
});

test('isAsDefined() takes a missing attribute for zero', () => {
  assert.ok(isAsDefined(attribute(3, bytes('00 00 00 00')), bytes('')));
  assert.not.ok(isAsDefined(attribute(3, bytes('00 00 00 00')), attribute(3, one)));
});

test('isAsDefined() looks into nested attributes, which the kernel does not mark', () => {
  const wanted = attribute(4 | NESTED, attribute(1, one));
  assert.ok(isAsDefined(wanted, attribute(4, join(attribute(7, two), attribute(1, one)))));
  assert.not.ok(isAsDefined(wanted, attribute(4, attribute(1, two))));
  assert.not.ok(isAsDefined(wanted, bytes('')));
});

test('isAsDefined() wants lists with the same items in the same order', () => {
  const list = (...items: Uint8Array[]) => join(...items.map((item) => attribute(1, item)));
  assert.ok(isAsDefined(list(one, two), list(one, two)));
  assert.not.ok(isAsDefined(list(one, two), list(two, one)));
  assert.not.ok(isAsDefined(list(one, two), list(one, two, two)));
  assert.not.ok(isAsDefined(list(one, two), list(one)));
});

test.run();
