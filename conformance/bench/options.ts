// The command line of the bench.

import { parseArgs } from 'node:util';
import { SECTIONS, type SectionName, sectionOf } from './section.ts';

export const USAGE = `usage: npm run bench -- [--rounds N] [--only NAME,…] [--json FILE] [--markdown FILE] [--svg FILE] [--write]

  --rounds N       how often each call is measured (30); long ones less often
  --only NAME,…    only these sections: ${SECTIONS.map(({ name }) => name).join(', ')}
  --json FILE      every single measurement
  --markdown FILE  the tables
  --svg FILE       the picture
  --write          put tables and picture into the README`;

const DEFAULT_ROUNDS = 30;

/** What is to be measured. */
export interface Plan {
  readonly rounds: number;
  readonly sections: readonly SectionName[];
}

export interface Options extends Plan {
  readonly help: boolean;
  readonly json?: string;
  readonly markdown?: string;
  readonly svg?: string;
  readonly write: boolean;
}

/** Read the arguments. Throws Error that names the option and what it must be. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      help: { type: 'boolean', default: false },
      rounds: { type: 'string', default: String(DEFAULT_ROUNDS) },
      only: { type: 'string' },
      json: { type: 'string' },
      markdown: { type: 'string' },
      svg: { type: 'string' },
      write: { type: 'boolean', default: false },
    },
  });
  const rounds = /^\d{1,4}$/.test(values.rounds) ? Number(values.rounds) : 0;
  if (rounds < 1) throw new Error(`--rounds is "${values.rounds}": must be a whole number from 1 to 9999`);
  if (values.write && values.only !== undefined)
    throw new Error('--write puts all of the tables into the README: leave out --only');
  const { help, json, markdown, svg, write } = values;
  return {
    help,
    rounds,
    sections: chosenSections(values.only),
    write,
    ...(json !== undefined && { json }),
    ...(markdown !== undefined && { markdown }),
    ...(svg !== undefined && { svg }),
  };
}

/** In the order of the table, whatever the order they are named in. */
function chosenSections(only: string | undefined): SectionName[] {
  if (only === undefined) return SECTIONS.map(({ name }) => name);
  const chosen = new Set(only.split(',').map((name) => sectionOf(name).name));
  return SECTIONS.map(({ name }) => name).filter((name) => chosen.has(name));
}
