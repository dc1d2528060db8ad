// User namespaces (user_namespaces(7)): each network namespace is owned by one, and only a process that has CAP_SYS_ADMIN
// there may enter it.

import { closeSync } from 'node:fs';
import { isErrno } from './errno.ts';
import { identityAt, identityOfFile, type Netns } from './netns.ts';
import { openOwningUserNamespace } from './syscalls.ts';

/**
 * The identity of the user namespace that owns a network namespace. Undefined when it is an ancestor of the calling
 * thread's, which the kernel does not show.
 */
export function ownerOf(netns: Netns): string | undefined {
  let fd: number;
  try {
    fd = openOwningUserNamespace(netns.fd);
  } catch (error) {
    if (isErrno(error, 'EPERM')) return undefined;
    throw error;
  }
  try {
    return identityOfFile(fd);
  } finally {
    closeSync(fd);
  }
}

/** The identity of the calling thread's user namespace. */
export function ownUserNamespace(): string | undefined {
  return identityAt('/proc/thread-self/ns/user');
}
