import { AddressError } from 'ip-address';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { afOf, decodeAddress, decodeMac, encodeAddress, encodeMac, familyOfAf } from './address-bytes.ts';
import { MalformedMessageError } from './reader.ts';
import { assertBytes, bytes } from '../testing/bytes.ts';

const test = suite('address bytes');

// Text as written, bytes in network order, canonical text.
const ADDRESSES: readonly (readonly [string, string, string])[] = [
  ['0.0.0.0', '00 00 00 00', '0.0.0.0'],
  ['10.1.2.3', '0a 01 02 03', '10.1.2.3'],
  ['255.255.255.255', 'ff ff ff ff', '255.255.255.255'],
  ['::', '00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00', '::'],
  ['::1', '00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01', '::1'],
  ['fd00::3', 'fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 03', 'fd00::3'],
  // RFC 5952: lower case, no leading zeros, the longest run of zeros shortened, the first of two that are as long.
  ['FD00:0:0:1::0003', 'fd 00 00 00 00 00 00 01 00 00 00 00 00 00 00 03', 'fd00:0:0:1::3'],
  ['2001:0db8:0:0:1:0:0:1', '20 01 0d b8 00 00 00 00 00 01 00 00 00 00 00 01', '2001:db8::1:0:0:1'],
  ['1:0:2:3:4:5:6:7', '00 01 00 00 00 02 00 03 00 04 00 05 00 06 00 07', '1:0:2:3:4:5:6:7'],
  // An IPv4-mapped address stays an IPv6 address.
  ['::ffff:10.1.2.3', '00 00 00 00 00 00 00 00 00 00 ff ff 0a 01 02 03', '::ffff:a01:203'],
  ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'ff '.repeat(16), 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
];

for (const [text, wire, canonical] of ADDRESSES) {
  test(`encodeAddress() and decodeAddress() agree on ${text}`, () => {
    assertBytes(encodeAddress(text), bytes(wire));
    assert.is(decodeAddress(bytes(wire)), canonical);
    assertBytes(encodeAddress(canonical), bytes(wire), 'the canonical text means the same bytes');
  });
}

for (const text of ['', 'x', '10.1.2', '10.1.2.256', '010.1.2.3', '0x0a.1.2.3', '10.1.2.3 ', '1:2:3', '::1::', 'g::']) {
  test(`encodeAddress() refuses "${text}"`, () => {
    assert.throws(
      () => encodeAddress(text),
      (error: unknown) => error instanceof AddressError,
    );
  });
}

for (const text of ['10.1.2.3/24', 'fd00::3/64', 'fe80::1%eth0']) {
  test(`encodeAddress() refuses "${text}" instead of forgetting a part of it`, () => {
    assert.throws(
      () => encodeAddress(text),
      (error: unknown) => error instanceof AddressError && error.message.includes(text),
    );
  });
}

for (const length of [0, 3, 5, 6, 15, 17]) {
  test(`decodeAddress() refuses ${length} bytes`, () => {
    assert.throws(
      () => decodeAddress(new Uint8Array(length)),
      (error: unknown) => error instanceof MalformedMessageError && error.message.includes(`${length} bytes`),
    );
  });
}

test('afOf() and familyOfAf() agree on the kernel’s numbers', () => {
  assert.equal([afOf(4), afOf(6)], [2, 10]);
  assert.equal([familyOfAf(2), familyOfAf(10), familyOfAf(7)], [4, 6, undefined]);
});

test('encodeMac() and decodeMac() agree', () => {
  assertBytes(encodeMac('02:42:0a:16:00:05'), bytes('02 42 0a 16 00 05'));
  assertBytes(encodeMac('FF:FF:FF:FF:FF:FF'), bytes('ff ff ff ff ff ff'));
  assert.is(decodeMac(bytes('02 42 0a 16 00 05')), '02:42:0a:16:00:05');
});

test('decodeMac() takes link-layer addresses of other lengths', () => {
  assert.is(decodeMac(new Uint8Array()), '');
  assert.is(decodeMac(bytes('0a 01 02 03')), '0a:01:02:03');
});

for (const mac of [
  '',
  '02:42:0a:16:00',
  '02:42:0a:16:00:05:06',
  '02-42-0a-16-00-05',
  '0242.0a16.0005',
  '2:42:a:16:0:5',
]) {
  test(`encodeMac() refuses "${mac}"`, () => {
    assert.throws(
      () => encodeMac(mac),
      (error: unknown) => error instanceof RangeError && error.message === `Invalid MAC address "${mac}"`,
    );
  });
}

test.run();
