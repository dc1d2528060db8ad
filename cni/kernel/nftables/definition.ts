// Compares what was asked of the kernel with what it says it has.
//
// The kernel answers with the attributes it was given and more: handles, counters, what later versions add. So an
// object is as wanted when it has every attribute of the request with the same value. Both sides are attribute bytes;
// the request's NLA_F_NESTED flags say where lists of attributes are (the kernel's answers do not set them).

import { ByteReader } from '../netlink/reader.ts';
import { align4, NLA_F_NESTED, NLA_TYPE_MASK } from '../netlink/writer.ts';

interface RawAttribute {
  readonly type: number;
  readonly isNested: boolean;
  readonly payload: Uint8Array;
}

/**
 * Whether `actual` has every attribute of `wanted`. Of a type that repeats (the expressions of a rule, the fields of a
 * key) there must be equally many, in the same order. An attribute that is missing counts as zero: the kernel leaves
 * out flags of which none is set.
 */
export function isAsDefined(wanted: Uint8Array, actual: Uint8Array): boolean {
  const [wantedByType, actualByType] = [byType(wanted), byType(actual)];
  return [...wantedByType].every(([type, attributes]) => {
    const found = actualByType.get(type) ?? [];
    if (found.length === 0) return attributes.every(({ payload }) => payload.every((byte) => byte === 0));
    return found.length === attributes.length && attributes.every((attribute, i) => isSame(attribute, found[i]));
  });
}

function isSame(wanted: RawAttribute, found: RawAttribute | undefined): boolean {
  if (!found) return false;
  if (wanted.isNested) return isAsDefined(wanted.payload, found.payload);
  return Buffer.compare(wanted.payload, found.payload) === 0;
}

function byType(bytes: Uint8Array): Map<number, RawAttribute[]> {
  const attributes: RawAttribute[] = [];
  const reader = new ByteReader(bytes);
  while (reader.remaining > 0) {
    const [length, type] = [reader.u16(), reader.u16()];
    const payload = reader.bytes(length - 4);
    reader.skip(Math.min(align4(length) - length, reader.remaining));
    attributes.push({ type: type & NLA_TYPE_MASK, isNested: (type & NLA_F_NESTED) !== 0, payload });
  }
  return Map.groupBy(attributes, ({ type }) => type);
}
