// The schema of the configuration as JSON Schema, for editors (https://json-schema.org/draft/2020-12).
//
// It knows what one key alone may be; what several have to do with each other, and with the node, `validate` tells. Keys
// stand in it in one spelling, although podlink reads them in any case.

import { MODES } from '../../modes/mode-registry.ts';
import {
  CAPABILITIES,
  ENTRY_KEYS,
  FOREIGN_CAPABILITIES,
  IPAM_SECTIONS,
  LIST_KEYS,
  type SchemaKey,
} from './key-schema.ts';

const DRAFT = 'https://json-schema.org/draft/2020-12/schema';

export type JsonSchema = Readonly<Record<string, unknown>>;

export interface SchemaOptions {
  /** Refuse keys that podlink does not know, and would ignore. */
  readonly isStrict: boolean;
}

/** The schema of one entry of type `podlink`, or of a file that holds nothing else. */
export function entrySchema(options: SchemaOptions): JsonSchema {
  return {
    $schema: DRAFT,
    title: 'Network configuration of podlink',
    ...objectSchema(ENTRY_KEYS, options, { ipam: ipamSchema(), capabilities: capabilitiesSchema() }),
    $defs: ipamDefinitions(options),
  };
}

/** The schema of a list of plugins (.conflist). Of entries that are not podlink's it knows the `type` alone. */
export function listSchema(options: SchemaOptions): JsonSchema {
  const { $schema, title, $defs, ...entry } = entrySchema(options);
  const ours = { $ref: '#/$defs/entry' };
  const plugin = {
    type: 'object',
    properties: { type: { type: 'string', minLength: 1, description: 'The plugin.' } },
    required: ['type'],
    allOf: [
      ifType('podlink', ours),
      // The entry that flannel hands on, with the addresses that it fills in.
      ifType('flannel', { properties: { delegate: ifType('podlink', ours) } }),
    ],
  };
  const list = objectSchema(LIST_KEYS, options, { plugins: { type: 'array', minItems: 1, items: plugin } });
  return { $schema, title: 'List of network plugins, with podlink in it', ...list, $defs: { entry, ...Object($defs) } };
}

/** Apply a schema to objects of one type. */
function ifType(type: string, schema: JsonSchema): JsonSchema {
  const condition = { type: 'object', properties: { type: { const: type } }, required: ['type'] };
  return Object.fromEntries([
    ['if', condition],
    ['then', schema],
  ]);
}

/** `special`: the schemas of keys that the rows say too little of. */
function objectSchema(
  keys: readonly SchemaKey[],
  options: SchemaOptions,
  special: Readonly<Record<string, JsonSchema>> = {},
): JsonSchema {
  const required = keys.filter(({ note }) => note.isRequired).map(({ name }) => name);
  const properties = keys.map((key) => [
    key.name,
    { description: describe(key), ...(special[key.name] ?? keySchema(key, options)), ...defaultOf(key) },
  ]);
  return {
    type: 'object',
    properties: Object.fromEntries(properties),
    ...(required.length > 0 && { required }),
    ...(options.isStrict && { additionalProperties: false }),
  };
}

/** The sentence of a key, with its unit and what its absence means. */
function describe({ note: { about, unit, otherwise, capability, needs }, isUsedIn }: SchemaKey): string {
  const modes = MODES.filter(isUsedIn).map(({ name }) => name);
  return [
    about,
    unit && `In ${unit}.`,
    otherwise && `Without it: ${otherwise}.`,
    capability && `Has no effect without the capability ${capability}.`,
    needs !== 'nothing' && modes.length < MODES.length && `In mode ${modes.join(' or ')} alone.`,
  ]
    .filter((part) => typeof part === 'string')
    .join(' ');
}

function defaultOf({ row }: SchemaKey): JsonSchema {
  return row.default === undefined ? {} : { default: row.default };
}

/** The values of a key. null is absent, for all but those that have to be there. */
function keySchema(key: SchemaKey, options: SchemaOptions): JsonSchema {
  const { row, note, keys } = key;
  const type = (name: string) => ({ type: note.isRequired ? name : [name, 'null'] });
  const text = { ...(note.pattern !== undefined && { pattern: note.pattern }), ...(row.words && { enum: row.words }) };
  if (note.allowed) return { enum: note.isRequired ? note.allowed : [...note.allowed, null] };
  switch (row.type) {
    case 'boolean':
      return type('boolean');
    case 'integer':
      return { ...type('integer'), minimum: row.min ?? 0, maximum: row.max ?? Number.MAX_SAFE_INTEGER };
    case 'string':
      return { ...type('string'), ...text, ...(row.words && !note.isRequired && { enum: [...row.words, null] }) };
    case 'strings':
      return { ...type('array'), items: { type: 'string', ...text } };
    case 'object':
      if (keys.length > 0) return { ...objectSchema(keys, options), ...type('object') };
      return { ...type('object'), ...(note.values && { additionalProperties: { type: note.values } }) };
    case 'objects':
      return { ...type('array'), items: objectSchema(keys, options) };
    case 'lists':
      return { ...type('array'), items: { type: 'array', minItems: 1, items: objectSchema(keys, options) } };
    case 'any':
      return {};
  }
}

function capabilitiesSchema(): JsonSchema {
  const own = Object.entries(CAPABILITIES).map(([name, { about }]) => [name, { type: 'boolean', description: about }]);
  const foreign = FOREIGN_CAPABILITIES.map((name) => [name, { type: 'boolean', description: 'For other plugins.' }]);
  return {
    type: ['object', 'null'],
    properties: Object.fromEntries([...own, ...foreign]),
    additionalProperties: { type: 'boolean' },
  };
}

/** The section `ipam`: what else may be in it depends on the type. */
function ipamSchema(): JsonSchema {
  const types = [...IPAM_SECTIONS.keys()];
  return {
    type: ['object', 'null'],
    properties: { type: { type: ['string', 'null'], description: 'The IPAM plugin.', examples: types } },
    allOf: types.map((type) => ifType(type, { $ref: `#/$defs/ipam-${type}` })),
  };
}

function ipamDefinitions(options: SchemaOptions): JsonSchema {
  return Object.fromEntries(
    [...IPAM_SECTIONS].map(([type, { keys }]) => [
      `ipam-${type}`,
      objectSchema(keys, options, { type: { const: type } }),
    ]),
  );
}
