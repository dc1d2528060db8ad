// Keys of sets: one field, or several one after the other, each padded to four bytes.
// The kernel compares bytes and ignores types; they tell nft how to show a key.
//
// Source: nftables include/datatype.h (1.0.6) for the numbers, include/net/netfilter/nf_tables.h for the padding.

import { decodeAddress, decodeMac } from '../netlink/address-bytes.ts';
import { decodeText, encodeText } from '../netlink/text.ts';
import { align4 } from '../netlink/writer.ts';

export interface DataType {
  /** nft's number (enum datatypes), below 1 << TYPE_BITS. */
  readonly number: number;
  readonly bytes: number;
  readonly format: (bytes: Uint8Array) => string;
  /** Whether nft takes the bytes for a number of this machine's order, as it does with names. */
  readonly isHostOrder?: true;
}

// enum datatypes
export const IPV4_ADDR: DataType = { number: 7, bytes: 4, format: decodeAddress };
export const IPV6_ADDR: DataType = { number: 8, bytes: 16, format: decodeAddress };
export const ETHER_ADDR: DataType = { number: 9, bytes: 6, format: decodeMac };
/** One byte, IPPROTO_*. */
export const INET_PROTOCOL: DataType = { number: 12, bytes: 1, format: formatProtocol };
/** A port: encodePort(). */
export const INET_SERVICE: DataType = { number: 13, bytes: 2, format: (bytes) => String(decodePort(bytes)) };
/** IFNAMSIZ bytes, the rest of them zero: encodeInterfaceName(). */
export const IFNAME: DataType = { number: 41, bytes: 16, format: formatInterfaceName, isHostOrder: true };

// include/uapi/linux/in.h: values of INET_PROTOCOL
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_SCTP = 132;

const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [IPPROTO_TCP, 'tcp'],
  [IPPROTO_UDP, 'udp'],
  [IPPROTO_SCTP, 'sctp'],
]);

/** TYPE_BITS: a concatenation's number has six bits for each of its fields. */
const TYPE_BITS = 6;

/** The type number of a key. */
export function keyType(fields: readonly DataType[]): number {
  return fields.reduce((number, field) => (number << TYPE_BITS) | field.number, 0);
}

/** The bytes of a key. */
export function keyLength(fields: readonly DataType[]): number {
  return fields.reduce((length, field) => length + align4(field.bytes), 0);
}

/** Put the fields of a key together. Throws RangeError when they are not those of the type. */
export function encodeKey(types: readonly DataType[], fields: readonly Uint8Array[]): Uint8Array {
  if (fields.length !== types.length || types.some((type, i) => type.bytes !== fields[i]?.length)) {
    const [is, must] = [fields.map(({ length }) => length), types.map(({ bytes }) => bytes)];
    throw new RangeError(`Cannot write a key of ${is.join('+')} bytes: it must have ${must.join('+')}`);
  }
  // Not with a MessageWriter, which is three objects more: an attachment may have 100,000 keys.
  const key = new Uint8Array(keyLength(types));
  let at = 0;
  for (const field of fields) {
    key.set(field, at);
    at += align4(field.length);
  }
  return key;
}

/** Show a key like nft: `10.0.0.5 . 10.0.0.0-10.0.255.255`, where `end` is that of an interval. */
export function formatKey(types: readonly DataType[], start: Uint8Array, end = start): string {
  let offset = 0;
  return types
    .map((type) => {
      const [from, to] = [start, end].map((key) => type.format(key.subarray(offset, offset + type.bytes)));
      offset += align4(type.bytes);
      return from === to ? from : `${from}-${to}`;
    })
    .join(' . ');
}

/** Write the name of a network interface as a field of a key. Throws RangeError for one that no interface can have. */
export function encodeInterfaceName(name: string): Uint8Array {
  const text = encodeText(name);
  if (text.length === 0 || text.length >= IFNAME.bytes) {
    throw new RangeError(`Cannot write interface name "${name}": it must have 1 to ${IFNAME.bytes - 1} bytes`);
  }
  const bytes = new Uint8Array(IFNAME.bytes);
  bytes.set(text);
  return bytes;
}

function formatInterfaceName(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return `"${decodeText(end < 0 ? bytes : bytes.subarray(0, end))}"`;
}

/** Write a port as a field of a key. Throws RangeError for a number that is none. */
export function encodePort(port: number): Uint8Array {
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw new RangeError(`Cannot write port ${port}`);
  return Uint8Array.of(port >> 8, port & 0xff);
}

/** Read the port in a field. */
export function decodePort([high = 0, low = 0]: Uint8Array): number {
  return high * 256 + low;
}

function formatProtocol([number = 0]: Uint8Array): string {
  return PROTOCOL_NAMES.get(number) ?? String(number);
}
