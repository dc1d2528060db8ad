// The schema of the configuration: what its keys are, in rows that stand beside the parser which reads by them.
//
//   export const LOG_KEYS = { log: { type: 'string', read: logPathAt } } as const satisfies KeyRows;
//   export const LOG_TABLE = keyTable(LOG_KEYS, () => ({ title: 'Logs', notes: { log: 'An absolute path: …' } }));
//
// From the rows come the parsers' values (read()), with the notes also what `validate` knows of keys, the JSON Schema
// (`podlink schema`) and cni/docs/keys.md. The compiler holds rows and notes together: each row has its note.

import type { Fields } from './fields.ts';

/** One key: all that reading it takes. */
export interface KeyRow {
  /** `lists` is a list of lists of objects; `any` is not looked into. */
  readonly type: 'boolean' | 'integer' | 'string' | 'strings' | 'object' | 'objects' | 'lists' | 'any';
  /** Of an integer, both included. */
  readonly min?: number;
  readonly max?: number;
  /** All that a string, or a string of a list, may be. */
  readonly words?: readonly string[];
  /** The value of an absent key; undefined without one. */
  readonly default?: boolean | number | string | readonly never[];
  /** The keys of the object, or of each object of the list. */
  readonly keys?: KeyRows;
  /** Read the value in place of what the type alone would do: a stricter check, or more than text comes of it. Throws FieldError. */
  readonly read?: (fields: Fields, key: string) => unknown;
}

export type KeyRows = Readonly<Record<string, KeyRow>>;

type OfType<Row> = Row extends { words: readonly (infer Word)[]; type: 'string' }
  ? Word
  : Row extends { type: 'boolean' }
    ? boolean
    : Row extends { type: 'integer' }
      ? number
      : Row extends { type: 'string' }
        ? string
        : Row extends { type: 'strings' }
          ? readonly string[]
          : Row extends { type: 'object' }
            ? Fields
            : Row extends { type: 'objects' }
              ? readonly Fields[]
              : unknown;

/** The type that a key of such a row is read as. */
export type KeyValue<Row> = Row extends { read: (fields: Fields, key: string) => infer Value }
  ? Row extends { default: unknown }
    ? NonNullable<Value>
    : Value | undefined
  : Row extends { default: unknown }
    ? OfType<Row>
    : OfType<Row> | undefined;

export type KeyValues<Rows> = { readonly [Key in keyof Rows]: KeyValue<Rows[Key]> };

/** Read one key by its row. Throws FieldError. */
export function readKey<Rows extends KeyRows, Key extends keyof Rows & string>(
  fields: Fields,
  rows: Rows,
  key: Key,
): KeyValue<Rows[Key]> {
  const row: KeyRow | undefined = rows[key];
  if (!row) throw new TypeError(`Not a key of these rows: "${key}"`);
  return readRow(fields, key, row) as KeyValue<Rows[Key]>;
}

/** Read all keys of the rows. Throws FieldError for the first that is wrong; what fields with a FaultList do is said there. */
export function read<Rows extends KeyRows>(fields: Fields, rows: Rows): KeyValues<Rows> {
  const values: Record<string, unknown> = {};
  for (const key in rows) {
    const row = rows[key];
    if (row) values[key] = readRow(fields, key, row);
  }
  return values as KeyValues<Rows>;
}

/** In a process of some milliseconds each property that is looked at counts: most rows are flags. */
function readRow(fields: Fields, key: string, row: KeyRow): unknown {
  const { read } = row;
  if (!read) return readByType(fields, key, row) ?? row.default;
  return (fields.isCollecting ? fields.part(() => read(fields, key)) : read(fields, key)) ?? row.default;
}

function readByType(fields: Fields, key: string, row: KeyRow): unknown {
  switch (row.type) {
    case 'boolean':
      return fields.boolean(key);
    case 'integer':
      return fields.integer(key, row.min ?? 0, row.max ?? Number.MAX_SAFE_INTEGER);
    case 'string':
      return row.words ? fields.oneOf(key, row.words) : fields.string(key);
    case 'strings':
      return fields.strings(key);
    case 'object':
      return fields.object(key);
    case 'objects':
      return fields.objects(key);
    case 'lists':
      return fields.list(key);
    case 'any':
      return fields.get(key);
  }
}

/** The properties of a mode that decide which keys it uses. */
export interface ModeTraits {
  /** The container has an interface of its own, with addresses, masquerading and all else. */
  readonly hasOwnInterface: boolean;
  /** The interface's other end is on a bridge of the host. */
  readonly hasBridge: boolean;
  /** The container runs in the network namespace of the host or of another container. */
  readonly sharesNamespace: boolean;
}

/** A need of the kernel that a key states; operator/doctor/kernel-feature.ts knows the features behind it. */
export type KernelNeed =
  | 'VLAN filtering'
  | 'masquerading'
  | 'filtering'
  | 'internal networks'
  | 'frames'
  | 'ports'
  | 'ingress limits'
  | 'egress limits';

/** The explanation of a key for people. A text is the same as one with nothing but `about`. */
export interface KeyNote {
  /** One sentence, in Markdown. */
  readonly about: string;
  /** Of a number. */
  readonly unit?: string;
  /** The meaning of its absence, where the row has no default. */
  readonly otherwise?: string;
  /** The capability without which the key has no effect. */
  readonly capability?: string;
  /** A mode without this has no use for the key; in place of the section's. `nothing`: every mode minds it. */
  readonly needs?: keyof ModeTraits | 'nothing';
  /** The need of the kernel once the key has anything but its default. */
  readonly kernel?: KernelNeed;
  /** Whether the object that it is in cannot be without it. */
  readonly isRequired?: true;
  /** All that the value may be, where the parser takes little of what the type has room for. */
  readonly allowed?: readonly unknown[];
  /** A regular expression that the text, or each of the list, matches if the parser takes it: editors go by it. */
  readonly pattern?: string;
  /** The type of all values of an object whose keys are anybody's. */
  readonly values?: 'string' | 'boolean';
}

export type KeyNotes<Rows> = {
  readonly [Key in keyof Rows]: Rows[Key] extends { keys: infer Below }
    ? KeyNote & { readonly keys: KeyNotes<Below> }
    : string | KeyNote;
};

/** Notes of any rows. */
export type AnyNotes = Readonly<Record<string, string | (KeyNote & { readonly keys?: AnyNotes })>>;

/** The explanation of an argument that a runtime may hand over when the entry declares the capability. */
export interface CapabilityNote {
  /** One sentence, in Markdown. */
  readonly about: string;
  readonly kernel?: KernelNeed;
}

/** The explanation for people of the keys that one part of podlink reads. */
export interface KeySection<Notes = AnyNotes> {
  /** The heading over them. */
  readonly title: string;
  /** A mode without this has no use for the keys. */
  readonly needs?: keyof ModeTraits;
  readonly notes: Notes;
  /** Capabilities that this part acts on. */
  readonly capabilities?: Readonly<Record<string, CapabilityNote>> | undefined;
}

/** The keys that one part of podlink reads, and what people are told of them. */
export interface KeyTable<Rows extends KeyRows = KeyRows, Notes = AnyNotes> {
  readonly rows: Rows;
  /** A function, since a runtime's call asks for none of it: the snapshot has it as source text and not as objects. */
  readonly section: () => KeySection<Notes>;
}

/** Join rows with their notes. A type error names the row without a note, or the note without a row. */
export function keyTable<const Rows extends KeyRows>(
  rows: Rows,
  section: () => KeySection<KeyNotes<Rows>>,
): KeyTable<Rows, KeyNotes<Rows>> {
  return { rows, section };
}
