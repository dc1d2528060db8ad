// The owners of nftables elements by the node's records and links: whether one is gone for good.

import { type Owners, ownersByComment, type Relation } from '../features/elements/element-owners.ts';
import { ownerComment, readOwnerComment } from '../attachment/marks.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import { findRecord, listAllRecords } from '../attachment/record-store.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import type { Context } from './context.ts';
import { findHostEnd } from './host-end.ts';

/** The owners as an attachment sees them. Each is looked at once. */
export function ownersOnRecord(context: Context, key: AttachmentKey): Owners {
  const byComment = ownersByComment(key);
  const known = new Map<string, Relation>();
  return {
    relationOf(comment) {
      const relation = byComment.relationOf(comment);
      if (relation !== 'other' || comment === undefined) return relation;
      const found = known.get(comment) ?? relationOnRecord(context, key, comment);
      known.set(comment, found);
      return found;
    },
    warn: context.warn,
  };
}

function relationOnRecord(context: Context, key: AttachmentKey, comment: string): Relation {
  const owner = readOwnerComment(comment);
  // A comment that is cut names nobody: its record is looked for among all.
  const record = owner
    ? findRecord(context.runDir, owner)
    : listAllRecords(context.runDir).find((each) => ownerComment(each) === comment);
  if (record?.containerId === key.containerId) return 'sibling';
  return isGone(context, record, owner) ? 'gone' : 'other';
}

/**
 * Whether an attachment is certainly gone: its interface is. The kernel takes a veth pair away together with the namespace
 * of either end, so that as long as the container's namespace is there, the host's end is, whatever is at the path of the
 * namespace; and a path may show another namespace by now that has the same number.
 */
function isGone(context: Context, record: AttachmentRecord | undefined, owner: AttachmentKey | undefined): boolean {
  // An ADD has made its interface before it adds an element, and a DEL removes that first.
  const key = record ?? owner;
  // A record that names no interface is of a mode without one.
  if (!key || (record && record.objects.hostInterface === undefined)) return false;
  return findHostEnd(context, key, record?.objects.hostInterface) === undefined;
}
