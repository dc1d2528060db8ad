// The system calls that Node has no function for, over node:ffi and libc. The only file that may name node:ffi.
//
// Nothing here runs when the module is evaluated: the startup snapshot is built from it, and node:ffi cannot be
// loaded while a snapshot is built. libc is bound on the first call and stays bound.
//
// Every call is synchronous, and every failure an ErrnoError. errno is read from __errno_location() directly after
// the call, on the same thread, before anything else can run.

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

// include/uapi/linux/nsfs.h: _IO(0xb7, 1) and _IO(0xb7, 3)
const NS_GET_USERNS = 0xb701;
const NS_GET_NSTYPE = 0xb703;

// include/uapi/linux/mount.h, include/linux/fs.h
export const MS_BIND = 0x1000;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

/**
 * The numbers of the calls, by process.arch. Sources: arch/x86/entry/syscalls/syscall_64.tbl and
 * include/uapi/asm-generic/unistd.h (v6.12); they never change.
 */
const NUMBERS = {
  x64: {
    ioctl: 16n,
    socket: 41n,
    sendto: 44n,
    recvfrom: 45n,
    setsockopt: 54n,
    getsockopt: 55n,
    flock: 73n,
    mount: 165n,
    umount2: 166n,
    exit_group: 231n,
    ppoll: 271n,
    unshare: 272n,
    setns: 308n,
    getrandom: 318n,
  },
  arm64: {
    ioctl: 29n,
    flock: 32n,
    umount2: 39n,
    mount: 40n,
    ppoll: 73n,
    exit_group: 94n,
    unshare: 97n,
    socket: 198n,
    sendto: 206n,
    recvfrom: 207n,
    setsockopt: 208n,
    getsockopt: 209n,
    setns: 268n,
    getrandom: 278n,
  },
} as const;

/** sizeof(sigset_t) of the kernel, which ppoll() wants to hear also without a set. */
const SIGSET_BYTES = 8;

/**
 * A function of libc with seven arguments, each a number, an address or memory. With no more than six, Node would make
 * machine code for V8's optimising compiler, near libc, of which it finds a place by trying: some 35 system calls.
 */
const SEVEN_ARGUMENTS = new Array<string>(7).fill('pointer');

type Name = keyof typeof NUMBERS.x64;
/** The arguments of a system call: numbers are widened to 64 bits, strings end with a zero, null is 0. */
type Value = number | Uint8Array | string | null;
type Call = (...args: readonly (bigint | Exclude<Value, number>)[]) => bigint;

/** The part of node:ffi that is used. */
interface Ffi {
  readonly DynamicLibrary: new (
    path: null,
  ) => {
    getFunction(name: string, signature: { arguments: readonly string[]; return: string }): Call;
  };
  getInt32(pointer: bigint, offset: number): number;
}

interface Libc {
  /** syscall(2), of the number of the call and six arguments. */
  readonly syscall: Call;
  /** Of this thread, as the call just before has left it. */
  readonly errno: () => number;
  readonly numbers: Readonly<Record<Name, bigint>>;
}

let libc: Libc | undefined;

/** One function for all system calls: to bind one takes 0.05 ms, and a call of a runtime needs ten of them. */
function openLibc(): Libc {
  const ffi = process.getBuiltinModule('node:ffi') as unknown as Ffi;
  const library = new ffi.DynamicLibrary(null);
  const bind = (name: string, result: string): Call =>
    library.getFunction(name, { arguments: SEVEN_ARGUMENTS, return: result });
  // It takes no argument, and does not see those it gets. The address is this thread's for as long as it lives.
  const location = bind('__errno_location', 'pointer')(null, null, null, null, null, null, null);
  return {
    syscall: bind('syscall', 'i64'),
    errno: () => ffi.getInt32(location, 0),
    numbers: NUMBERS[process.arch === 'arm64' ? 'arm64' : 'x64'],
  };
}

/** Repeat a system call until it is not interrupted by a signal; a negative result becomes an ErrnoError that names the action. */
function checked(name: Name, action: string, args: readonly Value[], path?: string): number {
  libc ??= openLibc();
  const [a = null, b = null, c = null, d = null, e = null, f = null] = args.map((value) =>
    typeof value === 'number' ? BigInt.asUintN(64, BigInt(value)) : value,
  );
  for (;;) {
    const result = Number(libc.syscall(libc.numbers[name], a, b, c, d, e, f));
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

/** The value of a socket option of eight bytes. Throws ENOPROTOOPT when the kernel does not know the option. */
export function getSocketOption64(fd: number, level: number, option: number): bigint {
  const [value, length] = [new Uint8Array(8), new Uint8Array(4)];
  new DataView(length.buffer).setUint32(0, value.length, true);
  checked('getsockopt', `Cannot get socket option ${level}/${option}`, [fd, level, option, value, length]);
  return new DataView(value.buffer).getBigUint64(0, true);
}

/** Make receive calls fail with EAGAIN after so many milliseconds without a message. */
export function setReceiveTimeout(fd: number, timeoutMs: number): void {
  const timeval = secondsAndRest(timeoutMs, 1_000);
  checked('setsockopt', 'Cannot set the receive timeout', [fd, SOL_SOCKET, SO_RCVTIMEO, timeval, timeval.length]);
}

/** Send one datagram to the peer the socket has by default (for netlink: the kernel). */
export function send(fd: number, bytes: Uint8Array): void {
  checked('sendto', 'Cannot send to the kernel', [fd, bytes, bytes.length, 0]);
}

/** Receive one datagram into `buffer`, waiting for one. Returns its true size, which is more than the buffer's when it was cut. */
export function receive(fd: number, buffer: Uint8Array): number {
  return checked('recvfrom', 'Cannot receive from the kernel', [fd, buffer, buffer.length, MSG_TRUNC]);
}

/** Move the calling thread into the namespace that `fd` stands for. Throws EINVAL if it is another kind of namespace. */
export function setNamespace(fd: number, type: number): void {
  checked('setns', 'Cannot enter the namespace', [fd, type]);
}

/** The kind of namespace an nsfs file stands for, as its CLONE_NEW… flag. Linux 4.11. */
export function namespaceType(fd: number): number {
  return checked('ioctl', 'Cannot ask for the kind of namespace', [fd, NS_GET_NSTYPE]);
}

/**
 * Open the user namespace that owns the namespace of an nsfs file; the caller closes it. Linux 4.9.
 *
 * Throws EPERM when that is an ancestor of the caller's own user namespace.
 */
export function openOwningUserNamespace(fd: number): number {
  return checked('ioctl', 'Cannot open the user namespace that owns a namespace', [fd, NS_GET_USERNS]);
}

/** Give the calling thread new namespaces of the given kinds. */
export function unshare(types: number): void {
  checked('unshare', 'Cannot make a new namespace', [types]);
}

/** Bind-mount `source` over `target`, both existing files or both directories. `name`: of the target, in an error. */
export function bindMount(source: string, target: string, name = target): void {
  checked('mount', `Cannot bind-mount "${source}" over "${name}"`, [source, target, null, MS_BIND, null], name);
}

/**
 * Take the topmost mount off `target`; through /proc/self/fd, the mount that the open file is on. `flags`: MNT_DETACH,
 * UMOUNT_NOFOLLOW. `name`: of the target, in an error. Throws EINVAL when nothing is mounted there.
 */
export function unmount(target: string, flags = 0, name = target): void {
  checked('umount2', `Cannot unmount "${name}"`, [target, flags], name);
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
  checked('ppoll', 'Cannot sleep', [null, 0, secondsAndRest(ms, 1_000_000), null, SIGSET_BYTES]);
}

/** Wait until `fd` can be read or written, or its other end is closed. False when that took longer than `timeoutMs`. */
export function waitUntilReady(fd: number, what: 'read' | 'write', timeoutMs = -1): boolean {
  const pollfd = new Uint8Array(8); // struct pollfd: fd s32, events s16, revents s16
  const view = new DataView(pollfd.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, what === 'read' ? POLLIN : POLLOUT, true);
  const timeout = timeoutMs < 0 ? null : secondsAndRest(timeoutMs, 1_000_000);
  return checked('ppoll', 'Cannot wait for input or output', [pollfd, 1, timeout, null, SIGSET_BYTES]) > 0;
}

/** struct timeval or struct timespec: tv_sec s64, and the rest in parts of a millisecond s64, host order. */
function secondsAndRest(ms: number, partsPerMs: number): Uint8Array {
  const parts = Math.round(ms * partsPerMs);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, BigInt(Math.floor(parts / (1000 * partsPerMs))), true);
  view.setBigInt64(8, BigInt(parts % (1000 * partsPerMs)), true);
  return bytes;
}

/** Bytes from the kernel's random number generator, at most 256. A startup snapshot freezes V8's own seed, this not. */
export function randomBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  checked('getrandom', 'Cannot get random bytes', [bytes, count, 0]);
  return bytes;
}

/**
 * End the process, at once when libc is bound: without V8's and Node's farewell, which takes 0.7 ms and a millisecond of
 * CPU. Nothing that was written is lost, since all writing here is synchronous.
 */
export function exitProcess(code: number): never {
  if (libc) checked('exit_group', 'Cannot exit', [code]);
  process.exit(code);
}
