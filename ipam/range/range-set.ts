// Range sets: an attachment gets one address of each set; a set is a list of ranges of one family, tried in order.
//
// Three places, in this order (the index in it names the last_reserved_ip file): `runtimeConfig.ipRanges`, the old
// single range in `ipam` itself (`subnet`, `rangeStart`, `rangeEnd`, `gateway`), and `ipam.ranges`. `ipam.exclude` holds
// for the ranges of all three; several nodes may share it, so that it may name addresses of no range here.

import { describeValue, FieldError, type Fields } from '../../cni/protocol/fields.ts';
import { firstNumberOf, formatCidr, type IpAddress, lastNumberOf } from '../../cni/address/ip.ts';
import { type ExcludedSpan, parseExclude } from './address-span.ts';
import { IpamError } from '../errors.ts';
import { type AddressRange, formatRange, isInRange, parseRange, rangesOverlap } from './range.ts';

export interface RangeSet {
  /** Where it stands in the configuration. */
  readonly path: string;
  readonly ranges: readonly AddressRange[];
}

export interface RangeSetSource {
  readonly ipam: Fields;
  readonly runtimeConfig: Fields;
  readonly cniVersion: string;
}

/** Parse all range sets; an empty list when none is configured. Throws FieldError, or IpamError 'config'. */
export function parseRangeSets({ ipam, runtimeConfig, cniVersion }: RangeSetSource): RangeSet[] {
  const hasSubnet = ipam.get('subnet') !== undefined;
  const excluded = parseExclude(ipam);
  const sets = [
    ...parseListOfSets(runtimeConfig, 'ipRanges', excluded),
    ...(hasSubnet ? parseOldRange(ipam, excluded) : []),
    ...parseListOfSets(ipam, 'ranges', excluded),
  ];
  checkAddressesPerFamily(
    cniVersion,
    sets.flatMap((set) => set.ranges[0]?.family ?? []),
  );
  sets.forEach((set, i) => {
    const other = sets.findIndex((earlier, j) => j < i && setsOverlap(earlier, set));
    if (other >= 0) ipam.report(new FieldError(set.path, `range set ${other} overlaps with ${i}`));
  });
  return sets;
}

/** The single range of `ipam` itself. */
function parseOldRange(ipam: Fields, excluded: readonly ExcludedSpan[]): RangeSet[] {
  const range = ipam.part(() => parseRange(ipam, excluded));
  return range ? [{ path: ipam.path || 'ipam', ranges: [range] }] : [];
}

function parseListOfSets(fields: Fields, key: string, excluded: readonly ExcludedSpan[]): RangeSet[] {
  return fields.items(fields.list(key) ?? [], fields.at(key), (value, path) => {
    if (!Array.isArray(value))
      throw new FieldError(path, `must be a list of ranges ([[{"subnet": …}]]), is ${describeValue(value)}`);
    if (value.length === 0) throw new FieldError(path, 'empty range set');
    return { path, ranges: parseSet(fields, path, value, excluded) };
  });
}

function parseSet(
  fields: Fields,
  path: string,
  values: readonly unknown[],
  excluded: readonly ExcludedSpan[],
): AddressRange[] {
  const ranges: AddressRange[] = [];
  fields.items(values, path, (value, at) => {
    const range = parseEntry(fields.child(value, at), excluded);
    const [first] = ranges;
    if (first && range.family !== first.family) throw new FieldError(`${at}.subnet`, 'mixed address families');
    const other = ranges.find((earlier) => rangesOverlap(earlier, range));
    if (other)
      throw new FieldError(
        at,
        `subnets ${formatCidr(other.subnet)} and ${formatCidr(range.subnet)} overlap: ${formatRange(other)} and ${formatRange(range)}`,
      );
    ranges.push(range);
  });
  return ranges;
}

function parseEntry(fields: Fields, excluded: readonly ExcludedSpan[]): AddressRange {
  const own = parseExclude(fields);
  const range = parseRange(fields, [...own, ...excluded]);
  const { subnet, family } = range;
  const [first, last] = [firstNumberOf(subnet), lastNumberOf(subnet)];
  // In a range's own list that is a slip of the pen.
  for (const stray of own.filter((span) => span.family !== family || span.start > last || span.end < first))
    fields.report(new FieldError(stray.path, `${stray.text} is not in network ${formatCidr(subnet)}`));
  return range;
}

/**
 * Refuse more than one address of a family for a version whose result has no room for them.
 * Throws IpamError 'config'.
 */
export function checkAddressesPerFamily(cniVersion: string, families: readonly number[]): void {
  const several = [4, 6].some((family) => families.filter((each) => each === family).length > 1);
  if (several && /^(0\.[012](\.|$)|$)/.test(cniVersion))
    throw new IpamError(
      'config',
      `CNI version ${cniVersion || '0.1.0'} does not support more than 1 address per family: set "cniVersion" to 0.3.0 or later`,
    );
}

function setsOverlap(a: RangeSet, b: RangeSet): boolean {
  return a.ranges.some((one) => b.ranges.some((other) => rangesOverlap(one, other)));
}

export function findRange(set: RangeSet, address: IpAddress): AddressRange | undefined {
  return set.ranges.find((range) => isInRange(address, range));
}

/** `10.1.2.1-10.1.2.254,10.1.3.1-10.1.3.9` */
export function formatRangeSet(set: RangeSet): string {
  return set.ranges.map(formatRange).join(',');
}
