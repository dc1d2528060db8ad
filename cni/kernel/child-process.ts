// Running another program and waiting for it, for IPAM plugins that are not built in.

import { writeSync } from 'node:fs';

export interface ProgramOptions {
  /** The program's whole environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Its standard input. */
  readonly input: string;
  /** It is killed (SIGTERM) after so long. */
  readonly timeoutMs: number;
  /** And when it prints more than this. */
  readonly maxOutputBytes: number;
}

export interface ProgramEnd {
  /** Null when a signal ended it. */
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  /** It cannot be run, took too long (ETIMEDOUT), printed too much (ENOBUFS), or did not read its input (EPIPE). */
  readonly error: Error | undefined;
}

/** Run a program without arguments. Its standard error goes to ours too, when it has ended. */
export function runProgram(file: string, { env, input, timeoutMs, maxOutputBytes }: ProgramOptions): ProgramEnd {
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  const { status, signal, stdout, stderr, error } = spawnSync(file, [], {
    env,
    input,
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    maxBuffer: maxOutputBytes,
  });
  const end = { status, signal, stdout: textOf(stdout), stderr: textOf(stderr), error };
  passOn(end.stderr);
  return end;
}

function passOn(stderr: string): void {
  if (stderr === '') return;
  try {
    writeSync(2, stderr);
  } catch {
    // Standard error may be full or closed, and that must not make a call fail.
  }
}

function textOf(bytes: Uint8Array | null | undefined): string {
  return Buffer.from(bytes ?? []).toString('utf8');
}
