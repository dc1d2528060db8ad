// Kernel parameters under /proc/sys/net, of the calling thread's network namespace (proc(5)): the directory shows the
// namespace of whoever looks a path up, so inside inNetns() these functions read and write the sandbox's.

import { readFileSync, writeFileSync } from 'node:fs';
import { isErrno } from './errno.ts';

/** Path parts below /proc/sys/net, e.g. ['ipv4', 'conf', 'eth0', 'arp_notify']: a part may hold dots, so no dotted names. */
export type SysctlKey = readonly string[];

function pathOf(key: SysctlKey): string {
  for (const part of key) {
    if (part === '' || part === '.' || part === '..' || part.includes('/')) {
      throw new RangeError(`Invalid sysctl key "${key.join('/')}"`);
    }
  }
  return `/proc/sys/net/${key.join('/')}`;
}

/** The value without its newline; undefined when the kernel has no such key. */
export function findSysctl(key: SysctlKey): string | undefined {
  try {
    return readFileSync(pathOf(key), 'utf8').replace(/\n$/, '');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Write a value. Throws node:fs errors: ENOENT without such a key, EROFS on a read-only /proc/sys, EINVAL for a bad value. */
export function setSysctl(key: SysctlKey, value: string): void {
  // r+ and not w: O_CREAT would make a missing key fail with EACCES, which sends the reader looking for permissions.
  writeFileSync(pathOf(key), value, { flag: 'r+' });
}

/**
 * Give a key the value if it has another, and say which it had; undefined when nothing was changed.
 *
 * Reading first lets a node with a read-only /proc/sys whose values are right already work.
 */
export function ensureSysctl(key: SysctlKey, value: string): string | undefined {
  const before = findSysctl(key);
  if (before === value) return undefined;
  setSysctl(key, value);
  return before;
}
