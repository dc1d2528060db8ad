// GC: remove what belongs to no valid attachment of the network (CNI spec, section 2, "GC").

import { deleteLink, type Link, listLinks } from '../kernel/rtnetlink/link.ts';
import { hostInterfaceName } from '../modes/host-interface-name.ts';
import type { NetworkRequest } from '../protocol/request.ts';
import { type AttachmentRecord, findRecord, listRecords, lockAttachment } from './attachment-record.ts';
import type { Context } from './context.ts';
import { findIpam } from './ipam.ts';
import { removalOfRecord, removeAttachment } from './removal.ts';

/** An attachment as the runtime names it within a network. */
interface Named {
  readonly containerId: string;
  readonly ifname: string;
}

/**
 * Remove the attachments, and the reservations, that the runtime does not name as valid. Does nothing when it names no
 * list at all: that is not the same as an empty one. An ADD that begins meanwhile is not on the list and is kept.
 *
 * Goes on after errors and throws them all in one AggregateError.
 */
export function gc(request: NetworkRequest, context: Context): void {
  const { config } = request;
  const valid = config.validAttachments();
  if (!valid) return;
  const started = new Date().toISOString();
  const errors: unknown[] = [];
  const step = (work: () => void) => {
    try {
      work();
    } catch (error) {
      errors.push(...(error instanceof AggregateError ? error.errors : [error]));
    }
  };
  for (const record of listRecords(context.runDir, config.name)) {
    if (!includes(valid, record) && record.created < started) step(() => removeStale(record, request, context));
  }
  // What is on record still was added since, or could not be removed: its address is not free.
  const kept = [...valid, ...listRecords(context.runDir, config.name)];
  step(() => {
    for (const link of findLostLinks(config.name, context, kept)) deleteLink(context.route, link.index);
    const key = { network: config.name, containerId: '', ifname: '' };
    findIpam({ ...request, key, cniArgs: new Map(), env: context.env, warn: context.warn })?.collect(kept);
  });
  if (errors.length > 0) throw new AggregateError(errors, `Cannot remove everything stale of network "${config.name}"`);
}

function includes(attachments: readonly Named[], { containerId, ifname }: Named): boolean {
  return attachments.some((entry) => entry.containerId === containerId && entry.ifname === ifname);
}

function removeStale(stale: AttachmentRecord, request: NetworkRequest, context: Context): void {
  const lock = lockAttachment(context.runDir, stale);
  try {
    // Read again under the lock: its DEL, and another ADD, may have come in between.
    const record = findRecord(context.runDir, stale);
    if (record?.created !== stale.created) return;
    removeAttachment(context, removalOfRecord(record, context, request.path), undefined);
  } finally {
    lock.release();
  }
}

/**
 * Host ends of stale attachments whose record is gone: their alias tells whose they are. They go before their addresses
 * are free again, or a new container would share one with a container that still answers.
 */
function findLostLinks(network: string, context: Context, kept: readonly Named[]): Link[] {
  return listLinks(context.route).filter((link) => {
    const [program, ofNetwork, containerId = '', ...rest] = link.alias?.split(' ') ?? [];
    const key = { network, containerId, ifname: rest.join(' ') };
    // A name that is not the key's hash belongs to an ID that was cut to fit the alias, or is no link of ours.
    return (
      program === 'podlink' && ofNetwork === network && link.name === hostInterfaceName(key) && !includes(kept, key)
    );
  });
}
