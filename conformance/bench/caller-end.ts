// The process that calls plugins; caller.ts runs it inside the namespace that plays the host.
//
// Gets lists of sequences from its parent, answers each with a Batch, and ends when the parent is gone. Processor time is
// the kernel's count of all descendants that have ended and were waited for: cutime and cstime of proc(5), /proc/PID/stat.

import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Batch, Call, Ending, Sequence } from './call.ts';

/** A burst of chains takes seconds on a small machine. */
const CALL_TIMEOUT_MS = 120_000;
/** USER_HZ is 100 on every architecture Node runs on. */
const TICK_MS = 10;
/** Places after the command's name in /proc/PID/stat. */
const [CUTIME, CSTIME] = [13, 14];

interface Output {
  readonly stdout: string;
  readonly stderr: string;
  readonly failure?: string;
}

/** How to run one call: at once, or beside others. */
type Run<Result> = (call: Call, input: string) => Result;

function childCpuMs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return TICK_MS * (Number(fields[CUTIME]) + Number(fields[CSTIME]));
}

const runAlone: Run<Output> = ({ program, args = [], env }, input) => {
  const { status, signal, error, stdout, stderr } = spawnSync(program, [...args], {
    input,
    env,
    encoding: 'utf8',
    timeout: CALL_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  return outputOf(program, error, signal ?? status, stdout ?? '', stderr ?? '');
};

const runBeside: Run<Promise<Output>> = ({ program, args = [], env }, input) =>
  new Promise((resolve) => {
    const child = spawn(program, [...args], { env, timeout: CALL_TIMEOUT_MS, killSignal: 'SIGKILL' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    child.on('error', (error) => resolve(outputOf(program, error, null, stdout, stderr)));
    child.on('close', (code, signal) => resolve(outputOf(program, undefined, signal ?? code, stdout, stderr)));
    // A plugin that has ended before it read all says why by its exit code.
    child.stdin.on('error', () => undefined).end(input);
  });

function outputOf(
  program: string,
  error: Error | undefined,
  ending: string | number | null,
  stdout: string,
  stderr: string,
): Output {
  if (!error && ending === 0) return { stdout, stderr };
  return { stdout, stderr, failure: `${program}: ${error?.message ?? `ended with ${ending}: ${stdout}${stderr}`}` };
}

/** The steps of a sequence, which its two ways of running share. */
function* stepsOf({ calls, handsOn }: Sequence, started: number): Generator<[Call, string], Ending, Output> {
  let output: Output = { stdout: '', stderr: '' };
  for (const call of calls) {
    const prevResult = handsOn && output.stdout !== '' ? { prevResult: JSON.parse(output.stdout) as unknown } : {};
    output = yield [call, JSON.stringify({ ...call.input, ...prevResult })];
    if (output.failure !== undefined) break;
  }
  return { ...output, ms: performance.now() - started };
}

function runSequence(sequence: Sequence, started: number): Ending {
  const steps = stepsOf(sequence, started);
  let step = steps.next({ stdout: '', stderr: '' });
  while (!step.done) step = steps.next(runAlone(...step.value));
  return step.value;
}

async function runSequenceBeside(sequence: Sequence, started: number): Promise<Ending> {
  const steps = stepsOf(sequence, started);
  let step = steps.next({ stdout: '', stderr: '' });
  while (!step.done) step = steps.next(await runBeside(...step.value));
  return step.value;
}

async function runBatch(sequences: readonly Sequence[]): Promise<Batch> {
  const cpuBefore = childCpuMs();
  const started = performance.now();
  const [only, ...others] = sequences;
  const endings =
    only && others.length === 0
      ? [runSequence(only, started)]
      : await Promise.all(sequences.map((sequence) => runSequenceBeside(sequence, started)));
  return { ms: performance.now() - started, endings, cpuMs: childCpuMs() - cpuBefore };
}

process.on('message', async (sequences: readonly Sequence[]) => {
  process.send?.(await runBatch(sequences));
});
process.send?.('ready');
