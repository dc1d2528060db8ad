import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeMac } from '../netlink/address-bytes.ts';
import { assertBytes, bytes } from '../testing/bytes.ts';
import {
  encodeKey,
  formatKey,
  decodePort,
  encodePort,
  INET_PROTOCOL,
  INET_SERVICE,
  IPPROTO_SCTP,
  IPV4_ADDR,
  IPV6_ADDR,
  keyLength,
  keyType,
  encodeInterfaceName,
  ETHER_ADDR,
  IFNAME,
} from './key.ts';

const test = suite('nftables key');
const PORT = INET_SERVICE;

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

test('keys of protocol and port are what nft sends, and shown as nft shows them', () => {
  // Captured: strace -e trace=sendmsg -e write=all nft add element, with { 192.0.2.1 . tcp . 8000-8010 }
  const types = [IPV4_ADDR, INET_PROTOCOL, INET_SERVICE];
  const [first, last] = [8000, 8010].map((port) =>
    encodeKey(types, [bytes('c0 00 02 01'), Uint8Array.of(6), encodePort(port)]),
  );
  assertBytes(first ?? bytes(''), bytes('c0 00 02 01 06 00 00 00 1f 40 00 00'));
  assertBytes(last ?? bytes(''), bytes('c0 00 02 01 06 00 00 00 1f 4a 00 00'));
  assert.is(formatKey(types, first ?? bytes(''), last), '192.0.2.1 . tcp . 8000-8010');
  assert.equal([keyType(types), keyLength(types)], [0x730d, 12]);
  assert.equal(
    [IPPROTO_SCTP, 99].map((number) => INET_PROTOCOL.format(Uint8Array.of(number))),
    ['sctp', '99'],
  );
});

test('decodePort() reads what encodePort() writes, which refuses other numbers', () => {
  for (const port of [0, 1, 255, 256, 65535]) assert.is(decodePort(encodePort(port)), port);
  for (const port of [-1, 65536, 1.5]) assert.throws(() => encodePort(port), /Cannot write port/);
});

test('encodeInterfaceName() fills the name up with zeros', () => {
  // Captured: strace -e trace=sendmsg -e write=all nft add element, with { "veth0" . 02:00:00:00:00:05 }
  const key = encodeKey([IFNAME, ETHER_ADDR], [encodeInterfaceName('veth0'), encodeMac('02:00:00:00:00:05')]);
  assertBytes(key, bytes('76 65 74 68 30 00 00 00 00 00 00 00 00 00 00 00 02 00 00 00 00 05 00 00'));
  assert.is(formatKey([IFNAME, ETHER_ADDR], key), '"veth0" . 02:00:00:00:00:05');
  assert.equal(
    [keyType([IFNAME]), keyType([IFNAME, ETHER_ADDR]), keyLength([IFNAME, ETHER_ADDR])],
    [0x29, 0xa49, 0x18],
  );
});

test('encodeInterfaceName() refuses what no interface is called', () => {
  assert.is(encodeInterfaceName('x'.repeat(15)).length, 16);
  for (const name of ['', 'x'.repeat(16), 'ä'.repeat(8)]) {
    assert.throws(() => encodeInterfaceName(name), /it must have 1 to 15 bytes/, name);
  }
});

test.run();
