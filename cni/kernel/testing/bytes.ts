// Bytes as tests write them, made without the code under test.

import * as assert from 'uvu/assert';
import type { Message } from '../netlink/message.ts';

/**
 * Read annotated bytes: hexadecimal pairs, and from a semicolon to the end of the line a comment.
 *
 * Throws RangeError for anything else, so that a typing error in a test is not taken for a capture.
 */
export function bytes(annotated: string): Uint8Array {
  const pairs = annotated
    .replace(/;.*$/gm, '')
    .split(/\s+/)
    .filter((word) => word !== '');
  for (const pair of pairs) {
    if (!/^[0-9a-f]{2}$/.test(pair)) throw new RangeError(`Invalid byte "${pair}"`);
  }
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
}

/** Bytes as `bytes()` reads them, four a line. */
function words(value: Uint8Array): string {
  const pairs = Array.from(value, (byte) => byte.toString(16).padStart(2, '0'));
  const lines: string[] = [];
  for (let i = 0; i < pairs.length; i += 4) lines.push(pairs.slice(i, i + 4).join(' '));
  return lines.join('\n');
}

/** Compare bytes, and show the words that differ. */
export function assertBytes(actual: Uint8Array, expected: Uint8Array, title?: string): void {
  assert.is(words(actual), words(expected), title);
}

/** Bytes one after the other. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** One attribute, host order, padded: `type` with its flags, if any. */
export function attribute(type: number, payload: Uint8Array): Uint8Array {
  const buffer = Buffer.alloc(Math.ceil((4 + payload.length) / 4) * 4);
  buffer.writeUInt16LE(4 + payload.length, 0);
  buffer.writeUInt16LE(type, 2);
  buffer.set(payload, 4);
  return new Uint8Array(buffer);
}

/** One netlink message, host order, not padded. */
export function message(
  header: { type: number; flags?: number; sequence?: number },
  ...payload: readonly Uint8Array[]
): Uint8Array {
  const body = join(...payload);
  const buffer = Buffer.alloc(16 + body.length);
  buffer.writeUInt32LE(buffer.length, 0);
  buffer.writeUInt16LE(header.type, 4);
  buffer.writeUInt16LE(header.flags ?? 0, 6);
  buffer.writeUInt32LE(header.sequence ?? 0, 8);
  buffer.set(body, 16);
  return new Uint8Array(buffer);
}

/** A signed number of 32 bits, host order. */
export function s32(value: number): Uint8Array {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value);
  return new Uint8Array(buffer);
}

/** A number of 32 bits, host order. */
export function u32(value: number): Uint8Array {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return new Uint8Array(buffer);
}

/** A message as a connection hands it to a decoder. */
export function received(payload: Uint8Array, type = 16): Message {
  return { type, flags: 2, sequence: 1, portId: 0, payload };
}
