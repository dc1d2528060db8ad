// Where the dynamic loader and the libraries come from that the executable carries.
//
// For the architecture of the build they are the ones that the building Node itself runs on, so they are there and fit.
// For another they are looked for where Debian's packages for cross-compiling put them.

import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Architecture } from './elf.ts';
import type { OwnLibraries } from './executable.ts';

const LOADERS = { x64: 'ld-linux-x86-64.so.2', arm64: 'ld-linux-aarch64.so.1' } as const;
const FOREIGN_FOLDERS = { x64: '/usr/x86_64-linux-gnu/lib', arm64: '/usr/aarch64-linux-gnu/lib' } as const;

/** What Node is linked with: its DT_NEEDED, in their order. That libatomic comes first is relied on by loader.c. */
const LIBRARIES = [
  ...['libatomic.so.1', 'libdl.so.2', 'libm.so.6', 'libstdc++.so.6', 'libgcc_s.so.1', 'libpthread.so.0', 'libc.so.6'],
];

/**
 * Find the libraries for an architecture.
 *
 * Returns undefined when there are none for one that is not the running process's. Throws Error, naming it, when one of
 * several is missing.
 */
export function findOwnLibraries(architecture: Architecture): OwnLibraries | undefined {
  const names = [LOADERS[architecture], ...LIBRARIES];
  const paths = architecture === process.arch ? findMapped(names) : findInFolder(names, FOREIGN_FOLDERS[architecture]);
  if (!paths) return undefined;
  const [loader, ...libraries] = paths.map((path) => readFileSync(path));
  return loader && { loader, libraries };
}

/** The files that this process has mapped. Some are mapped under the name a link has led to, as libstdc++.so.6.0.30. */
function findMapped(names: readonly string[]): string[] {
  const mapped = new Set(readFileSync('/proc/self/maps', 'latin1').match(/(?<=\s)\/\S+\.so\b\S*$/gm));
  return names.map((name) => {
    const path = [...mapped].find((file) => basename(file) === name || basename(file).startsWith(`${name}.`));
    if (!path) throw new Error(`Cannot find ${name}: this Node does not run on it, so it is no build for glibc`);
    return path;
  });
}

function findInFolder(names: readonly string[], folder: string): string[] | undefined {
  if (!names.some((name) => existsSync(join(folder, name)))) return undefined;
  return names.map((name) => {
    const path = join(folder, name);
    if (!existsSync(path)) throw new Error(`Cannot find ${path}, which the other libraries beside it need`);
    return path;
  });
}
