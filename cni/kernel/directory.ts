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
  // Looked for first: it is there nearly always, and an error of node:fs costs five times as much as a look.
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  if (makeDirectory(path, mode) === undefined) return;
  const parent = dirname(path);
  if (parent !== path && !isThere(parent)) ensureDirectory(parent, mode);
  // Once more also where the parent was there: another process may have made it since the first try.
  const error = makeDirectory(path, mode);
  if (error !== undefined) throw error;
}

/** Make one directory; one that is there is fine. Returns the error when that is ENOENT, throws any other. */
function makeDirectory(path: string, mode: number): unknown {
  try {
    mkdirSync(path, mode);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return error;
    if (!isErrno(error, 'EEXIST') || !statSync(path).isDirectory()) throw error;
  }
  return undefined;
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
