// IP addresses and CIDRs, on top of ip-address: strict on the way in, canonical text on the way out.
//
// As strict as Go's net.ParseIP (no zone, no leading zeros), so that what we accept, the reference plugins accept too.
// Unlike Go, which prints 16-byte addresses inside ::/96 and ::ffff:0:0/96 as IPv4, IPv6 stays IPv6 whatever its bits.

import { Address4, Address6 } from 'ip-address';
import { describeValue, FieldError } from '../cni/protocol/fields.ts';

export type IpFamily = 4 | 6;

/** An address with a prefix length; an address alone has the full one (32 or 128). */
export type IpAddress = Address4 | Address6;

/** Parse an address without prefix length; undefined when it is none. */
export function parseAddress(text: string): IpAddress | undefined {
  // The two characters the library would take further than an address: a zone and a prefix length.
  if (/[%/]/.test(text)) return undefined;
  return construct(text);
}

/** Parse `address/prefixLength`, host bits allowed; undefined when it is none. */
export function parseCidr(text: string): IpAddress | undefined {
  if (text.includes('%') || !/^[^/]+\/(0|[1-9]\d{0,2})$/.test(text)) return undefined;
  return construct(text);
}

function construct(text: string): IpAddress | undefined {
  try {
    return text.includes(':') ? new Address6(text) : new Address4(text);
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

export function familyOf(address: IpAddress): IpFamily {
  // Not the library's `v4` property: that is also true for an Address6 written with a dotted tail.
  return address instanceof Address4 ? 4 : 6;
}

/** Canonical text without prefix length: `10.1.2.3`, `fd00::1` (RFC 5952). */
export function formatAddress(address: IpAddress): string {
  return address.correctForm();
}

/** Canonical text with prefix length, host bits kept: `10.1.2.3/24`. */
export function formatCidr(address: IpAddress): string {
  return `${address.correctForm()}/${address.subnetMask}`;
}

/** Canonical text of the address with this number. */
export function formatNumber(family: IpFamily, number: bigint): string {
  return (family === 4 ? Address4.fromBigInt(number) : Address6.fromBigInt(number)).correctForm();
}

/** Whether an address, whatever its own prefix length, lies in a subnet. Never across families. */
export function isInSubnet(address: IpAddress, subnet: IpAddress): boolean {
  return address.isHostInSubnet(subnet);
}
