import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseMounts } from '../../kernel/mount-table.ts';
import { identityAt, identityOf, inNetns, openNetns, openOwnNetns } from '../../kernel/netns.ts';
import { ErrnoError } from '../../kernel/errno.ts';
import { MNT_DETACH, unmount, unshare } from '../../kernel/syscalls.ts';
import { thrownOf } from '../../kernel/testing/thrown.ts';
import { CniError } from '../../protocol/errors.ts';
import { NO_UNDO, UndoStack } from '../../attachment/undo-stack.ts';
import type { Sandbox } from '../../attachment/attachment.ts';
import { shareNamespace, unshareNamespace } from './sharing.ts';

const CLONE_NEWNS = 0x20000;
const O_PATH = 0o10000000;

interface World {
  /** Names of two namespaces; the first is shared over the second's path. */
  names: string[];
  shared: Sandbox;
  sandbox: Sandbox;
}

/** How many mounts lie on a path, one over the other. */
function countMounts(path: string): number {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8')).filter(({ mountPoint }) => mountPoint === path)
    .length;
}

const test = suite<World>('sharing a namespace');

test.before(() => {
  // Mounts are made: in a mount namespace of this process's own.
  unshare(CLONE_NEWNS);
  execFileSync('mount', ['--make-rprivate', '/']);
});

test.before.each((world) => {
  world.names = ['shared', 'own'].map((suffix) => `pls-${process.pid}-${suffix}`);
  for (const name of world.names) execFileSync('ip', ['netns', 'add', name]);
  const [shared, sandbox] = world.names.map((name) => {
    const netns = openNetns(`/run/netns/${name}`);
    return { path: netns.path, netns };
  });
  if (!shared || !sandbox) throw new Error('no namespace');
  Object.assign(world, { shared, sandbox });
});

test.after.each(({ names, shared, sandbox }) => {
  shared.netns.close();
  sandbox.netns.close();
  for (const name of names) execFileSync('ip', ['netns', 'del', name]);
});

test('shareNamespace() shows the shared namespace at the path, unshareNamespace() the own again', ({
  shared,
  sandbox,
}) => {
  const before = countMounts(sandbox.path);
  shareNamespace({ sandbox, undo: NO_UNDO }, shared.netns);
  assert.is(identityAt(sandbox.path), identityOf(shared.netns));
  assert.is(countMounts(sandbox.path), before + 1);
  unshareNamespace(sandbox.path, identityOf(shared.netns));
  assert.is(identityAt(sandbox.path), identityOf(sandbox.netns));
  assert.is(countMounts(sandbox.path), before);
});

test('unshareNamespace() takes nothing off a second time', ({ shared, sandbox }) => {
  shareNamespace({ sandbox, undo: NO_UNDO }, shared.netns);
  for (let i = 0; i < 3; i++) unshareNamespace(sandbox.path, identityOf(shared.netns));
  assert.is(identityAt(sandbox.path), identityOf(sandbox.netns));
  assert.is(countMounts(sandbox.path), 1);
});

test('unshareNamespace() leaves a mount alone that shows another namespace than the record says', ({
  shared,
  sandbox,
}) => {
  shareNamespace({ sandbox, undo: NO_UNDO }, shared.netns);
  unshareNamespace(sandbox.path, '4:1');
  assert.is(identityAt(sandbox.path), identityOf(shared.netns));
  unshareNamespace(sandbox.path, identityOf(shared.netns));
});

test('unshareNamespace() leaves the only mount alone: that is the runtime’s', ({ sandbox }) => {
  unshareNamespace(sandbox.path, identityOf(sandbox.netns));
  assert.is(countMounts(sandbox.path), 1);
});

test('unshareNamespace() is fine with a path that is gone, empty, or a plain file', ({ shared }) => {
  const dir = mkdtempSync(join(tmpdir(), 'podlink-sharing-'));
  try {
    writeFileSync(join(dir, 'file'), '');
    for (const path of ['', join(dir, 'missing'), join(dir, 'file'), join(dir, 'file/below')]) {
      unshareNamespace(path, identityOf(shared.netns));
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('shareNamespace() refuses a path that shows the namespace already', ({ shared, sandbox }) => {
  shareNamespace({ sandbox, undo: NO_UNDO }, shared.netns);
  assert.throws(
    () => shareNamespace({ sandbox, undo: NO_UNDO }, shared.netns),
    (error: unknown) => error instanceof CniError && error.code === 102,
  );
  assert.is(countMounts(sandbox.path), 2);
  unshareNamespace(sandbox.path, identityOf(shared.netns));
});

test('shareNamespace() refuses a path that nothing is mounted on', ({ shared }) => {
  const path = `/proc/${process.pid}/ns/net`;
  const netns = openNetns(path);
  try {
    assert.throws(
      () => shareNamespace({ sandbox: { path, netns }, undo: NO_UNDO }, shared.netns),
      (error: unknown) => error instanceof CniError && error.code === 4 && error.message.includes(path),
    );
  } finally {
    netns.close();
  }
});

test('undo takes the mount off again', async ({ shared, sandbox }) => {
  const undo = new UndoStack();
  shareNamespace({ sandbox, undo }, shared.netns);
  assert.equal(await undo.run(), []);
  assert.is(countMounts(sandbox.path), 1);
});

test('shareNamespace() mounts where the path led when it was looked at, through a symbolic link too', ({
  shared,
  sandbox,
}) => {
  const dir = mkdtempSync(join(tmpdir(), 'podlink-sharing-'));
  try {
    const path = join(dir, 'link');
    symlinkSync(sandbox.path, path);
    shareNamespace({ sandbox: { ...sandbox, path }, undo: NO_UNDO }, shared.netns);
    assert.is(countMounts(sandbox.path), 2);
    unshareNamespace(path, identityOf(shared.netns));
    assert.is(countMounts(sandbox.path), 1);
    assert.is(identityAt(path), identityOf(sandbox.netns));
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('shareNamespace() refuses a path that shows another namespace than the one that was opened', ({
  shared,
  sandbox,
}) => {
  const own = openOwnNetns();
  try {
    const moved = { path: sandbox.path, netns: shared.netns };
    const error = thrownOf(CniError, () => shareNamespace({ sandbox: moved, undo: NO_UNDO }, own));
    assert.is(error.code, 4);
    assert.match(error.message, /another namespace is at/);
  } finally {
    own.close();
  }
  assert.is(countMounts(sandbox.path), 1);
});

test('shareNamespace() refuses a namespace that a process is in already, and names the process', async ({
  shared,
  sandbox,
}) => {
  const child = spawn('nsenter', [`--net=${sandbox.path}`, '--', 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    child.stdin.write('inside');
    await once(child.stdout, 'data');
    const error = thrownOf(CniError, () => shareNamespace({ sandbox, undo: NO_UNDO }, shared.netns));
    assert.is(error.code, 4);
    assert.ok(error.message.includes(`process ${child.pid} (cat)`), error.message);
    assert.is(countMounts(sandbox.path), 1);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  shareNamespace({ sandbox, undo: NO_UNDO }, shared.netns);
  unshareNamespace(sandbox.path, identityOf(shared.netns));
});

test('unshareNamespace() takes no other mount off when ours goes at the same time', ({ shared, sandbox }) => {
  shareNamespace({ sandbox, undo: NO_UNDO }, shared.netns);
  const place = openSync(sandbox.path, O_PATH);
  // The runtime takes ours off, as it would take off its own, just after it was looked at.
  execFileSync('umount', ['--lazy', sandbox.path]);
  const error = thrownOf(ErrnoError, () => unmount(`/proc/self/fd/${place}`, MNT_DETACH, sandbox.path));
  closeSync(place);
  assert.is(error.code, 'EINVAL');
  assert.ok(error.message.includes(sandbox.path), error.message);
  assert.is(countMounts(sandbox.path), 1, "the runtime's own stays");
});

test('a path shared by another process’s eyes: the mount is the whole mount namespace’s', ({ shared, sandbox }) => {
  shareNamespace({ sandbox, undo: NO_UNDO }, shared.netns);
  const seen = execFileSync('stat', ['-L', '-c', '%d:%i', sandbox.path], { encoding: 'utf8' }).trim();
  assert.is(seen, identityOf(shared.netns));
  const entered = openNetns(sandbox.path);
  inNetns(entered, () => assert.is(identityAt('/proc/thread-self/ns/net'), identityOf(shared.netns)));
  entered.close();
  unshareNamespace(sandbox.path, identityOf(shared.netns));
});

test.run();
