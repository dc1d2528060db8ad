// CHECK: is the attachment still as ADD left it? (CNI spec, section 2, "CHECK")

import {
  type AttachmentDiagnosis,
  diagnose,
  sentencesOf,
  withoutConsequences,
} from '../diagnosis/attachment-diagnosis.ts';
import { isErrno } from '../kernel/errno.ts';
import { CniError, ERR_CHECK_FAILED, ERR_INVALID_NETWORK_CONFIG } from '../protocol/errors.ts';
import type { AttachmentRequest } from '../protocol/request.ts';
import { type Attachment, type Expected, interfaceOf, type Sandbox } from '../attachment/attachment.ts';
import { NO_UNDO } from '../attachment/undo-stack.ts';
import { type Ip, ipsOf } from '../protocol/result/result.ts';
import { unsaidIn } from '../protocol/result/unsaid.ts';
import { isSupportedVersion } from '../protocol/version.ts';
import { describeKey, keyOf } from '../attachment/key.ts';
import { findRecord } from '../attachment/record-store.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import type { Context } from './context.ts';
import { checkFeatures } from './features.ts';
import { loadScript } from './packed-script.ts';
import { type Plan, planRequest } from './plan.ts';
import { sourceOfRequest } from './plan-source.ts';
import { planOfRecord } from './recorded-plan.ts';
import { closeSandbox, isAsRecorded, openRecordedSandbox, openSandbox } from './sandbox.ts';
import { completeResult } from './told-result.ts';

/** Look at everything ADD made. Throws CniError 101 that lists all that is wrong. Changes nothing. */
export async function check(request: AttachmentRequest, context: Context): Promise<void> {
  const key = keyOf(request);
  const plan = planRequest(sourceOfRequest(request, context), context);
  const told = request.config.prevResult();
  if (!told)
    throw new CniError(
      ERR_INVALID_NETWORK_CONFIG,
      'Required prevResult missing: CHECK compares with what ADD returned',
    );
  const record = findRecord(context.runDir, key);
  const { prevResultVersion } = request.config;
  const unsaid = isSupportedVersion(prevResultVersion) ? unsaidIn(prevResultVersion) : undefined;
  const expected = unsaid ? completeResult(told, unsaid, record?.result) : told;
  // In host mode CNI_NETNS is meant to be our own namespace; the record says so.
  const isShared = record?.objects.sharedNetns !== undefined;
  const sandbox = openSandbox({ ...request, netnsOverride: request.netnsOverride || isShared });
  try {
    await warnOfForwardDrops(request, plan, expected, context);
    // Of an attachment without a record, another plugin's above all, the plan tells the objects.
    const objects = plan.mode.hasOwnInterface ? plan.steps.objects() : {};
    const attachment = { key, host: context, sandbox, objects, undo: NO_UNDO };
    const problems = [
      ...checkRecord(record, sandbox),
      ...(await findProblems(context, attachment, plan, {
        expected: asRecorded(expected, record),
        ownIps: record?.result?.ips,
      })),
    ];
    if (problems.length > 0) {
      const remedy = plan.steps.repair ? 'run `podlink repair`, or recreate the pod' : 'recreate the pod';
      throw new CniError(
        ERR_CHECK_FAILED,
        `CHECK of ${describeKey(key)} failed: ${sentencesOf(problems).join('; ')}; ${remedy}`,
      );
    }
  } finally {
    closeSandbox(sandbox);
  }
}

/**
 * What ADD returned, with the MAC addresses that the host's interfaces have by the record: the runtime keeps the result of
 * ADD, and a repair since may have found the bridge with another.
 */
function asRecorded(expected: Expected, record: AttachmentRecord | undefined): Expected {
  const recorded = record?.result?.interfaces.filter(({ sandbox }) => !sandbox) ?? [];
  const interfaces = expected.interfaces.map((entry) => {
    const mac = entry.sandbox ? undefined : recorded.find(({ name }) => name === entry.name)?.mac;
    return mac === undefined ? entry : { ...entry, mac };
  });
  return { ...expected, interfaces };
}

/** An attachment may have no record: another plugin has made it, or /run has been wiped. DEL finds what is there then. */
function checkRecord(record: AttachmentRecord | undefined, sandbox: Sandbox): AttachmentDiagnosis[] {
  if (!record) return [];
  const problems: AttachmentDiagnosis[] = [];
  if (record.state !== 'complete') problems.push(diagnose('add-unfinished'));
  if (!isAsRecorded(sandbox.netns, record)) problems.push(diagnose('namespace-changed', { subject: sandbox.path }));
  return problems;
}

/** The state that an attachment must be in. */
export interface Told {
  /** What ADD returned, or the whole list of plugins. */
  readonly expected: Expected;
  /** The part of it that is podlink's, if that is known: a later plugin may have added addresses that neither features nor IPAM know. */
  readonly ownIps?: readonly Ip[] | undefined;
}

/** Find all that is wrong with an attachment. */
export async function findProblems(
  context: Context,
  attachment: Attachment,
  { steps, features, ipam }: Plan,
  { expected, ownIps }: Told,
): Promise<AttachmentDiagnosis[]> {
  const { key, objects } = attachment;
  const ips = ownIps ?? ipsOf(expected, key.ifname);
  const connected = { ...attachment, ...interfaceOf(key, objects, { ...expected, ips }) };
  const problems = [
    () => steps.check(attachment, expected),
    // Without the interface nobody can tell whose frames the rules must be about: the mode says that it is missing.
    () => (connected.mac === undefined ? [] : checkFeatures(context, connected, features)),
  ].flatMap(unlessVanished);
  try {
    await ipam?.check(ips);
  } catch (error) {
    problems.push(diagnose('address-management-failed', { found: messageOf(error) }));
  }
  return withoutConsequences(problems);
}

/**
 * Find all that CHECK would find wrong with an attachment now, from its record alone. `path`: where foreign IPAM plugins are,
 * which are asked too.
 */
export async function findProblemsOnRecord(
  record: AttachmentRecord,
  context: Context,
  path: readonly string[],
): Promise<AttachmentDiagnosis[]> {
  const sandbox = openRecordedSandbox(record);
  if (!sandbox) return [diagnose('namespace-gone', { subject: record.netns })];
  try {
    const { key, plan, expected } = planOfRecord(record, context, path);
    const attachment = { key, host: context, sandbox, objects: record.objects, undo: NO_UNDO };
    return await findProblems(context, attachment, plan, { expected });
  } finally {
    closeSandbox(sandbox);
  }
}

/** An interface may vanish while it is looked at, by a DEL at the same time: that is what is wrong then. */
function unlessVanished(look: () => AttachmentDiagnosis[]): AttachmentDiagnosis[] {
  try {
    return look();
  } catch (error) {
    if (!isErrno(error, 'ENODEV')) throw error;
    return [diagnose('interface-vanished', { found: messageOf(error) })];
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Tell of other firewalls that stop the attachment's traffic: no problem of the attachment, and not ours to mend. */
async function warnOfForwardDrops(
  { config }: AttachmentRequest,
  { mode, steps }: Plan,
  expected: Expected,
  context: Context,
): Promise<void> {
  const bridge = mode.hasOwnInterface ? steps.objects().bridge : undefined;
  if (bridge === undefined) return;
  const { describeForwardDrops, trafficOf } = (await loadScript(
    'foreign-firewall.cjs',
  )) as typeof import('../features/firewall/foreign-firewall.ts');
  const addresses = {
    containers: expected.ips.map(({ address }) => address),
    gateways: expected.ips.flatMap(({ gateway }) => gateway ?? []),
  };
  const isPublishing = config.runtimeConfig.get('portMappings') !== undefined;
  const traffic = trafficOf(bridge, config.fields, { addresses, isPublishing });
  try {
    for (const sentence of describeForwardDrops(context.nft, traffic)) context.warn(sentence);
  } catch (error) {
    // An attachment without rules is sound on a kernel that has no nf_tables, too.
    context.warn(`cannot look at other firewalls: ${messageOf(error)}`);
  }
}
