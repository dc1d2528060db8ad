// The executable that is running, which `install` copies; and whether some other file is one of its kind, whatever its
// version, so that it may be replaced.

import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { isErrno } from '../../kernel/errno.ts';
import { CommandError } from '../cli/command.ts';
import { chunksOf, fingerprintOfFile } from './install-fingerprint.ts';

/** Stands in every executable, since it stands here: in the text of the program, or among the strings of the snapshot. */
export const EXECUTABLE_MARK = 'podlink-executable-4b8f0d5e2c1a4e7f';

const ELF_MAGIC = Buffer.from('\x7fELF', 'latin1');
const EXECUTABLE_MODE = 0o755;
/** V8 keeps a text with a character beyond Latin-1 in it in UTF-16. */
const MARKS = [Buffer.from(EXECUTABLE_MARK, 'latin1'), Buffer.from(EXECUTABLE_MARK, 'utf16le')];
const WINDOW_BYTES = 4 << 20;

/** The executable of a process, held open: upgrading it while it copies itself does no harm. */
export interface RunningExecutable {
  readonly fd: number;
  readonly fingerprint: string;
  close(): void;
}

/**
 * Open the executable of this process.
 *
 * Throws CommandError when that is not podlink but a Node that runs its source.
 */
export function openRunningExecutable(path = '/proc/self/exe'): RunningExecutable {
  const fd = openSync(path, 'r');
  try {
    if (!hasMark(fd)) {
      throw new CommandError('only the packed executable can install itself: "npm run build" makes dist/podlink');
    }
    return { fd, fingerprint: fingerprintOfFile(fd), close: () => closeSync(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Copy it to a path where nothing is, durably. */
export function copyExecutable({ fd }: RunningExecutable, path: string): void {
  const to = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, EXECUTABLE_MODE);
  try {
    for (const chunk of chunksOf(fd)) {
      for (let rest = chunk; rest.length > 0; ) rest = rest.subarray(writeSync(to, rest));
    }
    fchmodSync(to, EXECUTABLE_MODE); // whatever the umask is
    fsyncSync(to);
  } finally {
    closeSync(to);
  }
}

/** Whether a path leads to an executable of podlink, be it of another version; a link is followed. */
export function isPodlinkExecutable(path: string): boolean {
  try {
    // Nothing else than a file is opened: a pipe would wait for its other end.
    if (!statSync(path).isFile()) return false;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return false;
    throw error;
  }
  const fd = openSync(path, 'r');
  try {
    return hasMark(fd);
  } finally {
    closeSync(fd);
  }
}

/** Searches from the end: what was packed into Node stands behind it. */
function hasMark(fd: number): boolean {
  const magic = Buffer.alloc(ELF_MAGIC.length);
  if (readSync(fd, magic, 0, magic.length, 0) < magic.length || !magic.equals(ELF_MAGIC)) return false;
  const overlap = Math.max(...MARKS.map((mark) => mark.length)) - 1;
  const window = Buffer.alloc(WINDOW_BYTES + overlap);
  for (let end = fstatSync(fd).size; end > 0; end -= WINDOW_BYTES) {
    const start = Math.max(0, end - WINDOW_BYTES);
    const length = readSync(fd, window, 0, Math.min(window.length, end - start + overlap), start);
    if (MARKS.some((mark) => window.subarray(0, length).includes(mark))) return true;
  }
  return false;
}
