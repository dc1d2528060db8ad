// DEL: disconnect a container (CNI spec, section 2, "DEL").

import type { AttachmentRequest } from '../protocol/request.ts';
import { keyOf } from './attachment-key.ts';
import { findRecord, lockAttachment } from './attachment-record.ts';
import type { Context } from './context.ts';
import { removalOfRecord, removalOfRequest, removeAttachment } from './removal.ts';
import { closeSandbox, findSandbox } from './sandbox.ts';

/**
 * Disconnect the container. Succeeds when there is nothing left to do: without a namespace, without prevResult, twice.
 *
 * Throws AggregateError with everything that could not be removed.
 */
export function del(request: AttachmentRequest, context: Context): void {
  const key = keyOf(request);
  const lock = lockAttachment(context.runDir, key);
  try {
    const record = findRecord(context.runDir, key);
    const sandbox = findSandbox(request, record !== undefined, context.warn);
    try {
      const removal = record ? removalOfRecord(record, context, request.path) : removalOfRequest(request, context);
      removeAttachment(context, removal, sandbox);
    } finally {
      closeSandbox(sandbox);
    }
  } finally {
    lock.release();
  }
}
