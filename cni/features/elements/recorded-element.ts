// Elements of nftables as they stand in the attachment record: what DEL removes without knowing how they came about.

import type { RecordedElement } from '../../attachment/record.ts';
import { NFPROTO_BRIDGE, NFPROTO_INET } from '../../kernel/nftables/constants.ts';
import type { Element } from '../../kernel/nftables/element.ts';
import { type DataType, keyLength } from '../../kernel/nftables/key.ts';
import type { Ruleset } from '../../kernel/nftables/ruleset.ts';
import type { NamedSet } from '../../kernel/nftables/set.ts';
import { isObject } from '../../protocol/fields.ts';
import { PODLINK_TABLE } from './podlink-table.ts';

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
 * The elements of a record. What cannot be one is left out: a record is a file that anything may have happened to. The set
 * may be one of another version of podlink, which has the attachment's elements still: it is known by its name alone.
 */
export function recordedElements(recorded: readonly unknown[], rulesets: readonly Ruleset[]): Element[] {
  const sets = new Map(
    rulesets.flatMap((ruleset) => ruleset.sets.map((set) => [`${set.table.family} ${set.name}`, set])),
  );
  return recorded.flatMap((value) => {
    if (!isObject(value) || typeof value.family !== 'number' || typeof value.key !== 'string') return [];
    const set = sets.get(`${value.family} ${value.set}`) ?? setOfOtherVersion(value);
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

/** The longest name that nf_tables has room for (NFT_NAME_MAXLEN), and the longest key (NFT_REG32_COUNT registers). */
const SET_NAME = /^[a-z][a-z0-9_]{0,254}$/;
const MAX_KEY_BYTES = 64;

function setOfOtherVersion({ family, set, key, keyEnd }: Readonly<Record<string, unknown>>): NamedSet | undefined {
  if (typeof set !== 'string' || !SET_NAME.test(set) || typeof key !== 'string') return undefined;
  if (typeof family !== 'number' || !FAMILIES.includes(family)) return undefined;
  const bytes = key.length / 2;
  if (bytes < 4 || bytes > MAX_KEY_BYTES || bytes % 4 !== 0) return undefined;
  return {
    table: { family, name: PODLINK_TABLE.name },
    name: set,
    key: [{ ...HEXADECIMAL, bytes }],
    interval: keyEnd !== undefined,
    comment: '',
  };
}

const FAMILIES: readonly number[] = [NFPROTO_INET, NFPROTO_BRIDGE];
const HEXADECIMAL: Omit<DataType, 'bytes'> = { number: 0, format: (bytes) => Buffer.from(bytes).toString('hex') };

function decodeHex(fields: readonly DataType[], text: unknown): Uint8Array | undefined {
  if (typeof text !== 'string') return undefined;
  const bytes = Buffer.from(text, 'hex');
  return bytes.length === keyLength(fields) && text.length === bytes.length * 2 ? bytes : undefined;
}
