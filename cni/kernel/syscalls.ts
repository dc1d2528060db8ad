// The system calls that Node has no function for, over node:ffi and libc. The only file that may name node:ffi.
//
// Nothing here runs when the module is evaluated: the startup snapshot is built from it, and node:ffi cannot be
// loaded while a snapshot is built. libc is bound on the first call and stays bound.
//
// Every call is synchronous, and every failure an ErrnoError. errno is read from __errno_location() directly after
// the call, on the same thread, before anything else can run.

import type { WrappedFunction } from 'node:ffi';
import { EAGAIN, EINTR, ErrnoError } from './errno.ts';

// include/linux/socket.h, include/uapi/linux/netlink.h
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const MSG_TRUNC = 0x20;

// include/uapi/asm-generic/poll.h
const POLLIN = 1;
const POLLOUT = 4;

// include/uapi/asm-generic/fcntl.h, sys/file.h
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** include/uapi/linux/sched.h: a new or other network namespace. */
export const CLONE_NEWNET = 0x40000000;

/** include/uapi/linux/nsfs.h: _IO(0xb7, 3). */
const NS_GET_NSTYPE = 0xb703n;

// include/uapi/linux/mount.h, include/linux/fs.h
export const MS_BIND = 0x1000;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

const SIGNATURES = {
  socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
  setsockopt: { arguments: ['i32', 'i32', 'i32', 'buffer', 'u32'], return: 'i32' },
  send: { arguments: ['i32', 'buffer', 'u64', 'i32'], return: 'i64' },
  recv: { arguments: ['i32', 'buffer', 'u64', 'i32'], return: 'i64' },
  setns: { arguments: ['i32', 'i32'], return: 'i32' },
  ioctl: { arguments: ['i32', 'u64'], return: 'i32' },
  unshare: { arguments: ['i32'], return: 'i32' },
  mount: { arguments: ['string', 'string', 'string', 'u64', 'pointer'], return: 'i32' },
  umount2: { arguments: ['string', 'i32'], return: 'i32' },
  flock: { arguments: ['i32', 'i32'], return: 'i32' },
  poll: { arguments: ['pointer', 'u64', 'i32'], return: 'i32' },
  _exit: { arguments: ['i32'], return: 'i32' },
  getrandom: { arguments: ['buffer', 'u64', 'u32'], return: 'i64' },
} as const;

type Name = keyof typeof SIGNATURES;
type Call = (...args: readonly unknown[]) => number | bigint;

interface Libc {
  readonly bind: (name: Name) => Call;
  /** Of this thread, as the call just before has left it. */
  readonly errno: () => number;
}

let libc: Libc | undefined;
const calls: Partial<Record<Name, Call>> = {};

/** Not ffi.dlopen(), which binds all functions at once: 0.1 ms for each, and a call of a runtime uses half of them. */
function openLibc(): Libc {
  const ffi = process.getBuiltinModule('node:ffi');
  const library = new ffi.DynamicLibrary(null);
  const locate = library.getFunction('__errno_location', { arguments: [], return: 'pointer' });
  // The address is this thread's for as long as it lives.
  const location = (locate as WrappedFunction<'pointer', []>)();
  return {
    bind: (name) => library.getFunction(name, SIGNATURES[name]) as unknown as Call,
    errno: () => ffi.getInt32(location, 0),
  };
}

/** Call libc until it is not interrupted by a signal; a negative result becomes an ErrnoError that names the action. */
function checked(name: Name, action: string, args: readonly unknown[], path?: string): number {
  libc ??= openLibc();
  calls[name] ??= libc.bind(name);
  const call = calls[name];
  for (;;) {
    const result = Number(call(...args));
    if (result >= 0) return result;
    const errno = libc.errno();
    if (errno === EINTR) continue;
    throw new ErrnoError(action, { syscall: name, errno, ...(path === undefined ? {} : { path }) });
  }
}

/** Open a raw netlink socket in the calling thread's network namespace, close-on-exec. It belongs to that namespace for good. */
export function openNetlinkSocket(protocol: number): number {
  return checked('socket', `Cannot open a netlink socket for protocol ${protocol}`, [
    AF_NETLINK,
    SOCK_RAW | SOCK_CLOEXEC,
    protocol,
  ]);
}

/** Set a socket option whose value is a C int. */
export function setSocketOption(fd: number, level: number, option: number, value: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  checked('setsockopt', `Cannot set socket option ${level}/${option}`, [fd, level, option, bytes, 4]);
}

/** Make receive calls fail with EAGAIN after so many milliseconds without a message. */
export function setReceiveTimeout(fd: number, timeoutMs: number): void {
  const timeval = new Uint8Array(16); // struct timeval: tv_sec s64, tv_usec s64, host order
  const view = new DataView(timeval.buffer);
  view.setBigInt64(0, BigInt(Math.floor(timeoutMs / 1000)), true);
  view.setBigInt64(8, BigInt((timeoutMs % 1000) * 1000), true);
  checked('setsockopt', 'Cannot set the receive timeout', [fd, SOL_SOCKET, SO_RCVTIMEO, timeval, 16]);
}

/** Send one datagram to the peer the socket has by default (for netlink: the kernel). */
export function send(fd: number, bytes: Uint8Array): void {
  checked('send', 'Cannot send to the kernel', [fd, bytes, BigInt(bytes.length), 0]);
}

/** Receive one datagram into `buffer`, waiting for one. Returns its true size, which is more than the buffer's when it was cut. */
export function receive(fd: number, buffer: Uint8Array): number {
  return checked('recv', 'Cannot receive from the kernel', [fd, buffer, BigInt(buffer.length), MSG_TRUNC]);
}

/** Move the calling thread into the namespace that `fd` stands for. Throws EINVAL if it is another kind of namespace. */
export function setNamespace(fd: number, type: number): void {
  checked('setns', 'Cannot enter the namespace', [fd, type]);
}

/** The kind of namespace an nsfs file stands for, as its CLONE_NEW… flag. Linux 4.11. */
export function namespaceType(fd: number): number {
  return checked('ioctl', 'Cannot ask for the kind of namespace', [fd, NS_GET_NSTYPE]);
}

/** Give the calling thread new namespaces of the given kinds. */
export function unshare(types: number): void {
  checked('unshare', 'Cannot make a new namespace', [types]);
}

/** Bind-mount `source` over `target`, both existing files or both directories. */
export function bindMount(source: string, target: string): void {
  checked(
    'mount',
    `Cannot bind-mount "${source}" over "${target}"`,
    [source, target, null, BigInt(MS_BIND), null],
    target,
  );
}

/** Take the topmost mount off `target`. `flags`: MNT_DETACH, UMOUNT_NOFOLLOW. Throws EINVAL when nothing is mounted there. */
export function unmount(target: string, flags = 0): void {
  checked('umount2', `Cannot unmount "${target}"`, [target, flags], target);
}

/** Try to take the flock of an open file. False when another open file holds one that excludes it. */
export function tryLock(fd: number, kind: 'exclusive' | 'shared' = 'exclusive'): boolean {
  try {
    checked('flock', 'Cannot lock the file', [fd, (kind === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB]);
    return true;
  } catch (error) {
    if (error instanceof ErrnoError && error.errno === EAGAIN) return false;
    throw error;
  }
}

/** Block the thread for so many milliseconds. */
export function sleep(ms: number): void {
  checked('poll', 'Cannot sleep', [null, 0n, ms]);
}

/** Wait until `fd` can be read or written, or its other end is closed. False when that took longer than `timeoutMs`. */
export function waitUntilReady(fd: number, what: 'read' | 'write', timeoutMs = -1): boolean {
  const pollfd = new Uint8Array(8); // struct pollfd: fd s32, events s16, revents s16
  const view = new DataView(pollfd.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, what === 'read' ? POLLIN : POLLOUT, true);
  return checked('poll', 'Cannot wait for input or output', [pollfd, 1n, timeoutMs]) > 0;
}

/** Bytes from the kernel's random number generator, at most 256. A startup snapshot freezes V8's own seed, this not. */
export function randomBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  checked('getrandom', 'Cannot get random bytes', [bytes, BigInt(count), 0]);
  return bytes;
}

/**
 * End the process, at once when libc is bound: without V8's and Node's farewell, which takes 0.7 ms and a millisecond of
 * CPU. Nothing that was written is lost, since all writing here is synchronous.
 */
export function exitProcess(code: number): never {
  if (libc) checked('_exit', 'Cannot exit', [code]);
  process.exit(code);
}
