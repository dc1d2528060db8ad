import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertBytes, bytes } from '../testing/bytes.ts';
import { type DataType, encodeKey, formatKey, IPV4_ADDR, IPV6_ADDR, keyLength, keyType } from './key.ts';

const test = suite('nftables key');
const PORT: DataType = { number: 13, bytes: 2, format: ([high = 0, low = 0]) => String(high * 256 + low) };

test('keyType() is what nft sends for a concatenation', () => {
  assert.equal(
    [keyType([IPV4_ADDR]), keyType([IPV4_ADDR, IPV4_ADDR]), keyType([IPV6_ADDR, IPV6_ADDR])],
    [7, 0x1c7, 0x208],
  );
});

test('encodeKey() pads every field to four bytes', () => {
  assertBytes(encodeKey([PORT, IPV4_ADDR], [bytes('00 50'), bytes('0a 00 00 05')]), bytes('00 50 00 00 0a 00 00 05'));
  assert.is(keyLength([PORT, IPV4_ADDR]), 8);
});

test('encodeKey() refuses other fields than the type has', () => {
  assert.throws(() => encodeKey([IPV4_ADDR], [bytes('0a 00')]), /key of 2 bytes: it must have 4/);
  assert.throws(() => encodeKey([IPV4_ADDR, PORT], [bytes('0a 00 00 05')]), /key of 4 bytes: it must have 4\+2/);
});

test('formatKey() shows single values and ranges', () => {
  const types = [PORT, IPV4_ADDR];
  assert.is(formatKey(types, bytes('00 50 00 00 0a 00 00 05')), '80 . 10.0.0.5');
  assert.is(formatKey(types, bytes('00 50 00 00 0a 00 00 05'), bytes('00 5a 00 00 0a 00 00 05')), '80-90 . 10.0.0.5');
});

test.run();
