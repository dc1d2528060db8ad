// The code of loader.c, run by the kernel: this Node with its libraries inside, in a root that has nothing but /proc.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { pack } from './executable.ts';
import { findOwnLibraries } from './library-source.ts';

const test = suite('loader');

let root = '';
test.before(() => {
  const own = findOwnLibraries(process.arch === 'arm64' ? 'arm64' : 'x64');
  if (!own) throw new Error(`There are no libraries for ${process.arch}`);
  root = mkdtempSync(join(tmpdir(), 'podlink-bare-root-'));
  mkdirSync(join(root, 'proc'));
  writeFileSync(join(root, 'node'), pack(readFileSync(process.execPath), own), { mode: 0o755 });
});
test.after(() => rmSync(root, { recursive: true }));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run Node in the bare root, in a mount namespace of its own. */
function runBare(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  mounts = 'mount --bind /proc "$0/proc"',
): Outcome {
  const script = `PATH=/usr/sbin:/usr/bin:/sbin:/bin; ${mounts} && exec env -u PATH -u PWD -u OLDPWD -u _ -u SHLVL "$(command -v chroot)" "$0" /node "$@"`;
  const result = spawnSync('unshare', ['--mount', '--', '/bin/sh', '-c', script, root, ...args], {
    encoding: 'utf8',
    env: { ...env, PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  });
  if (result.error) throw result.error;
  return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

function evaluate(expression: string, env?: NodeJS.ProcessEnv): unknown {
  const { code, stdout, stderr } = runBare(['-p', `JSON.stringify(${expression})`], env);
  assert.is(code, 0, stderr);
  return JSON.parse(stdout);
}

test('Node starts in a root without any library', () => {
  assert.is(evaluate('process.version'), process.version);
});

test('arguments and environment arrive as they are, and no variable is added', () => {
  const variables = evaluate('Object.fromEntries(Object.entries(process.env))', { FIRST: '1', LAST: 'ä=' });
  assert.equal(variables, { FIRST: '1', LAST: 'ä=' });
  const { stdout } = runBare(['-p', 'process.argv.length', ...Array.from({ length: 3000 }, String)]);
  assert.is(stdout, '3001\n');
  assert.is(evaluate('process.env.LONG.length', { LONG: 'x'.repeat(100_000) }), 100_000);
});

test('no file stays open, and a child process gets neither variables nor files', () => {
  const open = `fs.readdirSync('/proc/self/fd').map((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd) } catch { return '' } })`;
  assert.equal(evaluate(`${open}.filter((path) => path.includes('memfd'))`), []);
  const child = `child_process.spawnSync(process.execPath, ['-p', 'Object.keys(process.env).join()'], { encoding: 'utf8' }).stdout`;
  assert.match(evaluate(child, { ONLY: '1' }) as string, /^(?!.*LD_PRELOAD).*ONLY/);
});

test('a stack that overflows is caught, and threads work', () => {
  const overflow = '(() => { const f = () => f(); try { f() } catch (error) { return error.name } })()';
  assert.is(evaluate(overflow), 'RangeError');
  const script = `new worker_threads.Worker('require("worker_threads").parentPort.postMessage(7)', { eval: true }).on('message', console.log)`;
  assert.is(runBare(['-e', script]).stdout, '7\n');
});

test('without /proc it says what it needs', () => {
  const { code, stderr } = runBare(['-p', '1'], {}, 'true');
  assert.is(code, 127);
  assert.match(stderr, /^podlink: cannot open \/proc\/self\/exe/);
});

test('where only libatomic is missing, only that is taken from the executable', () => {
  const loader = process.arch === 'arm64' ? '/lib/ld-linux-aarch64.so.1' : '/lib64/ld-linux-x86-64.so.2';
  const folders = ['/usr', dirname(loader)].map((folder) => join(root, folder));
  try {
    const copyTo = (from: string, to: string): void => {
      mkdirSync(join(root, dirname(to)), { recursive: true });
      copyFileSync(from, join(root, to));
    };
    copyTo(loader, loader);
    const mapped = readFileSync('/proc/self/maps', 'latin1').match(/(?<=\s)\/\S+\.so\b\S*$/gm) ?? [];
    for (const path of new Set(mapped)) {
      // Some are mapped under the name a link has led to, as libstdc++.so.6.0.30.
      const name = /^(.*\.so\.\d+)/.exec(basename(path))?.[1] ?? basename(path);
      if (!name.startsWith('libatomic')) copyTo(path, join(dirname(path), name));
    }
    const maps = evaluate('fs.readFileSync("/proc/self/maps", "utf8")') as string;
    assert.match(maps, /\/libc\.so\.6$/m);
    assert.match(maps, /\/libstdc\+\+\.so\.6$/m);
    assert.is(new Set(maps.match(/\d+(?= +\/memfd:)/gm)).size, 1, maps);
    assert.is(evaluate('Object.keys(process.env).length'), 0);
  } finally {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  }
});

test('on a node with all libraries nothing of its own is loaded', () => {
  const { stdout, status } = spawnSync(join(root, 'node'), ['-p', 'fs.readFileSync("/proc/self/maps", "utf8")'], {
    encoding: 'utf8',
  });
  assert.is(status, 0);
  assert.match(stdout, /\/libc\.so\.6$/m);
  assert.not.match(stdout, /memfd:/);
});

test.run();
