// Addresses between text (cni/address/ip.ts) and the kernel's bytes, always in network order.

import { Address4, Address6, AddressError } from 'ip-address';
import { familyOf, type IpFamily } from '../../address/ip.ts';
import { MalformedMessageError } from './reader.ts';

/** include/linux/socket.h */
export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;
/** Not an address family of packets: bridge ports and their neighbours. */
export const AF_BRIDGE = 7;

/** The kernel's number of a family. */
export function afOf(family: IpFamily): number {
  return family === 4 ? AF_INET : AF_INET6;
}

/** The family of a number of the kernel's; undefined for one that is not IP's. */
export function familyOfAf(af: number): IpFamily | undefined {
  return af === AF_INET ? 4 : af === AF_INET6 ? 6 : undefined;
}

/** 4 or 16 bytes in network order. Throws ip-address's AddressError for text that is no address. */
export function encodeAddress(address: string): Uint8Array {
  // ip-address takes both and forgets them; a prefix length here is a mistake, and a zone has no place in these bytes.
  if (address.includes('/') || address.includes('%'))
    throw new AddressError(`Invalid address "${address}": prefix length or zone not allowed`);
  return familyOf(address) === 4
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
