import { Address4 } from 'ip-address';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError } from '../cni/protocol/fields.ts';
import {
  formatAddress,
  firstNumberOf,
  formatCidr,
  formatNumber,
  isInSubnet,
  lastNumberOf,
  parseAddress,
  parseAddressAt,
  parseCidr,
  parseCidrAt,
  parseStoredAddress,
} from './address.ts';

const test = suite('ipam address');

const addresses: readonly [text: string, canonical: string | undefined][] = [
  ['10.1.2.3', '10.1.2.3'],
  ['255.255.255.255', '255.255.255.255'],
  ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
  ['fd00:0:0:1:0:0:0:1', 'fd00:0:0:1::1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['::', '::'],
  ['::ffff:10.1.2.3', undefined],
  ['0:0:0:0:0:FFFF:0a01:203', undefined],
  ['0:0:0:0:0:ffff::', undefined],
  ['::fffe:10.1.2.3', '::fffe:a01:203'],
  ['::ffff:0:10.1.2.3', '::ffff:0:a01:203'],
  ['::10.1.2.3', '::a01:203'],
  ['::a00:2', '::a00:2'],
  ['010.1.2.3', undefined],
  ['10.1.2.03', undefined],
  ['10.1.2', undefined],
  ['10.1.2.3.4', undefined],
  ['10.1.2.256', undefined],
  ['10.1.2.3/24', undefined],
  [' 10.1.2.3', undefined],
  ['10.1.2.3\n', undefined],
  ['0x0a.1.2.3', undefined],
  ['fe80::1%eth0', undefined],
  ['fd00::1/64', undefined],
  ['fd00::12345', undefined],
  ['1:2:3:4:5:6:7::8', undefined],
  ['1:2:3:4:5:6:7:8:9', undefined],
  ['fd00::1::2', undefined],
  ['::ffff:010.1.2.3', undefined],
  ['', undefined],
  [':', undefined],
  ['lock', undefined],
];

test('parseAddress() accepts what Go does and formatAddress() gives the canonical text', () => {
  for (const [text, canonical] of addresses) {
    const address = parseAddress(text);
    assert.is(address && formatAddress(address), canonical, `"${text}"`);
  }
});

test('parseCidr() keeps the host bits and wants a plain prefix length', () => {
  for (const [text, canonical] of [
    ['10.1.2.3/24', '10.1.2.3/24'],
    ['10.1.2.3/0', '10.1.2.3/0'],
    ['FD00::A/120', 'fd00::a/120'],
    ['::ffff:10.1.2.0/120', undefined],
    ['::ffff:0:0/96', undefined],
    ['10.1.2.3/33', undefined],
    ['10.1.2.3/024', undefined],
    ['10.1.2.3/-1', undefined],
    ['10.1.2.3/', undefined],
    ['10.1.2.3/24/24', undefined],
    ['10.1.2.3/255.255.255.0', undefined],
    ['fd00::a/129', undefined],
    ['fd00::a%eth0/64', undefined],
    ['fd00::a/64%eth0', undefined],
    ['10.1.2.3', undefined],
  ] as const) {
    const cidr = parseCidr(text);
    assert.is(cidr && formatCidr(cidr), canonical, `"${text}"`);
  }
});

test('parseAddressAt() and parseCidrAt() say how an IPv4-mapped address is written', () => {
  assert.throws(() => parseAddressAt('x', '::ffff:10.1.2.3'), /IPv4 in IPv6's spelling: write 10\.1\.2\.3$/);
  assert.throws(() => parseCidrAt('x', '::ffff:a01:200/120'), /write 10\.1\.2\.0\/24$/);
});

test('parseStoredAddress() takes an IPv4-mapped address, so that a reservation of it is released', () => {
  assert.is(parseStoredAddress('::ffff:a01:203')?.family, 6);
});

test('IPv4 is read and written as ip-address does it, also where a text is wrong', () => {
  const parts = [
    '0',
    '1',
    '9',
    '10',
    '99',
    '100',
    '249',
    '255',
    '256',
    '1000',
    '00',
    '01',
    '',
    ' 1',
    '-1',
    'a',
    '1a',
    '+1',
  ];
  const texts = parts.flatMap((one) =>
    parts.flatMap((other) => [
      `${one}.2.3.${other}`,
      `1.${one}.${other}.4`,
      `${one}.${other}.3`,
      `1.2.3.${one}.${other}`,
    ]),
  );
  for (const text of texts) {
    assert.is(
      parseAddress(text)?.number,
      Address4.isValid(text) ? new Address4(text).bigInt() : undefined,
      `"${text}"`,
    );
    for (const prefixLength of [0, 1, 8, 15, 24, 31, 32]) {
      const cidr = parseCidr(`${text}/${prefixLength}`);
      assert.is(cidr !== undefined, Address4.isValid(text), `"${text}"`);
      if (!cidr) continue;
      const expected = new Address4(`${text}/${prefixLength}`);
      const edges = [firstNumberOf(cidr), lastNumberOf(cidr)];
      assert.equal(edges, [expected.startAddress().bigInt(), expected.endAddress().bigInt()]);
      assert.equal(
        edges.map((number) => formatNumber(4, number)),
        [expected.startAddress().correctForm(), expected.endAddress().correctForm()],
      );
    }
  }
});

test('isInSubnet() never answers across families, whatever the bits', () => {
  const within = (address: string, subnet: string) =>
    isInSubnet(parseAddressAt('x', address), parseCidrAt('x', subnet));
  assert.ok(within('10.1.2.3', '10.1.0.0/16'));
  assert.not.ok(within('10.2.0.0', '10.1.0.0/16'));
  assert.not.ok(within('a00::1', '10.0.0.0/8'));
  assert.not.ok(within('10.0.0.1', '::/0'));
  assert.ok(within('::10.0.0.1', '::/96'));
});

test('parseAddressAt() and parseCidrAt() name the path and show the value', () => {
  const path = 'ipam.ranges[0][1].gateway';
  for (const value of ['10.1.2.300', 7, null, {}, undefined]) {
    for (const parse of [parseAddressAt, parseCidrAt]) {
      assert.throws(
        () => parse(path, value),
        (error: unknown) =>
          error instanceof FieldError &&
          error.path === path &&
          error.message.endsWith(`is ${JSON.stringify(value) ?? 'missing'}`),
      );
    }
  }
});

test.run();
