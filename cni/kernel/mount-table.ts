// The mounts of this mount namespace: /proc/self/mountinfo (proc(5)), one line a mount.
//
//   98 28 0:4 net:[4026532410] /run/netns/x rw shared:40 - nsfs nsfs rw
//   |  |                       |
//   |  |                       mount point, with space, tab, newline and backslash as octal escapes
//   |  the mount that it lies on
//   ID

import { readFileSync } from 'node:fs';

export interface Mount {
  readonly id: number;
  /** ID of the mount that it lies on. */
  readonly parentId: number;
  readonly mountPoint: string;
}

/** The mount that an open file is reached by, and what it covers. */
export interface FileMount extends Mount {
  /** Whether another mount on the same path lies below it. */
  readonly coversMount: boolean;
}

/**
 * Find the mount that an open file is on; undefined when it is none of this mount namespace's, as for /proc/PID/ns/net,
 * whose file is on a mount of the kernel's own.
 */
export function findMountOf(fd: number): FileMount | undefined {
  const id = Number(/^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]);
  const mounts = parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  const mount = mounts.find((each) => each.id === id);
  if (!mount) return undefined;
  const parent = mounts.find((each) => each.id === mount.parentId);
  return { ...mount, coversMount: parent?.mountPoint === mount.mountPoint };
}

/** The mounts of a mountinfo file, in its order. */
export function parseMounts(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [id, parentId, , , point] = line.split(' ');
    if (point === undefined) return [];
    const mountPoint = point.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    return [{ id: Number(id), parentId: Number(parentId), mountPoint }];
  });
}
