import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isErrno } from './errno.ts';
import { isInPlace, LockTimeoutError, lockFile } from './flock.ts';
import { type Child, startModule } from './testing/child-process.ts';
import { thrown, thrownOf } from './testing/thrown.ts';

const test = suite('flock');

async function withDirectory(work: (path: string) => void | Promise<void>): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'podlink-flock-'));
  try {
    await work(path);
  } finally {
    rmSync(path, { recursive: true });
  }
}

const IMPORT = `import { lockFile } from ${JSON.stringify(import.meta.resolve('./flock.ts'))};`;

/** A process that takes the lock and keeps it. */
function holder(path: string, kind = 'exclusive'): Child {
  return startModule(`
    ${IMPORT}
    lockFile(${JSON.stringify(path)}, 5000, ${JSON.stringify(kind)});
    console.log('locked');
    setInterval(() => undefined, 1000);
  `);
}

async function whileHeld(path: string, kind: string, work: (child: Child) => void | Promise<void>): Promise<void> {
  const child = holder(path, kind);
  try {
    await child.line('locked');
    await work(child);
  } finally {
    child.process.kill('SIGKILL');
    await child.ended();
  }
}

test('lockFile() lets one process in at a time', () =>
  withDirectory(async (directory) => {
    const [lock, counter] = [join(directory, 'lock'), join(directory, 'counter')];
    writeFileSync(counter, '0');
    // Each reads, waits and writes: two at a time would lose counts.
    const contender = `
      import { readFileSync, writeFileSync } from 'node:fs';
      ${IMPORT}
      for (let i = 0; i < 25; i++) {
        const lock = lockFile(${JSON.stringify(lock)}, 30_000);
        const count = Number(readFileSync(${JSON.stringify(counter)}, 'utf8'));
        writeFileSync(${JSON.stringify(counter)}, '');
        writeFileSync(${JSON.stringify(counter)}, String(count + 1));
        lock.release();
      }
    `;
    const contenders = Array.from({ length: 8 }, () => startModule(contender));
    const ended = await Promise.all(contenders.map((child) => child.ended()));
    assert.equal(
      ended.map(({ code, stderr }) => [code, stderr]),
      contenders.map(() => [0, '']),
    );
    assert.is(readFileSync(counter, 'utf8'), '200');
  }));

test('lockFile() makes the file, for its owner alone', () =>
  withDirectory((directory) => {
    const path = join(directory, 'lock');
    const lock = lockFile(path, 0);
    assert.is(lock.path, path);
    assert.is(statSync(path).mode & 0o777, 0o600);
    lock.release();
    assert.ok(statSync(path).isFile(), 'and leaves it');
  }));

test('lockFile() does not touch what is in the file', () =>
  withDirectory((directory) => {
    const path = join(directory, 'lock');
    writeFileSync(path, 'content');
    lockFile(path, 0).release();
    assert.is(readFileSync(path, 'utf8'), 'content');
  }));

test('lockFile() excludes a second lock of the same process', () =>
  withDirectory((directory) => {
    const path = join(directory, 'lock');
    const lock = lockFile(path, 0);
    assert.ok(thrown(() => lockFile(path, 0)) instanceof LockTimeoutError);
    lock.release();
    lockFile(path, 0).release();
  }));

test('lockFile() throws LockTimeoutError when the time is up, and not much later', () =>
  withDirectory((directory) => {
    const path = join(directory, 'lock');
    return whileHeld(path, 'exclusive', () => {
      for (const timeoutMs of [0, 1, 5, 100]) {
        const start = performance.now();
        const error = thrownOf(LockTimeoutError, () => lockFile(path, timeoutMs));
        const waited = performance.now() - start;
        assert.ok(waited >= timeoutMs && waited < timeoutMs + 100, `${waited} ms instead of ${timeoutMs}`);
        assert.equal([error.path, error.timeoutMs], [path, timeoutMs]);
        assert.is(error.message, `Cannot lock "${path}": held by another process for ${timeoutMs} ms`);
      }
    });
  }));

test('lockFile() leaves no open file behind when it fails', () =>
  withDirectory((directory) => {
    const path = join(directory, 'lock');
    const lock = lockFile(path, 0);
    const next = () => {
      const fd = openSync('/dev/null', 'r');
      closeSync(fd);
      return fd;
    };
    const before = next();
    for (let i = 0; i < 10; i++) thrown(() => lockFile(path, 0));
    assert.is(next(), before);
    lock.release();
  }));

test('lockFile() waits for the lock of a process that is killed', () =>
  withDirectory((directory) => {
    const path = join(directory, 'lock');
    return whileHeld(path, 'exclusive', async (child) => {
      thrownOf(LockTimeoutError, () => lockFile(path, 10));
      child.process.kill('SIGKILL');
      lockFile(path, 5000).release();
      assert.is((await child.ended()).signal, 'SIGKILL');
    });
  }));

test('lockFile() gives a shared lock to many, and the exclusive one to nobody meanwhile', () =>
  withDirectory((directory) => {
    const path = join(directory, 'lock');
    return whileHeld(path, 'shared', () => {
      const [first, second] = [lockFile(path, 0, 'shared'), lockFile(path, 0, 'shared')];
      thrownOf(LockTimeoutError, () => lockFile(path, 5));
      first.release();
      second.release();
    });
  }));

test('lockFile() gives no shared lock while the exclusive one is held', () =>
  withDirectory((directory) => {
    const path = join(directory, 'lock');
    return whileHeld(path, 'exclusive', () => {
      thrownOf(LockTimeoutError, () => lockFile(path, 5, 'shared'));
    });
  }));

test('lockFile() locks a directory', () =>
  withDirectory((directory) => {
    const path = join(directory, 'sub');
    mkdirSync(path);
    const lock = lockFile(path, 0);
    thrownOf(LockTimeoutError, () => lockFile(path, 0));
    lock.release();
    lockFile(path, 0).release();
  }));

test('lockFile() refuses a symbolic link, to a file, to a directory and to nothing', () =>
  withDirectory((directory) => {
    writeFileSync(join(directory, 'file'), '');
    mkdirSync(join(directory, 'sub'));
    for (const target of ['file', 'sub', 'gone']) {
      const path = join(directory, `to-${target}`);
      symlinkSync(target, path);
      assert.ok(
        isErrno(
          thrown(() => lockFile(path, 0)),
          'ELOOP',
        ),
        target,
      );
    }
    assert.ok(
      isErrno(
        thrown(() => statSync(join(directory, 'gone'))),
        'ENOENT',
      ),
      'nothing was made behind the link',
    );
  }));

test('lockFile() throws ENOENT when the directory is missing', () =>
  withDirectory((directory) => {
    assert.ok(
      isErrno(
        thrown(() => lockFile(join(directory, 'gone', 'lock'), 0)),
        'ENOENT',
      ),
    );
  }));

test('isInPlace() tells a lock file that was removed, and one that was made anew', () =>
  withDirectory((directory) => {
    const lock = lockFile(join(directory, 'lock'), 0);
    assert.ok(isInPlace(lock));
    rmSync(lock.path);
    assert.not(isInPlace(lock));
    const anew = lockFile(lock.path, 0);
    assert.equal([isInPlace(lock), isInPlace(anew)], [false, true]);
    for (const { release } of [lock, anew]) release();
  }));

test.run();
