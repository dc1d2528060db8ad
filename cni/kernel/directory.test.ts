import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ensureDirectory } from './directory.ts';
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

test.run();
