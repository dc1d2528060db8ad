// The lock of an attachment: ADD and DEL of one attachment keep each other out.

import { existsSync, rmdirSync, unlinkSync } from 'node:fs';
import { monotonicMs } from '../kernel/clock.ts';
import { ensurePrivateDirectory } from '../kernel/directory.ts';
import { isErrno } from '../kernel/errno.ts';
import { type FileLock, isInPlace, LockTimeoutError, lockFile } from '../kernel/flock.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import { fileName, listDirectory, networkDir, TEMPORARY_SUFFIX, unlinkIfThere } from './record-path.ts';

/** ADD or DEL of one attachment against each other: the slowest, a DEL under load, takes well under a second. */
const LOCK_TIMEOUT_MS = 30_000;

/**
 * Remove what calls left that were killed before there was a record, or after it had gone: lock files nobody holds, and
 * temporary ones. Of an attachment with a record, or one that a call is busy with, nothing is touched.
 */
export function removeForsakenFiles(runDir: string, network: string): void {
  const dir = networkDir(runDir, network);
  const names = new Set(listDirectory(dir).flatMap((name) => /^(.+)\.(lock|json\.tmp)$/.exec(name)?.[1] ?? []));
  for (const name of names) {
    const path = `${dir}/${name}.lock`;
    let lock: FileLock;
    try {
      lock = lockFile(path, 0);
    } catch (error) {
      if (error instanceof LockTimeoutError || isErrno(error, 'ENOENT')) continue;
      throw error;
    }
    if (!isInPlace(lock)) lock.release();
    else {
      if (!existsSync(`${dir}/${name}.json`)) unlinkIfThere(`${dir}/${name}.json${TEMPORARY_SUFFIX}`);
      releaseAttachment(dir, path, lock);
    }
  }
}

/**
 * Keep other calls away from one attachment. Throws LockTimeoutError.
 *
 * The lock's file is removed on release, so a lock counts only if its file is still the one at the path: another
 * process may have been waiting for it on a file that is no longer there.
 */
export function lockAttachment(runDir: string, key: AttachmentKey, timeoutMs = LOCK_TIMEOUT_MS): FileLock {
  const dir = networkDir(runDir, key.network);
  const path = `${dir}/${fileName(key)}.lock`;
  for (const deadline = monotonicMs() + timeoutMs; ; ) {
    for (const path of [runDir, `${runDir}/attachments`, dir]) ensurePrivateDirectory(path);
    let lock: FileLock;
    try {
      lock = lockFile(path, timeoutMs);
    } catch (error) {
      // The last attachment's DEL removed the directory under us.
      if (isErrno(error, 'ENOENT') && monotonicMs() < deadline) continue;
      throw error;
    }
    if (isInPlace(lock)) return { ...lock, release: () => releaseAttachment(dir, path, lock) };
    lock.release();
  }
}

function releaseAttachment(dir: string, path: string, lock: FileLock): void {
  // The work is done: a lock file that stays is no reason to call it failed.
  for (const step of [() => unlinkSync(path), () => lock.release(), () => rmdirSync(dir)]) {
    try {
      step();
    } catch {
      // rmdir fails as long as the network has other attachments: the usual case.
    }
  }
}
