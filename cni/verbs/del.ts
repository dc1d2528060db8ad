// DEL: disconnect a container (CNI spec, section 2, "DEL").

import { UnsafeDirectoryError } from '../kernel/directory.ts';
import { isErrno } from '../kernel/errno.ts';
import type { FileLock } from '../kernel/flock.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import type { AttachmentRequest } from '../protocol/request.ts';
import { keyOf } from '../attachment/key.ts';
import { findRecord } from '../attachment/record-store.ts';
import { lockAttachment } from '../attachment/lock.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import type { Context } from './context.ts';
import { findRequestIpam, type Removal, removalOfRecord, removalOfRequest, removeAttachment } from './removal.ts';
import { findSandbox } from './sandbox.ts';

/**
 * Disconnect the container. Succeeds when there is nothing left to do: without a namespace, without prevResult, twice.
 *
 * Throws AggregateError with everything that could not be removed.
 */
export async function del(request: AttachmentRequest, context: Context): Promise<void> {
  const key = keyOf(request);
  const lock = lockIfPossible(key, context);
  try {
    const record = findTrustedRecord(key, context);
    const removal = record ? removalOfKnown(record, request, context) : removalOfRequest(request, context);
    context.mark('find');
    await removeAttachment(context, removal);
  } finally {
    lock?.release();
  }
}

/** By the record, and where that does not help by what the runtime says today. */
function removalOfKnown(record: AttachmentRecord, request: AttachmentRequest, context: Context): Removal {
  const removal = removalOfRecord(record, context, request.path);
  // A mode without an interface of its own names addresses, and has reserved none.
  const hasReserved = record.addresses.length > 0 && removal.modes.some(({ hasOwnInterface }) => hasOwnInterface);
  return {
    ...removal,
    // Undefined although there are addresses: the configuration on record cannot be read any more, and nothing else tells.
    ipam: removal.ipam ?? (hasReserved ? findRequestIpam(request, context) : undefined),
    findOtherIpam: () => findRequestIpam(request, context),
    // The container's namespace may have another path than at ADD.
    openSandbox: () =>
      record.objects.sharedNetns === undefined
        ? (findSandbox(request, record, context.warn) ?? removal.openSandbox())
        : undefined,
  };
}

/**
 * A record in a directory that others can write to may be anybody's, and tell DEL to remove what is not this container's.
 * It counts as lost: what the container has is found by its names and marks then.
 */
export function findTrustedRecord(key: AttachmentKey, context: Context): AttachmentRecord | undefined {
  try {
    return findRecord(context.runDir, key);
  } catch (error) {
    if (!(error instanceof UnsafeDirectoryError)) throw error;
    context.warn(`${error.message}: going on without the record`);
    return undefined;
  }
}

/** A run directory that is full, read-only or open to others takes no lock, and is no reason to leave a container connected. */
function lockIfPossible(key: AttachmentKey, context: Context): FileLock | undefined {
  try {
    return lockAttachment(context.runDir, key);
  } catch (error) {
    const isUnsafe = error instanceof UnsafeDirectoryError;
    if (!isUnsafe && !isErrno(error, 'EROFS', 'ENOSPC', 'EDQUOT', 'EACCES', 'EPERM')) throw error;
    context.warn(`${error instanceof Error ? error.message : String(error)}: going on without a lock`);
    return undefined;
  }
}
