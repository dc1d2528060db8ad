import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { countMounts } from '../kernel/mount-table.ts';
import { identityAt, identityOf, inNetns, openNetns } from '../kernel/netns.ts';
import { unshare } from '../kernel/syscalls.ts';
import { CniError } from '../protocol/errors.ts';
import { UndoStack } from './undo-stack.ts';
import type { Sandbox } from './mode.ts';
import { describeShared, shareNamespace, unshareNamespace } from './sharing.ts';

const CLONE_NEWNS = 0x20000;

interface World {
  /** Names of two namespaces; the first is shared over the second's path. */
  names: string[];
  shared: Sandbox;
  sandbox: Sandbox;
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
  shareNamespace(sandbox, shared.netns, new UndoStack());
  assert.is(identityAt(sandbox.path), identityOf(shared.netns));
  assert.is(countMounts(sandbox.path), before + 1);
  unshareNamespace(sandbox.path, identityOf(shared.netns));
  assert.is(identityAt(sandbox.path), identityOf(sandbox.netns));
  assert.is(countMounts(sandbox.path), before);
});

test('unshareNamespace() takes nothing off a second time', ({ shared, sandbox }) => {
  shareNamespace(sandbox, shared.netns, new UndoStack());
  for (let i = 0; i < 3; i++) unshareNamespace(sandbox.path, identityOf(shared.netns));
  assert.is(identityAt(sandbox.path), identityOf(sandbox.netns));
  assert.is(countMounts(sandbox.path), 1);
});

test('unshareNamespace() leaves a mount alone that shows another namespace than the record says', ({
  shared,
  sandbox,
}) => {
  shareNamespace(sandbox, shared.netns, new UndoStack());
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
  shareNamespace(sandbox, shared.netns, new UndoStack());
  assert.throws(
    () => shareNamespace(sandbox, shared.netns, new UndoStack()),
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
      () => shareNamespace({ path, netns }, shared.netns, new UndoStack()),
      (error: unknown) => error instanceof CniError && error.code === 4 && error.message.includes(path),
    );
  } finally {
    netns.close();
  }
});

test('undo takes the mount off again', async ({ shared, sandbox }) => {
  const undo = new UndoStack();
  shareNamespace(sandbox, shared.netns, undo);
  assert.equal(await undo.run(), []);
  assert.is(countMounts(sandbox.path), 1);
});

test('describeShared() reports global addresses, that of the default route first, and no interface', ({
  names,
  shared,
}) => {
  const ip = (...args: string[]) => execFileSync('ip', ['-n', names[0] ?? '', ...args]);
  assert.equal(describeShared(shared.netns).ips, [{ address: '127.0.0.1/8' }]);
  ip('link', 'set', 'lo', 'up');
  for (const [link, address] of [
    ['first', '10.1.1.2/24'],
    ['uplink', '10.2.2.2/24'],
  ] as const) {
    ip('link', 'add', link, 'type', 'bridge');
    ip('addr', 'add', address, 'dev', link);
    ip('link', 'set', link, 'up');
  }
  ip('-6', 'addr', 'add', 'fd00::2/64', 'dev', 'first', 'nodad');
  ip('route', 'add', 'default', 'via', '10.2.2.1');
  const before = execFileSync('ip', ['-n', names[0] ?? '', '-j', 'addr'], { encoding: 'utf8' });
  assert.equal(describeShared(shared.netns), {
    interfaces: [],
    ips: [{ address: '10.2.2.2/24' }, { address: '10.1.1.2/24' }, { address: 'fd00::2/64' }],
    routes: [],
    dns: {},
  });
  assert.is(execFileSync('ip', ['-n', names[0] ?? '', '-j', 'addr'], { encoding: 'utf8' }), before);
});

test('a path shared by another process’s eyes: the mount is the whole mount namespace’s', ({ shared, sandbox }) => {
  shareNamespace(sandbox, shared.netns, new UndoStack());
  const seen = execFileSync('stat', ['-L', '-c', '%d:%i', sandbox.path], { encoding: 'utf8' }).trim();
  assert.is(seen, identityOf(shared.netns));
  const entered = openNetns(sandbox.path);
  inNetns(entered, () => assert.is(identityAt('/proc/thread-self/ns/net'), identityOf(shared.netns)));
  entered.close();
  unshareNamespace(sandbox.path, identityOf(shared.netns));
});

test.run();
