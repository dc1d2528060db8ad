// Compiles loader.c to loader-code.ts, for whoever changes it; no build of Podlink runs this. compile-loader.test.ts compiles
// it again, and compares the bytes.
//
// usage: node cni/packaging/compile-loader.ts
//
// Needs gcc and gcc-aarch64-linux-gnu of Debian 12, whose bytes are the same on every machine.

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Architecture } from './elf.ts';

const FLAGS = [
  ...['-Os', '-ffreestanding', '-fno-builtin', '-fno-tree-loop-distribute-patterns', '-fno-stack-protector'],
  ...['-fno-asynchronous-unwind-tables', '-fPIE', '-Wall', '-Wextra', '-Werror'],
  ...['-nostdlib', '-static', '-Wl,--build-id=none', '-Wl,-z,noexecstack'],
];
const COMPILERS = {
  x64: { prefix: 'x86_64-linux-gnu', flags: ['-fcf-protection=none'] },
  arm64: { prefix: 'aarch64-linux-gnu', flags: [] },
} as const;
/** Another version of gcc may well write other bytes that do the same. */
const COMPILER_VERSION = '12.2.0';

/** The beginning first; what executable.ts appends lies directly behind. */
const LINKER_SCRIPT = `ENTRY(start)
SECTIONS {
  . = 0;
  .all : { *(.text.start) *(.text*) *(.rodata*) . = ALIGN(16); configuration = .; }
  /DISCARD/ : { *(.comment) *(.note*) *(.eh_frame*) }
}
`;

const SOURCE = join(import.meta.dirname, 'loader.c');

/** Tell why the bytes of loader-code.ts cannot be had here. Undefined when they can. */
export function whyNotCompilable(architecture: Architecture): string | undefined {
  const { prefix } = COMPILERS[architecture];
  const [gcc, objcopy] = [`${prefix}-gcc`, `${prefix}-objcopy`];
  for (const program of [gcc, objcopy])
    if (spawnSync(program, ['--version']).error) return `there is no ${program} here`;
  const version = execFileSync(gcc, ['-dumpfullversion'], { encoding: 'utf8' }).trim();
  return version === COMPILER_VERSION ? undefined : `${gcc} is ${version} here, and not ${COMPILER_VERSION}`;
}

/** Compile loader.c. Returns the machine code. */
export function compileLoader(architecture: Architecture): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'podlink-loader-'));
  try {
    const [script, linked, code] = [join(folder, 'loader.ld'), join(folder, 'linked'), join(folder, 'code')];
    writeFileSync(script, LINKER_SCRIPT);
    const { prefix, flags } = COMPILERS[architecture];
    const args = [...FLAGS, ...flags, `-Wl,-T,${script}`, '-o', linked, SOURCE];
    execFileSync(`${prefix}-gcc`, args, { stdio: 'inherit' });
    execFileSync(`${prefix}-objcopy`, ['-O', 'binary', '-j', '.all', linked, code]);
    return readFileSync(code);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Give the digest of loader.c, by which a change to it is seen where there is no compiler. */
export function digestOfSource(): string {
  return createHash('sha256').update(readFileSync(SOURCE)).digest('hex');
}

function writeLoaderCode(): void {
  const codes = (['x64', 'arm64'] as const).map((architecture) => {
    const lines =
      compileLoader(architecture)
        .toString('base64')
        .match(/.{1,112}/g) ?? [];
    return `  ${architecture}:\n${lines.map((line) => `    '${line}'`).join(' +\n')},\n`;
  });
  const text = `// Written by compile-loader.ts from loader.c, where the code is to be read. Do not edit.

/** Of the loader.c that was compiled. */
export const LOADER_SOURCE_SHA256 = '${digestOfSource()}';

/** Machine code in base64, to be entered at its first byte; its configuration begins behind the last. */
export const LOADER_CODE = {
${codes.join('')}} as const;
`;
  writeFileSync(join(import.meta.dirname, 'loader-code.ts'), text);
}

if (import.meta.main) writeLoaderCode();
