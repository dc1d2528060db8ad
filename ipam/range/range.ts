// One range of a range set: a subnet, the part of it to allocate from, and its gateway.
//
//   { "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.10", "rangeEnd": "10.1.2.99", "gateway": "10.1.2.1",
//     "exclude": ["10.1.2.32/28"] }   (address-span.ts)
//
// Defaults and conditions of the reference host-local. An end that nobody wrote leaves out the network address (in IPv6
// the subnet-router anycast address, RFC 4291 2.6.1) and the IPv4 broadcast address; an end that is written is handed
// out, whatever it is: several explicit /30 in a row are one pool of routed addresses. `validate` names these addresses
// (findEdges()), since a bridge with an address of the subnet does not reach them (containernetworking/plugins#1295).
// Unlike the reference, a written start behind the implied end is refused instead of running past the subnet
// (containernetworking/plugins#1292).

import { CIDR_PATTERN, parseAddressAt, parseCidrAt } from '../../cni/protocol/address.ts';
import { FieldError, type Fields } from '../../cni/protocol/fields.ts';
import { type KeyNotes, type KeyRows, readKey } from '../../cni/protocol/schema.ts';
import {
  firstNumberOf,
  formatAddress,
  formatCidr,
  formatNumber,
  type IpAddress,
  type IpFamily,
  isInSubnet,
  lastNumberOf,
} from '../../cni/address/ip.ts';
import { type AddressSpan, type ExcludedSpan, parseExclude, subtractSpans } from './address-span.ts';

const RANGE_END = { type: 'string', read: optionalAddressAt } as const;

export const RANGE_KEYS = {
  subnet: { type: 'string', read: subnetAt },
  rangeStart: RANGE_END,
  rangeEnd: RANGE_END,
  gateway: RANGE_END,
  exclude: { type: 'strings', read: parseExclude },
} as const satisfies KeyRows;

export const RANGE_NOTES = (): KeyNotes<typeof RANGE_KEYS> => ({
  subnet: {
    about: 'A CIDR whose host bits are 0; at most a /30, in IPv6 a /126.',
    isRequired: true,
    pattern: CIDR_PATTERN,
  },
  rangeStart: { about: 'The first address to hand out, whatever it is.', otherwise: 'behind the network address' },
  rangeEnd: { about: 'The last address to hand out, whatever it is.', otherwise: 'before the broadcast address' },
  gateway: { about: 'The address of the gateway, which is never handed out.', otherwise: 'the first of the subnet' },
  exclude: 'Addresses, CIDRs or spans `a-b` that are not handed out.',
});

export interface AddressRange {
  /** Where it stands in the configuration. */
  readonly path: string;
  readonly family: IpFamily;
  /** The network, host bits clear. */
  readonly subnet: IpAddress;
  /** First and last address to hand out, both included. */
  readonly start: bigint;
  readonly end: bigint;
  readonly gateway: string;
  /** Addresses between them that are not to be handed out all the same. */
  readonly excluded: readonly AddressSpan[];
}

/**
 * Parse a range from the object that has `subnet` among its keys. What `exclude` has outside of the range is no matter.
 *
 * Throws FieldError naming the key.
 */
export function parseRange(fields: Fields, exclude: readonly ExcludedSpan[] = []): AddressRange {
  const subnet = subnetAt(fields, 'subnet');
  const { family } = subnet;
  const first = subnet.number + 1n;
  // In IPv6 nothing is broadcast: the very last address is one like any other.
  const last = lastNumberOf(subnet) - (family === 4 ? 1n : 0n);

  const gateway = readKey(fields, RANGE_KEYS, 'gateway');
  if (gateway && gateway.family !== family)
    fields.refuse('gateway', `must be of the family of subnet ${formatCidr(subnet)}`);

  const rangeStart = edge(fields, 'rangeStart', subnet);
  const rangeEnd = edge(fields, 'rangeEnd', subnet);
  if (rangeStart && rangeEnd && rangeStart.number > rangeEnd.number)
    throw new FieldError(
      fields.at('rangeStart'),
      `RangeStart ${formatAddress(rangeStart)} is after RangeEnd ${formatAddress(rangeEnd)}`,
    );

  const start = rangeStart?.number ?? first;
  const end = rangeEnd?.number ?? last;
  if (start > end) throw noAddressLeft(fields, subnet, { first, last, rangeStart });
  const excluded = exclude.filter((span) => span.family === family && span.start <= end && span.end >= start);
  if (subtractSpans({ start, end }, excluded).length === 0)
    throw new FieldError(excluded[0]?.path ?? fields.at('exclude'), 'leaves no address of the range to allocate');
  const { path } = fields;
  return { path, family, subnet, start, end, gateway: formatNumber(family, gateway?.number ?? first), excluded };
}

interface ImpliedEnds {
  readonly first: bigint;
  readonly last: bigint;
  readonly rangeStart: IpAddress | undefined;
}

/** One end is written, and lies behind the end that is implied. */
function noAddressLeft(fields: Fields, subnet: IpAddress, { first, last, rangeStart }: ImpliedEnds): FieldError {
  const [written, missing] = rangeStart ? (['rangeStart', 'rangeEnd'] as const) : (['rangeEnd', 'rangeStart'] as const);
  const usual = [first, last].map((number) => formatNumber(subnet.family, number)).join('-');
  return new FieldError(
    fields.at(written),
    `leaves no address to allocate: without "${missing}" those of ${formatCidr(subnet)} are ${usual}. Write "${missing}" too if this address is meant`,
  );
}

/** An address that a written end lets a range hand out, and that hosts use for something else. */
export interface RangeEdge {
  readonly address: string;
  readonly key: 'rangeStart' | 'rangeEnd';
  readonly kind: 'network address' | 'broadcast address' | 'subnet-router anycast address';
}

/** The network and broadcast address, where the range hands them out. */
export function findEdges({ family, subnet, start, end, excluded }: AddressRange): RangeEdge[] {
  const isHandedOut = (number: bigint) => excluded.every((span) => number < span.start || number > span.end);
  const edges: RangeEdge[] = [];
  if (start === firstNumberOf(subnet) && isHandedOut(start)) {
    const kind = family === 4 ? 'network address' : 'subnet-router anycast address';
    edges.push({ address: formatNumber(family, start), key: 'rangeStart', kind });
  }
  if (family === 4 && end === lastNumberOf(subnet) && isHandedOut(end)) {
    edges.push({ address: formatNumber(family, end), key: 'rangeEnd', kind: 'broadcast address' });
  }
  return edges;
}

function subnetAt(fields: Fields, key: string): IpAddress {
  const path = fields.at(key);
  const subnet = parseCidrAt(path, fields.get(key));
  if (subnet.prefixLength > (subnet.family === 4 ? 30 : 126))
    throw new FieldError(path, `Network ${formatCidr(subnet)} too small to allocate from`);
  const network = firstNumberOf(subnet);
  if (network !== subnet.number)
    throw new FieldError(
      path,
      `Network has host bits set. For a subnet mask of length ${subnet.prefixLength} the network address is ${formatNumber(subnet.family, network)}`,
    );
  return subnet;
}

function edge(fields: Fields, key: 'rangeStart' | 'rangeEnd', subnet: IpAddress): IpAddress | undefined {
  const address = readKey(fields, RANGE_KEYS, key);
  if (address === undefined || isInSubnet(address, subnet)) return address;
  const name = key === 'rangeStart' ? 'RangeStart' : 'RangeEnd';
  return fields.refuse(key, `${name} ${formatAddress(address)} not in network ${formatCidr(subnet)}`);
}

/** The address at a key; Go reads the empty text as "not given", and configurations written by templates rely on it. */
function optionalAddressAt(fields: Fields, key: string): IpAddress | undefined {
  const value = fields.get(key);
  return value === undefined || value === '' ? undefined : parseAddressAt(fields.at(key), value);
}

export function isInRange(address: IpAddress, range: AddressRange): boolean {
  if (address.family !== range.family) return false;
  const number = address.number;
  return number >= range.start && number <= range.end;
}

/** Whether an address of the range is excluded from it by the configuration. */
export function isExcluded(address: IpAddress, range: AddressRange): boolean {
  const number = address.number;
  return range.excluded.some(({ start, end }) => number >= start && number <= end);
}

export function rangesOverlap(a: AddressRange, b: AddressRange): boolean {
  return a.family === b.family && a.start <= b.end && b.start <= a.end;
}

/** `10.1.2.1-10.1.2.254` */
export function formatRange(range: AddressRange): string {
  return `${formatNumber(range.family, range.start)}-${formatNumber(range.family, range.end)}`;
}
