// Compiles loader.c to loader-code.ts, for whoever changes it; no build of Podlink runs this.
//
// usage: node cni/packaging/compile-loader.ts
//
// Needs Debian's gcc and gcc-aarch64-linux-gnu (12.2 made what is in the tree).

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FLAGS = [
  ...['-Os', '-ffreestanding', '-fno-builtin', '-fno-tree-loop-distribute-patterns', '-fno-stack-protector'],
  ...['-fno-asynchronous-unwind-tables', '-fcf-protection=none', '-fPIE', '-Wall', '-Wextra', '-Werror'],
  ...['-nostdlib', '-static', '-Wl,--build-id=none', '-Wl,-z,noexecstack'],
];
const COMPILERS = { x64: ['gcc', 'objcopy'], arm64: ['aarch64-linux-gnu-gcc', 'aarch64-linux-gnu-objcopy'] } as const;

/** The beginning first; what executable.ts appends lies directly behind. */
const LINKER_SCRIPT = `ENTRY(start)
SECTIONS {
  . = 0;
  .all : { *(.text.start) *(.text*) *(.rodata*) . = ALIGN(16); configuration = .; }
  /DISCARD/ : { *(.comment) *(.note*) *(.eh_frame*) }
}
`;

const source = join(import.meta.dirname, 'loader.c');
const folder = mkdtempSync(join(tmpdir(), 'podlink-loader-'));
try {
  const script = join(folder, 'loader.ld');
  writeFileSync(script, LINKER_SCRIPT);
  const codes = Object.entries(COMPILERS).map(([architecture, [compiler, objcopy]]) => {
    const linked = join(folder, architecture);
    const flags = architecture === 'x64' ? FLAGS : FLAGS.filter((flag) => flag !== '-fcf-protection=none');
    execFileSync(compiler, [...flags, `-Wl,-T,${script}`, '-o', linked, source], { stdio: 'inherit' });
    execFileSync(objcopy, ['-O', 'binary', '-j', '.all', linked, `${linked}.bin`]);
    const lines = readFileSync(`${linked}.bin`, 'base64').match(/.{1,112}/g) ?? [];
    return `  ${architecture}:\n${lines.map((line) => `    '${line}'`).join(' +\n')},\n`;
  });
  const digest = createHash('sha256').update(readFileSync(source)).digest('hex');
  writeFileSync(
    join(import.meta.dirname, 'loader-code.ts'),
    `// Written by compile-loader.ts from loader.c, where the code is to be read. Do not edit.

/** Of the loader.c that was compiled. */
export const LOADER_SOURCE_SHA256 = '${digest}';

/** Machine code in base64, to be entered at its first byte; its configuration begins behind the last. */
export const LOADER_CODE = {
${codes.join('')}} as const;
`,
  );
} finally {
  rmSync(folder, { recursive: true });
}
