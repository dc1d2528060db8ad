// DEL: disconnect a container (CNI spec, section 2, "DEL").

import { isErrno } from '../kernel/errno.ts';
import type { FileLock } from '../kernel/flock.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import type { AttachmentRequest } from '../protocol/request.ts';
import { keyOf } from './attachment-key.ts';
import { findRecord, lockAttachment } from './attachment-record.ts';
import type { Context } from './context.ts';
import { findRequestIpam, removalOfRecord, removalOfRequest, removeAttachment } from './removal.ts';
import { closeSandbox, findSandbox } from './sandbox.ts';
import { findSharing } from './sole-attachment.ts';

/**
 * Disconnect the container. Succeeds when there is nothing left to do: without a namespace, without prevResult, twice.
 *
 * Throws AggregateError with everything that could not be removed.
 */
export async function del(request: AttachmentRequest, context: Context): Promise<void> {
  const key = keyOf(request);
  const lock = lockIfPossible(key, context);
  try {
    const record = findRecord(context.runDir, key);
    const removal = record
      ? { ...removalOfRecord(record, context, request.path), findOtherIpam: () => findRequestIpam(request, context) }
      : removalOfRequest(request, context);
    // In host mode CNI_NETNS shows our own namespace, and nothing in it is touched: not by another network's DEL either,
    // whose ADD was refused for that reason.
    const isKnown =
      record !== undefined ||
      !removal.mode.hasOwnInterface ||
      findSharing(context.runDir, key.containerId, request.netns) !== undefined;
    context.mark('find');
    const sandbox = findSandbox(request, isKnown, context.warn);
    try {
      await removeAttachment(context, removal, sandbox);
    } finally {
      closeSandbox(sandbox);
    }
  } finally {
    lock?.release();
  }
}

/** A full or read-only /run takes no lock, and is no reason to leave a container connected. */
function lockIfPossible(key: AttachmentKey, context: Context): FileLock | undefined {
  try {
    return lockAttachment(context.runDir, key);
  } catch (error) {
    if (!isErrno(error, 'EROFS', 'ENOSPC', 'EDQUOT', 'EACCES', 'EPERM')) throw error;
    context.warn(`${error instanceof Error ? error.message : String(error)}: going on without a lock`);
    return undefined;
  }
}
