// Containers that share the network of one that has ended, or that was started anew and has another network now. They keep
// `lo` alone, and nothing but a new ADD helps: podlink changes nothing in a namespace that is shared.

import type { AttachmentRecord } from '../../attachment/record.ts';
import type { Context } from '../../verbs/context.ts';
import { planOfRecord } from '../../verbs/recorded-plan.ts';
import { describeLife, type Life } from './liveness.ts';

/** The remedy for a container whose target is gone. */
export const LOST_TARGET_REMEDY =
  'recreate the container: it keeps the namespace of a target that is gone, in which nothing is repaired';

/** The state of an attachment, with a look at what it shares: for a list. */
export function describeState(record: AttachmentRecord, now: Date, context: Context): Life {
  const life = describeLife(record, now);
  return life === 'complete' && hasLostTarget(record, context) ? 'target gone' : life;
}

function hasLostTarget(record: AttachmentRecord, context: Context): boolean {
  if (record.objects.sharedNetns === undefined) return false;
  try {
    return planOfRecord(record, context, []).plan.steps.hasLostTarget?.(record.objects) ?? false;
  } catch {
    // A configuration that this podlink refuses, or a target that may not be looked at: `attachment inspect` says so.
    return false;
  }
}
