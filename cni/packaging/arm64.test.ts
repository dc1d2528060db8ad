// The executable for arm64, built and started: on x86-64 by qemu, which knows too few of the kernel's calls for an ADD.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('arm64');
const ROOT = join(import.meta.dirname, '../..');
const QEMU = 'qemu-aarch64-static';
/** Of Debian's libatomic1-arm64-cross and libstdc++6-arm64-cross. */
const LIBRARIES = ['libatomic.so.1', 'libstdc++.so.6'].map((name) => `/usr/aarch64-linux-gnu/lib/${name}`);

/** Tell why it cannot be built here. Undefined when it can. */
function whyNot(): string | undefined {
  if (process.arch === 'arm64') return undefined;
  if (spawnSync(QEMU, ['--version']).error) return `there is no ${QEMU} here`;
  const missing = LIBRARIES.find((path) => !existsSync(path));
  return missing === undefined ? undefined : `there is no ${missing} here`;
}

const title = 'npm run build -- arm64 makes an executable that starts, and calls libc';
test(title, () => {
  const reason = whyNot();
  if (reason !== undefined) {
    console.log(`\nSKIP ${title}: ${reason}`);
    return;
  }
  execFileSync(process.execPath, [join(ROOT, 'build.mjs'), 'arm64'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const executable = join(ROOT, 'dist/podlink-arm64');
  const [program = '', ...args] = process.arch === 'arm64' ? [executable] : [QEMU, executable];
  // VERSION waits for its input with ppoll(2), which Node has no function for.
  const version = execFileSync(program, args, { encoding: 'utf8', input: '', env: { CNI_COMMAND: 'VERSION' } });
  assert.match(version, /"cniVersion":"1\.1\.0"/);
});

test.run();
