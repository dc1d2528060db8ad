import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
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
import { openDiskStore } from './disk-store.ts';
import { IpamError } from '../errors.ts';
import type { LockDirectory } from './store.ts';

const test = suite<{ root: string; directory: string }>('ipam files on disk');

test.before.each((context) => {
  context.root = mkdtempSync(join(tmpdir(), 'podlink-disk-'));
  context.directory = join(context.root, 'pods');
});
test.after.each(({ root }) => rmSync(root, { recursive: true, force: true }));

const noLock: LockDirectory = () => ({ release: () => undefined });
const alice = { containerId: 'alice', ifname: 'eth0' };
const isStoreError = (pattern: RegExp) => (error: unknown) =>
  error instanceof IpamError && error.kind === 'store' && pattern.test(error.message) && error.cause instanceof Error;

test('reserveFirst() writes the layout of the reference, private to root, and leaves nothing else', ({ directory }) => {
  const store = openDiskStore(directory, noLock);
  store.locked(() => {
    store.reserveFirst(['10.1.2.3'], alice);
    store.reserveFirst(['fd00::3'], alice);
    store.setLastReserved(0, '10.1.2.3');
  });
  assert.equal(readdirSync(directory).sort(), ['10.1.2.3', 'fd00::3', 'last_reserved_ip.0']);
  assert.is(readFileSync(join(directory, '10.1.2.3'), 'utf8'), 'alice\r\neth0');
  assert.is(readFileSync(join(directory, 'last_reserved_ip.0'), 'utf8'), '10.1.2.3');
  assert.is(statSync(join(directory, '10.1.2.3')).mode & 0o777, 0o600);
  // One file under two names: one fsync for both.
  assert.is(statSync(join(directory, '10.1.2.3')).nlink, 2);
  assert.is(statSync(join(directory, '10.1.2.3')).ino, statSync(join(directory, 'fd00::3')).ino);
  assert.is(statSync(directory).mode & 0o777, 0o755 & ~process.umask());
});

test('reserveFirst() does not damage a reservation that a crash left under a second name', ({ directory }) => {
  const store = openDiskStore(directory, noLock);
  store.locked(() => store.reserveFirst(['10.1.2.3'], alice));
  // As a kill between link(2) and unlink(2) leaves it.
  linkSync(join(directory, '10.1.2.3'), join(directory, '.podlink-temporary'));
  store.locked(() => store.reserveFirst(['10.1.2.4'], { containerId: 'bob', ifname: 'eth0' }));
  assert.is(readFileSync(join(directory, '10.1.2.3'), 'utf8'), 'alice\r\neth0');
  assert.is(readFileSync(join(directory, '10.1.2.4'), 'utf8'), 'bob\r\neth0');
  assert.not.ok(existsSync(join(directory, '.podlink-temporary')));
});

test('list() takes only files named by a canonical address for reservations', ({ directory, root }) => {
  mkdirSync(join(directory, '10.1.2.9'), { recursive: true });
  for (const name of ['lock', 'last_reserved_ip.0', '.podlink-temporary', '10.1.2', 'FD00::1', '010.1.2.3', 'fd00::3'])
    writeFileSync(join(directory, name), 'alice\r\neth0');
  writeFileSync(join(root, 'elsewhere'), 'alice\r\neth0');
  symlinkSync(join(root, 'elsewhere'), join(directory, '10.1.2.8'));
  const store = openDiskStore(directory, noLock);
  assert.equal(store.list(), [{ address: 'fd00::3', ...alice, abandoned: false }]);
  // A directory or a link in the way is nobody's reservation, and still the name is taken.
  assert.is(
    store.locked(() => store.reserveFirst(['10.1.2.8', '10.1.2.9', '10.1.2.10'], alice)),
    '10.1.2.10',
  );
});

test('locked() locks the file "lock" in the directory with a deadline, and says when it was not to be had', ({
  directory,
}) => {
  const asked: [string, number][] = [];
  const store = openDiskStore(directory, (path, timeoutMs) => {
    asked.push([path, timeoutMs]);
    throw Object.assign(new Error('held'), { name: 'LockTimeoutError' });
  });
  assert.throws(
    () => store.locked(() => assert.unreachable('ran without the lock')),
    (error: unknown) =>
      error instanceof IpamError && error.kind === 'locked' && /held its lock for 10 s; try again/.test(error.message),
  );
  assert.equal(asked, [[join(directory, 'lock'), 10_000]]);
});

test('methods turn what the file system refuses into IpamError "store" that names the directory', ({ root }) => {
  const file = join(root, 'plain');
  writeFileSync(file, '');
  const store = openDiskStore(join(file, 'pods'), noLock);
  assert.is(store.exists(), false);
  assert.throws(() => store.locked(() => 1), isStoreError(/Cannot lock ".*plain\/pods": ENOTDIR/));
  assert.throws(
    () => store.reserveFirst(['10.1.2.3'], alice),
    isStoreError(/Cannot reserve an address in ".*plain\/pods"/),
  );
  assert.throws(() => store.setLastReserved(0, '10.1.2.3'), isStoreError(/Cannot note the last address given out/));
  assert.throws(() => store.ensureWritable(), isStoreError(/is not a directory/));
  assert.throws(() => openDiskStore('/proc/sys/pods', noLock).ensureWritable(), isStoreError(/Cannot write to/));
});

test('setLastReserved() leaves no moment without a whole address', ({ root, directory }) => {
  const store = openDiskStore(directory, noLock);
  const path = join(directory, 'last_reserved_ip.0');
  const ino = () => statSync(path).ino;
  store.locked(() => store.setLastReserved(0, '10.1.2.9'));
  linkSync(path, join(root, 'before'));
  const first = ino();
  store.locked(() => store.setLastReserved(0, '10.1.2.8'));
  assert.is(ino(), first, 'a text of the same length is one write');
  store.locked(() => store.setLastReserved(0, '10.1.2.10'));
  assert.is(store.getLastReserved(0), '10.1.2.10');
  assert.is(readFileSync(join(root, 'before'), 'utf8'), '10.1.2.8', 'another length is another file, renamed');
});

test('setLastReserved() that fails leaves the reservation and no temporary file', ({ directory }) => {
  const store = openDiskStore(directory, noLock);
  store.locked(() => store.reserveFirst(['10.1.2.3'], alice));
  mkdirSync(join(directory, 'last_reserved_ip.0'));
  assert.throws(
    () => store.locked(() => store.setLastReserved(0, '10.1.2.3')),
    isStoreError(/EISDIR|ENOTEMPTY|EEXIST/),
  );
  assert.is(store.getLastReserved(0), undefined);
  assert.equal(readdirSync(directory).sort(), ['10.1.2.3', 'last_reserved_ip.0']);
});

test('ensureWritable() looks at the nearest directory that exists and makes none', ({ root }) => {
  const store = openDiskStore(join(root, 'a', 'b', 'pods'), noLock);
  store.ensureWritable();
  assert.equal(readdirSync(root), []);
});

test.run();
