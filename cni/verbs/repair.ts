// Repair: make attachments again what ADD made of them, after somebody flushed rules, deleted the bridge or a qdisc.
//
// No verb of CNI: runtimes do not ask for it, and rules that a firewall's reload has taken away never come back by
// themselves (https://github.com/containernetworking/cni/issues/778). It works from the records alone, and changes only
// attachments that have something wrong.

import { restoreRulesets } from '../features/elements/owned-elements.ts';
import type { Sandbox } from '../attachment/attachment.ts';
import { CniError } from '../protocol/errors.ts';
import { ipsOf, type Result } from '../protocol/result/result.ts';
import { findRecord } from '../attachment/record-store.ts';
import { lockAttachment } from '../attachment/lock.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { findProblems } from './check.ts';
import type { Context } from './context.ts';
import { applyFeatures, describeAttachment, prepareFeatures, recordOf } from './features.ts';
import { changeRecord, recordFoundElements, recordWork } from './record-change.ts';
import { planOfRecord, type RecordedPlan } from './recorded-plan.ts';
import { removalOfRecord, removeAttachment } from './removal.ts';
import { closeSandbox, openRecordedSandbox } from './sandbox.ts';

/** What became of one attachment. */
export interface Repair {
  readonly record: AttachmentRecord;
  readonly outcome: 'sound' | 'repaired' | 'removed' | 'failed';
  /** What was wrong. */
  readonly found: readonly string[];
  /** What still is, or why nothing could be done. */
  readonly left: readonly string[];
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
    return { record: stale, outcome: 'failed', found: [], left: [messageOf(error)] };
  }
}

async function removeUnfinished(record: AttachmentRecord, context: Context, path: readonly string[]): Promise<Repair> {
  await removeAttachment(context, removalOfRecord(record, context, path));
  return { record, outcome: 'removed', found: ['ADD did not come to its end'], left: [] };
}

async function repairComplete(record: AttachmentRecord, context: Context, path: readonly string[]): Promise<Repair> {
  const sandbox = openRecordedSandbox(record);
  if (!sandbox) {
    const gone = `its network namespace ${record.netns} is gone or another: the runtime's DEL or GC removes the attachment`;
    return { record, outcome: 'failed', found: [gone], left: [gone] };
  }
  try {
    const { key, plan, expected } = planOfRecord(record, context, path);
    const found = await findProblems(context, key, plan, sandbox, expected);
    if (found.length === 0) return { record, outcome: 'sound', found, left: [] };
    const { repaired, refusals } = makeAgain(context, { key, plan, expected }, sandbox, record);
    const left = [...refusals, ...(await findProblems(context, key, plan, sandbox, repaired))];
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
  { plan: { steps, features }, expected }: RecordedPlan,
  sandbox: Sandbox,
  record: AttachmentRecord,
): { repaired: Result; refusals: string[] } {
  let current = record;
  let repaired = expected;
  const attempts = [
    () => {
      const made = steps.repair?.(context, sandbox, expected);
      if (!made) return;
      repaired = { ...expected, interfaces: [...made.interfaces] };
      current = changeRecord(context, current, { result: repaired });
    },
    () => {
      const attachment = describeAttachment(record, record.objects, {
        ...repaired,
        ips: ipsOf(repaired, record.ifname),
      });
      const work = prepareFeatures(context, sandbox, features, attachment);
      restoreRulesets(context.nft, work.nftables.rulesets);
      current = recordWork(context, recordFoundElements(context, current), recordOf(work));
      const { waiting: _, ...others } = current;
      const made = applyFeatures(context, sandbox, { ...work, objects: current.features });
      if (current.waiting !== undefined || made.waiting !== undefined) changeRecord(context, others, made);
    },
  ];
  const refusals = attempts.flatMap((attempt) => {
    try {
      attempt();
      return [];
    } catch (error) {
      return [messageOf(error)];
    }
  });
  return { repaired, refusals };
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
    return { ...repair, outcome: 'failed', left: [messageOf(error)] };
  }
}

async function findProblemsOnRecord(
  record: AttachmentRecord,
  context: Context,
  path: readonly string[],
): Promise<string[]> {
  const sandbox = openRecordedSandbox(record);
  if (!sandbox) return [`its network namespace ${record.netns} is gone, or another is at this path`];
  try {
    const { key, plan, expected } = planOfRecord(record, context, path);
    return await findProblems(context, key, plan, sandbox, expected);
  } finally {
    closeSandbox(sandbox);
  }
}

/** The operator reads it, to whom a note is addressed. */
function messageOf(error: unknown): string {
  if (error instanceof CniError && error.note !== '') return `${error.message} (${error.note})`;
  return error instanceof Error ? error.message : String(error);
}
