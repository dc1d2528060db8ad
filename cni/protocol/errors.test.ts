import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CniError, formatError, toCniError } from './errors.ts';
import { FieldError } from './fields.ts';

const test = suite('errors');

/** An error as a layer below makes it: protocol knows it by name and fields only. */
function lowerError(name: string, message: string, fields: object = {}, options?: ErrorOptions): Error {
  return Object.assign(new Error(message, options), { name }, fields);
}

const noDevice = lowerError('NetlinkError', 'Cannot add link "veth1": ENODEV', {
  syscall: 'netlink',
  errno: 19,
  code: 'ENODEV',
  operation: 'add link "veth1"',
  kernelMessage: 'Unknown device type',
});
const noMount = lowerError('ErrnoError', 'Cannot unmount "/run/x": EINVAL', {
  syscall: 'umount2',
  errno: 22,
  code: 'EINVAL',
  path: '/run/x',
});
const ipam = (kind: string, message = 'Pool is in trouble', cause?: unknown) =>
  lowerError('IpamError', message, { kind }, cause === undefined ? undefined : { cause });

interface Row {
  readonly name: string;
  readonly error: unknown;
  readonly code: number;
  readonly message: RegExp;
  readonly details?: RegExp;
}

const ROWS: readonly Row[] = [
  { name: 'FieldError', error: new FieldError('mtu', 'must be 5'), code: 7, message: /^Invalid "mtu": must be 5$/ },
  { name: 'IpamError config', error: ipam('config'), code: 7, message: /^Pool is in trouble$/ },
  { name: 'IpamError exhausted', error: ipam('exhausted'), code: 11, message: /^Pool/ },
  { name: 'IpamError locked', error: ipam('locked'), code: 11, message: /^Pool/ },
  { name: 'IpamError taken', error: ipam('taken'), code: 102, message: /^Pool/ },
  { name: 'IpamError missing', error: ipam('missing'), code: 101, message: /^Pool/ },
  {
    name: 'IpamError store with its cause',
    error: ipam('store', 'Cannot write', new Error('ENOSPC: no space left on device, write')),
    code: 5,
    message: /^Cannot write$/,
    details: /^ENOSPC: no space/,
  },
  { name: 'IpamError argument', error: ipam('argument', 'Requested IP 10.0.0.1'), code: 7, message: /^Requested/ },
  {
    name: 'IpamError argument of CNI_ARGS',
    error: Object.assign(ipam('argument', 'Invalid CNI_ARGS "IP"'), { variable: 'CNI_ARGS' }),
    code: 4,
    message: /CNI_ARGS/,
  },
  {
    name: 'IpamError argument that only mentions CNI_ARGS',
    error: ipam('argument', 'Requested IP 10.0.0.1, not that of CNI_ARGS'),
    code: 7,
    message: /^Requested/,
  },
  { name: 'IpamError of an unknown kind', error: ipam('new'), code: 999, message: /^Pool/ },
  {
    name: 'NetlinkError',
    error: noDevice,
    code: 100,
    message: /^Cannot add link "veth1": ENODEV$/,
    details: /^ENODEV: netlink: add link "veth1": Unknown device type$/,
  },
  { name: 'ErrnoError', error: noMount, code: 100, message: /unmount/, details: /^EINVAL: umount2 \/run\/x$/ },
  {
    name: 'plain Error around a known one',
    error: new Error('Cannot attach "eth0"', { cause: noDevice }),
    code: 100,
    message: /^Cannot attach "eth0"$/,
    details: /^Cannot add link "veth1": ENODEV \(ENODEV: netlink: .*Unknown device type\)$/,
  },
  {
    name: 'plain Error that repeats the message of its cause',
    error: new Error(`Cannot attach: ${noMount.message}`, { cause: noMount }),
    code: 100,
    message: /^Cannot attach: Cannot unmount/,
    details: /^EINVAL: umount2 \/run\/x$/,
  },
  {
    name: 'CniError two causes down',
    error: new Error('a', { cause: new Error('b', { cause: new CniError(11, 'busy') }) }),
    code: 11,
    message: /^a$/,
    details: /^b \(busy\)$/,
  },
  {
    name: 'AggregateError of one code',
    error: new AggregateError([noDevice, noMount], 'Cannot clean up'),
    code: 100,
    message: /^Cannot clean up: Cannot add link "veth1".*; Cannot unmount/,
    details: /ENODEV.*; .*EINVAL/,
  },
  {
    name: 'AggregateError of several codes',
    error: new AggregateError([noDevice, new CniError(11, 'busy', 'lock')], 'Cannot clean up'),
    code: 104,
    message: /^Cannot clean up: .*veth1.*; busy$/,
    details: /; lock$/,
  },
  {
    name: 'AggregateError in an AggregateError, without a message',
    error: new AggregateError([new AggregateError([noMount, noMount], 'inner'), noMount]),
    code: 100,
    message: /^2 steps failed: inner: Cannot unmount.*; Cannot unmount.*; Cannot unmount/,
    details: /^.*EINVAL.*; .*EINVAL.*; .*EINVAL/,
  },
  { name: 'empty AggregateError', error: new AggregateError([], 'none'), code: 104, message: /^none$/ },
  {
    name: 'AggregateError with a programming mistake',
    error: new AggregateError([noMount, new TypeError('x is not a function')], 'Cannot clean up'),
    code: 104,
    message: /^Cannot clean up: Cannot unmount.*; Internal error of podlink: TypeError: x is not a function$/,
    details: /EINVAL.*; TypeError: x is not a function\n +at /,
  },
  {
    name: 'programming mistake',
    error: new TypeError('x is not a function'),
    code: 999,
    message: /^Internal error of podlink: TypeError: x is not a function$/,
    details: /errors\.test\.ts/,
  },
  { name: 'plain Error without a cause', error: new Error('odd'), code: 999, message: /Error: odd$/ },
  { name: 'thrown text', error: 'text', code: 999, message: /text$/ },
  { name: 'thrown undefined', error: undefined, code: 999, message: /undefined$/ },
];

for (const { name, error, code, message, details } of ROWS) {
  test(`toCniError() maps ${name} to ${code}`, () => {
    const mapped = toCniError(error);
    assert.ok(mapped instanceof CniError);
    assert.is(mapped.code, code);
    assert.match(mapped.message, message);
    if (details) assert.match(mapped.details, details);
    assert.is(mapped.cause, error);
  });
}

test('toCniError() returns a CniError as it is', () => {
  const error = new CniError(8, 'own netns');
  assert.is(toCniError(error), error);
});

test('toCniError() maps what node:fs throws to 5', () => {
  try {
    readFileSync('/nonexistent/file');
  } catch (error) {
    const mapped = toCniError(error);
    assert.is(mapped.code, 5);
    assert.is(mapped.message, 'Cannot open "/nonexistent/file": no such file or directory');
    assert.match(mapped.details, /^ENOENT: /);
    return;
  }
  assert.unreachable();
});

test('toCniError() ends on a circle of causes', () => {
  const first = new Error('first');
  first.cause = new Error('second', { cause: first });
  assert.is(toCniError(first).code, 999);
});

test('toCniError() keeps the cniVersion of a wrapped CniError', () => {
  const inner = new CniError(7, 'bad', '', { cniVersion: '0.4.0' });
  assert.is(toCniError(new Error('outer', { cause: inner })).cniVersion, '0.4.0');
});

test('formatError() prints four spaces, and details only when there are any', () => {
  assert.is(
    formatError(new CniError(7, 'missing network name'), '1.0.0'),
    '{\n    "cniVersion": "1.0.0",\n    "code": 7,\n    "msg": "missing network name"\n}',
  );
  assert.equal(JSON.parse(formatError(new CniError(4, 'm', 'd'), '1.1.0')), {
    cniVersion: '1.1.0',
    code: 4,
    msg: 'm',
    details: 'd',
  });
});

test.run();
