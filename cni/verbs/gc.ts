// GC: remove what belongs to no valid attachment of the network (CNI spec, section 2, "GC").

import { ALL_RULESETS } from '../features/feature-registry.ts';
import { findElements } from '../features/elements/owned-elements.ts';
import {
  dropLocalnetClaim,
  listLocalnetClaims,
  releaseRouteLocalnet,
  removeForsakenLocalnet,
} from '../features/portmap/route-localnet.ts';
import type { Element } from '../kernel/nftables/element.ts';
import type { FileLock } from '../kernel/flock.ts';
import { type Link, listLinks } from '../kernel/rtnetlink/link/link.ts';
import { deleteLinks } from '../kernel/rtnetlink/link/link-group.ts';
import {
  readAlias,
  hostInterfaceName,
  ownerComment,
  ownerCommentPrefix,
  readOwnerComment,
} from '../attachment/marks.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import type { NetworkRequest } from '../protocol/request.ts';
import { findRecord, listRecords } from '../attachment/record-store.ts';
import { lockAttachment, removeForsakenFiles } from '../attachment/lock.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import type { Context } from './context.ts';
import { featureLinks, NO_TRACES } from './features.ts';
import { findIpam } from './ipam/ipam.ts';
import { sourceOfNetwork } from './plan-source.ts';
import { removeWithHeirs } from './waiting-elements.ts';
import { findOwnLinks, type Removal, removalOfRecord, removeAttachment } from './removal.ts';

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
  // In one order, so that two collections at once do not wait for each other's locks.
  const records = listRecords(context.runDir, config.name);
  const listed = new Date().toISOString();
  const stale = records
    // One of the future is from before the clock was set back.
    .filter((record) => !includes(valid, record) && (record.created < started || record.created > listed))
    .sort((a, b) => (a.containerId + a.ifname < b.containerId + b.ifname ? -1 : 1));
  await removeAll(stale, request, context, step);
  // Looked for before the records are: whatever an ADD has made by then, it had put on record before.
  const links = listLinksOf(config.name, context);
  const elements = listElementsOf(config.name, context);
  // Attachments that are on record still were added since, or could not be removed: its address is not free.
  const kept = [...valid, ...listRecords(context.runDir, config.name)];
  await step(() => {
    // Links go before their addresses are free, or a new container would share one with a container that still answers.
    const names = new Set(kept.flatMap((named) => linkNamesOf({ ...named, network: config.name })));
    deleteLinks(
      context.route,
      links.filter(({ name }) => !names.has(name)),
    );
  });
  await step(() => {
    const comments = new Set(kept.map((named) => ownerComment({ ...named, network: config.name })));
    const stale = elements.filter(({ comment }) => comment !== undefined && !comments.has(comment));
    if (stale.length > 0) removeWithHeirs(context, stale);
    for (const comment of new Set(stale.map((element) => element.comment))) {
      const owner = readOwnerComment(comment);
      if (owner) releaseRouteLocalnet(context, owner);
    }
  });
  await step(() => collectClaims(config.name, valid, context));
  await step(() => {
    const ipam = findIpam(sourceOfNetwork(request, context, { containerId: '', ifname: '' }));
    return ipam?.collect(kept);
  });
  await step(() => removeForsakenFiles(context.runDir, config.name));
  if (errors.length > 0) throw new AggregateError(errors, `Cannot remove everything stale of network "${config.name}"`);
}

/** Drop the network's claims of route_localnet that are of no valid attachment, and of none on record. */
function collectClaims(network: string, valid: readonly Named[], context: Context): void {
  const isAlive = (key: AttachmentKey) => includes(valid, key) || findRecord(context.runDir, key) !== undefined;
  for (const claim of listLocalnetClaims(context)) {
    if ((claim.owner?.network ?? network) === network) dropLocalnetClaim(context, claim, isAlive);
  }
  removeForsakenLocalnet(context);
}

function includes(attachments: readonly Named[], { containerId, ifname }: Named): boolean {
  return attachments.some((entry) => entry.containerId === containerId && entry.ifname === ifname);
}

/**
 * Remove stale attachments, their links all at once: to delete one takes the kernel as long as to delete a hundred.
 * Those that a DEL is busy with are left to it.
 */
async function removeAll(
  stale: readonly AttachmentRecord[],
  request: NetworkRequest,
  context: Context,
  step: (work: () => void | Promise<void>) => Promise<void>,
): Promise<void> {
  const locks: FileLock[] = [];
  try {
    const removals: Removal[] = [];
    for (const { network, containerId, ifname, created } of stale) {
      await step(() => {
        const key = { network, containerId, ifname };
        locks.push(lockAttachment(context.runDir, key));
        // Read again under the lock: its DEL, and another ADD, may have come in between.
        const record = findRecord(context.runDir, key);
        if (record?.created === created) removals.push(removalOfRecord(record, context, request.path));
      });
    }
    await step(() => {
      const links = removals.map((removal) => findOwnLinks(context, removal));
      deleteLinks(
        context.route,
        links.flatMap(({ ofMode, ofFeatures }) => [...ofMode, ...ofFeatures]),
      );
    });
    for (const removal of removals) await step(() => removeAttachment(context, removal));
  } finally {
    for (const lock of locks) lock.release();
  }
}

/** Links of the network's attachments, by their aliases: their record may be gone. */
function listLinksOf(network: string, context: Context): Link[] {
  return listLinks(context.route).filter((link) => {
    const owner = readAlias(link.alias);
    // A name that is not made from the key belongs to an ID that was cut to fit the alias, or is no link of ours.
    return owner?.key.network === network && linkNamesOf(owner.key).includes(link.name);
  });
}

/** The names of all links that an attachment may have on the host. */
function linkNamesOf(key: AttachmentKey): string[] {
  return [hostInterfaceName(key), ...featureLinks(key, NO_TRACES).map(({ name }) => name)];
}

/** Elements of the network's attachments, by their comments. */
function listElementsOf(network: string, context: Context): Element[] {
  return findElements(context.nft, ALL_RULESETS, ownerCommentPrefix(network));
}
