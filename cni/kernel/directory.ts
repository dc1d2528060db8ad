// Making directories, and telling whether others can reach into one.

import { lstatSync, mkdirSync, type Stats, statSync } from 'node:fs';
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

/** Others than root could put files into a directory, or put another directory in its place. */
export class UnsafeDirectoryError extends Error {
  override readonly name = 'UnsafeDirectoryError';
  readonly path: string;

  constructor(path: string, fault: string) {
    super(
      `Cannot trust "${path}": ${fault} (it must be a directory of root's, without write permission for group and others)`,
    );
    this.path = path;
  }
}

/** S_IWGRP | S_IWOTH (include/uapi/linux/stat.h). */
const WRITABLE_BY_OTHERS = 0o022;

/**
 * Whether there is a directory. One that is there must be root's, or this process's user's, and writable for nobody else;
 * a symbolic link is none. So whoever could have put files there is trusted anyway.
 *
 * Throws UnsafeDirectoryError, and node:fs errors.
 */
export function isPrivateDirectory(path: string): boolean {
  if (!path.startsWith('/')) throw new UnsafeDirectoryError(path, 'its path does not begin with "/"');
  const stats = statsOf(path);
  if (!stats) return false;
  if (stats.isSymbolicLink()) throw new UnsafeDirectoryError(path, 'it is a symbolic link');
  if (!stats.isDirectory()) return false;
  if (stats.uid !== 0 && stats.uid !== process.geteuid?.()) {
    throw new UnsafeDirectoryError(path, `it belongs to user ${stats.uid}`);
  }
  if ((stats.mode & WRITABLE_BY_OTHERS) !== 0) {
    throw new UnsafeDirectoryError(path, `its mode is ${(stats.mode & 0o7777).toString(8)}`);
  }
  return true;
}

/** Undefined also below something that is no directory. */
function statsOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (isErrno(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** Make a directory that is private, and the parents it lacks. Throws UnsafeDirectoryError, and node:fs errors. */
export function ensurePrivateDirectory(path: string): void {
  if (isPrivateDirectory(path)) return;
  ensureDirectory(path, 0o700);
  // Somebody else may have made it since it was looked for.
  isPrivateDirectory(path);
}
