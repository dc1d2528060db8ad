// GC: remove what belongs to no valid attachment of the network (CNI spec, section 2, "GC").

import type { NetworkRequest } from '../protocol/request.ts';
import { findRecord, listRecords, lockAttachment } from './attachment-record.ts';
import type { Context } from './context.ts';
import { findIpam } from './ipam.ts';
import { removalOfRecord, removeAttachment } from './removal.ts';

/**
 * Remove the attachments, and the reservations, that the runtime does not name as valid. Does nothing when it names no
 * list at all: that is not the same as an empty one.
 *
 * Goes on after errors and throws them all in one AggregateError.
 */
export function gc(request: NetworkRequest, context: Context): void {
  const { config } = request;
  const valid = config.validAttachments();
  if (!valid) return;
  const isValid = (attachment: { containerId: string; ifname: string }) =>
    valid.some(({ containerId, ifname }) => containerId === attachment.containerId && ifname === attachment.ifname);
  const errors: unknown[] = [];
  for (const stale of listRecords(context.runDir, config.name).filter((record) => !isValid(record))) {
    try {
      const lock = lockAttachment(context.runDir, stale);
      try {
        // Read again under the lock: its DEL may have come in between.
        const record = findRecord(context.runDir, stale);
        if (record) removeAttachment(context, removalOfRecord(record, context, request.path), undefined);
      } finally {
        lock.release();
      }
    } catch (error) {
      errors.push(...(error instanceof AggregateError ? error.errors : [error]));
    }
  }
  try {
    const key = { network: config.name, containerId: '', ifname: '' };
    findIpam({ ...request, key, cniArgs: new Map(), env: context.env, warn: context.warn })?.collect(valid);
  } catch (error) {
    errors.push(...(error instanceof AggregateError ? error.errors : [error]));
  }
  if (errors.length > 0) throw new AggregateError(errors, `Cannot remove everything stale of network "${config.name}"`);
}
