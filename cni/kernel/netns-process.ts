// The processes in a network namespace. The kernel keeps no list of them: every process is asked.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isErrno } from './errno.ts';
import type { Netns } from './netns.ts';

/**
 * Find a process in a network namespace, among those that can be seen; gives its ID. A thread that is in another
 * namespace than its process does not count.
 *
 * Takes some 5 µs for each process there is. The text of the link, `net:[INODE]`, is enough: all namespaces are on one
 * device, and to follow the link takes four times as long.
 */
export function findProcessIn({ inode }: Pick<Netns, 'inode'>): string | undefined {
  const link = `net:[${inode}]`;
  return readdirSync('/proc').find((name) => {
    const first = name.charCodeAt(0);
    return first >= 0x30 && first <= 0x39 && readOrUndefined(() => readlinkSync(`/proc/${name}/ns/net`)) === link;
  });
}

/** The name of a process, for a message; empty when it has ended. */
export function nameOfProcess(pid: string): string {
  return readOrUndefined(() => readFileSync(`/proc/${pid}/comm`, 'utf8'))?.trim() ?? '';
}

/** Undefined for a process that has ended meanwhile (a zombie has no namespaces any more), or that may not be looked at. */
function readOrUndefined(read: () => string): string | undefined {
  try {
    return read();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return undefined;
    throw error;
  }
}
