// Writes netlink messages: integers, strings and attributes, padded as the kernel wants them.
//
// An attribute (struct nlattr, include/uapi/linux/netlink.h, v6.12), host byte order:
//
//   0               2               4
//   +---------------+---------------+-----------------------+---------+
//   | nla_len u16   | nla_type u16  | payload               | 0 … 3 B |
//   +---------------+---------------+-----------------------+---------+
//
// nla_len counts header and payload, not the padding to NLA_ALIGNTO = 4.

import { encodeText } from './text.ts';

/** Both architectures the executable is built for are little-endian, so "host order" is little-endian here. */
export const HOST_IS_LITTLE_ENDIAN = true;

/** The attribute's payload is a list of attributes. */
export const NLA_F_NESTED = 0x8000;
/** Masks NLA_F_NESTED and NLA_F_NET_BYTEORDER away: what is left is the attribute's number. */
export const NLA_TYPE_MASK = 0x3fff;

/** NLMSG_ALIGN and NLA_ALIGN: round up to a multiple of four. */
export function align4(length: number): number {
  return (length + 3) & ~3;
}

/**
 * A growing buffer in wire order. Every method returns the writer, so that a message reads top to bottom.
 *
 * `u16`, `u32`, `u64` write host byte order, `be16`, `be32`, `be64` network byte order. Throws RangeError when a number
 * does not fit its field.
 */
export class MessageWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** What has been written so far, without a copy: do not keep it across further writes. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  u8(value: number): this {
    assertUnsigned(value, 0xff);
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    assertUnsigned(value, 0xffff);
    const at = this.#grow(2);
    this.#view.setUint16(at, value, HOST_IS_LITTLE_ENDIAN);
    return this;
  }

  u32(value: number): this {
    assertUnsigned(value, 0xffffffff);
    const at = this.#grow(4);
    this.#view.setUint32(at, value, HOST_IS_LITTLE_ENDIAN);
    return this;
  }

  /** A signed number of 32 bits, host order. */
  s32(value: number): this {
    if (!Number.isInteger(value) || value < -0x80000000 || value > 0x7fffffff) throw unfit(value);
    const at = this.#grow(4);
    this.#view.setInt32(at, value, HOST_IS_LITTLE_ENDIAN);
    return this;
  }

  u64(value: bigint): this {
    if (value < 0n || value > 0xffffffffffffffffn) throw unfit(value);
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, HOST_IS_LITTLE_ENDIAN);
    return this;
  }

  be16(value: number): this {
    assertUnsigned(value, 0xffff);
    const at = this.#grow(2);
    this.#view.setUint16(at, value, false);
    return this;
  }

  be32(value: number): this {
    assertUnsigned(value, 0xffffffff);
    const at = this.#grow(4);
    this.#view.setUint32(at, value, false);
    return this;
  }

  be64(value: bigint): this {
    if (value < 0n || value > 0xffffffffffffffffn) throw unfit(value);
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, false);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#grow(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Zero bytes up to the next multiple of four. */
  pad(): this {
    this.#grow(align4(this.#length) - this.#length);
    return this;
  }

  /** An attribute whose payload `write` writes. */
  attribute(type: number, write: (writer: this) => void): this {
    const start = this.#length;
    this.u16(0).u16(type);
    write(this);
    const length = this.#length - start;
    // Written from the inside out, so a payload that is too long is found here and nowhere else.
    assertUnsigned(length, 0xffff);
    this.#view.setUint16(start, length, HOST_IS_LITTLE_ENDIAN);
    return this.pad();
  }

  /** An attribute that holds attributes. rtnetlink ignores the flag, nfnetlink and strict checking want it. */
  nested(type: number, write: (writer: this) => void): this {
    return this.attribute(type | NLA_F_NESTED, write);
  }

  /** An attribute without payload: its presence is its value. */
  attributeFlag(type: number): this {
    return this.attribute(type, () => undefined);
  }

  attributeU8(type: number, value: number): this {
    return this.attribute(type, (writer) => writer.u8(value));
  }

  attributeU16(type: number, value: number): this {
    return this.attribute(type, (writer) => writer.u16(value));
  }

  attributeU32(type: number, value: number): this {
    return this.attribute(type, (writer) => writer.u32(value));
  }

  /** A number of 32 bits in network byte order: what nfnetlink means by NLA_U32. */
  attributeBe32(type: number, value: number): this {
    return this.attribute(type, (writer) => writer.be32(value));
  }

  /** A number of 64 bits in network byte order. */
  attributeBe64(type: number, value: bigint): this {
    return this.attribute(type, (writer) => writer.be64(value));
  }

  attributeBytes(type: number, value: Uint8Array): this {
    return this.attribute(type, (writer) => writer.bytes(value));
  }

  /** UTF-8 text with its terminating zero, as NLA_NUL_STRING wants it. Throws RangeError for text that holds a zero. */
  attributeString(type: number, text: string): this {
    if (text.includes('\0')) throw new RangeError('Cannot write a string that contains a zero byte');
    return this.attribute(type, (writer) => writer.bytes(encodeText(text)).u8(0));
  }

  /** Overwrite four bytes written earlier, e.g. a length that was not known. Host order. */
  patchU32(offset: number, value: number): this {
    assertUnsigned(value, 0xffffffff);
    if (offset + 4 > this.#length) throw new RangeError(`Cannot patch offset ${offset} of ${this.#length} bytes`);
    this.#view.setUint32(offset, value, HOST_IS_LITTLE_ENDIAN);
    return this;
  }

  /** Make room for `count` zero bytes and return where they start. Replaces buffer and view: look at them afterwards only. */
  #grow(count: number): number {
    const start = this.#length;
    const end = start + count;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#length = end;
    return start;
  }
}

function assertUnsigned(value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) throw unfit(value);
}

function unfit(value: number | bigint): RangeError {
  return new RangeError(`Cannot write ${value}: it does not fit its field`);
}
