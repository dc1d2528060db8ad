// Which texts are IP addresses and prefixes in CNI's documents.
//
// An IPv4 address in IPv6's spelling (::ffff:10.1.2.3, RFC 4291, 2.5.5.2) is none: Go's net package reads IPv4, the kernel
// would take it for IPv6, and no packet carries such an address.

import { Address4, Address6 } from 'ip-address';
import { describeValue, FieldError, type Fields } from './fields.ts';

export type Family = 4 | 6;

/** Matches every ADDRESS/PREFIXLENGTH, and some other texts: for editors. */
export const CIDR_PATTERN = '^[0-9A-Fa-f:.]+/[0-9]+$';

/** Tell the family of an IP address without prefix length and zone; undefined when the text is not one. */
export function addressFamily(text: string): Family | undefined {
  if (/[/%]/.test(text)) return undefined;
  if (Address4.isValid(text)) return 4;
  return Address6.isValid(text) && unmapped(text) === undefined ? 6 : undefined;
}

/**
 * The IPv4 spelling of an IPv4 address that is spelled as IPv6, with its prefix length if there is one:
 * "::ffff:10.1.2.0/120" → "10.1.2.0/24". Undefined for every other text.
 */
export function unmapped(text: string): string | undefined {
  if (!/ffff:/i.test(text) || text.includes('%')) return undefined;
  const [address = '', prefixLength, ...others] = text.split('/');
  if (others.length > 0 || !Address6.isValid(address)) return undefined;
  const number = new Address6(address).bigInt();
  if (number >> 32n !== 0xffffn) return undefined;
  const ipv4 = Address4.fromBigInt(number & 0xffff_ffffn).correctForm();
  if (prefixLength === undefined) return ipv4;
  const length = Number(prefixLength) - 96;
  return length >= 0 && length <= 32 ? `${ipv4}/${length}` : ipv4;
}

/** For an error about a text that is no address: the hint that it is IPv4 in IPv6's spelling. Empty when it is not. */
export function mappedHint(text: unknown): string {
  const ipv4 = typeof text === 'string' ? unmapped(text) : undefined;
  return ipv4 === undefined ? '' : `, which is IPv4 in IPv6's spelling: write ${ipv4}`;
}

/** Tell the family of `ADDRESS/PREFIXLENGTH`, both parts required; undefined when the text is not that. */
export function cidrFamily(text: string): Family | undefined {
  const [address = '', prefixLength = '', ...rest] = text.split('/');
  if (rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(prefixLength)) return undefined;
  const family = addressFamily(address);
  if (family === undefined || Number(prefixLength) > (family === 4 ? 32 : 128)) return undefined;
  return family;
}

/**
 * Read a list of name servers from a configuration. Any text is one, as in the reference, but IPv4 in IPv6's spelling.
 *
 * Throws FieldError.
 */
export function nameserversAt(fields: Fields, key: string): string[] | undefined {
  return fields.strings(key, (text, path) => {
    const hint = mappedHint(text);
    if (hint === '') return text;
    throw new FieldError(path, `must be an address, is ${describeValue(text)}${hint}`);
  });
}
