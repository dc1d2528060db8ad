// Which mounts lie on a path: /proc/self/mountinfo (proc(5)), one line a mount, field 5 the mount point with space,
// tab, newline and backslash written as octal escapes.

import { readFileSync, realpathSync } from 'node:fs';
import { isErrno } from './errno.ts';

/**
 * How many mounts lie on a path itself, one over the other, in the calling process's mount namespace. None on a path
 * that leads nowhere, as those of /proc/PID/ns do by name: only the kernel can follow them.
 */
export function countMounts(path: string): number {
  let real: string;
  try {
    real = realpathSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 0;
    throw error;
  }
  return parseMountPoints(readFileSync('/proc/self/mountinfo', 'utf8')).filter((point) => point === real).length;
}

/** The mount points of a mountinfo file, in its order. */
export function parseMountPoints(mountinfo: string): string[] {
  return mountinfo
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((point) => point !== undefined)
    .map((point) =>
      point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    );
}
