// The test runner: runs the named stages, each test file as a process of its own, and adds up what they say.
//
// usage: node conformance/suite/run.ts STAGE... [--only TEXT] [--against reference] [--file-minutes N]
//
// The last line is `N passed, N failed, N skipped`; the exit code is 1 unless nothing failed and something was run.
//   --only TEXT           only files whose path holds TEXT; may be given several times
//   --file-minutes N      a file that takes longer is killed; 10 otherwise
//   --against reference   the conformance cases run against the reference plugins instead (harness/plugin.ts)

import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compareMachineStates, RUN_MARK, readMachineState } from './leaks.ts';
import { findTestFiles, STAGES, type Stage } from './stage.ts';
import { type Ending, type Tally, tallyOf } from './tally.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The slowest files take under a minute; one that hangs must not take the whole run with it. */
const FILE_MINUTES = '10';

interface Options {
  readonly stages: readonly Stage[];
  readonly only: readonly string[];
  readonly against: string;
  readonly fileTimeoutMs: number;
}

function parseOptions(argv: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      only: { type: 'string', multiple: true, default: [] },
      against: { type: 'string', default: 'podlink' },
      'file-minutes': { type: 'string', default: FILE_MINUTES },
    },
  });
  const stages = positionals.map((name) => {
    const stage = STAGES.get(name);
    if (!stage) throw new Error(`Unknown stage "${name}": must be one of ${[...STAGES.keys()].join(', ')}`);
    return stage;
  });
  if (stages.length === 0) throw new Error(`No stage named: give some of ${[...STAGES.keys()].join(', ')}`);
  if (values.against !== 'podlink' && values.against !== 'reference')
    throw new Error(`Unknown --against "${values.against}": must be "podlink" or "reference"`);
  const rooted = stages.find((stage) => stage.needsRoot);
  if (rooted && process.getuid?.() !== 0)
    throw new Error(
      `Cannot run stage "${rooted.name}" as an ordinary user: it makes network namespaces, run it as root`,
    );
  const fileTimeoutMs = Number(values['file-minutes']) * 60_000;
  if (!(fileTimeoutMs > 0))
    throw new Error(`Invalid --file-minutes "${values['file-minutes']}": must be a number above 0`);
  return { stages, only: values.only, against: values.against, fileTimeoutMs };
}

/** How test files are run: their environment, and how long each may take. */
interface FileSettings {
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
}

/** The test files that run now, by the leader of their process group. */
const groups = new Set<number | undefined>();

function killProcessGroup(leader: number | undefined): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // It has ended, and nothing of it is left.
  }
}

/** A terminal's Ctrl-C reaches this process alone: test files are in groups of their own. */
function endOnSignal(signal: 'SIGINT' | 'SIGTERM'): void {
  process.once(signal, () => {
    for (const leader of groups) killProcessGroup(leader);
    process.kill(process.pid, signal);
  });
}

function runFile(file: string, { env, timeoutMs }: FileSettings): Promise<Ending> {
  return new Promise((resolve) => {
    // A process group of its own: what the file has started ends with it, and does not hold its output open.
    const child = spawn(process.execPath, [file], {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const killGroup = (): void => killProcessGroup(child.pid);
    groups.add(child.pid);
    let output = '';
    const collect = (chunk: string): void => {
      output += chunk;
    };
    child.stdout.setEncoding('utf8').on('data', collect);
    child.stderr.setEncoding('utf8').on('data', collect);
    const timer = setTimeout(killGroup, timeoutMs);
    child.on('exit', killGroup);
    child.on('error', (error) => collect(String(error)));
    child.on('close', (exitCode, signal) => {
      clearTimeout(timer);
      groups.delete(child.pid);
      resolve({ exitCode, signal, output });
    });
  });
}

async function runStage(stage: Stage, files: readonly string[], settings: FileSettings): Promise<Tally[]> {
  const isAlone = (file: string): boolean => stage.alone?.test(file) ?? false;
  return [
    ...(await runFiles(
      files.filter((file) => !isAlone(file)),
      stage.parallel,
      settings,
    )),
    ...(await runFiles(files.filter(isAlone), 1, settings)),
  ];
}

async function runFiles(files: readonly string[], parallel: number, settings: FileSettings): Promise<Tally[]> {
  const tallies: Tally[] = [];
  const waiting = [...files];
  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const started = performance.now();
      const ending = await runFile(file, settings);
      const tally = tallyOf(ending);
      tallies.push(tally);
      report(file, tally, ending, Math.round(performance.now() - started));
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, availableParallelism()) }, worker));
  return tallies;
}

function report(file: string, tally: Tally, ending: Ending, ms: number): void {
  const counts = `${tally.passed} passed${tally.skips.length > 0 ? `, ${tally.skips.length} skipped` : ''}`;
  if (tally.failed === 0) console.log(`  ok    ${file}  ${counts}  ${ms} ms`);
  else console.log(`  FAIL  ${file}  ${counts}, ${tally.failed} failed  ${ms} ms\n${ending.output.trimEnd()}\n`);
  for (const line of figuresOf(ending.output)) console.log(`        ${line}`);
  for (const problem of tally.problems) console.log(`        ${file} ${problem}`);
  for (const skipped of tally.skips) console.log(`        skipped: ${skipped.title}: ${skipped.reason}`);
}

/** What the README's table of reliability is made from. */
function figuresOf(output: string): string[] {
  return output.split('\n').filter((line) => /^(faults injected|inputs tried|attachments \d)/.test(line));
}

/** Whatever a test left on the machine counts as one failed test of its own. */
function tallyLeaks(differences: readonly string[]): Tally {
  if (differences.length === 0) console.log('machine\n  ok    nothing was left behind');
  else
    console.log(`machine\n  FAIL  not as it was before:\n${differences.map((line) => `        ${line}`).join('\n')}`);
  return {
    passed: differences.length === 0 ? 1 : 0,
    failed: differences.length === 0 ? 0 : 1,
    skips: [],
    problems: [],
  };
}

async function main(): Promise<void> {
  endOnSignal('SIGINT');
  endOnSignal('SIGTERM');
  const options = parseOptions(process.argv.slice(2));
  const mark = `${process.pid}-${Date.now()}`;
  const env = {
    ...process.env,
    [RUN_MARK]: mark,
    CONFORMANCE_AGAINST: options.against,
    NO_COLOR: '1',
    PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ''}:/usr/sbin:/sbin`,
  };
  const before = readMachineState(mark);
  const tallies: Tally[] = [];
  for (const stage of options.stages) {
    const files = findTestFiles(stage, ROOT, options.only);
    console.log(`${stage.name}${stage.name === 'conformance' ? ` (${options.against})` : ''}: ${files.length} files`);
    tallies.push(...(await runStage(stage, files, { env, timeoutMs: options.fileTimeoutMs })));
  }
  const executed = tallies.reduce((sum, tally) => sum + tally.passed + tally.failed, 0);
  tallies.push(tallyLeaks(compareMachineStates(before, readMachineState(mark))));
  if (executed === 0) console.log('No test was executed');
  const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
  const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0) + (executed === 0 ? 1 : 0);
  const skipped = tallies.reduce((sum, tally) => sum + tally.skips.length, 0);
  process.exitCode = failed === 0 ? 0 : 1;
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  console.log('0 passed, 1 failed, 0 skipped');
  process.exitCode = 1;
}
