// `npm run bench`: the packed executable against the reference plugins and netavark, in turns in one run. Prints tables, and
// on request writes them, a picture, and every single measurement. USAGE in options.ts tells how.
//
// This process prepares and writes; what is measured runs in a machine of its own below (measure.ts), of which nothing is
// left. Targets that are missed are said to be: the exit code is 1 only when something could not be measured.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { EXECUTABLE, REFERENCE_FOLDER } from '../harness/plugin.ts';
import { drawChart } from './chart.ts';
import { factsOf } from './machine.ts';
import { ensureNetavark } from './netavark.ts';
import { type Options, parseOptions, type Plan, USAGE } from './options.ts';
import { replaceBench } from './readme.ts';
import type { Findings, Report } from './report.ts';
import { formatReport } from './table.ts';

const pathOf = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const MEASURE = pathOf('./measure.ts');
const README = pathOf('../../README.md');
const PICTURE = pathOf('./bench.svg');
/** As the README, in the project's folder, refers to it. */
const PICTURE_LINK = '![Bar chart of the medians below](conformance/bench/bench.svg)';

/** Everything without which the run would fail half-way. Throws Error that says what to do. */
function prepare({ sections, write }: Options): void {
  if (process.getuid?.() !== 0)
    throw new Error('The bench makes network namespaces, which only root may: run it as root');
  const needs: [string, string][] = [
    [EXECUTABLE, 'run npm run build'],
    [join(REFERENCE_FOLDER, 'bridge'), 'install the Debian package containernetworking-plugins'],
    ...(sections.includes('cost') ? [['/usr/bin/time', 'install the Debian package time'] as [string, string]] : []),
  ];
  for (const [file, remedy] of needs) if (!existsSync(file)) throw new Error(`There is no ${file}: ${remedy}`);
  if (write) replaceBench(readFileSync(README, 'utf8'), '');
  // Not from within: the machine of its own has no network.
  if (!sections.includes('netavark')) return;
  try {
    ensureNetavark();
  } catch (error) {
    throw new Error('Cannot fetch netavark: run apt-get update, or leave it out with --only', { cause: error });
  }
}

async function measure({ rounds, sections }: Plan): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), 'podlink-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const facts = await factsOf(sections, folder);
  const plan: Plan = { rounds, sections };
  const child = spawn(process.execPath, [MEASURE, JSON.stringify(plan), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.on('exit', () => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const output = await text(child.stdout);
  const [code, signal] = await ended;
  if (code !== 0) throw new Error(`The measuring ended with ${signal ?? code}`);
  return {
    date: new Date().toISOString().slice(0, 10),
    facts: [...facts, ['rounds', String(rounds)]],
    ...(JSON.parse(output) as Findings),
  };
}

function deliver(report: Report, { json, markdown, svg, write }: Options): void {
  const tables = formatReport(report);
  console.log(tables);
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, undefined, 1)}\n`);
  if (markdown !== undefined) writeFileSync(markdown, tables);
  if (svg !== undefined) writeFileSync(svg, drawChart(report));
  if (!write) return;
  writeFileSync(PICTURE, drawChart(report));
  writeFileSync(README, replaceBench(readFileSync(README, 'utf8'), `${PICTURE_LINK}\n\n${tables}`));
}

try {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
  const options = parseOptions(process.argv.slice(2));
  if (options.help) console.log(USAGE);
  else {
    prepare(options);
    deliver(await measure(options), options);
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (error instanceof Error && error.cause instanceof Error) console.error(error.cause.message);
  process.exitCode = 1;
}
