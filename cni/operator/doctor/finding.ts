// Something that was found out about a configuration or a node, and what to do about it.

import type { Remedy } from '../../diagnosis/diagnosis.ts';
import { diagnose, type NodeCode, type NodeDiagnosis, type NodeParts, textsOf } from './node-diagnosis.ts';
import { type Colour, count, printable, type Style, wrap } from '../cli/text-table.ts';

/** fail: it does not work. warn: it may not do what was meant. unknown: it could not be looked at. */
export type Level = 'ok' | 'warn' | 'fail' | 'unknown';

export interface Finding {
  readonly level: Level;
  /** The part of the node that was looked at, in a word or two. */
  readonly subject: string;
  /** The finding, as a sentence. */
  readonly what: string;
  /** The consequence. */
  readonly meaning?: string | undefined;
  readonly remedy?: Remedy | undefined;
  /** Where something is wrong: what all of the above is made of. */
  readonly diagnosis?: NodeDiagnosis;
}

/** State something that is wrong. Its sentences are made when they are asked for. */
export function finding<Code extends NodeCode>(
  level: Exclude<Level, 'ok'>,
  subject: string,
  code: Code,
  ...parts: NodeParts<Code>
): Finding {
  const diagnosis = diagnose(code, ...parts);
  return {
    level,
    subject,
    get what() {
      return textsOf(diagnosis).what;
    },
    get meaning() {
      return textsOf(diagnosis).meaning;
    },
    get remedy() {
      return textsOf(diagnosis).remedy;
    },
    diagnosis,
  };
}

const COLOURS: Readonly<Record<Level, Colour>> = { ok: 'green', warn: 'yellow', fail: 'red', unknown: 'dim' };
const LEVEL_WIDTH = 7;
const WIDTH = 110;
const COMMAND_INDENT = '  ';

/** Lay out findings: one line each, and what follows from it below. Commands are not wrapped, so that they can be copied. */
export function formatFindings(findings: readonly Finding[], style: Style): string {
  const subjectWidth = Math.max(0, ...findings.map(({ subject }) => subject.length));
  const indent = ' '.repeat(LEVEL_WIDTH + 2 + subjectWidth + 2);
  return findings
    .flatMap(({ level, subject, what, meaning, remedy }) => {
      const head = `${style(COLOURS[level], level.padEnd(LEVEL_WIDTH))}  ${subject.padEnd(subjectWidth)}  `;
      const [first = '', ...rest] = wrap(printable(what), WIDTH);
      const more = [meaning, remedy && `remedy: ${remedy.sentence}`].filter(
        (text) => text !== undefined && text !== '',
      );
      return [
        head + first,
        ...[...rest, ...more.flatMap((text) => wrap(printable(text ?? ''), WIDTH))].map((line) => indent + line),
        ...(remedy?.commands ?? []).map((command) => `${indent}${COMMAND_INDENT}${printable(command)}`),
      ];
    })
    .join('\n');
}

/** Count what was found: `2 failures, 1 warning`; `nothing is wrong` only where everything could be looked at. */
export function summarizeFindings(findings: readonly Finding[]): string {
  const number = (level: Level) => findings.filter((finding) => finding.level === level).length;
  const [failures, warnings, unknown] = [number('fail'), number('warn'), number('unknown')];
  const parts = [
    ...(failures > 0 ? [count(failures, 'failure')] : []),
    ...(warnings > 0 ? [count(warnings, 'warning')] : []),
  ];
  const found = parts.length === 0 ? 'nothing is wrong' : parts.join(', ');
  if (unknown === 0) return found;
  const isAll = parts.length === 0 ? ', as far as could be told' : '';
  return `${found}${isAll}; ${count(unknown, 'thing')} could not be told`;
}
