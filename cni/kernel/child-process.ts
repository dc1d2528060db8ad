// Running another program and waiting for it, for IPAM plugins that are not built in.

import { writeSync } from 'node:fs';
import { belowNode } from './below-node.ts';
import { ErrnoError } from './errno.ts';

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
  /** ErrnoError, or one of node:child_process: it cannot be run, took too long (ETIMEDOUT), printed too much (ENOBUFS), or did not read its input (EPIPE). */
  readonly error: Error | undefined;
}

/** `spawn()` of Node's src/spawn_sync.cc. */
interface SpawnSync {
  spawn(options: object): {
    readonly status: number | null;
    readonly signal: string | null;
    readonly output: readonly (Uint8Array | null)[] | null;
    /** A negative errno. */
    readonly error?: number;
  };
}

/**
 * Run a program without arguments. Its standard error goes to ours too, when it has ended.
 *
 * node:child_process brings some 30 modules along, of sockets and streams: 12 ms, in which the program could be run ten times.
 */
export function runProgram(file: string, options: ProgramOptions): ProgramEnd {
  const below = belowNode<SpawnSync>('spawn_sync');
  const end = below ? runBelow(below, file, options) : runByModule(file, options);
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

function runBelow(below: SpawnSync, file: string, options: ProgramOptions): ProgramEnd {
  const { status, signal, output, error } = below.spawn({
    file,
    args: [file],
    envPairs: Object.entries(options.env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
    stdio: [
      { type: 'pipe', readable: true, writable: false, input: Buffer.from(options.input, 'utf8') },
      { type: 'pipe', readable: false, writable: true },
      { type: 'pipe', readable: false, writable: true },
    ],
    timeout: options.timeoutMs,
    maxBuffer: options.maxOutputBytes,
  });
  return {
    status,
    signal,
    stdout: textOf(output?.[1]),
    stderr: textOf(output?.[2]),
    error: error ? new ErrnoError('spawn', { syscall: 'spawn', errno: -error, path: file }) : undefined,
  };
}

function runByModule(file: string, { env, input, timeoutMs, maxOutputBytes }: ProgramOptions): ProgramEnd {
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  const { status, signal, stdout, stderr, error } = spawnSync(file, [], {
    env,
    input,
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    maxBuffer: maxOutputBytes,
  });
  return { status, signal, stdout: textOf(stdout), stderr: textOf(stderr), error };
}

function textOf(bytes: Uint8Array | null | undefined): string {
  return Buffer.from(bytes ?? []).toString('utf8');
}
