// The files of a reservation directory: written whole, read whole.

import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readSync,
  rmSync,
  type Stats,
  writeFileSync,
} from 'node:fs';
import { formatAddress, type IpAddress, parseStoredAddress } from '../../cni/address/ip.ts';

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
  const address = /^[\da-f]/.test(name) || name.startsWith('::') ? parseStoredAddress(name) : undefined;
  return address !== undefined && formatAddress(address) === name ? address : undefined;
}

/** Read a reservation. Throws node:fs errors: ENOENT, ELOOP for a symbolic link, EISDIR. */
export function readReservationFile(path: string): ReservationText {
  // O_NONBLOCK: of a pipe that lies in the way, the end comes at once.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(fd);
    const bytes = Buffer.allocUnsafe(MAX_TEXT_BYTES);
    const length = readSync(fd, bytes);
    return {
      text: bytes.toString('utf8', 0, length),
      ageMs: Date.now() - stats.mtimeMs,
      identity: identityOf(stats),
    };
  } finally {
    closeSync(fd);
  }
}

/** The identity of the file at a path, as in ReservationText; undefined when there is none. Does not follow links. */
export function identityAt(path: string): string | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats && identityOf(stats);
}

function identityOf({ ino, mtimeMs }: Stats): string {
  return `${ino}:${mtimeMs}`;
}

/** Write a file that is not there afterwards in part: a failure removes it. Returns its identity, as in ReservationText. */
export function writeNewFile(path: string, text: string, durable: boolean): string {
  const fd = openNewFile(path);
  try {
    writeFileSync(fd, text);
    if (durable) fsyncSync(fd);
    return identityOf(fstatSync(fd));
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

function openNewFile(path: string): number {
  const open = () => openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    return open();
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    // Remove, never truncate: what a crash left may be the second name of a reservation that is in use.
    rmSync(path);
    return open();
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
