// How an attachment's record changes: on disk before it changes in the kernel. ADD and repair both go through here, so that
// whatever either of them makes is known to the DEL that comes after it.

import { ALL_RULESETS } from '../features/feature-registry.ts';
import { findElements } from '../features/elements/owned-elements.ts';
import { ownerComment } from '../attachment/marks.ts';
import { recordElement } from '../features/elements/recorded-element.ts';
import { writeRecord } from '../attachment/record-store.ts';
import type { AttachmentRecord, RecordedElement } from '../attachment/record.ts';
import type { Context } from './context.ts';

/** Change an attachment's record, and write it. Returns the new one. Throws node:fs errors; nothing has changed then. */
export function changeRecord(
  context: Context,
  record: AttachmentRecord,
  changes: Partial<AttachmentRecord>,
): AttachmentRecord {
  const changed = { ...record, ...changes };
  writeRecord(context.runDir, changed);
  return changed;
}

/**
 * Put on record what features are about to make. What is on record already stays there, since it may be in the kernel. To
 * a complete attachment an object that a feature named at ADD keeps its name and what was noted of it.
 */
export function recordWork(
  context: Context,
  record: AttachmentRecord,
  wanted: Pick<AttachmentRecord, 'features' | 'elements'>,
): AttachmentRecord {
  const known = new Set(record.elements.map(placeOf));
  const elements = [...record.elements, ...wanted.elements.filter((element) => !known.has(placeOf(element)))];
  if (record.state === 'adding') {
    return changeRecord(context, record, { elements, features: { ...record.features, ...wanted.features } });
  }
  const features = { ...wanted.features, ...record.features };
  const isNew =
    elements.length > record.elements.length || Object.keys(features).some((name) => !(name in record.features));
  return isNew ? changeRecord(context, record, { elements, features }) : record;
}

/**
 * Put on record every element in nftables that has its owner's comment. A record of version 0.1.0 may lack some of them;
 * one that says that it has all is left as it is, since to look for them takes longer the more attachments there are.
 */
export function recordFoundElements(context: Context, record: AttachmentRecord): AttachmentRecord {
  if (record.hasAllElements) return record;
  const known = new Set(record.elements.map(placeOf));
  const found = findElements(context.nft, ALL_RULESETS, ownerComment(record))
    .map(recordElement)
    .filter((element) => !known.has(placeOf(element)));
  return changeRecord(context, record, { elements: [...record.elements, ...found], hasAllElements: true });
}

function placeOf({ family, set, key, keyEnd = '' }: RecordedElement): string {
  return `${family} ${set} ${key} ${keyEnd}`;
}
