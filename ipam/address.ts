// IP addresses and CIDRs: strict on the way in, canonical text on the way out.
//
// As strict as Go's net.ParseIP (no zone, no leading zeros), so that what we accept, the reference plugins accept too.
// Unlike Go, which prints 16-byte addresses inside ::/96 and ::ffff:0:0/96 as IPv4, IPv6 stays IPv6 whatever its bits.
//
// IPv6 texts are ip-address's. IPv4 is read and written here, and of either family only the number is kept: an ADD
// parses some ten addresses in a process that runs each line for the first time, and each `new Address4` goes through six
// regular expressions and each `startAddress()` through two more of these objects. That was 1.9 ms of an ADD's 20.

import { Address6 } from 'ip-address';
import { describeValue, FieldError } from '../cni/protocol/fields.ts';

export type IpFamily = 4 | 6;

/** An address with a prefix length; an address alone has the full one (32 or 128). */
export class IpAddress {
  readonly family: IpFamily;
  readonly number: bigint;
  readonly prefixLength: number;

  constructor(family: IpFamily, number: bigint, prefixLength: number) {
    this.family = family;
    this.number = number;
    this.prefixLength = prefixLength;
  }

  /** Canonical text without prefix length, under the name that it has in ip-address. */
  correctForm(): string {
    return formatNumber(this.family, this.number);
  }
}

/** Parse an address without prefix length; undefined when it is none. */
export function parseAddress(text: string): IpAddress | undefined {
  if (!text.includes(':')) {
    const number = parseIpv4(text);
    return number === undefined ? undefined : new IpAddress(4, BigInt(number), 32);
  }
  const number = parseIpv6(text);
  return number === undefined ? undefined : new IpAddress(6, number, 128);
}

/** Parse `address/prefixLength`, host bits allowed; undefined when it is none. */
export function parseCidr(text: string): IpAddress | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = parseAddress(text.slice(0, slash));
  const prefixLength = parseDecimal(text, slash + 1, text.length);
  if (address === undefined || prefixLength === undefined || prefixLength > address.prefixLength) return undefined;
  return new IpAddress(address.family, address.number, prefixLength);
}

function parseIpv4(text: string): number | undefined {
  let number = 0;
  let start = 0;
  for (let i = 0; i < 4; i++) {
    const dot = text.indexOf('.', start);
    // The last part has no dot after it, and the others have one.
    if (dot < 0 !== (i === 3)) return undefined;
    const end = dot < 0 ? text.length : dot;
    const part = parseDecimal(text, start, end);
    if (part === undefined || part > 255) return undefined;
    number = number * 256 + part;
    start = end + 1;
  }
  return number;
}

/** One to three digits from `start` to before `end`, without a zero in front. */
function parseDecimal(text: string, start: number, end: number): number | undefined {
  const length = end - start;
  if (length < 1 || length > 3 || (length > 1 && text[start] === '0')) return undefined;
  let number = 0;
  for (let i = start; i < end; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return undefined;
    number = number * 10 + digit;
  }
  return number;
}

function parseIpv6(text: string): bigint | undefined {
  // The two characters that the library would take further than an address: a zone and a prefix length.
  if (text.includes('%') || text.includes('/')) return undefined;
  try {
    return new Address6(text).bigInt();
  } catch {
    // AddressError only says in HTML where it stopped; the caller names the key and shows the whole text.
    return undefined;
  }
}

/** Parse an address that the configuration holds at `path`. Throws FieldError. */
export function parseAddressAt(path: string, value: unknown): IpAddress {
  const address = typeof value === 'string' ? parseAddress(value) : undefined;
  if (address) return address;
  throw new FieldError(path, `must be an IP address such as "10.1.2.3" or "fd00::3", is ${describeValue(value)}`);
}

/** Parse a CIDR that the configuration holds at `path`. Throws FieldError. */
export function parseCidrAt(path: string, value: unknown): IpAddress {
  const cidr = typeof value === 'string' ? parseCidr(value) : undefined;
  if (cidr) return cidr;
  throw new FieldError(path, `must be in CIDR notation such as "10.1.2.0/24", is ${describeValue(value)}`);
}

/** Canonical text without prefix length: `10.1.2.3`, `fd00::1` (RFC 5952). */
export function formatAddress(address: IpAddress): string {
  return address.correctForm();
}

/** Canonical text with prefix length, host bits kept: `10.1.2.3/24`. */
export function formatCidr(address: IpAddress): string {
  return `${formatAddress(address)}/${address.prefixLength}`;
}

/** Canonical text of the address with this number. */
export function formatNumber(family: IpFamily, number: bigint): string {
  if (family === 6) return Address6.fromBigInt(number).correctForm();
  const bits = Number(number);
  return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}

/** The first number of the network that a CIDR is of: the network address. */
export function firstNumberOf(cidr: IpAddress): bigint {
  return cidr.number & ~hostMaskOf(cidr);
}

/** The last number of the network that a CIDR is of: in IPv4 the broadcast address. */
export function lastNumberOf(cidr: IpAddress): bigint {
  return cidr.number | hostMaskOf(cidr);
}

function hostMaskOf({ family, prefixLength }: IpAddress): bigint {
  return (1n << BigInt((family === 4 ? 32 : 128) - prefixLength)) - 1n;
}

/** Whether an address, whatever its own prefix length, lies in a subnet. Never across families. */
export function isInSubnet({ family, number }: IpAddress, subnet: IpAddress): boolean {
  return family === subnet.family && number >= firstNumberOf(subnet) && number <= lastNumberOf(subnet);
}
