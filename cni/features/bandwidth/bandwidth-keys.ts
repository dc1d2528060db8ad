// The keys of bandwidth limits: the reference bandwidth plugin's, at the top level and in `runtimeConfig.bandwidth`.

import { networkOf } from '../../address/ip.ts';
import { CIDR_PATTERN, cidrFamily, mappedHint } from '../../protocol/address.ts';
import { describeValue, FieldError, type Fields } from '../../protocol/fields.ts';
import { type KeyRows, keyTable } from '../../protocol/schema.ts';

/** The reference reads the numbers as uint64. The largest that JavaScript can tell from 2^64. */
const MAX_RATE = 2n ** 64n - 2n ** 11n;
/** 2^64-1, which runtimes pass for "no limit", and JavaScript reads as 2^64. A burst this large is replaced anyway. */
const MAX_BURST = 2n ** 64n - 1n;
/** Each is looked at for each packet. */
const MAX_SUBNETS = 256;

const RATE = { type: 'integer', min: 0, max: Number(MAX_RATE), default: 0, read: numberUpTo(MAX_RATE) } as const;
const BURST = { type: 'integer', min: 0, max: Number(MAX_BURST), default: 0, read: numberUpTo(MAX_BURST) } as const;
const SUBNETS = { type: 'strings', default: [], read: networksAt } as const;

export const BANDWIDTH_KEYS = {
  ingressRate: RATE,
  ingressBurst: BURST,
  egressRate: RATE,
  egressBurst: BURST,
  unshapedSubnets: SUBNETS,
  shapedSubnets: SUBNETS,
} as const satisfies KeyRows;

const BURST_ABOUT = 'The bits that may pass at once; a burst that defeats the limit is corrected, with a warning.';
const BURST_OTHERWISE = 'what passes in 100 ms';

export const BANDWIDTH_TABLE = keyTable(BANDWIDTH_KEYS, () => ({
  title: 'Limits of bandwidth',
  needs: 'hasOwnInterface',
  notes: {
    ingressRate: {
      about:
        'To the container, at least 8; 0 is no limit. Of this and the capability `bandwidth` the lower rate holds.',
      unit: 'bits per second',
      kernel: 'ingress limits',
    },
    ingressBurst: { about: BURST_ABOUT, unit: 'bits', otherwise: BURST_OTHERWISE },
    egressRate: {
      about: 'From the container, likewise.',
      unit: 'bits per second',
      kernel: 'egress limits',
    },
    egressBurst: { about: BURST_ABOUT, unit: 'bits', otherwise: BURST_OTHERWISE },
    unshapedSubnets: {
      about: 'CIDRs at the other end to which the limits do not apply; at most 256.',
      pattern: CIDR_PATTERN,
    },
    shapedSubnets: {
      about: 'CIDRs at the other end to which alone they apply; not together with `unshapedSubnets`.',
      pattern: CIDR_PATTERN,
    },
  },
  capabilities: {
    bandwidth: {
      about: "The rates that a pod's annotations ask for, under the names of these keys.",
      kernel: 'egress limits',
    },
  },
}));

/** A whole number of bits. */
function numberUpTo(most: bigint): (fields: Fields, key: string) => number | undefined {
  return (fields, key) => {
    const value = fields.get(key);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= Number(most)) return value;
    return fields.refuse(key, `must be a whole number from 0 to ${most}, is ${describeValue(value)}`);
  };
}

function networksAt(fields: Fields, key: string): string[] | undefined {
  const count = fields.list(key)?.length ?? 0;
  if (count > MAX_SUBNETS) {
    throw new FieldError(fields.at(key), `must be a list of at most ${MAX_SUBNETS} CIDRs, has ${count}`);
  }
  const networks = fields.strings(key, (text, path) => {
    if (cidrFamily(text) !== undefined) return networkOf(text);
    throw new FieldError(path, `must be a CIDR such as 10.0.0.0/8, is ${describeValue(text)}${mappedHint(text)}`);
  });
  return networks && [...new Set(networks)];
}
