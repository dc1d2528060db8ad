// Owners of nftables elements that an ADD must not take them from: those that are connected have the same address.

import { ownerComment, readOwnerComment } from '../attachment/marks.ts';
import { describeElement, type Element } from '../kernel/nftables/element.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import { CniError, ERR_ALREADY_EXISTS } from '../protocol/errors.ts';
import { describeKey } from '../attachment/key.ts';
import { findRecord, listAllRecords } from '../attachment/record-store.ts';
import type { Context } from './context.ts';
import { findHostEnd } from './host-end.ts';

/**
 * Throw CniError 102 for an element whose owner is connected: it needs the element, and has the same address.
 *
 * The operator hears which container that is; the error, which whoever started this one may read, names its network alone.
 */
export function refuseConnected(context: Context, key: AttachmentKey, element: Element): void {
  const owner = findConnected(context, element.comment);
  if (!owner) return;
  const remedy =
    owner.network === key.network
      ? 'the reservation of the address has been lost: recreate one of the two'
      : 'two networks of this node must not have the same addresses: give one of them another subnet';
  context.warn(`${describeElement(element)} of set ${element.set.name} belongs to ${describeKey(owner)}`);
  throw new CniError(
    ERR_ALREADY_EXISTS,
    `Cannot attach ${describeKey(key)}: a container of network "${owner.network}" is connected with the same address (${remedy})`,
  );
}

/** The owner that a comment names, if its interface is on the host: by its record, or without one by its name. */
function findConnected(context: Context, comment: string | undefined): AttachmentKey | undefined {
  const named = readOwnerComment(comment);
  // A comment that is cut names nobody: its record is looked for among all.
  const record = named
    ? findRecord(context.runDir, named)
    : listAllRecords(context.runDir).find((each) => ownerComment(each) === comment);
  const key = record ?? named;
  if (!key) return undefined;
  return findHostEnd(context, key, record?.objects.hostInterface) ? key : undefined;
}
