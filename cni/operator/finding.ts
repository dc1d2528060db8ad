// Something that was found out about a configuration or a node, and what to do about it.

import { type Colour, printable, type Style, wrap } from './text-table.ts';

/** fail: it does not work. warn: it may not do what was meant. unknown: it could not be looked at. */
export type Level = 'ok' | 'warn' | 'fail' | 'unknown';

export interface Finding {
  readonly level: Level;
  /** What was looked at, in a word or two. */
  readonly subject: string;
  /** What was found. */
  readonly what: string;
  /** What follows from it. */
  readonly meaning?: string;
  /** What to do. */
  readonly remedy?: string;
}

const COLOURS: Readonly<Record<Level, Colour>> = { ok: 'green', warn: 'yellow', fail: 'red', unknown: 'dim' };
const LEVEL_WIDTH = 7;
const WIDTH = 110;

/** One line a finding, and what follows from it below. */
export function formatFindings(findings: readonly Finding[], style: Style): string {
  const subjectWidth = Math.max(0, ...findings.map(({ subject }) => subject.length));
  const indent = ' '.repeat(LEVEL_WIDTH + 2 + subjectWidth + 2);
  return findings
    .flatMap(({ level, subject, what, meaning, remedy }) => {
      const head = `${style(COLOURS[level], level.padEnd(LEVEL_WIDTH))}  ${subject.padEnd(subjectWidth)}  `;
      const [first = '', ...rest] = wrap(printable(what), WIDTH);
      const more = [meaning, remedy && `remedy: ${remedy}`].filter((text) => text !== undefined && text !== '');
      return [
        head + first,
        ...[...rest, ...more.flatMap((text) => wrap(printable(text ?? ''), WIDTH))].map((line) => indent + line),
      ];
    })
    .join('\n');
}

/** `2 failures, 1 warning`; `nothing found` without either. */
export function summarizeFindings(findings: readonly Finding[]): string {
  const number = (level: Level) => findings.filter((finding) => finding.level === level).length;
  const [failures, warnings] = [number('fail'), number('warn')];
  const parts = [
    failures > 0 ? `${failures} failure${failures === 1 ? '' : 's'}` : '',
    warnings > 0 ? `${warnings} warning${warnings === 1 ? '' : 's'}` : '',
  ].filter((part) => part !== '');
  return parts.length === 0 ? 'nothing is wrong' : parts.join(', ');
}
