// Comments: the kernel keeps them as opaque bytes (NFTA_*_USERDATA), whose format is libnftnl's: a list of
//
//   0          1          2
//   +----------+----------+------------------+
//   | type u8  | len u8   | value, len bytes |
//   +----------+----------+------------------+
//
// A comment is text with its terminating zero; its type differs between objects.
// Source: libnftnl include/libnftnl/udata.h (1.2.4).

import { ByteReader } from '../netlink/reader.ts';
import { decodeText, encodeText } from '../netlink/text.ts';

/** NFTNL_UDATA_RULE_COMMENT and NFTNL_UDATA_SET_ELEM_COMMENT. */
export const RULE_COMMENT = 0;
export const ELEMENT_COMMENT = 0;
/** NFTNL_UDATA_SET_COMMENT. */
export const SET_COMMENT = 7;

/** NFTNL_UDATA_SET_KEYBYTEORDER, and nft's BYTEORDER_HOST_ENDIAN as its value. */
const SET_KEY_BYTE_ORDER = 0;
const HOST_ENDIAN = 1;

/**
 * Tells nft that a set's key is in the machine's order; without it nft shows the elements' keys wrongly. The value is a
 * u32 in that order too: x86-64 and arm64 begin with the least byte.
 */
export const HOST_ORDER_KEY = Uint8Array.of(SET_KEY_BYTE_ORDER, 4, HOST_ENDIAN, 0, 0, 0);

/** NFTNL_UDATA_COMMENT_MAXLEN: nft shows longer comments, but does not read back what it has shown. */
export const COMMENT_MAX_BYTES = 128;

const DIGEST_CHARACTERS = 16;

/** Write a comment. Throws RangeError for one that nft could not read, which fitComment() prevents. */
export function encodeComment(type: number, comment: string): Uint8Array {
  const text = encodeText(comment);
  if (text.length > COMMENT_MAX_BYTES || text.includes(0)) {
    throw new RangeError(`Cannot write the comment "${comment}": it must have at most ${COMMENT_MAX_BYTES} bytes`);
  }
  return Uint8Array.of(type, text.length + 1, ...text, 0);
}

/** Read the comment, if there is one. Throws MalformedMessageError when a length is wrong. */
export function decodeComment(type: number, userdata: Uint8Array): string | undefined {
  const reader = new ByteReader(userdata);
  while (reader.remaining > 0) {
    const [entryType, length] = [reader.u8(), reader.u8()];
    const value = reader.bytes(length);
    if (entryType === type) return decodeText(value.at(-1) === 0 ? value.subarray(0, -1) : value);
  }
  return undefined;
}

/**
 * Cut text to what a comment can hold: the same text always gives the same comment, and two texts that differ only
 * behind the cut different ones, because a digest of the whole takes the place of what is cut off.
 */
export function fitComment(text: string): string {
  const bytes = encodeText(text);
  if (bytes.length <= COMMENT_MAX_BYTES) return text;
  const digest = process.getBuiltinModule('node:crypto').hash('sha256', text).slice(0, DIGEST_CHARACTERS);
  // `stream` holds back the bytes of a character that the cut has split.
  const start = new TextDecoder('utf-8', { ignoreBOM: true }).decode(
    bytes.subarray(0, COMMENT_MAX_BYTES - DIGEST_CHARACTERS - 1),
    {
      stream: true,
    },
  );
  return `${start}~${digest}`;
}
