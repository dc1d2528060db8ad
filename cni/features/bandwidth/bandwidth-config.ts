// The configuration of bandwidth limits: the keys of the reference bandwidth plugin at the top level, where the operator
// writes them, and in `runtimeConfig.bandwidth`, which the runtime fills from a pod's annotations.
//
//   ingressRate, egressRate     bits a second, to and from the container; 0 is no limit
//   ingressBurst, egressBurst   bits that may pass at once; without it, or with 0, bandwidth-shape.ts chooses
//   unshapedSubnets             CIDRs of the other ends that are not limited
//   shapedSubnets               the only ones that are; not together with the former
//
// Where both places give a rate for a direction, the lower one holds: a pod may ask for less than the operator gives it,
// never for more. (The reference ignores the runtime's as soon as the operator has written one key, and with it a pod's
// wish for less; and it refuses a rate without a burst.) Subnets of the runtime count only where the operator has
// written nothing about bandwidth: they would let a pod out of his limit.

import { networkOf } from '../../kernel/netlink/address-bytes.ts';
import { cidrFamily, mappedHint } from '../../protocol/address.ts';
import type { NetworkConfig } from '../../protocol/config.ts';
import { describeValue, FieldError, type Fields } from '../../protocol/fields.ts';

/** What the kernel can count: a byte a second. */
const MIN_RATE = 8;
/** The reference reads the numbers as uint64. The largest that JavaScript can tell from 2^64. */
const MAX_RATE = 2n ** 64n - 2n ** 11n;
/** 2^64-1, which runtimes pass for "no limit", and JavaScript reads as 2^64. A burst this large is replaced anyway. */
const MAX_BURST = 2n ** 64n - 1n;
/** Each is looked at for each packet. */
const MAX_SUBNETS = 256;

const KEYS = ['ingressRate', 'ingressBurst', 'egressRate', 'egressBurst', 'unshapedSubnets', 'shapedSubnets'];

/** The limit of one direction. */
export interface BandwidthLimit {
  readonly bitsPerSecond: number;
  /** Undefined when none was given. */
  readonly burstBits: number | undefined;
  /** Path of the burst's key, for warnings. */
  readonly burstPath: string;
}

export interface BandwidthConfig {
  /** To the container. */
  readonly ingress: BandwidthLimit | undefined;
  /** From the container. */
  readonly egress: BandwidthLimit | undefined;
  /** Whether the other ends in `subnets` are those that are not limited, or the only ones that are. */
  readonly subnetsAre: 'unshaped' | 'shaped';
  /** CIDRs of networks, each once. Empty when every packet counts. */
  readonly subnets: readonly string[];
}

/** Read and check what limits the bandwidth; undefined when nothing does. Throws FieldError. */
export function parseBandwidth(config: NetworkConfig): BandwidthConfig | undefined {
  const operator = config.fields;
  const runtime = config.runtimeConfig.object('bandwidth');
  const sources = runtime ? [operator, runtime] : [operator];
  const limits = sources.map((fields) => ({
    ingress: parseLimit(fields, 'ingress'),
    egress: parseLimit(fields, 'egress'),
    subnets: parseSubnets(fields),
  }));
  const ingress = lowest(limits.map((limit) => limit.ingress));
  const egress = lowest(limits.map((limit) => limit.egress));
  if (!ingress && !egress) return undefined;
  const [ofOperator, ofRuntime] = limits;
  const isOperatorSilent = KEYS.every((key) => operator.get(key) === undefined);
  const subnets = (isOperatorSilent ? ofRuntime : ofOperator)?.subnets;
  return { ingress, egress, subnetsAre: 'unshaped', subnets: [], ...subnets };
}

/** Of several limits the one with the lowest rate; of equal ones the first. */
function lowest(limits: readonly (BandwidthLimit | undefined)[]): BandwidthLimit | undefined {
  return limits
    .filter((limit) => limit !== undefined)
    .reduce<BandwidthLimit | undefined>(
      (least, limit) => (least && least.bitsPerSecond <= limit.bitsPerSecond ? least : limit),
      undefined,
    );
}

function parseLimit(fields: Fields, direction: 'ingress' | 'egress'): BandwidthLimit | undefined {
  const [rateKey, burstKey] = [`${direction}Rate`, `${direction}Burst`];
  const rate = parseNumber(fields, rateKey, MAX_RATE);
  const burst = parseNumber(fields, burstKey, MAX_BURST);
  if (rate === 0) {
    if (burst === 0) return undefined;
    throw new FieldError(fields.at(rateKey), `must be given together with "${burstKey}"`);
  }
  if (rate < MIN_RATE) {
    throw new FieldError(fields.at(rateKey), `must be 0 or at least ${MIN_RATE} bits a second, is ${rate}`);
  }
  return { bitsPerSecond: rate, burstBits: burst === 0 ? undefined : burst, burstPath: fields.at(burstKey) };
}

/** A whole number of bits; 0 when there is none. */
function parseNumber(fields: Fields, key: string, most: bigint): number {
  const value = fields.get(key) ?? 0;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= Number(most)) return value;
  throw new FieldError(fields.at(key), `must be a whole number from 0 to ${most}, is ${describeValue(value)}`);
}

function parseSubnets(fields: Fields): Pick<BandwidthConfig, 'subnetsAre' | 'subnets'> | undefined {
  const [unshaped, shaped] = [parseCidrs(fields, 'unshapedSubnets'), parseCidrs(fields, 'shapedSubnets')];
  if (unshaped.length > 0 && shaped.length > 0) {
    throw new FieldError(fields.at('shapedSubnets'), 'cannot be given together with "unshapedSubnets"');
  }
  if (shaped.length > 0) return { subnetsAre: 'shaped', subnets: shaped };
  return unshaped.length > 0 ? { subnetsAre: 'unshaped', subnets: unshaped } : undefined;
}

function parseCidrs(fields: Fields, key: string): string[] {
  const texts = fields.strings(key) ?? [];
  if (texts.length > MAX_SUBNETS) {
    throw new FieldError(fields.at(key), `must be a list of at most ${MAX_SUBNETS} CIDRs, has ${texts.length}`);
  }
  const networks = texts.map((text, i) => {
    const network = findNetwork(text);
    if (network !== undefined) return network;
    throw new FieldError(
      `${fields.at(key)}[${i}]`,
      `must be a CIDR such as 10.0.0.0/8, is ${describeValue(text)}${mappedHint(text)}`,
    );
  });
  return [...new Set(networks)];
}

/** The network of a CIDR; undefined for a text that is none. */
function findNetwork(text: string): string | undefined {
  return cidrFamily(text) === undefined ? undefined : networkOf(text);
}
