// Repair: make attachments again what ADD made of them, after somebody flushed rules, deleted the bridge or a qdisc.
//
// No verb of CNI: runtimes do not ask for it, and rules that a firewall's reload has taken away never come back by
// themselves (https://github.com/containernetworking/cni/issues/778). It works from the records alone, and changes only
// attachments that have something wrong.

import { describeAttachment, prepareFeatures, applyFeatures } from './features.ts';
import { restoreRulesets } from '../features/owned-elements.ts';
import { CniError } from '../protocol/errors.ts';
import { ipsOf } from '../protocol/result.ts';
import { type AttachmentRecord, findRecord, lockAttachment } from './attachment-record.ts';
import { findProblems } from './check.ts';
import type { Context } from './context.ts';
import type { Plan } from './plan.ts';
import { planOfRecord } from './recorded-plan.ts';
import { removalOfRecord, removeAttachment } from './removal.ts';
import { closeSandbox, openRecordedSandbox } from './sandbox.ts';
import type { Attached, Sandbox } from '../modes/mode.ts';

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
 * Look at an attachment on record and repair it. One that a killed ADD left is removed, as the next ADD or DEL would.
 *
 * `path`: where foreign IPAM plugins are. Throws LockTimeoutError while another call is busy with the attachment.
 */
export async function repairAttachment(
  stale: AttachmentRecord,
  context: Context,
  path: readonly string[],
): Promise<Repair | undefined> {
  const lock = lockAttachment(context.runDir, stale);
  try {
    const record = findRecord(context.runDir, stale);
    // Its DEL was faster, or another ADD of the same name.
    if (record?.created !== stale.created) return undefined;
    return record.state === 'complete'
      ? await repairComplete(record, context, path)
      : await removeUnfinished(record, context, path);
  } catch (error) {
    return { record: stale, outcome: 'failed', found: [], left: [messageOf(error)] };
  } finally {
    lock.release();
  }
}

async function removeUnfinished(record: AttachmentRecord, context: Context, path: readonly string[]): Promise<Repair> {
  await removeAttachment(context, removalOfRecord(record, context, path), undefined);
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
    const refusals = makeAgain(context, plan, sandbox, record, expected);
    const left = [...refusals, ...(await findProblems(context, key, plan, sandbox, expected))];
    return { record, outcome: left.length === 0 ? 'repaired' : 'failed', found, left };
  } finally {
    closeSandbox(sandbox);
  }
}

/** Mode and features each do what they can, whatever becomes of the other. Returns what was in the way. */
function makeAgain(
  context: Context,
  { steps, features }: Plan,
  sandbox: Sandbox,
  record: AttachmentRecord,
  expected: Attached,
): string[] {
  const attempts = [
    () => steps.repair?.(context, sandbox, expected),
    () => {
      const ips = ipsOf(expected, record.ifname);
      const attachment = describeAttachment(record, record.objects, { ...expected, ips });
      const work = prepareFeatures(context, sandbox, features, attachment);
      restoreRulesets(context.nft, work.nftables.rulesets);
      applyFeatures(context, sandbox, { ...work, objects: record.features });
    },
  ];
  return attempts.flatMap((attempt) => {
    try {
      attempt();
      return [];
    } catch (error) {
      return [messageOf(error)];
    }
  });
}

/** The operator reads it, to whom a note is addressed. */
function messageOf(error: unknown): string {
  if (error instanceof CniError && error.note !== '') return `${error.message} (${error.note})`;
  return error instanceof Error ? error.message : String(error);
}
