// The elements of masquerading: for each address of an attachment one that has its packets masqueraded, and one that
// excepts its own network and more of them for the networks of `ipMasqExclude`, such as those of other nodes' pods.

import { encodeAddress } from '../../kernel/netlink/address-bytes.ts';
import { canonicalAddress, familyOf, networkOf, splitCidr, lastAddressOf } from '../../address/ip.ts';
import type { Element } from '../../kernel/nftables/element.ts';
import { encodeKey } from '../../kernel/nftables/key.ts';
import { masqueradeSetsOf } from './masquerade-ruleset.ts';

interface Interval {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

export interface MasqueradeOptions {
  /** CIDRs that are excepted, besides the container's own networks. */
  readonly excluded?: readonly string[];
  /** Whether connections leave from a port chosen at random. */
  readonly isRandom?: boolean;
}

/**
 * List the elements for an attachment's addresses, given as CIDRs.
 *
 * Networks may overlap. Throws RangeError or AddressError for what is no CIDR.
 */
export function masqueradeElements(cidrs: readonly string[], options: MasqueradeOptions = {}): Element[] {
  const { excluded = [], isRandom = false } = options;
  const networksByAddress = Map.groupBy(cidrs, (cidr) => canonicalAddress(splitCidr(cidr).address));
  return [...networksByAddress].flatMap(([address, networks]) => {
    const family = familyOf(address);
    const { sources, exceptions, random } = masqueradeSetsOf(family);
    const source = encodeAddress(address);
    const alike = excluded.filter((cidr) => familyOf(cidr) === family);
    return [
      { set: sources, key: encodeKey(sources.key, [source]) },
      ...(isRandom ? [{ set: random, key: encodeKey(random.key, [source]) }] : []),
      ...withoutContained([...networks, ...alike].map(intervalOf)).map(({ first, last }) => ({
        set: exceptions,
        key: encodeKey(exceptions.key, [source, first]),
        keyEnd: encodeKey(exceptions.key, [source, last]),
      })),
    ];
  });
}

/** A CIDR's network, from its first to its last address. */
function intervalOf(cidr: string): Interval {
  return { first: encodeAddress(splitCidr(networkOf(cidr)).address), last: encodeAddress(lastAddressOf(cidr)) };
}

/** Leave out what another interval contains: the kernel refuses overlaps. Networks overlap in no other way. */
function withoutContained(intervals: readonly Interval[]): Interval[] {
  const widestFirst = intervals.toSorted((a, b) => Buffer.compare(a.first, b.first) || Buffer.compare(b.last, a.last));
  const kept: Interval[] = [];
  for (const interval of widestFirst) {
    const before = kept.at(-1);
    if (!before || Buffer.compare(before.last, interval.first) < 0) kept.push(interval);
  }
  return kept;
}
