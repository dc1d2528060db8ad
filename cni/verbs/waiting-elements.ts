// Elements of nftables that two interfaces of one container want, ports of the host above all: runtimes hand the same list
// of ports to each network. The first has them. What the other lacks is on its record, and the removal of the first adds
// it, in the batch that makes the place free.
//
// Without a lock between the two, whoever changes what counts makes the ruleset another generation after it is on record:
//
//   ADD that has to wait    records it, then commits: a removal that has read the records before is refused, and reads again
//   DEL of one that waits   takes it off the record, then commits: likewise, and none adds elements for it any more

import { ALL_RULESETS } from '../features/feature-registry.ts';
import { ownedBy, removeElements } from '../features/elements/owned-elements.ts';
import { readOwnerComment } from '../attachment/marks.ts';
import { recordedWaitingElements, recordElement } from '../features/elements/recorded-element.ts';
import { isErrno } from '../kernel/errno.ts';
import type { Element } from '../kernel/nftables/element.ts';
import { replaceRulesets } from '../kernel/nftables/ruleset.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import { KeptRecord, type RecordChanges } from '../attachment/kept-record.ts';
import { listWaiting } from '../attachment/record-store.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import type { Context } from './context.ts';

/** Make the change to a record that says which elements wait. */
export function waitingOnRecord(waiting: readonly Element[]): RecordChanges {
  return { waiting: waiting.length > 0 ? waiting.map(recordElement) : undefined };
}

/** Have an attachment that is about to be removed wait no more. Call with the attachment locked. */
export function stopWaiting(context: Context, { network, containerId, ifname }: AttachmentKey): void {
  const record = listWaiting(context.runDir, containerId).find(
    (each) => each.network === network && each.ifname === ifname,
  );
  if (!record) return;
  try {
    new KeptRecord(context.runDir, record).change(waitingOnRecord([]));
  } catch (error) {
    // The record cannot be deleted either, then, and is an error in a moment.
    if (!isErrno(error, 'EROFS', 'ENOSPC', 'EDQUOT', 'EACCES', 'EPERM')) throw error;
  }
  const sets = new Set(waitingOf(record).map(({ set }) => set));
  context.nft.commit(replaceRulesets(ALL_RULESETS.filter((ruleset) => ruleset.sets.some((set) => sets.has(set)))));
}

/**
 * Remove elements of attachments, see removeElements(). What waits for their places gets them.
 *
 * `containerIds`: whose the elements are, where their comments do not tell.
 */
export function removeWithHeirs(
  context: Context,
  elements: readonly Element[],
  containerIds: readonly string[] = containersOf(elements),
): void {
  const comments = new Set(elements.map(({ comment }) => comment));
  removeElements(context.nft, elements, () =>
    containerIds
      .flatMap((containerId) => listWaiting(context.runDir, containerId).flatMap(waitingOf))
      .filter(({ comment }) => !comments.has(comment)),
  );
}

function waitingOf(record: AttachmentRecord): Element[] {
  return ownedBy(record, recordedWaitingElements(record.waiting ?? [], ALL_RULESETS));
}

function containersOf(elements: readonly Element[]): string[] {
  return [...new Set(elements.flatMap(({ comment }) => readOwnerComment(comment)?.containerId ?? []))];
}
