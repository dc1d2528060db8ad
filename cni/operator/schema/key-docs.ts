// cni/docs/keys.md: every key of the configuration in a table, as the schema has it. `npm run docs` writes the page.

import { MODES } from '../../modes/mode-registry.ts';
import {
  CAPABILITIES,
  ENTRY_SECTIONS,
  FOREIGN_CAPABILITIES,
  IPAM_SECTIONS,
  LIST_KEYS,
  type SchemaKey,
  type SchemaSection,
} from './key-schema.ts';

const INTRO = `# Keys of the configuration

Made of the schema that podlink reads by: \`npm run docs\` writes this page, and a test fails when it is stale. \`podlink schema\`
prints the same for editors, and \`podlink validate\` tells what of it a file does not keep.

Keys are read in any case, as Go reads them; of two spellings of one key the last counts. \`null\` is the same as leaving a key out,
and so is an empty text where nothing else is said. Unknown keys are ignored. "modes" are those that do something with the key, or
refuse it; in the others it is no matter.`;

const HEADS = ['key', 'value', 'default', 'modes', ''];

/** The page as Markdown. */
export function formatKeyDocs(): string {
  const ipam: SchemaSection[] = [...IPAM_SECTIONS.values()];
  return [
    INTRO,
    ...ENTRY_SECTIONS.flatMap(({ title, keys }) => [`## ${title}`, tableOf(keys)]),
    ...ipam.flatMap(({ title, keys }) => [`## ${title}`, tableOf(keys, false)]),
    '## Capabilities',
    'A runtime hands these over in `runtimeConfig`, if the entry has `"capabilities": {"NAME": true}`.',
    formatTable(
      ['capability', ''],
      Object.entries(CAPABILITIES).map(([name, { about }]) => [`\`${name}\``, about]),
    ),
    `Left to other plugins of the list: ${FOREIGN_CAPABILITIES.map((name) => `\`${name}\``).join(', ')}.`,
    '## List of plugins',
    'These keys stand beside `plugins` in a `.conflist`.',
    tableOf(LIST_KEYS, false),
    '',
  ].join('\n\n');
}

function tableOf(keys: readonly SchemaKey[], hasModes = true): string {
  const rows = keys.flatMap((key) => rowsOf(key, ''));
  const isShown = (_: unknown, column: number) => hasModes || HEADS[column] !== 'modes';
  return formatTable(
    HEADS.filter(isShown),
    rows.map((row) => row.filter(isShown)),
  );
}

/** The row of a key, and those of the keys below it. */
function rowsOf(key: SchemaKey, prefix: string): string[][] {
  const path = `${prefix}${key.name}`;
  const below = `${path}${{ objects: '[]', lists: '[][]' }[key.row.type as string] ?? ''}.`;
  const modes = MODES.filter((mode) => key.isUsedIn(mode)).map(({ name }) => name);
  const where = modes.length === MODES.length ? 'all' : modes.join(', ');
  const row = [`\`${path}\``, kindOf(key), defaultOf(key), prefix === '' ? where : '', aboutOf(key)];
  return [row, ...key.keys.flatMap((each) => rowsOf(each, below))];
}

function kindOf({ row, note }: SchemaKey): string {
  const { type, min, max, words } = row;
  if (note.allowed) return note.allowed.map((value) => `\`${JSON.stringify(value)}\``).join(', ');
  if (words) {
    const listed = words.filter((word) => word !== '').map((word) => `\`${word}\``);
    return `${type === 'strings' ? 'list of ' : ''}${listed.join(', ')}`;
  }
  const unit = note.unit === undefined ? '' : `, ${note.unit}`;
  switch (type) {
    case 'boolean':
      return 'true or false';
    case 'integer':
      return `${min ?? 0} ${max === undefined || max > Number.MAX_SAFE_INTEGER ? 'or more' : `to ${max}`}${unit}`;
    case 'string':
      return 'text';
    case 'strings':
      return 'list of texts';
    case 'object':
      return note.values === undefined ? 'object' : `object of ${note.values === 'string' ? 'texts' : 'true or false'}`;
    case 'objects':
      return 'list of objects';
    case 'lists':
      return 'list of lists of objects';
    case 'any':
      return 'anything';
  }
}

function defaultOf({ row, note }: SchemaKey): string {
  if (note.isRequired) return 'must be there';
  if (note.otherwise !== undefined) return note.otherwise;
  if (row.default === undefined) return '';
  if (Array.isArray(row.default)) return 'none';
  return typeof row.default === 'string' ? `\`${row.default}\`` : String(row.default);
}

function aboutOf({ note: { about, capability } }: SchemaKey): string {
  return capability === undefined ? about : `${about} Has no effect without the capability \`${capability}\`.`;
}

function formatTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(heads), `|${'---|'.repeat(heads.length)}`, ...rows.map(line)].join('\n');
}
