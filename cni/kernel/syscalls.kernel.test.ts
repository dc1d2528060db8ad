import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ErrnoError } from './errno.ts';
import { inNetns } from './netns.ts';
import {
  bindMount,
  CLONE_NEWNET,
  MNT_DETACH,
  namespaceType,
  setNamespace,
  UMOUNT_NOFOLLOW,
  unmount,
  unshare,
} from './syscalls.ts';
import { withNamespace } from './testing/namespaces.ts';
import { thrownOf } from './testing/thrown.ts';

const test = suite('privileged system calls');

function withDirectory(work: (path: string) => void): void {
  const path = mkdtempSync(join(tmpdir(), 'podlink-syscalls-'));
  try {
    work(path);
  } finally {
    rmSync(path, { recursive: true });
  }
}

test('bindMount() and unmount() work on files, one mount at a time', () =>
  withDirectory((directory) => {
    const [target, first, second] = ['target', 'first', 'second'].map((name) => join(directory, name));
    if (!target || !first || !second) throw new Error('Cannot happen');
    for (const path of [target, first, second]) writeFileSync(path, path);
    try {
      bindMount(first, target);
      bindMount(second, target);
      assert.is(readFileSync(target, 'utf8'), second);
    } finally {
      unmount(target);
      assert.is(readFileSync(target, 'utf8'), first, 'only the topmost mount is gone');
      unmount(target, MNT_DETACH | UMOUNT_NOFOLLOW);
    }
    assert.is(readFileSync(target, 'utf8'), target);
    const error = thrownOf(ErrnoError, () => unmount(target));
    assert.equal([error.code, error.path], ['EINVAL', target]);
  }));

test('bindMount() says what it could not mount where', () =>
  withDirectory((directory) => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    mkdirSync(join(directory, 'directory'));
    for (const [source, target, code] of [
      [join(directory, 'gone'), file, 'ENOENT'],
      [file, join(directory, 'gone'), 'ENOENT'],
      [file, join(directory, 'directory'), 'ENOTDIR'],
      [join(directory, 'directory'), file, 'ENOTDIR'],
    ] as const) {
      const error = thrownOf(ErrnoError, () => bindMount(source, target));
      assert.equal([error.syscall, error.code, error.path], ['mount', code, target]);
      assert.is(error.message, `Cannot bind-mount "${source}" over "${target}": ${code}`);
    }
  }));

test('namespaceType() tells kinds of namespaces apart', () =>
  withNamespace(({ netns }) => {
    assert.is(namespaceType(netns.fd), CLONE_NEWNET);
    const fd = openSync('/proc/self/ns/mnt', 'r');
    assert.is(namespaceType(fd), 0x20000); // CLONE_NEWNS
    closeSync(fd);
  }));

test('setNamespace() refuses another kind of namespace', () => {
  const fd = openSync('/proc/self/ns/uts', 'r');
  try {
    assert.is(thrownOf(ErrnoError, () => setNamespace(fd, CLONE_NEWNET)).code, 'EINVAL');
  } finally {
    closeSync(fd);
  }
});

test('unshare() gives the calling thread a namespace of its own', () =>
  withNamespace(({ netns }) => {
    // Inside inNetns(), which brings the thread home afterwards.
    const inode = inNetns(netns, () => {
      unshare(CLONE_NEWNET);
      return readFileSync('/proc/thread-self/net/dev', 'utf8')
        .match(/^ *(\S+):/gm)
        ?.map((name) => name.trim());
    });
    assert.equal(inode, ['lo:']);
    assert.is(thrownOf(ErrnoError, () => unshare(0x1)).code, 'EINVAL');
  }));

test.run();
