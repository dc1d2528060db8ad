import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readlinkSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EAGAIN, EBADF, EINVAL, ENOENT, ErrnoError, isErrno } from './errno.ts';
import {
  CLONE_NEWNET,
  namespaceType,
  openNetlinkSocket,
  randomBytes,
  receive,
  send,
  setNamespace,
  setReceiveTimeout,
  setSocketOption,
  sleep,
  tryLock,
  unmount,
  waitUntilReady,
} from './syscalls.ts';
import { bytes } from './testing/bytes.ts';
import { thrown, thrownOf } from './testing/thrown.ts';

const test = suite('system calls');

const NO_FILE = 1_000_000;
const ENOTTY = 25;
const ENOTSOCK = 88;
const EPROTONOSUPPORT = 93;

function withFile(work: (fd: number, directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'podlink-syscalls-'));
  writeFileSync(join(directory, 'file'), 'content');
  const fd = openSync(join(directory, 'file'), 'r+');
  try {
    work(fd, directory);
  } finally {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  }
}

test('a failed call throws ErrnoError with call, number and name', () => {
  const error = thrownOf(ErrnoError, () => setNamespace(NO_FILE, CLONE_NEWNET));
  assert.equal([error.syscall, error.errno, error.code], ['setns', EBADF, 'EBADF']);
  assert.is(error.message, 'Cannot enter the namespace: EBADF');
  assert.is(error.path, undefined);
});

test('a failed call with a path names it', () => {
  const error = thrownOf(ErrnoError, () => unmount('/no such/"path"'));
  assert.equal([error.syscall, error.errno, error.path], ['umount2', ENOENT, '/no such/"path"']);
  assert.is(error.message, 'Cannot unmount "/no such/"path"": ENOENT');
});

test('errno is that of the call that failed, whatever failed or succeeded before', () =>
  withFile((fd, directory) => {
    const calls: readonly (readonly [number, () => unknown])[] = [
      [EBADF, () => setNamespace(NO_FILE, CLONE_NEWNET)],
      [EINVAL, () => setNamespace(fd, CLONE_NEWNET)],
      [ENOTTY, () => namespaceType(fd)],
      [EBADF, () => namespaceType(NO_FILE)],
      [ENOENT, () => unmount(join(directory, 'gone'))],
      [ENOTSOCK, () => setSocketOption(fd, 1, 2, 1)],
      [EBADF, () => setSocketOption(NO_FILE, 1, 2, 1)],
      [ENOTSOCK, () => send(fd, new Uint8Array(4))],
      [ENOTSOCK, () => receive(fd, new Uint8Array(4))],
      [EBADF, () => tryLock(NO_FILE)],
      [EPROTONOSUPPORT, () => openNetlinkSocket(999)],
    ];
    for (let round = 0; round < 200; round++) {
      for (const [i, [errno, call]] of calls.entries()) {
        assert.is(thrownOf(ErrnoError, call).errno, errno, `call ${i}, round ${round}`);
        // Calls that succeed, of libc and of Node, leave errno as it is or change it; neither may matter.
        if (i % 3 === 0) tryLock(fd);
        if (i % 3 === 1) readSync(fd, Buffer.alloc(1), 0, 1, 0);
      }
    }
  }));

test('receive() fails with EAGAIN when the timeout passes, and not before', () => {
  const fd = openNetlinkSocket(0);
  try {
    setReceiveTimeout(fd, 120);
    const start = performance.now();
    assert.is(thrownOf(ErrnoError, () => receive(fd, new Uint8Array(100))).errno, EAGAIN);
    const waited = performance.now() - start;
    assert.ok(waited > 100 && waited < 2000, `${waited} ms`);
  } finally {
    closeSync(fd);
  }
});

test('receive() tells the true size of a datagram that does not fit, and takes it off the queue', () => {
  const fd = openNetlinkSocket(0);
  try {
    setReceiveTimeout(fd, 1000);
    // RTM_GETLINK of a link that is not there: the refusal is 36 bytes or more.
    const request = bytes(`
      20 00 00 00 12 00 05 00 01 00 00 00 00 00 00 00  ; struct nlmsghdr
      00 00 00 00 ff ff ff 7f 00 00 00 00 00 00 00 00  ; struct ifinfomsg
    `);
    for (const capacity of [20, 4]) {
      send(fd, request);
      const buffer = new Uint8Array(capacity);
      assert.ok(receive(fd, buffer) >= 36);
      assert.ok(buffer.some((byte) => byte !== 0));
    }
    setReceiveTimeout(fd, 20);
    assert.is(thrownOf(ErrnoError, () => receive(fd, new Uint8Array(100))).errno, EAGAIN);
  } finally {
    closeSync(fd);
  }
});

test('send() and receive() take a part of a larger buffer', () => {
  const fd = openNetlinkSocket(0);
  try {
    setReceiveTimeout(fd, 1000);
    const large = new Uint8Array(100).fill(0xee);
    // RTM_GETLINK without a link, which is refused, sequence number 0x01020304.
    large.set(bytes('20 00 00 00 12 00 05 00 04 03 02 01 00 00 00 00'), 10);
    large.fill(0, 26, 42);
    send(fd, large.subarray(10, 42));
    const into = new Uint8Array(300).fill(0xee);
    const size = receive(fd, into.subarray(50, 250));
    assert.equal([...into.subarray(48, 50)], [0xee, 0xee]);
    assert.equal([...into.subarray(50 + 8, 50 + 12)], [4, 3, 2, 1]);
    assert.is(into[50 + size], 0xee);
  } finally {
    closeSync(fd);
  }
});

test('openNetlinkSocket() opens one that a program run later does not inherit', () => {
  const fd = openNetlinkSocket(0);
  try {
    const listed = execFileSync('sh', ['-c', 'ls -l /proc/self/fd'], { encoding: 'utf8' });
    assert.not.ok(listed.includes(readlinkSync(`/proc/self/fd/${fd}`)), listed);
  } finally {
    closeSync(fd);
  }
});

test('sleep() blocks for as long as it says', () => {
  for (const ms of [0, 1, 50]) {
    const start = performance.now();
    sleep(ms);
    const slept = performance.now() - start;
    assert.ok(slept >= ms - 1 && slept < ms + 1000, `${slept} ms instead of ${ms}`);
  }
});

test('waitUntilReady() waits until there is something to read, or nobody left to write it', () =>
  withFile((_, directory) => {
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const fd = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      spawn('sh', ['-c', 'exec 3>"$1"; sleep 0.2; printf x >&3; sleep 0.2', 'sh', fifo]);
      const start = performance.now();
      waitUntilReady(fd, 'read');
      assert.ok(performance.now() - start > 150, 'waited for the byte');
      const buffer = Buffer.alloc(10);
      assert.is(readSync(fd, buffer), 1);
      waitUntilReady(fd, 'read');
      assert.is(readSync(fd, buffer), 0, 'the end of the file');
    } finally {
      closeSync(fd);
    }
  }));

test('waitUntilReady() waits until there is room to write', () =>
  withFile((_, directory) => {
    const fifo = join(directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    try {
      waitUntilReady(fd, 'write');
      const page = Buffer.alloc(4096);
      assert.ok(
        isErrno(
          thrown(() => [...Array(1000)].forEach(() => void writeSync(fd, page))),
          'EAGAIN',
        ),
        'full',
      );
      spawn('sh', ['-c', 'exec 3<"$1"; sleep 0.2; head -c 8192 <&3 >/dev/null', 'sh', fifo]);
      const start = performance.now();
      waitUntilReady(fd, 'write');
      assert.ok(performance.now() - start > 150, 'waited for the reader');
      assert.is(writeSync(fd, page), 4096);
    } finally {
      closeSync(fd);
    }
  }));

test('randomBytes() gives as many bytes as asked for, and others each time', () => {
  const drawn = new Set<string>();
  for (let i = 0; i < 100; i++) {
    const random = randomBytes(16);
    assert.is(random.length, 16);
    drawn.add(random.toHex());
  }
  assert.is(drawn.size, 100);
  assert.is(randomBytes(256).length, 256);
  assert.is(randomBytes(0).length, 0);
});

test.run();
