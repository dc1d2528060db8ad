// The features of the kernel that a configuration needs.

import type { NetworkConfig } from '../../protocol/config.ts';
import { isObject } from '../../protocol/fields.ts';
import { CAPABILITIES, ENTRY_KEYS } from '../schema/key-schema.ts';
import { FEATURES_OF_NEED, IPV6, type KernelFeature } from './kernel-feature.ts';

export interface KernelNeed {
  /** The key that asks. */
  readonly key: string;
  readonly features: readonly KernelFeature[];
}

/** The needs of a configuration whose keys have the right types; those of a wrong type may ask for nothing. */
export function kernelNeedsOf({ fields }: NetworkConfig): KernelNeed[] {
  const ofKeys = ENTRY_KEYS.flatMap(({ name, row, note: { kernel } }) =>
    kernel && asksForMore(fields.get(name), row.default) ? [{ key: name, features: FEATURES_OF_NEED[kernel] }] : [],
  );
  const declared = fields.get('capabilities');
  const ofCapabilities = Object.entries(CAPABILITIES).flatMap(([name, { kernel }]) =>
    kernel && isObject(declared) && declared[name] === true
      ? [{ key: `capabilities.${name}`, features: FEATURES_OF_NEED[kernel] }]
      : [],
  );
  const ofAddresses = hasIpv6(fields.get('ipam')) ? [{ key: 'ipam', features: [IPV6] }] : [];
  return [...ofKeys, ...ofAddresses, ...ofCapabilities];
}

/** Whether a value is another than the default: a flag turned over, a number above 0, a list with something in it. */
function asksForMore(value: unknown, standard: unknown): boolean {
  if (typeof value === 'boolean') return value !== (standard ?? false);
  if (typeof value === 'number') return value > 0;
  return Array.isArray(value) && value.length > 0;
}

/** Whether a CIDR of IPv6 stands anywhere in the addressing: in ranges, addresses or routes. */
function hasIpv6(value: unknown): boolean {
  if (typeof value === 'string') return /^[0-9a-f]*:[0-9a-f:.]*\/\d+$/i.test(value);
  return typeof value === 'object' && value !== null && Object.values(value).some(hasIpv6);
}
