import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ErrnoError, isErrno } from './errno.ts';
import {
  inNetns,
  isRecordedNetns,
  isSameNetns,
  NotANamespaceError,
  openNetns,
  openOwnNetns,
  recordNetns,
} from './netns.ts';
import { nodeArguments, start } from './testing/child-process.ts';
import { type TestNamespace, withHostAndSandbox, withNamespace } from './testing/namespaces.ts';
import { testUnless } from './testing/skip.ts';
import { thrown, thrownOf } from './testing/thrown.ts';

const test = suite('network namespace');

function hasCookie(): boolean {
  const own = openOwnNetns();
  try {
    return recordNetns(own).netnsCookie !== undefined;
  } finally {
    own.close();
  }
}

/** The calling thread's namespace, as the kernel names it: "net:[4026531840]". */
const here = (): string => readlinkSync('/proc/thread-self/ns/net');
const nameOf = (ns: TestNamespace): string => `net:[${ns.netns.inode}]`;
const openFiles = (): number => readdirSync('/proc/self/fd').length;

function withDirectory(work: (path: string) => void): void {
  const path = mkdtempSync(join(tmpdir(), 'podlink-netns-'));
  try {
    work(path);
  } finally {
    rmSync(path, { recursive: true });
  }
}

test('openNetns() opens a bind mount, and knows the namespace by device and inode', () =>
  withNamespace(({ name, path, netns }) => {
    const [device, inode] = execFileSync('stat', ['-L', '-c', '%d %i', path], { encoding: 'utf8' }).trim().split(' ');
    assert.equal([String(netns.device), String(netns.inode), netns.path], [device, inode, path]);
    const own = openOwnNetns();
    assert.not(isSameNetns(netns, own));
    own.close();
    assert.is(path, `/run/netns/${name}`);
  }));

test('openNetns() opens the namespace of a process', () =>
  withNamespace(async ({ name, netns }) => {
    const child = start('ip', ['netns', 'exec', name, 'sh', '-c', 'echo ready; exec sleep 60']);
    try {
      await child.line('ready');
      const ofProcess = openNetns(`/proc/${child.process.pid}/ns/net`);
      assert.ok(isSameNetns(ofProcess, netns));
      ofProcess.close();
    } finally {
      child.process.kill('SIGKILL');
      await child.ended();
    }
  }));

test('isRecordedNetns() knows what recordNetns() describes, by another path too, and nothing else', () =>
  withHostAndSandbox((host, sandbox) => {
    const recorded = recordNetns(sandbox.netns);
    const again = openNetns(sandbox.path);
    assert.ok(isRecordedNetns(again, recorded));
    assert.not(isRecordedNetns(host.netns, recorded));
    again.close();
    assert.equal(recordNetns(sandbox.netns), recorded);
  }));

testUnless(
  test,
  hasCookie() ? undefined : 'this kernel has no SO_NETNS_COOKIE (Linux 5.14)',
  'isRecordedNetns() tells namespaces with one inode apart by their cookies',
  () =>
    withHostAndSandbox((host, sandbox) => {
      const { netnsIdentity, netnsCookie = '' } = recordNetns(sandbox.netns);
      // As a record has it when the kernel has given its inode to another namespace since.
      const gone = recordNetns(host.netns);
      assert.not(isRecordedNetns(sandbox.netns, { ...gone, netnsIdentity }));
      assert.ok(isRecordedNetns(sandbox.netns, { netnsIdentity }), 'a record without a cookie');
      assert.not(isRecordedNetns(sandbox.netns, { ...gone, netnsCookie }));
    }),
);

test('recordNetns() leaves no file open and the thread where it was', () =>
  withNamespace(({ netns }) => {
    const before = [openFiles(), here()];
    recordNetns(netns);
    assert.equal([openFiles(), here()], before);
  }));

test('openNetns() follows a symbolic link', () =>
  withNamespace(({ path, netns }) => {
    withDirectory((directory) => {
      symlinkSync(path, join(directory, 'link'));
      const linked = openNetns(join(directory, 'link'));
      assert.ok(isSameNetns(linked, netns));
      linked.close();
    });
  }));

test('openNetns() refuses what is no namespace, and closes it again', () =>
  withDirectory((directory) => {
    writeFileSync(join(directory, 'file'), '');
    execFileSync('mkfifo', [join(directory, 'fifo')]);
    symlinkSync('file', join(directory, 'link'));
    const before = openFiles();
    for (const path of [
      ...['file', 'fifo', 'link', '.'].map((name) => join(directory, name)),
      '/dev/null',
      '/proc/self/stat',
    ]) {
      const error = thrownOf(NotANamespaceError, () => openNetns(path));
      assert.is(error.message, `"${path}" is not a network namespace: it is an ordinary file`);
      assert.is(error.path, path);
    }
    assert.is(openFiles(), before);
  }));

test('openNetns() refuses another kind of namespace, and closes it again', () => {
  const before = openFiles();
  for (const kind of ['mnt', 'pid', 'uts', 'user']) {
    const error = thrownOf(NotANamespaceError, () => openNetns(`/proc/self/ns/${kind}`));
    assert.is(error.message, `"/proc/self/ns/${kind}" is not a network namespace: it is a namespace of another kind`);
  }
  assert.is(openFiles(), before);
});

test('openNetns() throws ENOENT when nothing is there', () =>
  withDirectory((directory) => {
    symlinkSync('nothing', join(directory, 'dangling'));
    for (const path of [join(directory, 'gone'), join(directory, 'dangling'), '/proc/4194304/ns/net', '']) {
      assert.ok(
        isErrno(
          thrown(() => openNetns(path)),
          'ENOENT',
        ),
        path,
      );
    }
    writeFileSync(join(directory, 'file'), '');
    assert.ok(
      isErrno(
        thrown(() => openNetns(join(directory, 'file', 'x'))),
        'ENOTDIR',
      ),
    );
  }));

test('openOwnNetns() opens the namespace of the calling thread', () =>
  withNamespace(({ netns }) => {
    const own = openOwnNetns();
    assert.is(`net:[${own.inode}]`, here());
    own.close();
    inNetns(netns, () => {
      const inside = openOwnNetns();
      assert.ok(isSameNetns(inside, netns));
      inside.close();
    });
  }));

test('inNetns() runs the work there, returns its value, and comes back', () =>
  withNamespace((ns) => {
    const [home, before] = [here(), openFiles()];
    assert.is(
      inNetns(ns.netns, () => here()),
      nameOf(ns),
    );
    assert.is(here(), home);
    assert.is(openFiles(), before);
  }));

test('inNetns() comes back when the work throws, and passes the error on', () =>
  withNamespace((ns) => {
    const [home, before] = [here(), openFiles()];
    const error = new Error('work');
    let during = '';
    const caught = thrown(() =>
      inNetns(ns.netns, () => {
        during = here();
        throw error;
      }),
    );
    assert.is(caught, error);
    assert.equal([during, here(), openFiles()], [nameOf(ns), home, before]);
  }));

test('inNetns() refuses asynchronous work, and comes back', () =>
  withNamespace((ns) => {
    const [home, before] = [here(), openFiles()];
    const error = thrownOf(TypeError, () => inNetns(ns.netns, async () => here()));
    assert.is(error.message, 'Cannot run asynchronous work in another network namespace');
    assert.equal([here(), openFiles()], [home, before]);
  }));

test('inNetns() nests', () =>
  withHostAndSandbox((host, sandbox) => {
    const home = here();
    inNetns(host.netns, () => {
      assert.is(
        inNetns(sandbox.netns, () => here()),
        nameOf(sandbox),
      );
      assert.is(here(), nameOf(host));
    });
    assert.is(here(), home);
  }));

test('inNetns() throws and stays at home when the namespace cannot be entered', () =>
  withNamespace(({ path }) => {
    const [home, before] = [here(), openFiles()];
    const closed = openNetns(path);
    closed.close();
    let isRun = false;
    const error = thrownOf(ErrnoError, () =>
      inNetns({ ...closed, fd: 1_000_000 }, () => {
        isRun = true;
      }),
    );
    assert.is(error.message, 'Cannot enter the namespace: EBADF');
    assert.equal([isRun, here(), openFiles()], [false, home, before]);
  }));

test('inNetns() shows the namespace its own /proc/sys/net', () =>
  withNamespace((ns) => {
    const key = '/proc/sys/net/ipv4/ip_default_ttl';
    const outside = readFileSync(key, 'utf8');
    const inside = outside.trim() === '77' ? '78' : '77';
    inNetns(ns.netns, () => writeFileSync(key, inside));
    assert.is(
      inNetns(ns.netns, () => readFileSync(key, 'utf8')),
      `${inside}\n`,
    );
    assert.is(readFileSync(key, 'utf8'), outside);
    assert.is(execFileSync('ip', ['netns', 'exec', ns.name, 'cat', key], { encoding: 'utf8' }), `${inside}\n`);
  }));

/** A process that enters a namespace, where `strace` makes the nth setns(2) fail. */
function failingSetns(path: string, nth: number) {
  const source = `
    import { inNetns, openNetns } from ${JSON.stringify(import.meta.resolve('./netns.ts'))};
    const netns = openNetns(${JSON.stringify(path)});
    try {
      console.log(inNetns(netns, () => 'worked'));
    } catch (error) {
      console.log('caught ' + error.message);
    }
    console.log('went on');
  `;
  const strace = ['strace', '-f', '-o', '/dev/null', '-e', 'trace=setns'];
  const inject = ['-e', `inject=setns:error=EPERM:when=${nth}`];
  // No core file: the abort is what is wanted here.
  return start('sh', [
    '-c',
    'ulimit -c 0; exec "$@"',
    'sh',
    ...strace,
    ...inject,
    process.execPath,
    ...nodeArguments(source),
  ]);
}

test('inNetns() aborts the process when it cannot come back', () =>
  withNamespace(async ({ path }) => {
    const { signal, stdout } = await failingSetns(path, 2).ended();
    assert.is(signal, 'SIGABRT');
    assert.is(stdout, '', 'nothing was done after the way back was lost');
  }));

test('inNetns() throws when the kernel does not let it in, and the process goes on', () =>
  withNamespace(async ({ path }) => {
    const { code, stdout } = await failingSetns(path, 1).ended();
    assert.equal([code, stdout], [0, 'caught Cannot enter the namespace: EPERM\nwent on\n']);
  }));

test.run();
