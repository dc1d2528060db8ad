// Elements of nftables as they stand in the attachment record: what DEL removes without knowing how they came about.

import { describeElement, type Element } from '../kernel/nftables/element.ts';
import { keyLength } from '../kernel/nftables/key.ts';
import type { Ruleset } from '../kernel/nftables/ruleset.ts';
import type { NamedSet } from '../kernel/nftables/set.ts';
import { isObject } from '../protocol/fields.ts';

export interface RecordedElement {
  /** NFPROTO_* of the set's table. */
  readonly family: number;
  readonly set: string;
  /** Hexadecimal. */
  readonly key: string;
  /** Hexadecimal, of an interval. */
  readonly keyEnd?: string;
  /** For people: the key as nft shows it. */
  readonly text: string;
}

export function recordElement(element: Element): RecordedElement {
  const { set, key, keyEnd } = element;
  return {
    family: set.table.family,
    set: set.name,
    key: Buffer.from(key).toString('hex'),
    ...(keyEnd && { keyEnd: Buffer.from(keyEnd).toString('hex') }),
    text: describeElement(element),
  };
}

/**
 * The elements of a record. What cannot be one is left out, like the sets of another version of podlink: a record is a
 * file that anything may have happened to.
 */
export function recordedElements(recorded: readonly unknown[], rulesets: readonly Ruleset[]): Element[] {
  const sets = rulesets.flatMap((ruleset) => ruleset.sets);
  return recorded.flatMap((value) => {
    if (!isObject(value) || typeof value.key !== 'string') return [];
    const set = sets.find(({ name, table }) => name === value.set && table.family === value.family);
    if (!set) return [];
    const key = decodeHex(set, value.key);
    const keyEnd = typeof value.keyEnd === 'string' ? decodeHex(set, value.keyEnd) : undefined;
    if (!key || set.interval !== (keyEnd !== undefined)) return [];
    return [{ set, key, ...(keyEnd && { keyEnd }) }];
  });
}

function decodeHex(set: NamedSet, text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'hex');
  return bytes.length === keyLength(set.key) && text.length === bytes.length * 2 ? bytes : undefined;
}
