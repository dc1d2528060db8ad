// Making directories.

import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { isErrno } from './errno.ts';

/**
 * Make a directory and the parents it lacks; one that is there is fine. Absolute paths only.
 *
 * Not Node's `mkdirSync(path, { recursive: true })`: where the parent exists and mkdir(2) says ENOENT all the same, as
 * everywhere below /proc, that tries again for ever (Node 26.10.0, 20.20.2: `mkdirSync('/proc/x/y', …)` never returns).
 *
 * Throws node:fs errors: ENOTDIR, EROFS, ENOSPC, ENOENT, …
 */
export function ensureDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, mode);
  } catch (error) {
    if (isErrno(error, 'ENOENT') && dirname(path) !== path && !isThere(dirname(path))) {
      ensureDirectory(dirname(path), mode);
      ensureDirectory(path, mode);
      return;
    }
    if (!isErrno(error, 'EEXIST') || !statSync(path).isDirectory()) throw error;
  }
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
