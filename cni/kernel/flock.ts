// Advisory file locks with a deadline, by flock(2): they go with the process that holds them, however it ends.

import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { monotonicMs } from './clock.ts';
import { sleep, tryLock } from './syscalls.ts';

/** Somebody else held the lock for the whole time. */
export class LockTimeoutError extends Error {
  override readonly name = 'LockTimeoutError';
  readonly path: string;
  readonly timeoutMs: number;

  constructor(path: string, timeoutMs: number) {
    super(`Cannot lock "${path}": held by another process for ${timeoutMs} ms`);
    this.path = path;
    this.timeoutMs = timeoutMs;
  }
}

export interface FileLock {
  readonly fd: number;
  readonly path: string;
  release(): void;
}

/**
 * Take the lock of a file, which is created (mode 0600) if it is not there. A directory can be locked too.
 *
 * Any number of processes hold a shared lock together, none while one holds the exclusive lock.
 *
 * Waits at most `timeoutMs`, then throws LockTimeoutError. Throws node:fs errors when the file cannot be opened.
 */
export function lockFile(path: string, timeoutMs: number, kind: 'exclusive' | 'shared' = 'exclusive'): FileLock {
  const fd = openLockFile(path);
  try {
    const deadline = monotonicMs() + timeoutMs;
    // flock(2) has no deadline of its own, and an alarm would hit the whole process: ask again, ever less often.
    // 1 ms at first because the holders do file work of well under that; 10 ms at most so that nobody starves.
    for (let waitMs = 1; !tryLock(fd, kind); waitMs = Math.min(waitMs * 2, 10)) {
      const leftMs = Math.ceil(deadline - monotonicMs());
      if (leftMs <= 0) throw new LockTimeoutError(path, timeoutMs);
      sleep(Math.min(waitMs, leftMs));
    }
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return { fd, path, release: () => closeSync(fd) };
}

function openLockFile(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EISDIR')) throw error;
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  }
}

/**
 * Whether the file that was locked is the one at its path still: another process may have removed it meanwhile, and a third
 * have locked a new one. Only for lock files that are removed.
 */
export function isInPlace({ path, fd }: Pick<FileLock, 'path' | 'fd'>): boolean {
  const there = statSync(path, { bigint: true, throwIfNoEntry: false });
  return there?.ino === fstatSync(fd, { bigint: true }).ino;
}
