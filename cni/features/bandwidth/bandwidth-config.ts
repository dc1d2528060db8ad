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

import type { NetworkConfig } from '../../protocol/config.ts';
import type { Fields } from '../../protocol/fields.ts';
import { type KeyValues, read } from '../../protocol/schema.ts';
import { BANDWIDTH_KEYS } from './bandwidth-keys.ts';

/** What the kernel can count: a byte a second. */
const MIN_RATE = 8;

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
  const limits = sources.map((fields) => {
    const values = read(fields, BANDWIDTH_KEYS);
    return {
      ingress: limitOf(fields, values, 'ingress'),
      egress: limitOf(fields, values, 'egress'),
      subnets: subnetsOf(fields, values),
    };
  });
  const ingress = lowest(limits.map((limit) => limit.ingress));
  const egress = lowest(limits.map((limit) => limit.egress));
  if (!ingress && !egress) return undefined;
  const [ofOperator, ofRuntime] = limits;
  const isOperatorSilent = Object.keys(BANDWIDTH_KEYS).every((key) => operator.get(key) === undefined);
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

type Values = KeyValues<typeof BANDWIDTH_KEYS>;

function limitOf(fields: Fields, values: Values, direction: 'ingress' | 'egress'): BandwidthLimit | undefined {
  const [rateKey, burstKey] = [`${direction}Rate`, `${direction}Burst`] as const;
  const { [rateKey]: rate, [burstKey]: burst } = values;
  if (rate === 0) {
    return burst === 0 ? undefined : fields.refuse(rateKey, `must be given together with "${burstKey}"`);
  }
  if (rate < MIN_RATE) {
    return fields.refuse(rateKey, `must be 0 or at least ${MIN_RATE} bits a second, is ${rate}`);
  }
  return { bitsPerSecond: rate, burstBits: burst === 0 ? undefined : burst, burstPath: fields.at(burstKey) };
}

function subnetsOf(
  fields: Fields,
  { unshapedSubnets: unshaped, shapedSubnets: shaped }: Values,
): Pick<BandwidthConfig, 'subnetsAre' | 'subnets'> | undefined {
  if (unshaped.length > 0 && shaped.length > 0) {
    return fields.refuse('shapedSubnets', 'cannot be given together with "unshapedSubnets"');
  }
  if (shaped.length > 0) return { subnetsAre: 'shaped', subnets: shaped };
  return unshaped.length > 0 ? { subnetsAre: 'unshaped', subnets: unshaped } : undefined;
}
