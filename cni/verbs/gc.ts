// GC: remove what belongs to no valid attachment of the network (CNI spec, section 2, "GC").

import { ALL_RULESETS } from '../features/feature-registry.ts';
import { findElements, removeElements } from '../features/owned-elements.ts';
import { ownerComment, ownerCommentPrefix } from '../features/podlink-table.ts';
import type { Element } from '../kernel/nftables/element.ts';
import { deleteLink, type Link, listLinks } from '../kernel/rtnetlink/link.ts';
import { hostInterfaceName } from '../modes/host-interface-name.ts';
import type { NetworkRequest } from '../protocol/request.ts';
import { type AttachmentRecord, findRecord, listRecords, lockAttachment } from './attachment-record.ts';
import type { Context } from './context.ts';
import { withNftables } from './features.ts';
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
export async function gc(request: NetworkRequest, context: Context): Promise<void> {
  const { config } = request;
  const valid = config.validAttachments();
  if (!valid) return;
  const started = new Date().toISOString();
  const errors: unknown[] = [];
  const step = async (work: () => void | Promise<void>) => {
    try {
      await work();
    } catch (error) {
      errors.push(...(error instanceof AggregateError ? error.errors : [error]));
    }
  };
  for (const record of listRecords(context.runDir, config.name)) {
    if (!includes(valid, record) && record.created < started) await step(() => removeStale(record, request, context));
  }
  // Looked for before the records are: whatever an ADD has made by then, it had put on record before.
  const links = listLinksOf(config.name, context);
  const elements = listElementsOf(config.name);
  // What is on record still was added since, or could not be removed: its address is not free.
  const kept = [...valid, ...listRecords(context.runDir, config.name)];
  await step(() => {
    // Links go before their addresses are free, or a new container would share one with a container that still answers.
    const names = new Set(kept.map((named) => hostInterfaceName({ ...named, network: config.name })));
    for (const link of links) if (!names.has(link.name)) deleteLink(context.route, link.index);
  });
  await step(() => {
    const comments = new Set(kept.map((named) => ownerComment({ ...named, network: config.name })));
    const stale = elements.filter(({ comment }) => comment !== undefined && !comments.has(comment));
    if (stale.length > 0) withNftables((nft) => removeElements(nft, stale));
  });
  await step(() => {
    const key = { network: config.name, containerId: '', ifname: '' };
    const ipam = findIpam({ ...request, key, cniArgs: new Map(), env: context.env, warn: context.warn });
    return ipam?.collect(kept);
  });
  if (errors.length > 0) throw new AggregateError(errors, `Cannot remove everything stale of network "${config.name}"`);
}

function includes(attachments: readonly Named[], { containerId, ifname }: Named): boolean {
  return attachments.some((entry) => entry.containerId === containerId && entry.ifname === ifname);
}

async function removeStale(stale: AttachmentRecord, request: NetworkRequest, context: Context): Promise<void> {
  const lock = lockAttachment(context.runDir, stale);
  try {
    // Read again under the lock: its DEL, and another ADD, may have come in between.
    const record = findRecord(context.runDir, stale);
    if (record?.created !== stale.created) return;
    await removeAttachment(context, removalOfRecord(record, context, request.path), undefined);
  } finally {
    lock.release();
  }
}

/** Host ends of the network's attachments, by their aliases: their record may be gone. */
function listLinksOf(network: string, context: Context): Link[] {
  return listLinks(context.route).filter((link) => {
    const [program, ofNetwork, containerId = '', ...rest] = link.alias?.split(' ') ?? [];
    // A name that is not the key's hash belongs to an ID that was cut to fit the alias, or is no link of ours.
    return (
      program === 'podlink' &&
      ofNetwork === network &&
      link.name === hostInterfaceName({ network, containerId, ifname: rest.join(' ') })
    );
  });
}

/** Elements of the network's attachments, by their comments. */
function listElementsOf(network: string): Element[] {
  return withNftables((nft) => findElements(nft, ALL_RULESETS, ownerCommentPrefix(network)));
}
