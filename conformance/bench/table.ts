// The report as tables in Markdown, aligned so that they also read well on a terminal.

import type { PhaseColumn, Report, Row } from './report.ts';
import { SECTIONS } from './section.ts';
import { medianOf, p95Of } from './statistics.ts';
import { ratioOf, verdictsOf } from './target.ts';

const COLUMNS = ['', 'podlink', 'p95', 'other', 'p95', 'ratio', 'n'];

/** All of the report. */
export function formatReport(report: Report): string {
  const parts = [formatHeader(report)];
  if (report.rows.length > 0) parts.push(formatRows(report.rows));
  if (report.phases.length > 0) parts.push(formatPhases(report.phases));
  const verdicts = verdictsOf(report);
  if (verdicts.length > 0) {
    const rows = verdicts.map(({ what, limit, measured, isMet }) => [what, limit, measured, isMet ? 'met' : 'missed']);
    parts.push(formatTable(['Target', '', 'measured', ''], rows));
  }
  return `${parts.join('\n\n')}\n`;
}

function formatHeader({ date, facts, startMs }: Report): string {
  const start = ['a program that does nothing takes', formatNumber(startMs, 'ms')] as const;
  const list = [...facts, start].map(([name, value]) => `${name} ${value}`).join('; ');
  return [
    `Measured on ${date}: ${list}.`,
    '',
    'Medians and 95th percentiles of all measurements, none left out; ratio: podlink divided by the other, which are the',
    'reference plugins where no other name is given. Both take turns; a first round does not count.',
  ].join('\n');
}

function formatRows(rows: readonly Row[]): string {
  const lines = SECTIONS.flatMap(({ name, title }) => {
    const own = rows.filter(({ section }) => section === name);
    return own.length === 0 ? [] : [[`**${title}**`, ...COLUMNS.slice(1).map(() => '')], ...own.map(cellsOf)];
  });
  return formatTable(COLUMNS, lines);
}

function cellsOf(row: Row): string[] {
  const { what, unit, ours, peer, peerFailures = 0 } = row;
  const failed = peerFailures > 0 ? ` (${peerFailures} failed)` : '';
  // Of a rate the 95th percentile would be the good end.
  const hasSpread = unit !== 'pods/s';
  const spread = (series: readonly number[]): string =>
    hasSpread && series.length > 1 ? formatNumber(p95Of(series), unit) : '';
  return [
    what,
    formatNumber(medianOf(ours), unit),
    spread(ours),
    `${formatNumber(medianOf(peer), unit)}${failed}`,
    spread(peer),
    ratioOf(row)?.toFixed(2) ?? '',
    String(ours.length),
  ];
}

/** The phases of every kind of call, side by side: median, and 95th percentile in brackets. */
function formatPhases(columns: readonly PhaseColumn[]): string {
  const names = [...new Set(columns.flatMap(({ phases }) => phases.map(({ name }) => name)))];
  const cell = (series: readonly number[] | undefined): string =>
    series ? `${medianOf(series).toFixed(2)} (${p95Of(series).toFixed(2)})` : '';
  const line = (title: string, of: (column: PhaseColumn) => readonly number[] | undefined): string[] => [
    title,
    ...columns.map((column) => cell(of(column))),
  ];
  return formatTable(
    ['Phases, ms: median (p95)', ...columns.map(({ what }) => what)],
    [
      ...names.map((name) => line(name, ({ phases }) => phases.find((phase) => phase.name === name)?.ms)),
      line('**own work: all but `start`**', ({ work }) => work),
      line('outside: exec before Node counts, and exit', ({ outside }) => outside),
      line('the whole call', ({ whole }) => whole),
    ],
  );
}

/** A number as people compare it: three digits or so, and its unit. */
export function formatNumber(value: number, unit: string): string {
  if (Number.isNaN(value)) return '';
  const text = value >= 1000 ? Math.round(value).toLocaleString('en') : value.toFixed(value >= 100 ? 0 : 1);
  return `${text} ${unit}`;
}

/** The first column to the left, numbers to the right. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, i) => Math.max(4, ...[head, ...rows].map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, i) => (i === 0 ? (cells[i] ?? '').padEnd(width) : (cells[i] ?? '').padStart(width))).join(' | ')} |`;
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`));
  return [line(head), `|${rule.join('|')}|`, ...rows.map(line)].join('\n');
}
