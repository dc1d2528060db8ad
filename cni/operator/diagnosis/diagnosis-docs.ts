// cni/docs/diagnoses.md: every code of a diagnosis in a table, with a sentence that it makes and what helps. `npm run docs`
// writes the page.

import { type AttachmentCode, attachmentCodes, sentenceOf } from '../../diagnosis/attachment-diagnosis.ts';
import type { Parts, Remedy } from '../../diagnosis/diagnosis.ts';
import { nodeCodes, textsOf } from '../doctor/node-diagnosis.ts';
import { type PlaceCode, placeCodes, reasonOf } from '../install/place-diagnosis.ts';
import { type ConfigurationCode, configurationCodes, messageOf } from '../validate/configuration-diagnosis.ts';
import { ATTACHMENT_NOTES } from './attachment-notes.ts';
import { CONFIGURATION_NOTES, PLACE_NOTES } from './configuration-notes.ts';
import { NODE_EXAMPLES } from './node-notes.ts';

const INTRO = `# Diagnoses

Made of the tables that podlink prints from: \`npm run docs\` writes this page, and a test fails when it is stale.

Each thing that podlink finds wrong has a code, which stays the same in all versions, and parts: \`subject\`, its name;
\`object\`, the part of it or the other thing; \`of\`, what these belong to; \`expected\` and \`found\`; \`causes\`, what it is made
of; \`remedy\`. A sentence is made of them where it is printed, and may be worded otherwise one day: programs go by the code.
\`--json\` has them as \`diagnosis\` with each finding of \`doctor\`, each fault of \`validate\` and what \`uninstall\` has left, and as
\`diagnoses\` of \`attachment inspect\` and \`repair\`. The sentences below are examples.`;

interface Row {
  readonly code: string;
  readonly sentence: string;
  readonly remedy: Remedy | undefined;
}

/** The rows of a table of sentences. */
function rowsOf<Code extends string>(
  codes: readonly Code[],
  notes: Readonly<Record<Code, { readonly example: Parts; readonly remedy: Remedy }>>,
  say: (diagnosis: Parts & { readonly code: Code }) => string,
): Row[] {
  return codes.map((code) => {
    const { example, remedy } = notes[code];
    return { code, sentence: say({ code, ...example }), remedy };
  });
}

/** All codes with their examples, by the title of their section. */
export function diagnosisRows(): Readonly<Record<string, readonly Row[]>> {
  return {
    'An attachment': rowsOf<AttachmentCode>(attachmentCodes(), ATTACHMENT_NOTES, sentenceOf),
    'The node': nodeCodes().map((code) => {
      const { what, remedy } = textsOf({ code, ...NODE_EXAMPLES[code] });
      return { code, sentence: what, remedy };
    }),
    'A configuration': rowsOf<ConfigurationCode>(configurationCodes(), CONFIGURATION_NOTES, messageOf),
    'A place of `install`': rowsOf<PlaceCode>(placeCodes(), PLACE_NOTES, reasonOf),
  };
}

const LEADS: Readonly<Record<string, string>> = {
  'An attachment':
    'CHECK, `podlink attachment inspect`, `podlink repair`, and `podlink doctor` as causes of `attachment-damaged`.',
  'The node': '`podlink doctor`.',
  'A configuration': '`podlink validate`, and `podlink doctor` as causes of `configuration-refused`.',
  'A place of `install`': '`podlink install` and `podlink uninstall`.',
};

/** The page as Markdown. */
export function formatDiagnosisDocs(): string {
  return [
    INTRO,
    ...Object.entries(diagnosisRows()).flatMap(([title, rows]) => [
      `## ${title}`,
      LEADS[title] ?? '',
      formatTable(
        rows.map(({ code, sentence, remedy }) => [`\`${code}\``, sentence, remedy ? formatRemedy(remedy) : '']),
      ),
    ]),
    '',
  ].join('\n\n');
}

function formatRemedy({ sentence, commands }: Remedy): string {
  return [sentence, ...commands.map((command) => `\`${command}\``)].join(' ');
}

function formatTable(rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(['code', 'sentence', 'remedy']), '|---|---|---|', ...rows.map(line)].join('\n');
}
