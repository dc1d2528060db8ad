// Reads netlink messages: fixed structures through a cursor, attributes through a list that keeps unknown ones.
// Every length is checked before it is trusted; bytes that lie about their length are a MalformedMessageError.

import { decodeText } from './text.ts';
import { align4, HOST_IS_LITTLE_ENDIAN, NLA_TYPE_MASK } from './writer.ts';

/** Bytes from a netlink socket that do not keep to the format. */
export class MalformedMessageError extends Error {
  override readonly name = 'MalformedMessageError';
}

/** A cursor over bytes in wire order. Reading past the end throws MalformedMessageError. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  /** Host order, like all but the `be` readers. */
  u16(): number {
    return this.#view.getUint16(this.#take(2), HOST_IS_LITTLE_ENDIAN);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), HOST_IS_LITTLE_ENDIAN);
  }

  s32(): number {
    return this.#view.getInt32(this.#take(4), HOST_IS_LITTLE_ENDIAN);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), HOST_IS_LITTLE_ENDIAN);
  }

  /** Network order. */
  be16(): number {
    return this.#view.getUint16(this.#take(2), false);
  }

  be32(): number {
    return this.#view.getUint32(this.#take(4), false);
  }

  be64(): bigint {
    return this.#view.getBigUint64(this.#take(8), false);
  }

  /** The next `count` bytes, not copied. */
  bytes(count: number): Uint8Array {
    const start = this.#take(count);
    return this.#bytes.subarray(start, start + count);
  }

  skip(count: number): this {
    this.#take(count);
    return this;
  }

  /** All bytes that are left. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  #take(count: number): number {
    // A negative count comes from arithmetic on a length that lied.
    if (count < 0 || count > this.remaining) {
      throw new MalformedMessageError(`Truncated message: ${count} bytes wanted, ${this.remaining} left`);
    }
    const start = this.#offset;
    this.#offset += count;
    return start;
  }
}

/** One attribute: its number without flags, and its payload. */
export interface Attribute {
  readonly type: number;
  readonly payload: Uint8Array;
}

/**
 * The attributes of a message or of a nested attribute, in the order of the wire.
 *
 * Getters return undefined when the attribute is absent, and throw MalformedMessageError when its payload has another
 * size than they read. Of an attribute that stands twice the last counts, as in the kernel's own nla_parse().
 */
export class Attributes {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Type, offset of the payload and its length, of one attribute after the other. A link has 60, of which ten are read. */
  readonly #places: readonly number[];

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const places: number[] = [];
    let at = 0;
    while (bytes.length - at >= 4) {
      const length = view.getUint16(at, HOST_IS_LITTLE_ENDIAN);
      if (length < 4) throw new MalformedMessageError(`Invalid attribute length ${length}`);
      const left = bytes.length - at;
      if (length > left)
        throw new MalformedMessageError(`Truncated message: ${length - 4} bytes wanted, ${left - 4} left`);
      places.push(view.getUint16(at + 2, HOST_IS_LITTLE_ENDIAN) & NLA_TYPE_MASK, at + 4, length - 4);
      // The last attribute's padding may be missing.
      at = Math.min(at + align4(length), bytes.length);
    }
    if (at < bytes.length) throw new MalformedMessageError(`${bytes.length - at} stray bytes after the attributes`);
    this.#bytes = bytes;
    this.#view = view;
    this.#places = places;
  }

  get all(): Attribute[] {
    const places = this.#places;
    return Array.from({ length: places.length / 3 }, (_, i) => ({
      type: places[3 * i] ?? 0,
      payload: this.#payload(3 * i),
    }));
  }

  has(type: number): boolean {
    return this.#find(type) >= 0;
  }

  bytes(type: number): Uint8Array | undefined {
    const place = this.#find(type);
    return place < 0 ? undefined : this.#payload(place);
  }

  u8(type: number): number | undefined {
    const at = this.#exactly(type, 1);
    return at < 0 ? undefined : this.#view.getUint8(at);
  }

  u16(type: number): number | undefined {
    const at = this.#exactly(type, 2);
    return at < 0 ? undefined : this.#view.getUint16(at, HOST_IS_LITTLE_ENDIAN);
  }

  u32(type: number): number | undefined {
    const at = this.#exactly(type, 4);
    return at < 0 ? undefined : this.#view.getUint32(at, HOST_IS_LITTLE_ENDIAN);
  }

  s32(type: number): number | undefined {
    const at = this.#exactly(type, 4);
    return at < 0 ? undefined : this.#view.getInt32(at, HOST_IS_LITTLE_ENDIAN);
  }

  u64(type: number): bigint | undefined {
    const at = this.#exactly(type, 8);
    return at < 0 ? undefined : this.#view.getBigUint64(at, HOST_IS_LITTLE_ENDIAN);
  }

  be32(type: number): number | undefined {
    const at = this.#exactly(type, 4);
    return at < 0 ? undefined : this.#view.getUint32(at, false);
  }

  be64(type: number): bigint | undefined {
    const at = this.#exactly(type, 8);
    return at < 0 ? undefined : this.#view.getBigUint64(at, false);
  }

  /** UTF-8 text up to its first zero byte, or all of it. */
  string(type: number): string | undefined {
    const payload = this.bytes(type);
    if (payload === undefined) return undefined;
    const end = payload.indexOf(0);
    return decodeText(end < 0 ? payload : payload.subarray(0, end));
  }

  nested(type: number): Attributes | undefined {
    const payload = this.bytes(type);
    return payload && new Attributes(payload);
  }

  /** Where in #places the last attribute of a type is; negative when there is none. */
  #find(type: number): number {
    let place = this.#places.length - 3;
    while (place >= 0 && this.#places[place] !== type) place -= 3;
    return place;
  }

  #payload(place: number): Uint8Array {
    const start = this.#places[place + 1] ?? 0;
    return this.#bytes.subarray(start, start + (this.#places[place + 2] ?? 0));
  }

  /** The offset of an attribute's payload, which has so many bytes; negative when it is absent. */
  #exactly(type: number, size: number): number {
    const place = this.#find(type);
    if (place < 0) return -1;
    const length = this.#places[place + 2];
    if (length !== size) throw new MalformedMessageError(`Attribute ${type} has ${length} bytes instead of ${size}`);
    return this.#places[place + 1] ?? 0;
  }
}
