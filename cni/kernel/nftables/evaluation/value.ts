// Bytes of which some may be unknown: what a register holds, or a header of a packet that only exists in thought.

import { HOST_IS_LITTLE_ENDIAN } from '../../netlink/writer.ts';

/** One entry a byte; undefined for a byte that is not known. */
export type Value = readonly (number | undefined)[];

/** A number of so many bytes in the order of this machine. */
export function hostOrder(number: number, bytes: number): Value {
  const big = networkOrder(number, bytes);
  return HOST_IS_LITTLE_ENDIAN ? big.toReversed() : big;
}

/** A number of so many bytes, the highest first. */
export function networkOrder(number: number, bytes: number): Value {
  return Array.from({ length: bytes }, (_, i) => Math.floor(number / 256 ** (bytes - 1 - i)) % 256);
}

/** A text padded with zeros, as the kernel keeps the name of an interface. */
export function paddedText(text: string, bytes: number): Value {
  const encoded = Buffer.from(text);
  return Array.from({ length: bytes }, (_, i) => encoded[i] ?? 0);
}

export function unknownBytes(count: number): Value {
  return Array.from({ length: count }, () => undefined);
}

/** The bytes of a value; undefined when one of them is not known. */
export function knownBytes(value: Value): Uint8Array | undefined {
  return value.includes(undefined) ? undefined : Uint8Array.from(value.map((byte) => byte ?? 0));
}

/** Read a number in the order of this machine; undefined when one of its bytes is not known. */
export function numberOf(value: Value): number | undefined {
  const bytes = knownBytes(value);
  if (!bytes) return undefined;
  return [...(HOST_IS_LITTLE_ENDIAN ? bytes.toReversed() : bytes)].reduce((sum, byte) => sum * 256 + byte, 0);
}

/** Compare byte by byte: negative, 0 or positive; undefined when a byte that decides is not known. */
export function compareBytes(value: Value, other: Uint8Array): number | undefined {
  for (const [i, byte] of other.entries()) {
    const own = value[i];
    if (own === undefined) return undefined;
    if (own !== byte) return own - byte;
  }
  return 0;
}

/** Whether two are the same; undefined when they may be. One byte that is known to differ is enough for a no. */
export function isEqual(value: Value, other: Uint8Array): boolean | undefined {
  let isCertain = true;
  for (const [i, byte] of other.entries()) {
    const own = value[i];
    if (own === undefined) isCertain = false;
    else if (own !== byte) return false;
  }
  return isCertain ? true : undefined;
}

/** `(value & mask) ^ flip`, byte by byte: what the mask takes out is known, whatever it was. */
export function maskedBytes(value: Value, mask: Uint8Array, flip: Uint8Array): Value {
  return [...mask].map((bits, i) => {
    const byte = bits === 0 ? 0 : value[i];
    return byte === undefined ? undefined : (byte & bits) ^ (flip[i] ?? 0);
  });
}
