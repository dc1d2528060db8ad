// The report as a picture: a pair of bars for each charted row, written as SVG by hand.
//
// Each row has a scale of its own, since a burst takes a hundred times as long as a pod: what is compared is the pair. A
// thin line goes on to the 95th percentile. Colours follow the reader's light or dark scheme, on a ground of its own, since
// a page may be shown in another scheme than the one the browser tells the picture. Everything is also said in words.

import type { Report, Row } from './report.ts';
import { SECTIONS } from './section.ts';
import { medianOf, p95Of } from './statistics.ts';
import { formatNumber } from './table.ts';

const [WIDTH, MARGIN, HEAD] = [760, 24, 96];
const [ROW_HEIGHT, BAR_HEIGHT, LABEL_HEIGHT] = [62, 16, 18];
/** Of the longest line; the number stands behind it. */
const LONGEST = 590;

const STYLE = `
  .ground { fill: #ffffff; stroke: #d1d5db }
  text { fill: #111827; font: 13px system-ui, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif }
  .title { font-size: 17px; font-weight: 600 }
  .faint { fill: #4b5563 }
  .ours { fill: #1d4ed8 }
  .peer { fill: #9ca3af }
  line.ours { stroke: #1d4ed8 }
  line.peer { stroke: #6b7280 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #30363d }
    text { fill: #f0f6fc }
    .faint { fill: #9ea7b3 }
    .ours { fill: #58a6ff }
    .peer { fill: #6e7681 }
    line.ours { stroke: #58a6ff }
    line.peer { stroke: #9ea7b3 }
  }`;

/** The picture of a report. Throws Error when it has no charted row. */
export function drawChart(report: Report): string {
  const rows = report.rows.filter(({ isCharted }) => isCharted);
  if (rows.length === 0) throw new Error('No row of the report is shown in the picture: measure more than that');
  const height = HEAD + rows.length * ROW_HEIGHT + MARGIN;
  const title = 'Podlink against the reference plugins and netavark';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title description">`,
    `<title id="title">${escapeText(title)}</title>`,
    `<desc id="description">${escapeText(describe(rows))}</desc>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="ground" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>`,
    text(MARGIN, 34, title, 'title'),
    text(MARGIN, 54, `Shorter is better. Medians, a line up to the 95th percentile. ${report.date}`, 'faint'),
    ...legend(),
    ...rows.flatMap((row, i) => drawRow(row, HEAD + i * ROW_HEIGHT)),
    '</svg>',
    '',
  ].join('\n');
}

function legend(): string[] {
  const y = 72;
  return [
    `<rect class="ours" x="${MARGIN}" y="${y}" width="12" height="12"/>`,
    text(MARGIN + 18, y + 11, 'podlink', 'faint'),
    `<rect class="peer" x="${MARGIN + 90}" y="${y}" width="12" height="12"/>`,
    text(MARGIN + 108, y + 11, 'the other; every pair has a scale of its own', 'faint'),
  ];
}

function drawRow(row: Row, y: number): string[] {
  const scale = LONGEST / Math.max(p95Of(row.ours), p95Of(row.peer));
  return [
    text(MARGIN, y + 13, labelOf(row), 'label'),
    ...drawBar('ours', row.ours, row.unit, scale, y + LABEL_HEIGHT),
    ...drawBar('peer', row.peer, row.unit, scale, y + LABEL_HEIGHT + BAR_HEIGHT + 2),
  ];
}

function drawBar(name: string, series: readonly number[], unit: string, scale: number, y: number): string[] {
  const [width, reach] = [medianOf(series) * scale, p95Of(series) * scale].map((length) => Math.max(1, length)) as [
    number,
    number,
  ];
  const middle = y + BAR_HEIGHT / 2;
  const end = MARGIN + Math.max(width, reach);
  return [
    `<rect class="${name} bar" x="${MARGIN}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}"/>`,
    `<line class="${name}" stroke-width="2" x1="${(MARGIN + width).toFixed(1)}" y1="${middle}" x2="${end.toFixed(1)}" y2="${middle}"/>`,
    text(end + 6, y + 13, formatNumber(medianOf(series), unit), 'number'),
  ];
}

function labelOf({ section, what }: Row): string {
  const title: string = SECTIONS.find(({ name }) => name === section)?.title ?? section;
  return `${title}: ${what}`;
}

/** The same in words, for those who do not see it. */
function describe(rows: readonly Row[]): string {
  const sentences = rows.map((row) => {
    const [ours, peer] = [medianOf(row.ours), medianOf(row.peer)].map((value) => formatNumber(value, row.unit));
    return `${labelOf(row)}: podlink ${ours}, the other ${peer}.`;
  });
  return `Bar chart, medians. ${sentences.join(' ')}`;
}

function text(x: number, y: number, content: string, name: string): string {
  return `<text class="${name}" x="${x.toFixed(0)}" y="${y}">${escapeText(content)}</text>`;
}

function escapeText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
