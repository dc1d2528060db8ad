// Running programs: the referees (ip, bridge, nft, ping), and whatever else a case needs.

import { spawnSync } from 'node:child_process';

/** How a program ended. */
export interface Output {
  /** Exit code; 128 + signal number is not imitated: a killed program has -1 and `signal`. */
  readonly code: number;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

export interface RunOptions {
  readonly input?: string;
  /** The whole environment; the harness's own when absent. */
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

/** How many times slower than a machine's own processors those are that run the tests: a virtual machine without KVM. */
export const SLOWNESS = Number(process.env.CONFORMANCE_SLOWNESS ?? 1);

const DEFAULT_TIMEOUT_MS = 30_000 * SLOWNESS;

/** Run a program to its end. Throws Error when it cannot be started or does not end in time. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Output {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const started = performance.now();
  const result = spawnSync(program, [...args], {
    encoding: 'utf8',
    input: options.input ?? '',
    env: options.env ?? process.env,
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: 64 << 20,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  if (result.error) throw new Error(`Cannot run ${program} ${args.join(' ')}: ${result.error.message}`);
  return {
    code: result.status ?? -1,
    signal: result.signal,
    stdout: result.stdout,
    stderr: result.stderr,
    ms: performance.now() - started,
  };
}

/** Run a program that must succeed and give its standard output. Throws Error with what it said otherwise. */
export function mustRun(program: string, args: readonly string[], options: RunOptions = {}): string {
  const output = run(program, args, options);
  if (output.code !== 0) {
    throw new Error(
      `${program} ${args.join(' ')} ended with ${output.signal ?? output.code}: ${(output.stderr || output.stdout).trim()}`,
    );
  }
  return output.stdout;
}
