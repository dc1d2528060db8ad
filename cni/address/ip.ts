// IP addresses and CIDRs, on top of ip-address: strict on the way in, canonical text (RFC 5952) on the way out.
//
// As strict as Go's net.ParseIP (no zone, no leading zeros), so that all that podlink accepts, the reference plugins accept
// too. One spelling that Go takes is none here: IPv4 in IPv6's (::ffff:10.1.2.3, RFC 4291, 2.5.5.2), of which Go makes IPv4
// and the kernel IPv6. An address inside ::/96, which Go prints as IPv4, stays IPv6.
//
// Of an address only its number is kept: everything else the library would work out from the text again, each time.

import { Address4, Address6, AddressError } from 'ip-address';

export type IpFamily = 4 | 6;
export const IP_FAMILIES = [4, 6] as const;

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

/** Bits of an address of the family: 32 or 128. */
export function bitsOf(family: IpFamily): number {
  return family === 4 ? 32 : 128;
}

/** Tell the family of a text that is an address or a CIDR: only IPv6 has colons. */
export function familyOf(address: string): IpFamily {
  return address.includes(':') ? 6 : 4;
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

/** Parse `address/prefixLength`, both parts required, host bits allowed; undefined when it is none. */
export function parseCidr(text: string): IpAddress | undefined {
  const slash = text.indexOf('/');
  const prefixLength = text.slice(slash + 1);
  // The library takes "/08", too.
  const isPlain = slash > 0 && prefixLength === String(Number(prefixLength)) && !text.includes('%');
  return isPlain ? unlessMapped(parse(text)) : undefined;
}

function unlessMapped(address: IpAddress | undefined): IpAddress | undefined {
  return address && isMapped(address) ? undefined : address;
}

function isMapped({ family, number }: IpAddress): boolean {
  return family === 6 && number >> 32n === 0xffffn;
}

function parse(text: string): IpAddress | undefined {
  const family = familyOf(text);
  try {
    const address = family === 6 ? new Address6(text) : new Address4(text);
    return new IpAddress(family, address.bigInt(), address.subnetMask);
  } catch {
    // AddressError only says in HTML where it stopped; the caller names the key and shows the whole text.
    return undefined;
  }
}

/**
 * Spell an IPv4 address that is spelled as IPv6 as what it is, with its prefix length if there is one:
 * "::ffff:10.1.2.0/120" → "10.1.2.0/24". Undefined for every other text.
 */
export function unmapped(text: string): string | undefined {
  if (!/ffff:/i.test(text)) return undefined;
  const [address = '', prefixLength, ...others] = text.split('/');
  const parsed = others.length > 0 ? undefined : parseStoredAddress(address);
  if (!parsed || !isMapped(parsed)) return undefined;
  const ipv4 = formatNumber(4, parsed.number & 0xffff_ffffn);
  if (prefixLength === undefined) return ipv4;
  const length = Number(prefixLength) - 96;
  return length >= 0 && length <= 32 ? `${ipv4}/${length}` : ipv4;
}

/** Format without prefix length: `10.1.2.3`, `fd00::1`. */
export function formatAddress({ family, number }: IpAddress): string {
  return formatNumber(family, number);
}

/** Format with prefix length, host bits kept: `10.1.2.3/24`. */
export function formatCidr(address: IpAddress): string {
  return `${formatAddress(address)}/${address.prefixLength}`;
}

/** Format the address with this number. */
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
  return (1n << BigInt(bitsOf(family) - prefixLength)) - 1n;
}

/** Whether an address, whatever its own prefix length, lies in a subnet. Never across families. */
export function isInSubnet({ family, number }: IpAddress, subnet: IpAddress): boolean {
  return family === subnet.family && number >= firstNumberOf(subnet) && number <= lastNumberOf(subnet);
}

/** Split "10.1.2.3/24" into address and prefix length, all bits if it has none. Throws RangeError for a wrong length. */
export function splitCidr(cidr: string): { address: string; prefixLength: number } {
  const slash = cidr.indexOf('/');
  const address = slash < 0 ? cidr : cidr.slice(0, slash);
  const bits = bitsOf(familyOf(address));
  if (slash < 0) return { address, prefixLength: bits };
  const digits = cidr.slice(slash + 1);
  const prefixLength = Number(digits);
  // Number() alone would read "", " 8", "0x8" and "1e1" as well.
  if (digits !== String(prefixLength) || prefixLength < 0 || prefixLength > bits)
    throw new RangeError(`Invalid prefix length in "${cidr}"`);
  return { address, prefixLength };
}

/**
 * Read the text of a result, of another plugin or of the kernel, in which IPv4 in IPv6's spelling is an address of IPv6.
 *
 * Throws RangeError for a wrong prefix length, ip-address's AddressError for text that is no address.
 */
function addressIn(cidr: string): IpAddress {
  const { address, prefixLength } = splitCidr(cidr);
  const parsed = parseStoredAddress(address);
  if (!parsed) throw new AddressError(`Invalid address "${address}"`);
  return new IpAddress(parsed.family, parsed.number, prefixLength);
}

/** Spell a CIDR as the kernel reports it back: lower case, shortest form, host bits kept. Throws like splitCidr(), or AddressError. */
export function canonicalCidr(cidr: string): string {
  return formatCidr(addressIn(cidr));
}

/** Likewise for an address alone. Throws AddressError for text that is none. */
export function canonicalAddress(address: string): string {
  const parsed = parseStoredAddress(address);
  if (!parsed) throw new AddressError(`Invalid address "${address}": prefix length or zone not allowed`);
  return formatAddress(parsed);
}

/** The last address of a CIDR's network: in IPv4 where broadcasts go. Throws like canonicalCidr(). */
export function lastAddressOf(cidr: string): string {
  const network = addressIn(cidr);
  return formatNumber(network.family, lastNumberOf(network));
}

/** The first address of a CIDR's network that a host can have, with the prefix length: where a gateway is by convention. */
export function firstHostOf(cidr: string): string {
  const network = addressIn(cidr);
  return `${formatNumber(network.family, firstNumberOf(network) + 1n)}/${network.prefixLength}`;
}

/** Whether two networks share an address. Throws like canonicalCidr(). */
export function overlaps(a: string, b: string): boolean {
  const [network, other] = [addressIn(a), addressIn(b)];
  if (network.family !== other.family) return false;
  return firstNumberOf(network) <= lastNumberOf(other) && firstNumberOf(other) <= lastNumberOf(network);
}

/** The network a CIDR lies in, in CIDR form: "10.1.2.3/24" → "10.1.2.0/24". Throws like canonicalCidr(). */
export function networkOf(cidr: string): string {
  const network = addressIn(cidr);
  return `${formatNumber(network.family, firstNumberOf(network))}/${network.prefixLength}`;
}
