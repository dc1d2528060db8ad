import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { drawChart } from './chart.ts';
import { replaceBench } from './readme.ts';
import type { PhaseColumn, Report, Row } from './report.ts';
import { formatNumber, formatReport, formatTable } from './table.ts';
import { verdictsOf } from './target.ts';

const test = suite('bench report');

function row(id: string, ours: readonly number[], peer: readonly number[], more: Partial<Row> = {}): Row {
  return { section: 'chain', id, what: id, unit: 'ms', ours, peer, isCharted: true, ...more };
}

function report(rows: readonly Row[], phases: readonly PhaseColumn[] = []): Report {
  return { date: '2026-01-31', facts: [['kernel', '6.18']], startMs: 0.7, rows, phases };
}

const cellsOf = (text: string, title: string): string[] =>
  (text.split('\n').find((line) => line.startsWith(`| ${title} `)) ?? '').split('|').map((cell) => cell.trim());

test('formatReport() gives medians, the 95th percentile, the ratio and the number of measurements', () => {
  const text = formatReport(report([row('chain ADD', [50, 40, 400], [200, 100, 150])]));
  assert.equal(cellsOf(text, 'chain ADD').slice(1, -1), [
    'chain ADD',
    '50.0 ms',
    '400 ms',
    '150 ms',
    '200 ms',
    '0.33',
    '3',
  ]);
  assert.match(text, /Measured on 2026-01-31: kernel 6\.18; a program that does nothing takes 0\.7 ms\./);
});

test('formatReport() says how many of the other have failed, and gives no spread of a single number', () => {
  const text = formatReport(report([row('burst', [2000], [1234.4], { peerFailures: 3 })]));
  assert.equal(cellsOf(text, 'burst').slice(2, -1), ['2,000 ms', '', '1,234 ms (3 failed)', '', '1.62', '1']);
});

test('formatReport() gives no 95th percentile of a rate, of which that is the good end', () => {
  const text = formatReport(report([row('rate', [3, 9, 6], [2, 2, 2], { unit: 'pods/s' })]));
  assert.equal(cellsOf(text, 'rate').slice(2, -1), ['6.0 pods/s', '', '2.0 pods/s', '', '3.00', '3']);
});

test('formatReport() puts phases side by side, also those that only one call has', () => {
  const column = (id: string, name: string): PhaseColumn => ({
    id,
    what: id,
    phases: [
      { name: 'start', ms: [30, 32, 31] },
      { name, ms: [1, 2, 9] },
    ],
    work: [5, 6, 7],
    outside: [8, 8, 8],
    whole: [40, 41, 42],
  });
  const text = formatReport(report([], [column('x ADD', 'ipam'), column('x DEL', 'find')]));
  assert.equal(cellsOf(text, 'start').slice(2, -1), ['31.00 (32.00)', '31.00 (32.00)']);
  assert.equal(cellsOf(text, 'find').slice(2, -1), ['', '2.00 (9.00)']);
});

test('verdictsOf() judges what was measured, as it is shown', () => {
  const judge = (ours: number): [string, string, boolean][] =>
    verdictsOf(report([row('chain ADD', [ours], [1000])])).map(({ limit, measured, isMet }) => [
      limit,
      measured,
      isMet,
    ]);
  assert.equal(judge(400), [['≤ 0.4', '0.40', true]]);
  assert.equal(judge(404), [['≤ 0.4', '0.40', true]]);
  assert.equal(judge(406), [['≤ 0.4', '0.41', false]]);
});

test('verdictsOf() wants throughput to be more, own work and growth to be less', () => {
  const rows = [
    row('burst 32 ADD rate', [29], [10], { unit: 'pods/s' }),
    row('crowd 0 ADD', [50, 50, 50], [1]),
    row('crowd 1000 ADD', [54, 56, 55], [1]),
  ];
  const work: PhaseColumn = { id: 'masquerade ADD', what: '', phases: [], work: [7, 9, 8.1], outside: [], whole: [] };
  const judged = verdictsOf(report(rows, [work])).map(({ measured, isMet }) => [measured, isMet]);
  assert.equal(judged, [
    ['2.90', false],
    ['8.1 ms', false],
    ['10.0 %', true],
  ]);
});

test('formatTable() has as many cells in every line, numbers to the right', () => {
  const lines = formatTable(['', 'one'], [['a', '1'], ['long name']]).split('\n');
  assert.equal(lines, ['|           |  one |', '|-----------|-----:|', '| a         |    1 |', '| long name |      |']);
});

test('formatNumber() keeps about three digits', () => {
  assert.equal(
    [0.04, 9.96, 99.96, 123.4, 1234.5].map((value) => formatNumber(value, 'ms')),
    ['0.0 ms', '10.0 ms', '100.0 ms', '123 ms', '1,235 ms'],
  );
});

test('drawChart() draws a pair of bars for each charted row, on a scale of their own, and says it in words', () => {
  const svg = drawChart(
    report([row('a', [100], [50]), row('b <&>', [1], [4]), row('c', [1], [1], { isCharted: false })]),
  );
  const widths = Array.from(svg.matchAll(/<rect class="(ours|peer) bar"[^>]* width="([\d.]+)"/g), (match) => [
    match[1],
    Number(match[2]),
  ]);
  assert.equal(widths, [
    ['ours', 590],
    ['peer', 295],
    ['ours', 147.5],
    ['peer', 590],
  ]);
  assert.match(
    svg,
    /<title id="title">[^<]+<\/title>\n<desc id="description">.*a: podlink 100 ms, the other 50\.0 ms\./,
  );
  assert.match(svg, /b &lt;&amp;&gt;: podlink/);
  assert.not.match(svg, /: c/);
});

test('drawChart() draws the line to the 95th percentile, and refuses a report of which nothing is drawn', () => {
  const svg = drawChart(report([row('a', [50, 50, 100], [50])]));
  assert.match(svg, /<line class="ours"[^>]* x1="319\.0" [^>]*x2="614\.0"/);
  assert.throws(
    () => drawChart(report([])),
    (error: Error) => /No row/.test(error.message),
  );
});

test('replaceBench() replaces what is between the comments and nothing else', () => {
  const readme =
    'before\n<!-- bench: written by `npm run bench -- --write`, not by hand -->\nold\n<!-- bench: end -->\nafter\n';
  const changed = replaceBench(readme, '\nnew $& text\n\n');
  assert.is(
    changed,
    readme.replace('old', () => 'new $& text'),
  );
  assert.is(replaceBench(changed, 'old'), readme);
});

test('replaceBench() refuses a README without the comments, or with more of them', () => {
  const [begin, end] = ['<!-- bench: written by `npm run bench -- --write`, not by hand -->', '<!-- bench: end -->'];
  for (const readme of ['', begin, end, `${end}${begin}`, `${begin}${begin}${end}`, `${begin}${end}${end}`]) {
    assert.throws(
      () => replaceBench(readme, ''),
      (error: Error) => error.message.includes(begin),
    );
  }
});

test.run();
