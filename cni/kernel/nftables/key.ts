// Keys of sets: one field, or several one after the other, each padded to four bytes.
// The kernel compares bytes and ignores types; they tell nft how to show a key.
//
// Source: nftables include/datatype.h (1.0.6) for the numbers, include/net/netfilter/nf_tables.h for the padding.

import { decodeAddress } from '../netlink/address-bytes.ts';
import { align4, MessageWriter } from '../netlink/writer.ts';

export interface DataType {
  /** nft's number (enum datatypes), below 1 << TYPE_BITS. */
  readonly number: number;
  readonly bytes: number;
  readonly format: (bytes: Uint8Array) => string;
}

// enum datatypes
export const IPV4_ADDR: DataType = { number: 7, bytes: 4, format: decodeAddress };
export const IPV6_ADDR: DataType = { number: 8, bytes: 16, format: decodeAddress };

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
  const writer = new MessageWriter(keyLength(types));
  for (const field of fields) writer.bytes(field).pad();
  return writer.finish();
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
