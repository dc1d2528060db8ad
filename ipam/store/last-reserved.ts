// The file with the address that was given out last from a range set: a hint where to go on. It is not synced to disk.

import { closeSync, constants, fstatSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { writeNewFile } from './reservation-file.ts';

/** Begins the file's name; the index of the range set follows. */
export const LAST_RESERVED_PREFIX = 'last_reserved_ip.';

/** Read the address, and how long its file is; undefined when there is none. */
export function readLastReserved(path: string): { address: string; bytes: number } | undefined {
  try {
    // O_NONBLOCK: what somebody has put there in its place must not hold up a call that has the pool locked.
    const text = readFileSync(path, { encoding: 'utf8', flag: constants.O_RDONLY | constants.O_NONBLOCK });
    return { address: text.trim(), bytes: Buffer.byteLength(text) };
  } catch {
    // A hint that is missing or unreadable costs the order of addresses this once, nothing else.
    return undefined;
  }
}

/**
 * Write over a text of the same length, in one write(2), which no kill cuts in two; false when there is none. What is
 * renamed onto another file, ext4 writes out first (0.2 ms). `bytes` is how long the file is, if that is known.
 */
export function overwriteSameLength(path: string, text: string, bytes: number | undefined): boolean {
  if (bytes !== undefined && bytes !== text.length) return false;
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch {
    // Missing, or no file: renaming says what is wrong with it.
    return false;
  }
  try {
    const size = bytes ?? fstatSync(fd).size;
    return size === text.length && writeSync(fd, text, 0) === size;
  } finally {
    closeSync(fd);
  }
}

/** Put another file in the place of one, or of none, so that at no moment a part of the text is there. */
export function replaceFile(path: string, temporary: string, text: string): void {
  writeNewFile(temporary, text, false);
  try {
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
