// Error numbers of the kernel and the error that a failed system call becomes.
//
// Source: include/uapi/asm-generic/errno-base.h, errno.h (v6.12); the same numbers on x86-64 and arm64.

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
const EIO = 5;
export const EBADF = 9;
export const EAGAIN = 11;
const ENOMEM = 12;
const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
const ENOSPC = 28;
export const EMSGSIZE = 90;
export const EPROTONOSUPPORT = 93;
export const EOPNOTSUPP = 95;
const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
const ENETDOWN = 100;
const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const EBADMSG = 74;
export const ETIMEDOUT = 110;

const NAMES: ReadonlyMap<number, string> = new Map([
  [EPERM, 'EPERM'],
  [ENOENT, 'ENOENT'],
  [3, 'ESRCH'],
  [EINTR, 'EINTR'],
  [EIO, 'EIO'],
  [6, 'ENXIO'],
  [7, 'E2BIG'],
  [8, 'ENOEXEC'],
  [EBADF, 'EBADF'],
  [EAGAIN, 'EAGAIN'],
  [ENOMEM, 'ENOMEM'],
  [EACCES, 'EACCES'],
  [14, 'EFAULT'],
  [EBUSY, 'EBUSY'],
  [EEXIST, 'EEXIST'],
  [18, 'EXDEV'],
  [ENODEV, 'ENODEV'],
  [20, 'ENOTDIR'],
  [21, 'EISDIR'],
  [EINVAL, 'EINVAL'],
  [23, 'ENFILE'],
  [24, 'EMFILE'],
  [25, 'ENOTTY'],
  [26, 'ETXTBSY'],
  [27, 'EFBIG'],
  [ENOSPC, 'ENOSPC'],
  [30, 'EROFS'],
  [31, 'EMLINK'],
  [32, 'EPIPE'],
  [34, 'ERANGE'],
  [36, 'ENAMETOOLONG'],
  [38, 'ENOSYS'],
  [40, 'ELOOP'],
  [61, 'ENODATA'],
  [EBADMSG, 'EBADMSG'],
  [75, 'EOVERFLOW'],
  [80, 'ELIBBAD'],
  [88, 'ENOTSOCK'],
  [EMSGSIZE, 'EMSGSIZE'],
  [92, 'ENOPROTOOPT'],
  [EPROTONOSUPPORT, 'EPROTONOSUPPORT'],
  [94, 'ESOCKTNOSUPPORT'],
  [EOPNOTSUPP, 'EOPNOTSUPP'],
  [97, 'EAFNOSUPPORT'],
  [EADDRINUSE, 'EADDRINUSE'],
  [EADDRNOTAVAIL, 'EADDRNOTAVAIL'],
  [ENETDOWN, 'ENETDOWN'],
  [ENETUNREACH, 'ENETUNREACH'],
  [ENOBUFS, 'ENOBUFS'],
  [107, 'ENOTCONN'],
  [ETIMEDOUT, 'ETIMEDOUT'],
  [113, 'EHOSTUNREACH'],
  [114, 'EALREADY'],
  [116, 'ESTALE'],
  [122, 'EDQUOT'],
]);

/** Name an error number as the kernel headers do; `errno N` for one that is not in the table. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/**
 * A system call that failed. `errno` is positive.
 *
 * `code` repeats the name so that the error reads like one of `node:fs` (ENOENT, EEXIST, …).
 */
export class ErrnoError extends Error {
  override readonly name: string = 'ErrnoError';
  readonly syscall: string;
  readonly errno: number;
  readonly code: string;
  readonly path: string | undefined;

  constructor(message: string, details: { syscall: string; errno: number; path?: string }, options?: ErrorOptions) {
    super(`${message}: ${errnoName(details.errno)}`, options);
    this.syscall = details.syscall;
    this.errno = details.errno;
    this.code = errnoName(details.errno);
    this.path = details.path;
  }
}

/** Whether an error, ours or one of `node:fs`, stands for one of the named errnos. */
export function isErrno(error: unknown, ...names: readonly string[]): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return typeof error.code === 'string' && names.includes(error.code);
}
