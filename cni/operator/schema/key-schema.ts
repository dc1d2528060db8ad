// The schema of a podlink entry, put together from what each mode, feature and IPAM type brings (cni/protocol/schema.ts).

import { IPAM_DRIVERS } from '../../../ipam/registry.ts';
import { FEATURES } from '../../features/feature-registry.ts';
import { UNSERVED_TABLE } from '../../features/firewall/unserved-protection.ts';
import type { Mode } from '../../modes/mode.ts';
import { MODES } from '../../modes/mode-registry.ts';
import { SELECTION_TABLE } from '../../modes/mode-selection.ts';
import { ENTRY_TABLE, LIST_TABLE } from '../../protocol/config-keys.ts';
import type { AnyNotes, CapabilityNote, KeyNote, KeyRow, KeyRows, KeyTable } from '../../protocol/schema.ts';
import { LOG_TABLE } from '../../verbs/log/call-log.ts';

/** A key as people see it. */
export interface SchemaKey {
  readonly name: string;
  readonly row: KeyRow;
  readonly note: KeyNote;
  /** Of the object, or of each object of the list. */
  readonly keys: readonly SchemaKey[];
  /** Whether a mode has a use for the key. */
  isUsedIn(mode: Mode): boolean;
}

/** The keys of one part of podlink. */
export interface SchemaSection {
  readonly title: string;
  readonly keys: readonly SchemaKey[];
  readonly capabilities: Readonly<Record<string, CapabilityNote>>;
}

/** The sections of an entry, without its `ipam`. Those of one title are one. */
export const ENTRY_SECTIONS: readonly SchemaSection[] = joinByTitle([
  sectionOf(ENTRY_TABLE),
  sectionOf(SELECTION_TABLE),
  ...MODES.flatMap((mode) => (mode.keys ? [sectionOf(mode.keys, mode)] : [])),
  ...FEATURES.flatMap(({ keys }) => (keys ? [sectionOf(keys)] : [])),
  sectionOf(LOG_TABLE),
  sectionOf(UNSERVED_TABLE),
]);

/** The keys of an entry; one that several modes bring is one key. */
export const ENTRY_KEYS: readonly SchemaKey[] = joinByName(ENTRY_SECTIONS.flatMap(({ keys }) => keys));

/** Which plugin hands out the addresses: the key that all sections `ipam` have. */
export const IPAM_TYPE: SchemaKey = keyOf('type', { type: 'string' }, { about: 'The IPAM plugin.' });

/** The sections `ipam`, by their types. */
export const IPAM_SECTIONS: ReadonlyMap<string, SchemaSection> = new Map(
  IPAM_DRIVERS.map(({ type, keys }) => {
    const section = sectionOf(keys);
    return [type, { ...section, keys: [IPAM_TYPE, ...section.keys] }];
  }),
);

/** The keys of a list of plugins. */
export const LIST_KEYS: readonly SchemaKey[] = sectionOf(LIST_TABLE).keys;

/** Capabilities podlink acts on. */
export const CAPABILITIES: Readonly<Record<string, CapabilityNote>> = Object.assign(
  {},
  ...[...ENTRY_SECTIONS, ...IPAM_SECTIONS.values()].map(({ capabilities }) => capabilities),
);

/** Capabilities of the conventions (CNI CONVENTIONS.md) that podlink leaves to other plugins. */
export const FOREIGN_CAPABILITIES = ['infinibandGUID', 'deviceID', 'aliases', 'cgroupPath'];

/** The key of that name, in whatever case: as they are read. */
export function findKey(keys: readonly SchemaKey[], name: string): SchemaKey | undefined {
  return keys.find((key) => key.name.toLowerCase() === name.toLowerCase());
}

/** `owner`: the mode whose keys they are. */
function sectionOf({ rows, section }: KeyTable, owner?: Mode): SchemaSection {
  const { title, needs, notes, capabilities = {} } = section();
  const isUsedIn = ({ needs: own }: KeyNote, mode: Mode): boolean => {
    if (own !== undefined) return own === 'nothing' || mode[own];
    return owner ? mode === owner : needs === undefined || mode[needs];
  };
  return { title, keys: keysOf(rows, notes, isUsedIn), capabilities };
}

type IsUsedIn = (note: KeyNote, mode: Mode) => boolean;

function keysOf(rows: KeyRows, notes: AnyNotes, isUsedIn?: IsUsedIn): SchemaKey[] {
  return Object.entries(rows).map(([name, row]) => keyOf(name, row, notes[name] ?? '', isUsedIn));
}

function keyOf(name: string, row: KeyRow, text: AnyNotes[string], isUsedIn: IsUsedIn = () => true): SchemaKey {
  const note = typeof text === 'string' ? { about: text } : text;
  const keys = row.keys ? keysOf(row.keys, note.keys ?? {}) : [];
  return { name, row, note, keys, isUsedIn: (mode) => isUsedIn(note, mode) };
}

function joinByTitle(sections: readonly SchemaSection[]): SchemaSection[] {
  return [...Map.groupBy(sections, ({ title }) => title)].map(([title, group]) => ({
    title,
    keys: group.flatMap(({ keys }) => keys),
    capabilities: Object.assign({}, ...group.map(({ capabilities }) => capabilities)),
  }));
}

function joinByName(keys: readonly SchemaKey[]): SchemaKey[] {
  return [...Map.groupBy(keys, ({ name }) => name).values()].flatMap((group) => {
    const [first] = group;
    return first ? [{ ...first, isUsedIn: (mode: Mode) => group.some((key) => key.isUsedIn(mode)) }] : [];
  });
}
