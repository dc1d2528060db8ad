import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError, Fields } from '../../cni/protocol/fields.ts';
import { IpamError } from '../errors.ts';
import { parseRange } from './range.ts';
import { formatRangeSet, parseRangeSets } from './range-set.ts';

const test = suite('ipam range sets');

const setsOf = (ipam: object, runtimeConfig: object = {}, cniVersion = '1.1.0') =>
  parseRangeSets({
    ipam: new Fields(ipam, 'ipam'),
    runtimeConfig: new Fields(runtimeConfig, 'runtimeConfig'),
    cniVersion,
  });
const texts = (...args: Parameters<typeof setsOf>) => setsOf(...args).map(formatRangeSet);
const rangeOf = (range: object) => setsOf({ ranges: [[range]] })[0];

test('parseRange() has the defaults of the reference, and takes a written end at its word', () => {
  for (const [range, expected, gateway] of [
    [{ subnet: '10.1.2.0/24' }, '10.1.2.1-10.1.2.254', '10.1.2.1'],
    [{ subnet: '10.1.2.0/30' }, '10.1.2.1-10.1.2.2', '10.1.2.1'],
    [{ subnet: 'fd00::/120' }, 'fd00::1-fd00::ff', 'fd00::1'],
    [{ subnet: 'fd00::/126' }, 'fd00::1-fd00::3', 'fd00::1'],
    [{ subnet: '::a00:0/112' }, '::a00:1-::a00:ffff', '::a00:1'],
    [{ subnet: '0.0.0.0/0' }, '0.0.0.1-255.255.255.254', '0.0.0.1'],
    [{ subnet: '10.1.2.0/24', rangeStart: '10.1.2.9' }, '10.1.2.9-10.1.2.254', '10.1.2.1'],
    [{ subnet: '10.1.2.0/24', rangeEnd: '10.1.2.9' }, '10.1.2.1-10.1.2.9', '10.1.2.1'],
    [{ subnet: '10.1.2.0/24', rangeStart: '10.1.2.9', rangeEnd: '10.1.2.9' }, '10.1.2.9-10.1.2.9', '10.1.2.1'],
    [{ subnet: '10.1.2.0/24', rangeStart: '10.1.2.0', rangeEnd: '10.1.2.255' }, '10.1.2.0-10.1.2.255', '10.1.2.1'],
    [{ subnet: '10.1.2.0/30', rangeStart: '10.1.2.0' }, '10.1.2.0-10.1.2.2', '10.1.2.1'],
    [{ subnet: '10.1.2.0/30', rangeEnd: '10.1.2.3' }, '10.1.2.1-10.1.2.3', '10.1.2.1'],
    [{ subnet: '10.1.2.0/24', rangeStart: '10.1.2.0', rangeEnd: '10.1.2.0' }, '10.1.2.0-10.1.2.0', '10.1.2.1'],
    [{ subnet: '10.1.2.0/24', rangeStart: '10.1.2.255', rangeEnd: '10.1.2.255' }, '10.1.2.255-10.1.2.255', '10.1.2.1'],
    [{ subnet: 'fd00::/120', rangeStart: 'fd00::' }, 'fd00::-fd00::ff', 'fd00::1'],
    [{ subnet: '10.1.2.0/24', gateway: '10.1.2.254' }, '10.1.2.1-10.1.2.254', '10.1.2.254'],
    [{ subnet: '10.1.2.0/24', gateway: '192.0.2.1' }, '10.1.2.1-10.1.2.254', '192.0.2.1'],
    [{ SUBNET: '10.1.2.0/24', rangestart: '', rangeEnd: '', gateway: '' }, '10.1.2.1-10.1.2.254', '10.1.2.1'],
  ] as const) {
    const set = rangeOf(range);
    assert.is(set && formatRangeSet(set), expected, JSON.stringify(range));
    assert.is(set?.ranges[0]?.gateway, gateway, JSON.stringify(range));
  }
});

test('parseRange() refuses what cannot be a range and names the key', () => {
  const subnet = '10.1.2.0/24';
  for (const [range, key, message] of [
    [{}, 'subnet', /CIDR notation.* is missing/],
    [{ subnet: '' }, 'subnet', /CIDR notation/],
    [{ subnet: '10.1.2.0' }, 'subnet', /CIDR notation/],
    [{ subnet: 5 }, 'subnet', /is 5/],
    [{ subnet: '10.1.2.0/31' }, 'subnet', /Network 10\.1\.2\.0\/31 too small to allocate from/],
    [{ subnet: 'fd00::/127' }, 'subnet', /Network fd00::\/127 too small to allocate from/],
    [
      { subnet: '10.1.2.5/24' },
      'subnet',
      /Network has host bits set\. For a subnet mask of length 24 the network address is 10\.1\.2\.0/,
    ],
    [{ subnet, gateway: 'fd00::1' }, 'gateway', /family of subnet 10\.1\.2\.0\/24/],
    [{ subnet, gateway: 'x' }, 'gateway', /must be an IP address/],
    [{ subnet, rangeStart: 'fe80::1%eth0' }, 'rangeStart', /must be an IP address/],
    [{ subnet, rangeStart: '10.1.3.1' }, 'rangeStart', /RangeStart 10\.1\.3\.1 not in network 10\.1\.2\.0\/24/],
    [{ subnet, rangeEnd: '10.1.3.1' }, 'rangeEnd', /RangeEnd 10\.1\.3\.1 not in network 10\.1\.2\.0\/24/],
    [{ subnet, rangeEnd: 'fd00::1' }, 'rangeEnd', /RangeEnd fd00::1 not in network/],
    [
      { subnet, rangeStart: '10.1.2.50', rangeEnd: '10.1.2.10' },
      'rangeStart',
      /RangeStart 10\.1\.2\.50 is after RangeEnd 10\.1\.2\.10/,
    ],
    [
      { subnet, rangeStart: '10.1.2.255' },
      'rangeStart',
      /leaves no address.*without "rangeEnd" .*10\.1\.2\.1-10\.1\.2\.254/,
    ],
    [{ subnet, rangeEnd: '10.1.2.0' }, 'rangeEnd', /leaves no address.*without "rangeStart"/],
    [{ subnet: 'fd00::/120', rangeEnd: 'fd00::' }, 'rangeEnd', /leaves no address/],
  ] as const) {
    const fields = new Fields(range, 'ipam.ranges[0][1]');
    assert.throws(
      () => parseRange(fields),
      (error: unknown) =>
        error instanceof FieldError && error.path === `ipam.ranges[0][1].${key}` && message.test(error.message),
      JSON.stringify(range),
    );
  }
});

test('parseRangeSets() keeps what is excluded for all ranges and for one', () => {
  const excluded = (ipam: object) =>
    setsOf(ipam).flatMap((set) =>
      set.ranges.map((range) => range.excluded.map(({ start, end }) => [start & 0xffn, end & 0xffn].map(Number))),
    );
  const ranges = [[{ subnet: '10.1.0.0/24', exclude: ['10.1.0.7'] }], [{ subnet: 'fd00::/120' }]];
  assert.equal(excluded({ ranges, exclude: ['10.1.0.128/25', 'fd00::5-fd00::9', '192.0.2.1'] }), [
    [
      [7, 7],
      [128, 255],
    ],
    [[5, 9]],
  ]);
  assert.equal(excluded({ subnet: '10.1.0.0/24', exclude: ['10.1.0.9', '::9'] }), [[[9, 9]]]);
  for (const [range, path, message] of [
    [{ exclude: ['10.2.0.7'] }, 'ipam.ranges[0][0].exclude[0]', /10\.2\.0\.7 is not in network 10\.1\.0\.0\/24/],
    [{ exclude: ['::7'] }, 'ipam.ranges[0][0].exclude[0]', /is not in network/],
    [{ exclude: ['10.1.0.0/24'] }, 'ipam.ranges[0][0].exclude[0]', /leaves no address of the range/],
    [{ exclude: 'all' }, 'ipam.ranges[0][0].exclude', /must be a list/],
  ] as const)
    assert.throws(
      () => setsOf({ ranges: [[{ subnet: '10.1.0.0/24', ...range }]] }),
      (error: unknown) => error instanceof FieldError && error.path === path && message.test(error.message),
      JSON.stringify(range),
    );
});

test('parseRangeSets() takes the runtime before the single range before the list', () => {
  const ranges = [[{ subnet: '10.3.0.0/24' }], [{ subnet: '10.4.0.0/24' }, { subnet: '10.5.0.0/24' }]];
  const sets = setsOf({ subnet: '10.2.0.0/24', ranges }, { ipRanges: [[{ subnet: '10.1.0.0/24' }]] });
  assert.equal(
    sets.map((set) => [set.path, formatRangeSet(set)]),
    [
      ['runtimeConfig.ipRanges[0]', '10.1.0.1-10.1.0.254'],
      ['ipam', '10.2.0.1-10.2.0.254'],
      ['ipam.ranges[0]', '10.3.0.1-10.3.0.254'],
      ['ipam.ranges[1]', '10.4.0.1-10.4.0.254,10.5.0.1-10.5.0.254'],
    ],
  );
  assert.equal(setsOf({}), []);
});

test('parseRangeSets() refuses sets that are no sets, and names where', () => {
  const a = { subnet: '10.1.0.0/24' };
  for (const [ipam, runtimeConfig, path, message] of [
    [{ ranges: [[]] }, {}, 'ipam.ranges[0]', /empty range set/],
    [{ ranges: [a] }, {}, 'ipam.ranges[0]', /must be a list of ranges/],
    [{ ranges: a }, {}, 'ipam.ranges', /must be a list/],
    [{ ranges: [[a, 4]] }, {}, 'ipam.ranges[0][1]', /must be an object/],
    [{ ranges: [[a, { subnet: 'fd00::/64' }]] }, {}, 'ipam.ranges[0][1].subnet', /mixed address families/],
    [
      { ranges: [[a, { subnet: '10.1.0.0/25' }]] },
      {},
      'ipam.ranges[0][1]',
      /subnets 10\.1\.0\.0\/24 and 10\.1\.0\.0\/25 overlap/,
    ],
    [{ ranges: [[a], [{ subnet: '10.2.0.0/24' }, a]] }, {}, 'ipam.ranges[1]', /range set 0 overlaps with 1/],
    [{ ...a }, { ipRanges: [[a]] }, 'ipam', /range set 0 overlaps with 1/],
    [{}, { ipRanges: [[{ subnet: '1.2.3.4' }]] }, 'runtimeConfig.ipRanges[0][0].subnet', /CIDR notation/],
  ] as const) {
    assert.throws(
      () => setsOf(ipam, runtimeConfig),
      (error: unknown) => error instanceof FieldError && error.path === path && message.test(error.message),
      JSON.stringify([ipam, runtimeConfig]),
    );
  }
});

test('parseRangeSets() accepts parts of one subnet that do not overlap', () => {
  const subnet = '10.1.0.0/24';
  assert.equal(
    texts({
      ranges: [
        [
          { subnet, rangeEnd: '10.1.0.9' },
          { subnet, rangeStart: '10.1.0.10' },
        ],
      ],
    }),
    ['10.1.0.1-10.1.0.9,10.1.0.10-10.1.0.254'],
  );
});

test('parseRangeSets() does not take the same numbers in the other family for an overlap', () => {
  assert.is(setsOf({ ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: '::a01:0/120' }]] }).length, 2);
});

test('parseRangeSets() refuses two addresses of a family before CNI 0.3.0', () => {
  const ranges = [[{ subnet: '10.1.0.0/24' }], [{ subnet: '10.2.0.0/24' }]];
  for (const version of ['', '0.1.0', '0.2.0']) {
    assert.throws(
      () => setsOf({ ranges }, {}, version),
      (error: unknown) =>
        error instanceof IpamError &&
        error.kind === 'config' &&
        /does not support more than 1 address per family/.test(error.message),
    );
  }
  for (const version of ['0.3.0', '0.4.0', '1.0.0', '1.1.0']) assert.is(setsOf({ ranges }, {}, version).length, 2);
  assert.is(setsOf({ ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00::/64' }]] }, {}, '0.2.0').length, 2);
});

test.run();
