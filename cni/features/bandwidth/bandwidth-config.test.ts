import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseNetworkConfig } from '../../protocol/config.ts';
import { FieldError } from '../../protocol/fields.ts';
import { type BandwidthConfig, parseBandwidth } from './bandwidth-config.ts';

const test = suite('bandwidth config');

function parse(operator: object, runtime?: unknown): BandwidthConfig | undefined {
  const runtimeConfig = runtime === undefined ? undefined : { bandwidth: runtime };
  return parseBandwidth(
    parseNetworkConfig(JSON.stringify({ cniVersion: '1.0.0', name: 'pods', ...operator, runtimeConfig })),
  );
}

function refusal(operator: object, runtime?: unknown): string {
  try {
    parse(operator, runtime);
  } catch (error) {
    if (error instanceof FieldError) return error.message;
    throw error;
  }
  return 'accepted';
}

/** Bits a second of both directions. */
function rates(operator: object, runtime?: unknown): (number | undefined)[] {
  const config = parse(operator, runtime);
  return [config?.ingress?.bitsPerSecond, config?.egress?.bitsPerSecond];
}

test('parseBandwidth() finds nothing to do without a rate', () => {
  for (const nothing of [
    {},
    { ingressRate: 0, ingressBurst: 0, egressRate: null },
    { unshapedSubnets: ['10.0.0.0/8'] },
  ]) {
    assert.is(parse(nothing), undefined);
    assert.is(parse({}, nothing), undefined);
  }
  assert.is(parse({}, null), undefined);
});

test('parseBandwidth() reads rates and bursts in bits from either place, whatever the case of the keys', () => {
  const keys = { ingressRate: 8e6, ingressBurst: 1e6, EgressRate: 16e6 };
  assert.equal(parse(keys), {
    ingress: { bitsPerSecond: 8e6, burstBits: 1e6, burstPath: 'ingressBurst' },
    egress: { bitsPerSecond: 16e6, burstBits: undefined, burstPath: 'egressBurst' },
    subnetsAre: 'unshaped',
    subnets: [],
  });
  assert.equal(parse({}, keys)?.ingress, {
    bitsPerSecond: 8e6,
    burstBits: 1e6,
    burstPath: 'runtimeConfig.bandwidth.ingressBurst',
  });
});

test('parseBandwidth() holds the lower of two rates, for each direction by itself and with its own burst', () => {
  const operator = { ingressRate: 1000, ingressBurst: 10, egressRate: 1000, egressBurst: 10 };
  assert.equal(rates(operator, { ingressRate: 999, egressRate: 1001 }), [999, 1000]);
  assert.equal(rates(operator, { ingressRate: 0 }), [1000, 1000]);
  assert.equal(rates({ ingressRate: 1000 }, { egressRate: 500 }), [1000, 500]);
  assert.is(parse(operator, { ingressRate: 999 })?.ingress?.burstBits, undefined);
  assert.is(parse(operator, { ingressRate: 1000, ingressBurst: 20 })?.ingress?.burstPath, 'ingressBurst');
});

test('parseBandwidth() takes what runtimes pass for "no limit"', () => {
  const burst = (ingressBurst: number): number | undefined =>
    parse({}, { ingressRate: 8, ingressBurst })?.ingress?.burstBits;
  assert.is(burst(2 ** 31 - 1), 2 ** 31 - 1);
  assert.is(burst(34_359_738_360), 34_359_738_360);
  assert.is(burst(Number('18446744073709551615')), 2 ** 64);
});

test('parseBandwidth() refuses numbers that are none, and names the key', () => {
  const most = (key: string): string => (key.endsWith('Rate') ? '18446744073709549568' : '18446744073709551615');
  const range = (key: string): string => `a whole number from 0 to ${most(key)}`;
  for (const [value, text] of [
    [-1, '-1'],
    [1.5, '1.5'],
    ['1M', '"1M"'],
    [1e30, '1e+30'],
    [true, 'true'],
  ] as const) {
    for (const key of ['ingressRate', 'ingressBurst', 'egressRate', 'egressBurst']) {
      assert.is(refusal({ [key]: value }), `Invalid "${key}": must be ${range(key)}, is ${text}`);
      const path = `runtimeConfig.bandwidth.${key}`;
      assert.is(refusal({}, { [key]: value }), `Invalid "${path}": must be ${range(key)}, is ${text}`);
    }
  }
  assert.is(refusal({ egressRate: 7 }), 'Invalid "egressRate": must be 0 or at least 8 bits a second, is 7');
  assert.is(refusal({}, []), 'Invalid "runtimeConfig.bandwidth": must be an object, is []');
});

test('parseBandwidth() refuses a rate of 2^64 and more, and takes the number before it', () => {
  for (const text of ['18446744073709551616', '18446744073709551615', '1e20', '36893488147419103232']) {
    assert.match(
      refusal({ egressRate: Number(text) }),
      /^Invalid "egressRate": must be a whole number from 0 to 18446744073709549568/,
    );
  }
  const largest = Number('18446744073709549568');
  assert.is(parse({ egressRate: largest })?.egress?.bitsPerSecond, largest);
  assert.match(refusal({ egressRate: 8, egressBurst: 2 ** 65 }), /^Invalid "egressBurst"/);
});

test('parseBandwidth() refuses a burst without a rate', () => {
  assert.is(refusal({ egressBurst: 1 }), 'Invalid "egressRate": must be given together with "egressBurst"');
  assert.is(
    refusal({ ingressRate: 8 }, { ingressBurst: 1 }),
    'Invalid "runtimeConfig.bandwidth.ingressRate": must be given together with "ingressBurst"',
  );
});

test('parseBandwidth() reads subnets as networks, each once', () => {
  const unshapedSubnets = ['10.1.2.3/8', '10.0.0.0/8', 'FD00:0::1/40', '0.0.0.0/0', '192.0.2.1/32'];
  const { subnets, subnetsAre } = parse({ ingressRate: 8, unshapedSubnets, shapedSubnets: [] }) ?? {};
  assert.equal([subnetsAre, subnets], ['unshaped', ['10.0.0.0/8', 'fd00::/40', '0.0.0.0/0', '192.0.2.1/32']]);
  assert.is(parse({}, { ingressRate: 8, shapedSubnets: ['10.0.0.0/8'] })?.subnetsAre, 'shaped');
});

test('parseBandwidth() lets no pod out of the limit of the operator by subnets', () => {
  const runtime = { egressRate: 8, unshapedSubnets: ['0.0.0.0/0'] };
  assert.equal(parse({ egressRate: 1000 }, runtime)?.subnets, []);
  assert.equal(parse({ egressRate: 1000, shapedSubnets: ['10.0.0.0/8'] }, runtime)?.subnets, ['10.0.0.0/8']);
  // The operator's, for the pods' rates.
  assert.equal(parse({ unshapedSubnets: ['10.0.0.0/8'] }, { egressRate: 8 })?.subnets, ['10.0.0.0/8']);
  assert.equal(parse({}, runtime)?.subnets, ['0.0.0.0/0']);
});

test('parseBandwidth() refuses subnets that are none, both lists at once, and too many', () => {
  for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0/8', 'fe80::%eth0/64', '10.0.0.0/8/8', 'hello', '', '::/x']) {
    assert.is(
      refusal({ ingressRate: 8, shapedSubnets: ['10.0.0.0/8', text] }),
      `Invalid "shapedSubnets[1]": must be a CIDR such as 10.0.0.0/8, is ${JSON.stringify(text)}`,
    );
  }
  assert.is(refusal({ unshapedSubnets: [8] }), 'Invalid "unshapedSubnets[0]": must be a string, is 8');
  assert.is(
    refusal({}, { unshapedSubnets: ['10.0.0.0/8'], shapedSubnets: ['::/0'] }),
    'Invalid "runtimeConfig.bandwidth.shapedSubnets": cannot be given together with "unshapedSubnets"',
  );
  assert.is(
    refusal({ unshapedSubnets: Array(257).fill('10.0.0.0/8') }),
    'Invalid "unshapedSubnets": must be a list of at most 256 CIDRs, has 257',
  );
});

test.run();
