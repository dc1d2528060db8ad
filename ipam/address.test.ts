import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError } from '../cni/protocol/fields.ts';
import {
  familyOf,
  formatAddress,
  formatCidr,
  isInSubnet,
  parseAddress,
  parseAddressAt,
  parseCidr,
  parseCidrAt,
} from './address.ts';

const test = suite('ipam address');

const addresses: readonly [text: string, canonical: string | undefined][] = [
  ['10.1.2.3', '10.1.2.3'],
  ['255.255.255.255', '255.255.255.255'],
  ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
  ['fd00:0:0:1:0:0:0:1', 'fd00:0:0:1::1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['::', '::'],
  ['::ffff:10.1.2.3', '::ffff:a01:203'],
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
    ['::ffff:10.1.2.0/120', '::ffff:a01:200/120'],
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

test('familyOf() takes an IPv4-mapped address for the IPv6 address it is', () => {
  assert.is(familyOf(parseAddressAt('x', '::ffff:10.1.2.3')), 6);
  assert.is(familyOf(parseAddressAt('x', '10.1.2.3')), 4);
});

test('isInSubnet() never answers across families, whatever the bits', () => {
  const within = (address: string, subnet: string) =>
    isInSubnet(parseAddressAt('x', address), parseCidrAt('x', subnet));
  assert.ok(within('10.1.2.3', '10.1.0.0/16'));
  assert.not.ok(within('10.2.0.0', '10.1.0.0/16'));
  assert.not.ok(within('a00::1', '10.0.0.0/8'));
  assert.not.ok(within('10.0.0.1', '::ffff:0:0/96'));
  assert.ok(within('::ffff:10.0.0.1', '::ffff:0:0/96'));
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
