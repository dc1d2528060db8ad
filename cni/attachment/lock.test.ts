import fs, { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type FileLock, LockTimeoutError, lockFile } from '../kernel/flock.ts';
import { thrownOf } from '../kernel/testing/thrown.ts';
import { lockAttachment, removeForsakenFiles } from './lock.ts';

const test = suite<{ runDir: string; dir: string }>("an attachment's lock");

const KEY = { network: 'pods', containerId: 'c1', ifname: 'eth0' };

test.before.each((context) => {
  context.runDir = join(mkdtempSync(join(tmpdir(), 'podlink-lock-')), 'run');
  context.dir = join(context.runDir, 'attachments/pods');
});
test.after.each(({ runDir }) => rmSync(join(runDir, '..'), { recursive: true }));

function filesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

test('lockAttachment() keeps others away from the same attachment, and from no other', ({ runDir }) => {
  const lock = lockAttachment(runDir, KEY);
  assert.is(thrownOf(LockTimeoutError, () => lockAttachment(runDir, KEY, 1)).timeoutMs, 1);
  for (const other of [{ containerId: 'c2' }, { ifname: 'eth1' }, { network: 'others' }]) {
    lockAttachment(runDir, { ...KEY, ...other }, 0).release();
  }
  lock.release();
  lockAttachment(runDir, KEY, 0).release();
});

test('release() leaves no file, and takes the folder of a network with it that has nothing else', ({ runDir, dir }) => {
  lockAttachment(runDir, KEY).release();
  assert.is(existsSync(dir), false);
  const lock = lockAttachment(runDir, KEY);
  writeFileSync(join(dir, 'c1.eth0.json'), '{}');
  lock.release();
  assert.equal(filesIn(dir), ['c1.eth0.json']);
});

test('release() is no failure where the folder is gone', ({ runDir, dir }) => {
  const lock = lockAttachment(runDir, KEY);
  rmSync(dir, { recursive: true });
  lock.release();
  lockAttachment(runDir, KEY, 0).release();
});

test('a lock on a file that is not at its path any more counts for nothing: another is taken', ({ runDir, dir }) => {
  const path = join(dir, 'c1.eth0.lock');
  const { openSync } = fs;
  let removals = 0;
  // The holder before us removes the file while we wait for it.
  fs.openSync = (...args: Parameters<typeof openSync>) => {
    const fd = openSync(...args);
    if (args[0] === path && removals++ === 0) unlinkSync(path);
    return fd;
  };
  syncBuiltinESMExports();
  let lock: FileLock;
  try {
    lock = lockAttachment(runDir, KEY, 0);
  } finally {
    fs.openSync = openSync;
    syncBuiltinESMExports();
  }
  assert.is(removals, 2);
  assert.throws(() => lockAttachment(runDir, KEY, 0), /Cannot lock/);
  lock.release();
});

test('removeForsakenFiles() removes what killed calls have left', ({ runDir, dir }) => {
  mkdirSync(dir, { recursive: true });
  for (const name of ['c1.eth0.lock', 'c2.eth0.json.tmp', 'c3.eth0.lock', 'c3.eth0.json.tmp']) {
    writeFileSync(join(dir, name), '');
  }
  removeForsakenFiles(runDir, 'pods');
  assert.equal(filesIn(dir), []);
});

test('removeForsakenFiles() touches nothing of an attachment that a call is busy with, and waits for none', ({
  runDir,
  dir,
}) => {
  const lock = lockAttachment(runDir, KEY);
  writeFileSync(join(dir, 'c1.eth0.json.tmp'), '');
  writeFileSync(join(dir, 'c2.eth0.json.tmp'), '');
  removeForsakenFiles(runDir, 'pods');
  assert.equal(filesIn(dir), ['c1.eth0.json.tmp', 'c1.eth0.lock']);
  assert.throws(() => lockAttachment(runDir, KEY, 0), /Cannot lock/);
  lock.release();
});

test('removeForsakenFiles() keeps records, and what is being written over one', ({ runDir, dir }) => {
  mkdirSync(dir, { recursive: true });
  for (const name of ['c1.eth0.json', 'c1.eth0.json.tmp', 'c1.eth0.lock', 'notes.txt']) {
    writeFileSync(join(dir, name), '');
  }
  removeForsakenFiles(runDir, 'pods');
  assert.equal(filesIn(dir), ['c1.eth0.json', 'c1.eth0.json.tmp', 'notes.txt']);
});

test('removeForsakenFiles() leaves no lock behind that it took itself', ({ runDir, dir }) => {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'c1.eth0.json.tmp'), '');
  writeFileSync(join(dir, 'c2.eth0.json'), '');
  removeForsakenFiles(runDir, 'pods');
  assert.equal(filesIn(dir), ['c2.eth0.json']);
  lockFile(join(dir, 'c1.eth0.lock'), 0).release();
});

test('removeForsakenFiles() has nothing to do where there is no folder', ({ runDir }) => {
  removeForsakenFiles(runDir, 'pods');
  assert.is(existsSync(runDir), false);
});

test.run();
