// IP addresses and prefixes in configurations: cni/address/ip.ts, and errors that name the key.

import { type IpAddress, type IpFamily, parseAddress, parseCidr, unmapped } from '../address/ip.ts';
import { describeValue, FieldError, type Fields } from './fields.ts';

/** Matches every ADDRESS/PREFIXLENGTH, and some other texts: for editors. */
export const CIDR_PATTERN = '^[0-9A-Fa-f:.]+/[0-9]+$';

/** Tell the family of an IP address without prefix length and zone; undefined when the text is not one. */
export function addressFamily(text: string): IpFamily | undefined {
  return parseAddress(text)?.family;
}

/** Tell the family of `ADDRESS/PREFIXLENGTH`, both parts required; undefined when the text is not that. */
export function cidrFamily(text: string): IpFamily | undefined {
  return parseCidr(text)?.family;
}

/** Parse an address that the configuration holds at `path`. Throws FieldError. */
export function parseAddressAt(path: string, value: unknown): IpAddress {
  const address = typeof value === 'string' ? parseAddress(value) : undefined;
  if (address) return address;
  throw new FieldError(
    path,
    `must be an IP address such as "10.1.2.3" or "fd00::3", is ${describeValue(value)}${mappedHint(value)}`,
  );
}

/** Parse a CIDR that the configuration holds at `path`. Throws FieldError. */
export function parseCidrAt(path: string, value: unknown): IpAddress {
  const cidr = typeof value === 'string' ? parseCidr(value) : undefined;
  if (cidr) return cidr;
  throw new FieldError(
    path,
    `must be in CIDR notation such as "10.1.2.0/24", is ${describeValue(value)}${mappedHint(value)}`,
  );
}

/** For an error about a text that is no address: the hint that it is IPv4 in IPv6's spelling. Empty when it is not. */
export function mappedHint(text: unknown): string {
  const ipv4 = typeof text === 'string' ? unmapped(text) : undefined;
  return ipv4 === undefined ? '' : `, which is IPv4 in IPv6's spelling: write ${ipv4}`;
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
