import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { addressFamily, cidrFamily, mappedHint, parseAddressAt, parseCidrAt } from './address.ts';
import { FieldError } from './fields.ts';
import { unmapped } from '../address/ip.ts';

const test = suite('address');

const MAPPED: readonly (readonly [string, string])[] = [
  ['::ffff:10.1.2.3', '10.1.2.3'],
  ['::FFFF:a01:203', '10.1.2.3'],
  ['0:0:0:0:0:ffff:0a01:0203', '10.1.2.3'],
  ['0:0:0:0:0:ffff::', '0.0.0.0'],
  ['::ffff:0:1', '0.0.0.1'],
  ['0000:0000:0000:0000:0000:ffff:255.255.255.255', '255.255.255.255'],
  ['::ffff:10.1.2.0/120', '10.1.2.0/24'],
  ['::ffff:0:0/96', '0.0.0.0/0'],
  ['::ffff:10.1.2.0/24', '10.1.2.0'],
];
for (const [text, ipv4] of MAPPED) {
  test(`unmapped() finds ${ipv4} in ${text}, which is no address`, () => {
    assert.is(unmapped(text), ipv4);
    assert.is(addressFamily(text), undefined);
    assert.is(cidrFamily(text), undefined);
    assert.is(mappedHint(text), `, which is IPv4 in IPv6's spelling: write ${ipv4}`);
  });
}

for (const text of ['::fffe:a01:203', '::ffff:0:10.1.2.3', '::10.1.2.3', '64:ff9b::10.1.2.3', 'fd00::ffff:a01:203']) {
  test(`unmapped() leaves ${text} alone, an address of IPv6`, () => {
    assert.is(unmapped(text), undefined);
    assert.is(addressFamily(text), 6);
    assert.is(cidrFamily(`${text}/120`), 6);
    assert.is(mappedHint(text), '');
  });
}

test('mappedHint() has nothing to say of what is no address at all', () => {
  for (const value of ['ffff:', '::ffff:10.1.2.3%eth0', '::ffff:10.1.2.3/1/2', 'x', '', 7, undefined, null]) {
    assert.is(mappedHint(value), '', String(value));
  }
});

test('parseAddressAt() and parseCidrAt() say how an IPv4-mapped address is written', () => {
  assert.throws(() => parseAddressAt('x', '::ffff:10.1.2.3'), /IPv4 in IPv6's spelling: write 10\.1\.2\.3$/);
  assert.throws(() => parseCidrAt('x', '::ffff:a01:200/120'), /write 10\.1\.2\.0\/24$/);
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
