// The keys of an entry held against the schema: those that nobody reads, one key in two spellings, empty texts, and keys
// that no mode has a use for which a container can get.

import { diagnose } from './configuration-diagnosis.ts';
import type { Mode } from '../../modes/mode.ts';
import { isObject } from '../../protocol/fields.ts';
import { ENTRY_KEYS, findKey, IPAM_SECTIONS, IPAM_TYPE, type SchemaKey } from '../schema/key-schema.ts';
import { type Fault, meant, valueAt, warning } from './fault.ts';

type RawConfig = Readonly<Record<string, unknown>>;

/** Keys of which an operator who writes an empty text might not expect the default. */
const EMPTY_CODES = { 'ipam.dataDir': 'data-dir-empty', 'ipam.type': 'ipam-type-empty' } as const;

/** Keys that nobody reads, and one key in two spellings, of which the last counts. */
export function checkKeys(config: RawConfig): Fault[] {
  const ipam = valueAt(config, 'ipam');
  // What another IPAM plugin reads is its own affair.
  const ipamKeys = ipamKeysOf(ipam);
  return [
    ...findUnknownKeys(config, ENTRY_KEYS),
    ...(ipamKeys ? findUnknownKeys(ipam, ipamKeys, 'ipam') : []),
    ...[config, ...(isObject(ipam) ? [ipam] : [])].flatMap(checkSpellings),
  ];
}

/** Texts that are empty: like Go's, the parsers read them as "not given". `refusals`: what has been said of others. */
export function checkEmptyTexts(config: RawConfig, refusals: readonly Fault[]): Fault[] {
  const ipam = valueAt(config, 'ipam');
  return [
    ...findEmptyTexts(config, ENTRY_KEYS),
    ...(isObject(ipam) ? findEmptyTexts(ipam, ipamKeysOf(ipam) ?? [IPAM_TYPE], 'ipam') : []),
  ]
    .filter((path) => !refusals.some(({ diagnosis: { subject } }) => subject === path))
    .map((path) => warning(diagnose(EMPTY_CODES[path as keyof typeof EMPTY_CODES] ?? 'text-empty', { subject: path })));
}

/** Keys that none of the modes has a use for: all that a container can get by the entry. */
export function checkUnusedKeys(config: RawConfig, modes: readonly Mode[]): Fault[] {
  const isWritten = (key: string): boolean => {
    const value = valueAt(config, key);
    return value !== undefined && !(isObject(value) && Object.keys(value).length === 0);
  };
  const unused = ENTRY_KEYS.filter((key) => isWritten(key.name) && !modes.some((mode) => key.isUsedIn(mode)));
  if (unused.length === 0) return [];
  const object = [...new Set(modes)].map(({ name }) => name);
  return [warning(diagnose('key-unused', { subject: unused.map(({ name }) => name), object }))];
}

/** The keys of a value that the schema does not know there, matched without regard to case as they are read. */
export function findUnknownKeys(value: unknown, keys: readonly SchemaKey[], path = ''): Fault[] {
  return visit(value, keys, path, ({ name, at, key, siblings }) => {
    if (key) return [];
    const known = siblings.map((each) => each.name);
    return [warning(diagnose('key-unknown', { subject: at, ...meant(name, known) }))];
  });
}

function findEmptyTexts(value: unknown, keys: readonly SchemaKey[], path = ''): string[] {
  return visit(value, keys, path, ({ at, key, value: text }) => (key && text === '' ? [at] : []));
}

interface Visited {
  /** As it is written. */
  readonly name: string;
  readonly at: string;
  readonly key: SchemaKey | undefined;
  /** All that may stand there. */
  readonly siblings: readonly SchemaKey[];
  readonly value: unknown;
}

/** Look at each key of an object, and below as far as the schema goes; lists are transparent. */
function visit<Found>(
  value: unknown,
  keys: readonly SchemaKey[],
  path: string,
  look: (visited: Visited) => Found[],
): Found[] {
  if (Array.isArray(value)) return value.flatMap((item, i) => visit(item, keys, `${path}[${i}]`, look));
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([name, below]) => {
    const at = path === '' ? name : `${path}.${name}`;
    const key = findKey(keys, name);
    const found = look({ name, at, key, siblings: keys, value: below });
    return key && key.keys.length > 0 ? [...found, ...visit(below, key.keys, at, look)] : found;
  });
}

function ipamKeysOf(ipam: unknown): readonly SchemaKey[] | undefined {
  return isObject(ipam) ? IPAM_SECTIONS.get(String(valueAt(ipam, 'type')))?.keys : undefined;
}

function checkSpellings(object: RawConfig): Fault[] {
  const spellings = Map.groupBy(Object.keys(object), (key) => key.toLowerCase());
  return [...spellings.values()]
    .filter((keys) => keys.length > 1)
    .map((keys) => warning(diagnose('key-in-two-spellings', { subject: keys })));
}
