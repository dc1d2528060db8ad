import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ensureDirectory, ensurePrivateDirectory, isPrivateDirectory, UnsafeDirectoryError } from './directory.ts';
import { isErrno } from './errno.ts';

const test = suite<{ dir: string }>('directory');

test.before.each((context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'podlink-directory-'));
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true }));

test('ensureDirectory() makes a directory with its parents, and is fine with its being there', ({ dir }) => {
  for (let i = 0; i < 2; i++) ensureDirectory(join(dir, 'a/b/c'), 0o700);
  assert.is(statSync(join(dir, 'a/b/c')).mode & 0o777, 0o700);
});

test('ensureDirectory() throws where a file is in the way', ({ dir }) => {
  writeFileSync(join(dir, 'file'), '');
  assert.throws(
    () => ensureDirectory(join(dir, 'file'), 0o700),
    (error: unknown) => isErrno(error, 'EEXIST'),
  );
  assert.throws(
    () => ensureDirectory(join(dir, 'file/below'), 0o700),
    (error: unknown) => isErrno(error, 'ENOTDIR'),
  );
});

test('ensureDirectory() comes back from where no directory can be made', () => {
  assert.throws(
    () => ensureDirectory('/proc/podlink/below', 0o700),
    (error: unknown) => isErrno(error, 'ENOENT'),
  );
});

test('isPrivateDirectory() takes a directory that others may only read, and none that is not there', ({ dir }) => {
  mkdirSync(join(dir, 'own'));
  writeFileSync(join(dir, 'file'), '');
  for (const mode of [0o700, 0o755, 0o500, 0o1755]) {
    chmodSync(join(dir, 'own'), mode);
    assert.ok(isPrivateDirectory(join(dir, 'own')));
    writeFileSync(join(dir, 'text'), '');
    assert.not(isPrivateDirectory(join(dir, 'text/below')));
  }
  assert.not(isPrivateDirectory(join(dir, 'none')));
  assert.not(isPrivateDirectory(join(dir, 'file')));
  assert.ok(isPrivateDirectory('/proc'), 'root’s');
});

test('isPrivateDirectory() refuses what others can change, and names it', ({ dir }) => {
  const path = join(dir, 'open');
  mkdirSync(path);
  symlinkSync(path, join(dir, 'link'));
  const refused = (what: string, says: RegExp) =>
    assert.throws(
      () => isPrivateDirectory(what),
      (error: unknown) => error instanceof UnsafeDirectoryError && error.path === what && says.test(error.message),
    );
  for (const mode of [0o722, 0o720, 0o702, 0o1777]) {
    chmodSync(path, mode);
    refused(path, new RegExp(`its mode is ${mode.toString(8)}`));
    assert.throws(() => ensurePrivateDirectory(path));
  }
  refused(join(dir, 'link'), /symbolic link/);
  refused('relative/path', /does not begin with/);
  if (process.geteuid?.() !== 0) return;
  chmodSync(path, 0o700);
  chownSync(path, 65534, 65534);
  refused(path, /belongs to user 65534/);
});

test('ensurePrivateDirectory() makes it with its parents for nobody else', ({ dir }) => {
  for (let i = 0; i < 2; i++) ensurePrivateDirectory(join(dir, 'a/b'));
  assert.is(statSync(join(dir, 'a/b')).mode & 0o777, 0o700);
  assert.is(statSync(join(dir, 'a')).mode & 0o777, 0o700);
});

test.run();
