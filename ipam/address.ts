// IP addresses and CIDRs, on top of ip-address: strict on the way in, canonical text on the way out.
//
// As strict as Go's net.ParseIP (no zone, no leading zeros), so that what we accept, the reference plugins accept too.
// One spelling that Go takes is none here: IPv4 in IPv6's (::ffff:10.1.2.3), of which Go makes IPv4 and the kernel IPv6. An
// address inside ::/96, which Go prints as IPv4, stays IPv6.
//
// Of an address only its number is kept: everything else the library would work out from the text again, each time.

import { Address4, Address6 } from 'ip-address';
import { mappedHint } from '../cni/protocol/address.ts';
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
}

/** Parse an address without prefix length; undefined when it is none. */
export function parseAddress(text: string): IpAddress | undefined {
  return unlessMapped(parseStoredAddress(text));
}

/** Likewise, for what a store may hold since a version that took IPv4 in IPv6's spelling: it must still be released. */
export function parseStoredAddress(text: string): IpAddress | undefined {
  // The two characters that the library would take further than an address: a zone and a prefix length.
  return text.includes('%') || text.includes('/') ? undefined : parse(text);
}

/** Parse `address/prefixLength`, host bits allowed; undefined when it is none. */
export function parseCidr(text: string): IpAddress | undefined {
  const slash = text.indexOf('/');
  const prefixLength = text.slice(slash + 1);
  // The library takes "/08", too.
  const isPlain = slash > 0 && prefixLength === String(Number(prefixLength)) && !text.includes('%');
  return isPlain ? unlessMapped(parse(text)) : undefined;
}

function unlessMapped(address: IpAddress | undefined): IpAddress | undefined {
  return address?.family === 6 && address.number >> 32n === 0xffffn ? undefined : address;
}

function parse(text: string): IpAddress | undefined {
  const isIpv6 = text.includes(':');
  try {
    const address = isIpv6 ? new Address6(text) : new Address4(text);
    return new IpAddress(isIpv6 ? 6 : 4, address.bigInt(), address.subnetMask);
  } catch {
    // AddressError only says in HTML where it stopped; the caller names the key and shows the whole text.
    return undefined;
  }
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

/** Canonical text without prefix length: `10.1.2.3`, `fd00::1` (RFC 5952). */
export function formatAddress({ family, number }: IpAddress): string {
  return formatNumber(family, number);
}

/** Canonical text with prefix length, host bits kept: `10.1.2.3/24`. */
export function formatCidr(address: IpAddress): string {
  return `${formatAddress(address)}/${address.prefixLength}`;
}

/** Canonical text of the address with this number. */
export function formatNumber(family: IpFamily, number: bigint): string {
  return (family === 4 ? Address4.fromBigInt(number) : Address6.fromBigInt(number)).correctForm();
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
