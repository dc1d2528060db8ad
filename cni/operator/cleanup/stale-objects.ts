// What is on the node and belongs to nobody any more, as far as that can be told without a runtime's list of what is
// valid. Whatever may live is left alone, and said to be; liveness.ts has the reasons.
//
//   attachment    on record, and its network namespace is gone, or its ADD was stopped in its middle
//   elements      in podlink's nftables sets, with an owner who has neither a record nor an interface
//   interface     that a feature has made (ifb), with such an owner
//   claim         of route_localnet, with such an owner
//   reservation   of an address: of nobody (a crash), from before a reboot, or of a namespace that is gone

import { diagnose, sentenceOf } from '../../diagnosis/attachment-diagnosis.ts';
import { statSync } from 'node:fs';
import { directoryOf } from '../../../ipam/local/host-local.ts';
import { findHeldAddress, type HeldAddress, releaseAddress, takeInventory } from '../../../ipam/inventory.ts';
import { describeHolder } from '../../../ipam/store/reservation.ts';
import { ALL_RULESETS } from '../../features/feature-registry.ts';
import { findElements } from '../../features/elements/owned-elements.ts';
import { dropLocalnetClaim, listLocalnetClaims } from '../../features/portmap/route-localnet.ts';
import { LockTimeoutError } from '../../kernel/flock.ts';
import { findLink, type Link, listLinks } from '../../kernel/rtnetlink/link/link.ts';
import { deleteLinks } from '../../kernel/rtnetlink/link/link-group.ts';
import { readAlias, hostInterfaceName, ownerComment, ownerCommentPrefix } from '../../attachment/marks.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import { describeKey } from '../../attachment/key.ts';
import { findRecord, listAllRecords } from '../../attachment/record-store.ts';
import { lockAttachment } from '../../attachment/lock.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import type { Context } from '../../verbs/context.ts';
import { featureLinks, NO_TRACES } from '../../verbs/features.ts';
import { removalOfRecord, removeAttachment } from '../../verbs/removal.ts';
import { removeWithHeirs } from '../../verbs/waiting-elements.ts';
import { type AddressBook, listAddressBooks } from '../listing/address-book.ts';
import { binDirsOf, type Call, NETWORK_OPTION } from '../cli/command.ts';
import { findSignOfLife, isNamespaceAtPath, isUnfinished } from '../listing/liveness.ts';

/** A reservation of nobody may be one that somebody is just now writing: see ipam/store/disk-store.ts. */
const ABANDONED_AFTER_MS = 60_000;
/** Whoever holds the lock is busy with the attachment, which is then not stale. */
const LOCK_TIMEOUT_MS = 1000;
const HAS_OWNER = 'its owner is there after all';

export interface StaleObject {
  readonly kind: 'attachment' | 'elements' | 'interface' | 'claim' | 'reservation';
  readonly network: string;
  readonly what: string;
  /** NETWORK/CONTAINERID/IFNAME of elements and claims. */
  readonly owner?: string;
  readonly why: string;
  /** Why it is left alone all the same; undefined when it can go. */
  readonly kept?: string;
  /** Remove it, if it is stale still. */
  remove(): RemovalOutcome | Promise<RemovalOutcome>;
}

/** gone: somebody else has removed it meanwhile. Or why it stays after all. */
export type RemovalOutcome = 'removed' | 'gone' | { readonly kept: string };

/** Find what is stale, of a network or of all. Changes nothing. */
export function findStaleObjects(call: Call): StaleObject[] {
  const { context } = call;
  // Before the records: whatever an ADD has made by then, it had put on record before.
  const elements = listOwnedElements(call.valueOf(NETWORK_OPTION.name), context);
  const links = listFeatureLinks(call.valueOf(NETWORK_OPTION.name), context);
  const records = listAllRecords(context.runDir);
  const wanted = call.valueOf(NETWORK_OPTION.name);
  return [
    ...records
      .filter(({ network }) => wanted === undefined || network === wanted)
      .flatMap((record) => judgeAttachment(record, call) ?? []),
    ...judgeElements(elements, records, context),
    ...judgeLinks(links, records, context),
    ...findStaleClaims(call),
    ...listAddressBooks(call)
      .filter(({ isOurs }) => isOurs)
      .flatMap((book) => judgeReservations(book, records, context)),
  ];
}

/** Find the elements of nobody, of a network or of all: a ruleset that was saved and loaded again may bring some back. */
export function findStaleElements(call: Call): StaleObject[] {
  const { context } = call;
  const elements = listOwnedElements(call.valueOf(NETWORK_OPTION.name), context);
  return judgeElements(elements, listAllRecords(context.runDir), context);
}

function judgeAttachment(record: AttachmentRecord, call: Call): StaleObject | undefined {
  const why = whyStale(record);
  if (why === undefined) return undefined;
  const kept = findSignOfLife(record, call.context);
  return {
    kind: 'attachment',
    network: record.network,
    what: describeKey(record),
    why,
    // An ADD that was stopped has no container to hurt: the runtime has been told nothing.
    ...(kept !== undefined && record.state === 'complete' && { kept }),
    remove: () => removeStaleAttachment(record, call),
  };
}

function whyStale(record: AttachmentRecord): string | undefined {
  if (isUnfinished(record, new Date())) return sentenceOf(diagnose('add-unfinished'));
  if (record.state === 'adding' || isNamespaceAtPath(record)) return undefined;
  return `its network namespace is not at ${record.netns} any more`;
}

async function removeStaleAttachment(stale: AttachmentRecord, call: Call): Promise<RemovalOutcome> {
  const { context } = call;
  const lock = lockAttachment(context.runDir, stale, LOCK_TIMEOUT_MS);
  try {
    // Looked at again under the lock: its DEL, or another ADD, may have come in between.
    const record = findRecord(context.runDir, stale);
    if (!record) return 'gone';
    if (record.created !== stale.created) return { kept: 'it has been added anew meanwhile' };
    if (whyStale(record) === undefined) return { kept: `its network namespace is at ${record.netns} after all` };
    const kept = record.state === 'complete' ? findSignOfLife(record, context) : undefined;
    if (kept !== undefined) return { kept };
    await removeAttachment(context, removalOfRecord(record, context, binDirsOf(call)));
    return 'removed';
  } finally {
    lock.release();
  }
}

type OwnedElements = ReadonlyMap<string, ReturnType<typeof findElements>>;

/** The elements by their comments. */
function listOwnedElements(network: string | undefined, context: Context): OwnedElements {
  const prefix = network === undefined ? '' : ownerCommentPrefix(network);
  const elements = findElements(context.nft, ALL_RULESETS, prefix);
  return Map.groupBy(
    elements.filter(({ comment }) => comment !== undefined),
    ({ comment = '' }) => comment,
  );
}

function judgeElements(elements: OwnedElements, records: readonly AttachmentRecord[], context: Context): StaleObject[] {
  if (elements.size === 0) return [];
  const { keys, hasUnknown } = ownersOfLinks(context);
  const living = new Set([...records, ...keys].map(ownerComment));
  return [...elements].flatMap(([comment, ofOwner]) => {
    if (living.has(comment)) return [];
    return {
      kind: 'elements' as const,
      network: comment.split('/')[0] ?? '',
      what: `${ofOwner.length} nftables elements of ${comment}`,
      owner: comment,
      why: sentenceOf(diagnose('owner-gone')),
      ...(hasUnknown && { kept: 'an interface of podlink is there that does not tell its owner' }),
      remove: () => {
        // A container of the same name may have been added since.
        const { keys: now } = ownersOfLinks(context);
        if ([...listAllRecords(context.runDir), ...now].some((key) => ownerComment(key) === comment))
          return { kept: HAS_OWNER };
        removeWithHeirs(context, ofOwner);
        return 'removed';
      },
    };
  });
}

/** Find the claims of route_localnet that are nobody's, of a network or of all. */
export function findStaleClaims(call: Call): StaleObject[] {
  const { context } = call;
  const wanted = call.valueOf(NETWORK_OPTION.name);
  const isAlive = (key: AttachmentKey): boolean =>
    findRecord(context.runDir, key) !== undefined || findLink(context.route, hostInterfaceName(key)) !== undefined;
  return listLocalnetClaims(context).flatMap((claim) => {
    const { owner, index } = claim;
    if ((wanted !== undefined && owner?.network !== wanted) || (owner && isAlive(owner))) return [];
    const link = findLink(context.route, index)?.name ?? `interface ${index}, which is gone,`;
    return {
      kind: 'claim' as const,
      network: owner?.network ?? '',
      what: `route_localnet of ${link} for ${owner ? describeKey(owner) : 'nobody'}`,
      ...(owner && { owner: ownerComment(owner) }),
      why: 'the attachment has neither a record nor an interface',
      remove: () => (dropLocalnetClaim(context, claim, isAlive) ? 'removed' : { kept: HAS_OWNER }),
    };
  });
}

interface OwnedLink {
  readonly link: Link;
  readonly key: AttachmentKey;
}

/** The links that features have made, by their aliases. One with an ID too long for it is left out: it does not tell. */
function listFeatureLinks(network: string | undefined, context: Context): OwnedLink[] {
  return listLinks(context.route).flatMap((link) => {
    const owner = readAlias(link.alias);
    if (!owner || owner.isHostInterface || (network !== undefined && owner.key.network !== network)) return [];
    const { key } = owner;
    return featureLinks(key, NO_TRACES).some(({ name }) => name === link.name) ? [{ link, key }] : [];
  });
}

function judgeLinks(
  links: readonly OwnedLink[],
  records: readonly AttachmentRecord[],
  context: Context,
): StaleObject[] {
  const isOwned = ({ key }: OwnedLink, known: readonly AttachmentKey[]): boolean =>
    [...known, ...ownersOfLinks(context).keys].some((other) => ownerComment(other) === ownerComment(key));
  return links.flatMap((owned) => {
    if (isOwned(owned, records)) return [];
    return {
      kind: 'interface' as const,
      network: owned.key.network,
      what: `interface ${owned.link.name} of ${describeKey(owned.key)}`,
      why: sentenceOf(diagnose('owner-gone')),
      remove: () => {
        if (isOwned(owned, listAllRecords(context.runDir))) return { kept: HAS_OWNER };
        deleteLinks(context.route, [owned.link]);
        return 'removed';
      },
    };
  });
}

/** Whose the interfaces with our alias are. One with an ID too long for it does not tell. */
function ownersOfLinks(context: Context): { keys: AttachmentKey[]; hasUnknown: boolean } {
  const keys: AttachmentKey[] = [];
  let hasUnknown = false;
  for (const { alias, name } of listLinks(context.route)) {
    const owner = readAlias(alias);
    if (!owner?.isHostInterface) continue;
    if (hostInterfaceName(owner.key) === name) keys.push(owner.key);
    else hasUnknown = true;
  }
  return { keys, hasUnknown };
}

function judgeReservations(book: AddressBook, records: readonly AttachmentRecord[], context: Context): StaleObject[] {
  return takeInventory(book.request).reservations.flatMap((held) => {
    const why = whyReleased(held, book, records, context);
    if (why === undefined) return [];
    return {
      kind: 'reservation' as const,
      network: book.network,
      what: `address ${held.address} of ${describeHolder(held)}`,
      why,
      remove: () => {
        if (findHeldAddress(book.request, held.address) === undefined) return 'gone';
        if (whyReleased(held, book, listAllRecords(context.runDir), context) === undefined) return { kept: HAS_OWNER };
        const { containerId, ifname = '' } = held;
        releaseAddress(book.request, held.address, { containerId, ifname });
        return 'removed';
      },
    };
  });
}

/** Why a reservation can go; undefined when somebody may need it. */
function whyReleased(
  held: HeldAddress,
  { network, request }: AddressBook,
  records: readonly AttachmentRecord[],
  context: Context,
): string | undefined {
  const { containerId, ifname, state, netnsPath, netnsIdentity } = held;
  const isOwner = (record: AttachmentRecord) =>
    record.network === network && record.containerId === containerId && (ifname ?? record.ifname) === record.ifname;
  if (records.some(isOwner)) return undefined;
  if (state === 'nobody') {
    const file = statSync(`${directoryOf(request)}/${held.address}`, { throwIfNoEntry: false });
    const isOld = file !== undefined && Date.now() - file.mtimeMs > ABANDONED_AFTER_MS;
    return isOld ? 'it names nobody, as a crash leaves it' : undefined;
  }
  if (state === 'outlived') return 'it is from before this machine was last started';
  // Without these it is another plugin's, or an older version's, and nobody can tell whether its container lives.
  if (netnsPath === undefined || netnsIdentity === undefined || ifname === undefined) return undefined;
  const objects = { hostInterface: hostInterfaceName({ network, containerId, ifname }) };
  const likeRecord = { netns: netnsPath, netnsIdentity, objects };
  if (isNamespaceAtPath(likeRecord) || findSignOfLife(likeRecord, context) !== undefined) return undefined;
  return `the network namespace of its holder is not at ${netnsPath} any more, and its attachment is not on record`;
}

/** Why something could not be removed. */
export function describeRefusal(error: unknown): string {
  if (error instanceof LockTimeoutError) return 'another call is busy with it';
  const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
  return errors.map((each) => (each instanceof Error ? each.message : String(each))).join('; ');
}
