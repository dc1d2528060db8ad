import { Address4, AddressError } from 'ip-address';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  formatAddress,
  firstNumberOf,
  formatCidr,
  formatNumber,
  isInSubnet,
  lastNumberOf,
  parseAddress,
  parseCidr,
  parseStoredAddress,
  bitsOf,
  canonicalAddress,
  canonicalCidr,
  familyOf,
  firstHostOf,
  lastAddressOf,
  networkOf,
  overlaps,
  splitCidr,
} from './ip.ts';

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
  const within = (address: string, subnet: string) => {
    const [inner, outer] = [parseAddress(address), parseCidr(subnet)];
    return inner !== undefined && outer !== undefined && isInSubnet(inner, outer);
  };
  assert.ok(within('10.1.2.3', '10.1.0.0/16'));
  assert.not.ok(within('10.2.0.0', '10.1.0.0/16'));
  assert.not.ok(within('a00::1', '10.0.0.0/8'));
  assert.not.ok(within('10.0.0.1', '::/0'));
  assert.ok(within('::10.0.0.1', '::/96'));
});

test('familyOf() and bitsOf() tell the families apart', () => {
  assert.is(familyOf('10.1.2.3'), 4);
  assert.is(familyOf('::ffff:10.1.2.3'), 6);
  assert.is(bitsOf(4), 32);
  assert.is(bitsOf(6), 128);
});

test('splitCidr() splits, and gives an address alone all its bits', () => {
  assert.equal(splitCidr('10.1.2.3/24'), { address: '10.1.2.3', prefixLength: 24 });
  assert.equal(splitCidr('0.0.0.0/0'), { address: '0.0.0.0', prefixLength: 0 });
  assert.equal(splitCidr('fd00::3/128'), { address: 'fd00::3', prefixLength: 128 });
  assert.equal(splitCidr('10.1.2.3'), { address: '10.1.2.3', prefixLength: 32 });
  assert.equal(splitCidr('fd00::3'), { address: 'fd00::3', prefixLength: 128 });
});

for (const length of ['', ' 8', '8 ', '+8', '-1', '0x8', '1e1', '8.0', '8/9', 'x', '33', '1000', '255.255.255.0']) {
  test(`splitCidr() refuses "10.1.2.3/${length}"`, () => {
    assert.throws(
      () => splitCidr(`10.1.2.3/${length}`),
      (error: unknown) => error instanceof RangeError && error.message.includes(`"10.1.2.3/${length}"`),
    );
  });
}

test('splitCidr() refuses a prefix longer than an IPv6 address', () => {
  assert.throws(() => splitCidr('fd00::/129'), /Invalid prefix length in "fd00::\/129"/);
});

test('networkOf() clears the host bits and writes the canonical form', () => {
  assert.is(networkOf('10.1.2.3/24'), '10.1.2.0/24');
  assert.is(networkOf('10.1.2.3/0'), '0.0.0.0/0');
  assert.is(networkOf('10.1.2.3/31'), '10.1.2.2/31');
  assert.is(networkOf('10.1.2.3'), '10.1.2.3/32');
  assert.is(networkOf('FD00:0001::00ff/121'), 'fd00:1::80/121');
  assert.is(networkOf('fd00:1::5/64'), 'fd00:1::/64');
  assert.throws(
    () => networkOf('no address/8'),
    (error: unknown) => error instanceof AddressError,
  );
});

test('lastAddressOf() is the last address of the network', () => {
  assert.is(lastAddressOf('10.1.2.3/24'), '10.1.2.255');
  assert.is(lastAddressOf('10.1.2.3/30'), '10.1.2.3');
  assert.is(lastAddressOf('10.1.2.3/0'), '255.255.255.255');
  assert.is(lastAddressOf('fd00:1::5/126'), 'fd00:1::7');
});

test('firstHostOf() is the address after that of the network', () => {
  assert.is(firstHostOf('10.1.2.3/24'), '10.1.2.1/24');
  assert.is(firstHostOf('10.1.2.7/30'), '10.1.2.5/30');
  assert.is(firstHostOf('fd00:1::5/64'), 'fd00:1::1/64');
  assert.is(firstHostOf('FD00:1:0:ffff::/48'), 'fd00:1::1/48');
});

const OVERLAPS: readonly (readonly [string, string, boolean])[] = [
  ['10.1.0.0/16', '10.1.2.0/24', true],
  ['10.1.2.3/24', '10.1.2.200/24', true],
  ['10.1.2.0/24', '10.1.3.0/24', false],
  ['0.0.0.0/0', '10.1.2.3', true],
  ['fd00::/64', 'fd00::1:0:0:0/48', true],
  ['fd00::/64', 'fd00:0:0:1::/64', false],
  ['10.1.2.0/24', '::ffff:10.1.2.0/120', false],
];

for (const [a, b, expected] of OVERLAPS) {
  test(`overlaps() is ${expected} for ${a} and ${b}, either way round`, () => {
    assert.equal([overlaps(a, b), overlaps(b, a)], [expected, expected]);
  });
}

test('canonicalCidr() and canonicalAddress() spell as the kernel does, and keep host bits', () => {
  assert.is(canonicalCidr('FD00:0:0:1::0003/64'), 'fd00:0:0:1::3/64');
  assert.is(canonicalCidr('10.1.2.3'), '10.1.2.3/32');
  // The kernel has such addresses, of IPv6.
  assert.is(canonicalAddress('::FFFF:10.1.2.3'), '::ffff:a01:203');
  for (const text of ['x', '10.1.2.3/24', 'fe80::1%eth0', '010.1.2.3']) {
    assert.throws(
      () => canonicalAddress(text),
      (error: unknown) => error instanceof AddressError,
    );
  }
});

test.run();
