// Repair: make attachments again what ADD made of them, after somebody flushed rules, deleted the bridge or a qdisc.
//
// No verb of CNI: runtimes do not ask for it, and rules that a firewall's reload has taken away never come back by
// themselves (https://github.com/containernetworking/cni/issues/778). It works from the records alone, and changes only
// attachments that have something wrong.

import { type AttachmentDiagnosis, diagnose } from '../diagnosis/attachment-diagnosis.ts';
import { type Attachment, interfaceOf } from '../attachment/attachment.ts';
import { joinElements, KeptRecord } from '../attachment/kept-record.ts';
import { lockAttachment } from '../attachment/lock.ts';
import { ownerComment } from '../attachment/marks.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { findRecord } from '../attachment/record-store.ts';
import { NO_UNDO } from '../attachment/undo-stack.ts';
import { findElements, restoreRulesets } from '../features/elements/owned-elements.ts';
import { recordElement } from '../features/elements/recorded-element.ts';
import { ALL_RULESETS } from '../features/feature-registry.ts';
import { CniError } from '../protocol/errors.ts';
import { ipsOf, type Result } from '../protocol/result/result.ts';
import { findProblems, findProblemsOnRecord } from './check.ts';
import type { Context } from './context.ts';
import { applyFeatures, prepareFeatures, recordOf } from './features.ts';
import { planOfRecord, type RecordedPlan } from './recorded-plan.ts';
import { removalOfRecord, removeAttachment } from './removal.ts';
import { closeSandbox, openRecordedSandbox } from './sandbox.ts';

/** The fate of one attachment. */
export interface Repair {
  readonly record: AttachmentRecord;
  readonly outcome: 'sound' | 'repaired' | 'removed' | 'failed';
  /** The faults that were found. */
  readonly found: readonly AttachmentDiagnosis[];
  /** The faults that are left, or why nothing could be done. */
  readonly left: readonly AttachmentDiagnosis[];
}

/**
 * Look at attachments on record and repair them, one after the other. One that a killed ADD left is removed, as the next ADD
 * or DEL would.
 *
 * At the end all are looked at once more: two networks may want one bridge to be two different things, and what repairs the
 * one damages the other. `path`: where foreign IPAM plugins are.
 */
export async function repairAttachments(
  records: readonly AttachmentRecord[],
  context: Context,
  path: readonly string[],
): Promise<Repair[]> {
  const repairs: Repair[] = [];
  for (const record of records) {
    const repair = await repairAttachment(record, context, path);
    if (repair) repairs.push(repair);
  }
  if (!repairs.some(({ outcome }) => outcome === 'repaired')) return repairs;
  const looked: Repair[] = [];
  for (const repair of repairs) looked.push(await lookAgain(repair, context, path));
  return looked;
}

async function repairAttachment(
  stale: AttachmentRecord,
  context: Context,
  path: readonly string[],
): Promise<Repair | undefined> {
  try {
    const lock = lockAttachment(context.runDir, stale);
    try {
      const record = findRecord(context.runDir, stale);
      // Its DEL was faster, or another ADD of the same name.
      if (record?.created !== stale.created) return undefined;
      return record.state === 'complete'
        ? await repairComplete(record, context, path)
        : await removeUnfinished(record, context, path);
    } finally {
      lock.release();
    }
  } catch (error) {
    return { record: stale, outcome: 'failed', found: [], left: [refusalOf(error)] };
  }
}

async function removeUnfinished(record: AttachmentRecord, context: Context, path: readonly string[]): Promise<Repair> {
  await removeAttachment(context, removalOfRecord(record, context, path));
  return { record, outcome: 'removed', found: [diagnose('add-unfinished')], left: [] };
}

async function repairComplete(record: AttachmentRecord, context: Context, path: readonly string[]): Promise<Repair> {
  const sandbox = openRecordedSandbox(record);
  if (!sandbox) {
    const gone = diagnose('namespace-gone', { subject: record.netns });
    return { record, outcome: 'failed', found: [gone], left: [gone] };
  }
  try {
    const recorded = planOfRecord(record, context, path);
    const attachment = { key: recorded.key, host: context, sandbox, objects: record.objects, undo: NO_UNDO };
    const found = await findProblems(context, attachment, recorded.plan, recorded);
    if (found.length === 0) return { record, outcome: 'sound', found, left: [] };
    const { repaired, refusals } = makeAgain(context, attachment, recorded, new KeptRecord(context.runDir, record));
    const left = [...refusals, ...(await findProblems(context, attachment, recorded.plan, { expected: repaired }))];
    return { record, outcome: left.length === 0 ? 'repaired' : 'failed', found, left };
  } finally {
    closeSandbox(sandbox);
  }
}

/**
 * Mode and features each do what they can, whatever becomes of the other. Returns what the attachment is now, and what was
 * in the way.
 */
function makeAgain(
  context: Context,
  attachment: Attachment,
  { plan: { steps, features }, expected }: RecordedPlan,
  record: KeptRecord,
): { repaired: Result; refusals: AttachmentDiagnosis[] } {
  let repaired = expected;
  const attempts = [
    () => {
      const made = steps.repair?.(attachment, expected);
      if (!made) return;
      repaired = { ...expected, interfaces: [...made.interfaces] };
      record.change({ result: repaired });
    },
    () => {
      const { key, objects } = attachment;
      const own = interfaceOf(key, objects, { ...repaired, ips: ipsOf(repaired, key.ifname) });
      const work = prepareFeatures(context, { ...attachment, ...own }, features);
      restoreRulesets(context.nft, work.nftables.rulesets);
      addFoundElements(context, record);
      record.add(recordOf(work));
      applyFeatures(context, { ...work, objects: record.current.features }, record);
    },
  ];
  const refusals = attempts.flatMap((attempt) => {
    try {
      attempt();
      return [];
    } catch (error) {
      return [refusalOf(error)];
    }
  });
  return { repaired, refusals };
}

/**
 * Put on record every element in nftables that has its owner's comment. A record of version 0.1.0 may lack some of them;
 * one that says that it has all is left as it is, since to look for them takes longer the more attachments there are.
 */
function addFoundElements(context: Context, record: KeptRecord): void {
  const { current } = record;
  if (current.hasAllElements) return;
  const found = findElements(context.nft, ALL_RULESETS, ownerComment(current)).map(recordElement);
  record.change({ elements: joinElements(current.elements, found), hasAllElements: true });
}

/** Whether what was repaired, or was sound, still is. */
async function lookAgain(repair: Repair, context: Context, path: readonly string[]): Promise<Repair> {
  if (repair.outcome !== 'repaired' && repair.outcome !== 'sound') return repair;
  const record = findRecord(context.runDir, repair.record);
  // Its DEL has come in between, and perhaps another ADD: that is not the attachment of which there is something to say.
  if (record?.created !== repair.record.created) return repair;
  try {
    const left = await findProblemsOnRecord(record, context, path);
    return left.length === 0 ? repair : { ...repair, outcome: 'failed', left };
  } catch (error) {
    return { ...repair, outcome: 'failed', left: [refusalOf(error)] };
  }
}

/** The operator reads it, to whom a note is addressed. */
function refusalOf(error: unknown): AttachmentDiagnosis {
  const message = error instanceof Error ? error.message : String(error);
  const note = error instanceof CniError && error.note !== '' ? ` (${error.note})` : '';
  return diagnose('repair-failed', { found: `${message}${note}` });
}
