// Elements of nftables as they stand in the attachment record: what DEL removes without knowing how they came about.

import type { Element } from '../kernel/nftables/element.ts';
import { type DataType, keyLength } from '../kernel/nftables/key.ts';
import type { Ruleset } from '../kernel/nftables/ruleset.ts';
import { isObject } from '../protocol/fields.ts';

export interface RecordedElement {
  /** NFPROTO_* of the set's table. */
  readonly family: number;
  readonly set: string;
  /** Hexadecimal. */
  readonly key: string;
  /** Hexadecimal, of an interval. */
  readonly keyEnd?: string;
  /** Hexadecimal: the value, of an element of a map. */
  readonly data?: string;
}

export function recordElement({ set, key, keyEnd, data }: Element): RecordedElement {
  return {
    family: set.table.family,
    set: set.name,
    key: key.toHex(),
    ...(keyEnd && { keyEnd: keyEnd.toHex() }),
    ...(data && { data: data.toHex() }),
  };
}

/**
 * The elements of a record. What cannot be one is left out, like the sets of another version of podlink: a record is a
 * file that anything may have happened to.
 */
export function recordedElements(recorded: readonly unknown[], rulesets: readonly Ruleset[]): Element[] {
  const sets = new Map(
    rulesets.flatMap((ruleset) => ruleset.sets.map((set) => [`${set.table.family} ${set.name}`, set])),
  );
  return recorded.flatMap((value) => {
    if (!isObject(value) || typeof value.key !== 'string') return [];
    const set = sets.get(`${value.family} ${value.set}`);
    if (!set) return [];
    const key = decodeHex(set.key, value.key);
    const keyEnd = decodeHex(set.key, value.keyEnd);
    if (!key || set.interval !== (keyEnd !== undefined)) return [];
    const data = set.data && decodeHex(set.data, value.data);
    return [{ set, key, ...(keyEnd && { keyEnd }), ...(data && { data }) }];
  });
}

/** Those of a record's that can be added: a map's elements have their values. */
export function recordedWaitingElements(recorded: readonly unknown[], rulesets: readonly Ruleset[]): Element[] {
  return recordedElements(recorded, rulesets).filter(({ set, data }) => !set.data === !data);
}

function decodeHex(fields: readonly DataType[], text: unknown): Uint8Array | undefined {
  if (typeof text !== 'string') return undefined;
  const bytes = Buffer.from(text, 'hex');
  return bytes.length === keyLength(fields) && text.length === bytes.length * 2 ? bytes : undefined;
}
