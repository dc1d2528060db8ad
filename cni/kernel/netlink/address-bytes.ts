// IP addresses between text, as configs and results spell them, and the kernel's bytes, always in network order.

import { Address4, Address6, AddressError } from 'ip-address';
import { MalformedMessageError } from './reader.ts';

/** include/linux/socket.h */
export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;
/** Not an address family of packets: bridge ports and their neighbours. */
export const AF_BRIDGE = 7;

export type IpFamily = typeof AF_INET | typeof AF_INET6;

/** The family an address's text is of: only IPv6 has colons. */
export function familyOf(address: string): IpFamily {
  return address.includes(':') ? AF_INET6 : AF_INET;
}

/** 4 or 16 bytes in network order. Throws ip-address's AddressError for text that is no address. */
export function encodeAddress(address: string): Uint8Array {
  // ip-address takes both and forgets them; a prefix length here is a mistake, and a zone has no place in these bytes.
  if (address.includes('/') || address.includes('%'))
    throw new AddressError(`Invalid address "${address}": prefix length or zone not allowed`);
  return familyOf(address) === AF_INET
    ? Uint8Array.from(new Address4(address).toArray())
    : // Unlike toByteArray() this one always gives all 16 bytes.
      hexBytes(new Address6(address).bigInt().toString(16).padStart(32, '0'));
}

/** Canonical text (RFC 5952) of 4 or 16 bytes. Throws MalformedMessageError for any other number of bytes. */
export function decodeAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length === 16) return decodeV6(bytes);
  throw new MalformedMessageError(`An address has ${bytes.length} bytes instead of 4 or 16`);
}

/** The address that was decoded last: an attachment's thousands of ports lead to one. */
let known: { readonly bytes: Uint8Array; readonly text: string } | undefined;

function decodeV6(bytes: Uint8Array): string {
  if (!known || Buffer.compare(known.bytes, bytes) !== 0) {
    known = { bytes: bytes.slice(), text: Address6.fromUnsignedByteArray([...bytes]).correctForm() };
  }
  return known.text;
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

/** Spell a CIDR as the kernel reports it back: lower case, shortest form. Throws like splitCidr() and encodeAddress(). */
export function canonicalCidr(cidr: string): string {
  const { address, prefixLength } = splitCidr(cidr);
  return `${canonicalAddress(address)}/${prefixLength}`;
}

/** Likewise for an address alone. */
export function canonicalAddress(address: string): string {
  return decodeAddress(encodeAddress(address));
}

/** Bits of an address of the family: 32 or 128. */
export function bitsOf(family: IpFamily): number {
  return family === AF_INET ? 32 : 128;
}

/** The last address of an IPv4 network, where broadcasts go. */
export function broadcastOf(cidr: string): string {
  return new Address4(cidr).endAddress().correctForm();
}

/** The first address of a CIDR's network that a host can have, with the prefix length: where a gateway is by convention. */
export function firstHostOf(cidr: string): string {
  const { address, prefixLength } = splitCidr(cidr);
  const ip = familyOf(address) === AF_INET ? new Address4(cidr) : new Address6(cidr);
  return `${ip.startAddress().offset(1).correctForm()}/${prefixLength}`;
}

/** Whether two networks share an address. */
export function overlaps(a: string, b: string): boolean {
  if (familyOf(a) !== familyOf(b)) return false;
  const [network, other] =
    familyOf(a) === AF_INET ? [new Address4(a), new Address4(b)] : [new Address6(a), new Address6(b)];
  return network.isInSubnet(other) || other.isInSubnet(network);
}

/** The network a CIDR lies in, in CIDR form: "10.1.2.3/24" → "10.1.2.0/24". */
export function networkOf(cidr: string): string {
  const { address, prefixLength } = splitCidr(cidr);
  const start = familyOf(address) === AF_INET ? new Address4(cidr).startAddress() : new Address6(cidr).startAddress();
  return `${start.correctForm()}/${prefixLength}`;
}

/** Six bytes of "02:42:0a:16:00:05". Throws RangeError for any other text. */
export function encodeMac(mac: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) throw new RangeError(`Invalid MAC address "${mac}"`);
  return hexBytes(mac.replaceAll(':', ''));
}

/** Lower-case text with colons, of as many bytes as the link's addresses have. */
export function decodeMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function hexBytes(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex);
}
