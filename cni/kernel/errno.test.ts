import { constants } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EADDRNOTAVAIL, EAGAIN, EBADMSG, EEXIST, ENODEV, ErrnoError, errnoName, isErrno } from './errno.ts';

const test = suite('errno');

// The C library's headers, through Node, are the referee. Two numbers have two names each there.
const SYNONYMS = new Map([
  ['EWOULDBLOCK', 'EAGAIN'],
  ['ENOTSUP', 'EOPNOTSUPP'],
]);

test('errnoName() names every number it knows as the C library does', () => {
  let known = 0;
  for (const [name, number] of Object.entries(constants.errno)) {
    const ours = errnoName(number);
    if (ours === `errno ${number}`) continue;
    assert.is(ours, SYNONYMS.get(name) ?? name);
    known++;
  }
  assert.ok(known >= 45, `only ${known} names compared`);
});

test('errnoName() falls back to the number', () => {
  assert.is(errnoName(4095), 'errno 4095');
  assert.is(errnoName(0), 'errno 0');
});

test('the exported numbers are those of the C library', () => {
  assert.equal(
    { EADDRNOTAVAIL, EAGAIN, EBADMSG, EEXIST, ENODEV },
    {
      EADDRNOTAVAIL: constants.errno.EADDRNOTAVAIL,
      EAGAIN: constants.errno.EAGAIN,
      EBADMSG: constants.errno.EBADMSG,
      EEXIST: constants.errno.EEXIST,
      ENODEV: constants.errno.ENODEV,
    },
  );
});

test('ErrnoError says what was done, and keeps call, number, path and cause', () => {
  const cause = new Error('why');
  const error = new ErrnoError('Cannot unmount "/x"', { syscall: 'umount2', errno: 22, path: '/x' }, { cause });
  assert.is(error.message, 'Cannot unmount "/x": EINVAL');
  assert.is(error.name, 'ErrnoError');
  assert.equal([error.syscall, error.errno, error.code, error.path], ['umount2', 22, 'EINVAL', '/x']);
  assert.is(error.cause, cause);
});

test('isErrno() compares codes of our errors and of node:fs', () => {
  const ours = new ErrnoError('Cannot x', { syscall: 'x', errno: ENODEV });
  const theirs = Object.assign(new Error('x'), { code: 'ENOENT' });
  assert.ok(isErrno(ours, 'ENODEV'));
  assert.ok(isErrno(theirs, 'ENODEV', 'ENOENT'));
  assert.not(isErrno(ours, 'ENOENT', 'EEXIST'));
  for (const other of [new Error('ENODEV'), 'ENODEV', undefined, null, { code: 'ENODEV' }, 19]) {
    assert.not(isErrno(other, 'ENODEV'), String(other));
  }
  assert.not(isErrno(Object.assign(new Error('x'), { code: 19 }), '19'));
});

test.run();
