// Network namespaces: files that stand for them, and the one way into another and back.
//
// A namespace is named by a path (a bind mount of an nsfs file, or /proc/PID/ns/net) and identified by the device and
// inode number of that file (namespaces(7)). A netlink socket belongs for ever to the namespace it was opened in, so
// most work in a sandbox needs no more than opening a socket there.

import { closeSync, constants, fstatSync, openSync, statfsSync, statSync } from 'node:fs';
import { isErrno } from './errno.ts';
import { CLONE_NEWNET, getSocketOption64, namespaceType, openNetlinkSocket, setNamespace } from './syscalls.ts';

/** include/uapi/linux/magic.h: namespace files have shown this file system since Linux 3.19. */
const NSFS_MAGIC = 0x6e736673;

// include/uapi/linux/netlink.h, include/uapi/asm-generic/socket.h
const NETLINK_ROUTE = 0;
const SOL_SOCKET = 1;
const SO_NETNS_COOKIE = 71;

/** The file at the path is not a network namespace. */
export class NotANamespaceError extends Error {
  override readonly name = 'NotANamespaceError';
  readonly path: string;

  constructor(path: string, what: string) {
    super(`"${path}" is not a network namespace: ${what}`);
    this.path = path;
  }
}

/** An open network namespace. `device` and `inode` identify it as long as anything keeps it alive. */
export interface Netns {
  readonly path: string;
  readonly fd: number;
  readonly device: bigint;
  readonly inode: bigint;
  close(): void;
}

/**
 * Open the namespace that a path names.
 *
 * Throws NotANamespaceError for any other kind of file, and node:fs's ENOENT when nothing is there.
 */
export function openNetns(path: string): Netns {
  // O_NONBLOCK: a FIFO at the path must not hang us before we see that it is none of ours.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (statfsSync(`/proc/self/fd/${fd}`).type !== NSFS_MAGIC) {
      throw new NotANamespaceError(path, 'it is an ordinary file');
    }
    if (namespaceType(fd) !== CLONE_NEWNET) throw new NotANamespaceError(path, 'it is a namespace of another kind');
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return { path, fd, device: dev, inode: ino, close: () => closeSync(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

const OWN_PATH = '/proc/thread-self/ns/net';

/** Open the calling thread's own namespace. */
export function openOwnNetns(): Netns {
  return openNetns(OWN_PATH);
}

/** Whether an open namespace is the calling thread's own. */
export function isOwnNetns(netns: Netns): boolean {
  const { dev, ino } = statSync(OWN_PATH, { bigint: true });
  return isSameNetns(netns, { device: dev, inode: ino });
}

type Identity = Pick<Netns, 'device' | 'inode'>;

/** Whether two open namespaces are one and the same. */
export function isSameNetns(a: Identity, b: Identity): boolean {
  return a.device === b.device && a.inode === b.inode;
}

/** The identity of a namespace's file, as records spell it: `device:inode`. */
export function identityOf({ device, inode }: Identity): string {
  return `${device}:${inode}`;
}

/** The identity of an open file, as records spell that of a namespace. */
export function identityOfFile(fd: number): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return identityOf({ device: dev, inode: ino });
}

/** The identity of the file at a path now; undefined when there is none. */
export function identityAt(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return identityOf({ device: dev, inode: ino });
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** How a record names a namespace, to know it again when it may be gone. */
export interface RecordedNetns {
  /** `device:inode` of its file. The kernel gives the inode of a namespace that is gone to the next one that is made. */
  readonly netnsIdentity: string;
  /** A number that the kernel gives to no other namespace until it is started anew; absent before Linux 5.14. */
  readonly netnsCookie?: string;
}

/** Describe an open namespace for a record. */
export function recordNetns(netns: Netns): RecordedNetns {
  const netnsCookie = findNetnsCookie(netns);
  return { netnsIdentity: identityOf(netns), ...(netnsCookie !== undefined && { netnsCookie }) };
}

/** Whether an open namespace is the one on record. Without a cookie on record, or to be had, the file decides. */
export function isRecordedNetns(netns: Netns, { netnsIdentity, netnsCookie }: RecordedNetns): boolean {
  if (identityOf(netns) !== netnsIdentity) return false;
  return netnsCookie === undefined || (findNetnsCookie(netns) ?? netnsCookie) === netnsCookie;
}

/** The cookie of a namespace; undefined where the kernel has none, and for who may not enter the namespace. */
function findNetnsCookie(netns: Netns): string | undefined {
  try {
    return inNetns(netns, readOwnCookie);
  } catch (error) {
    if (isErrno(error, 'ENOPROTOOPT', 'EPERM')) return undefined;
    throw error;
  }
}

function readOwnCookie(): string {
  const fd = openNetlinkSocket(NETLINK_ROUTE);
  try {
    return String(getSocketOption64(fd, SOL_SOCKET, SO_NETNS_COOKIE));
  } finally {
    closeSync(fd);
  }
}

/**
 * Run `work` with the calling thread in another network namespace, and come back.
 *
 * `work` must be synchronous: a promise would go on after the thread is back, and libuv's pool threads never leave
 * the host's namespace. Throws TypeError when it returns one, and setns's ErrnoError when the namespace cannot be
 * entered. When the thread cannot come back the process is aborted: everything it did from then on would be done to
 * the wrong machine.
 */
export function inNetns<Value>(netns: Netns, work: () => Value): Value {
  // Without openNetns()'s questions: there is nothing else at this path.
  const home = openSync(OWN_PATH, constants.O_RDONLY);
  try {
    setNamespace(netns.fd, CLONE_NEWNET);
    try {
      const value = work();
      if (value instanceof Promise) throw new TypeError('Cannot run asynchronous work in another network namespace');
      return value;
    } finally {
      try {
        setNamespace(home, CLONE_NEWNET);
      } catch {
        // Not an error a caller could handle: see above.
        process.abort();
      }
    }
  } finally {
    closeSync(home);
  }
}
