// Reads netlink messages: fixed structures through a cursor, attributes through a list that keeps unknown ones.
// Every length is checked before it is trusted; bytes that lie about their length are a MalformedMessageError.

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
  readonly all: readonly Attribute[];

  constructor(bytes: Uint8Array) {
    const all: Attribute[] = [];
    const reader = new ByteReader(bytes);
    while (reader.remaining >= 4) {
      const length = reader.u16();
      const type = reader.u16() & NLA_TYPE_MASK;
      if (length < 4) throw new MalformedMessageError(`Invalid attribute length ${length}`);
      const payload = reader.bytes(length - 4);
      // The last attribute's padding may be missing.
      reader.skip(Math.min(align4(length) - length, reader.remaining));
      all.push({ type, payload });
    }
    if (reader.remaining > 0) throw new MalformedMessageError(`${reader.remaining} stray bytes after the attributes`);
    this.all = all;
  }

  has(type: number): boolean {
    return this.bytes(type) !== undefined;
  }

  bytes(type: number): Uint8Array | undefined {
    return this.all.findLast((attribute) => attribute.type === type)?.payload;
  }

  u8(type: number): number | undefined {
    return this.#exactly(type, 1)?.u8();
  }

  u16(type: number): number | undefined {
    return this.#exactly(type, 2)?.u16();
  }

  u32(type: number): number | undefined {
    return this.#exactly(type, 4)?.u32();
  }

  s32(type: number): number | undefined {
    return this.#exactly(type, 4)?.s32();
  }

  u64(type: number): bigint | undefined {
    return this.#exactly(type, 8)?.u64();
  }

  be32(type: number): number | undefined {
    return this.#exactly(type, 4)?.be32();
  }

  be64(type: number): bigint | undefined {
    return this.#exactly(type, 8)?.be64();
  }

  /** UTF-8 text up to its first zero byte, or all of it. */
  string(type: number): string | undefined {
    const payload = this.bytes(type);
    if (payload === undefined) return undefined;
    const end = payload.indexOf(0);
    return new TextDecoder().decode(end < 0 ? payload : payload.subarray(0, end));
  }

  nested(type: number): Attributes | undefined {
    const payload = this.bytes(type);
    return payload && new Attributes(payload);
  }

  #exactly(type: number, size: number): ByteReader | undefined {
    const payload = this.bytes(type);
    if (payload === undefined) return undefined;
    if (payload.length !== size) {
      throw new MalformedMessageError(`Attribute ${type} has ${payload.length} bytes instead of ${size}`);
    }
    return new ByteReader(payload);
  }
}
