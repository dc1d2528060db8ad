// Stretches of addresses, and lists of them that are not to be handed out:
//
//   "exclude": ["10.1.2.7", "10.1.2.64/26", "10.1.2.200-10.1.2.220"]

import { mappedHint } from '../../cni/protocol/address.ts';
import { describeValue, FieldError, type Fields } from '../../cni/protocol/fields.ts';
import {
  firstNumberOf,
  type IpAddress,
  type IpFamily,
  lastNumberOf,
  parseAddress,
  parseCidr,
} from '../../cni/address/ip.ts';

/** From `start` to `end`, both included. */
export interface AddressSpan {
  readonly start: bigint;
  readonly end: bigint;
}

export interface ExcludedSpan extends AddressSpan {
  readonly family: IpFamily;
  /** Where it stands in the configuration. */
  readonly path: string;
  readonly text: string;
}

/** Parse the list `exclude`; an empty list when there is none. Throws FieldError naming the item. */
export function parseExclude(fields: Fields): ExcludedSpan[] {
  const list = fields.list('exclude') ?? [];
  return fields.items(list, fields.at('exclude'), (value, path) => parseSpan(path, value));
}

function parseSpan(path: string, value: unknown): ExcludedSpan {
  const text = typeof value === 'string' ? value : '';
  const [first = '', last, ...more] = text.split('-').map((part) => part.trim());
  const start = last === undefined ? (parseAddress(first) ?? parseCidr(first)) : parseAddress(first);
  const end = last === undefined ? start : parseAddress(last);
  if (start === undefined || end === undefined || more.length > 0)
    throw new FieldError(
      path,
      `must be an address, a CIDR, or two addresses with "-" between them, is ${describeValue(value)}${mappedHint(first) || mappedHint(last)}`,
    );
  if (start.family !== end.family) throw new FieldError(path, `"${text}" mixes address families`);
  const span = last === undefined ? wholeOf(start) : { start: start.number, end: end.number };
  if (span.start > span.end) throw new FieldError(path, `"${text}" ends before it starts`);
  return { family: start.family, ...span, path, text };
}

/** All of a CIDR: network and broadcast address too. */
function wholeOf(cidr: IpAddress): AddressSpan {
  return { start: firstNumberOf(cidr), end: lastNumberOf(cidr) };
}

/** What is left of a span without the others, in order. */
export function subtractSpans(span: AddressSpan, others: readonly AddressSpan[]): AddressSpan[] {
  const left: AddressSpan[] = [];
  let start = span.start;
  for (const other of others.toSorted((a, b) => (a.start < b.start ? -1 : 1))) {
    if (other.start > span.end) break;
    if (other.start > start) left.push({ start, end: other.start - 1n });
    if (other.end >= start) start = other.end + 1n;
  }
  if (start <= span.end) left.push({ start, end: span.end });
  return left;
}
