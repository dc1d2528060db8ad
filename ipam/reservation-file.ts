// The files of a reservation directory: written whole, read whole.

import { closeSync, constants, fstatSync, fsyncSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { formatAddress, type IpAddress, parseAddress } from './address.ts';

/** Container ID, CRLF, interface name: an ID is a file name nearly everywhere, so that this is ample. */
const MAX_TEXT_BYTES = 4096;

export interface ReservationText {
  /** At most the first 4096 bytes. */
  readonly text: string;
  readonly ageMs: number;
  /** Inode and time of the last write: another file under the same name has another. */
  readonly identity: string;
}

/**
 * Parse the name of a reservation; undefined when it is none.
 *
 * Only canonical text: both plugins name files by it, and what is named otherwise is not a reservation of theirs.
 */
export function parseAddressName(name: string): IpAddress | undefined {
  const address = /^[\da-f]/.test(name) || name.startsWith('::') ? parseAddress(name) : undefined;
  return address !== undefined && formatAddress(address) === name ? address : undefined;
}

/** Read a reservation. Throws node:fs errors: ENOENT, ELOOP for a symbolic link, EISDIR. */
export function readReservationFile(path: string): ReservationText {
  // O_NONBLOCK: of a pipe that lies in the way, the end comes at once.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { ino, mtimeMs } = fstatSync(fd);
    const bytes = Buffer.allocUnsafe(MAX_TEXT_BYTES);
    const length = readSync(fd, bytes);
    return { text: bytes.toString('utf8', 0, length), ageMs: Date.now() - mtimeMs, identity: `${ino}:${mtimeMs}` };
  } finally {
    closeSync(fd);
  }
}

/** Write a file that is not there afterwards in part: a failure removes it. Returns its identity, as in ReservationText. */
export function writeNewFile(path: string, text: string, durable: boolean): string {
  // Remove, never truncate: what a crash left may be the second name of a reservation that is in use.
  rmSync(path, { force: true });
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    writeFileSync(fd, text);
    if (durable) fsyncSync(fd);
    const { ino, mtimeMs } = fstatSync(fd);
    return `${ino}:${mtimeMs}`;
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Do something to a file that may be gone. */
export function unlessMissing<Result>(work: () => Result): Result | 'missing' {
  try {
    return work();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return 'missing';
    throw error;
  }
}

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
