// Kernel parameters under /proc/sys/net, of the calling thread's network namespace (proc(5)): the directory shows the
// namespace of whoever looks a path up, so inside inNetns() these functions read and write the sandbox's.

import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { isErrno } from './errno.ts';

/** Path parts below /proc/sys/net, e.g. ['ipv4', 'conf', 'eth0', 'arp_notify']: a part may hold dots, so no dotted names. */
export type SysctlKey = readonly string[];

/** More than any sysctl says that is not a list of ports, and more than that of all ports. */
const USUAL_BYTES = 4096;
const MAX_BYTES = 512 * 1024;

function pathOf(key: SysctlKey): string {
  for (const part of key) {
    if (part === '' || part === '.' || part === '..' || part.includes('/')) {
      throw new RangeError(`Invalid sysctl key "${key.join('/')}"`);
    }
  }
  return `/proc/sys/net/${key.join('/')}`;
}

/** The name as sysctl(8) takes it, with slashes where a part holds dots. */
export function sysctlName(key: SysctlKey): string {
  return key.some((part) => part.includes('.')) ? `net/${key.join('/')}` : `net.${key.join('.')}`;
}

/** The value without its newline; undefined when the kernel has no such key. */
export function findSysctl(key: SysctlKey): string | undefined {
  let fd: number;
  try {
    fd = openSync(pathOf(key), 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    const text = readAll(fd);
    return text.endsWith('\n') ? text.slice(0, -1) : text;
  } finally {
    closeSync(fd);
  }
}

/**
 * The kernel gives out a value in one read, cut to the room there is; of most there is no second part to be read
 * (proc_dointvec(), proc_do_large_bitmap() in kernel/sysctl.c). So what leaves some room is all, and needs no further read.
 */
function readAll(fd: number): string {
  for (const size of [USUAL_BYTES, MAX_BYTES]) {
    const bytes = Buffer.allocUnsafe(size);
    const length = readSync(fd, bytes, 0, size, 0);
    if (length < size) return bytes.toString('utf8', 0, length);
  }
  throw new RangeError(`Cannot read a sysctl of more than ${MAX_BYTES} bytes`);
}

/** Write a value. Throws node:fs errors: ENOENT without such a key, EROFS on a read-only /proc/sys, EINVAL for a bad value. */
export function setSysctl(key: SysctlKey, value: string): void {
  // r+ and not w: O_CREAT would make a missing key fail with EACCES, which sends the reader looking for permissions.
  writeFileSync(pathOf(key), value, { flag: 'r+' });
}

/**
 * Give a key the value if it has another, and say which it had; undefined when nothing was changed.
 *
 * Reading first lets a node with a read-only /proc/sys whose values are right already work. Where a value is missing there,
 * the error names the sysctl that somebody else has to set. Throws node:fs errors, and Error around EROFS, EACCES and EPERM.
 */
export function ensureSysctl(key: SysctlKey, value: string): string | undefined {
  const before = findSysctl(key);
  if (before === value) return undefined;
  try {
    setSysctl(key, value);
  } catch (cause) {
    if (!isErrno(cause, 'EROFS', 'EACCES', 'EPERM')) throw cause;
    throw new Error(
      `Cannot set sysctl ${sysctlName(key)} to ${value}: it is read-only here, and must be set on the node`,
      { cause },
    );
  }
  return before;
}
