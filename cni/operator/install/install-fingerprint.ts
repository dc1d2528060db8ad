// What stands at a path, in one word that can be written down and compared later:
//
//   sha256:9f86d0…     a file with these contents
//   link:podlink       a symbolic link to this

import { createHash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readlinkSync, readSync } from 'node:fs';
import { isErrno } from '../../kernel/errno.ts';
import { CommandError } from '../cli/command.ts';

/** An executable is 160 MB: read in pieces, so that it need not fit into a small container's memory. */
const CHUNK_BYTES = 4 << 20;

/** The fingerprint of a path; undefined when nothing is there. Throws CommandError for what is neither file nor link. */
export function fingerprintAt(path: string): string | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  if (stats.isSymbolicLink()) return fingerprintOfLink(readlinkSync(path));
  if (!stats.isFile()) throw new CommandError(`"${path}" is neither a file nor a link: move it away`);
  const fd = openSync(path, 'r');
  try {
    return fingerprintOfFile(fd);
  } finally {
    closeSync(fd);
  }
}

export function fingerprintOfLink(target: string): string {
  return `link:${target}`;
}

export function fingerprintOfText(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

/** The fingerprint of an open file, whose position stays where it is. */
export function fingerprintOfFile(fd: number): string {
  const hash = createHash('sha256');
  for (const chunk of chunksOf(fd)) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

/** The contents of an open file in pieces, each valid until the next. */
export function* chunksOf(fd: number): Generator<Uint8Array> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let position = 0; ; ) {
    const length = readSync(fd, chunk, 0, chunk.length, position);
    if (length === 0) return;
    yield chunk.subarray(0, length);
    position += length;
  }
}

/** Like fingerprintAt(), but for a place that is somebody else's: undefined also for a directory and the like. */
export function fingerprintIfAny(path: string): string | undefined {
  try {
    return fingerprintAt(path);
  } catch (error) {
    if (error instanceof CommandError || isErrno(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}
