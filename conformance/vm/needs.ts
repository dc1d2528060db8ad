// The programs that a virtual machine needs, and the Debian package of each: `.ci/install vm` puts them in place.

import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

const PROGRAMS: ReadonlyMap<string, string> = new Map([
  ['qemu-system-x86_64', 'qemu-system-x86'],
  ['mmdebstrap', 'mmdebstrap'],
  ['mke2fs', 'e2fsprogs'],
  ['cpio', 'cpio'],
  ['depmod', 'kmod'],
  ['xz', 'xz-utils'],
  ['zstd', 'zstd'],
]);

/** busybox of the initial RAM disk: a static one, since there is no C library. */
export const BUSYBOX = '/usr/bin/busybox';
const BUSYBOX_DOCUMENTATION = '/usr/share/doc/busybox-static';

/** Throw Error with the packages to install when a program is missing, and when this machine cannot run the tests. */
export function requirePrograms(): void {
  if (process.arch !== 'x64') throw new Error(`The virtual machines are x86-64, and this machine is ${process.arch}`);
  if (process.getuid?.() !== 0) throw new Error("Run this as root: it makes a Debian root whose files are root's");
  const missing = [...PROGRAMS].filter(([program]) => !isProgram(program)).map(([, debianPackage]) => debianPackage);
  if (!isReadable(BUSYBOX) || !isReadable(BUSYBOX_DOCUMENTATION)) missing.push('busybox-static');
  if (missing.length === 0) return;
  throw new Error(
    `Programs are missing. Run \`bash .ci/install vm\`, or: apt-get install --no-install-recommends ${missing.join(' ')}`,
  );
}

function isProgram(name: string): boolean {
  const folders = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`.split(':').filter(Boolean);
  return folders.some((folder) => isReadable(join(folder, name)));
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
