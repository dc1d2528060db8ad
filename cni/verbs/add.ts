// ADD: connect a container to the network (CNI spec, section 2, "ADD").
//
// First everything that can be said against the request is said: mode, features and IPAM have each accepted the
// configuration before anything changes. Then the record is written, and only then the kernel is touched. Any failure
// after that takes everything back.

import { recordNetns } from '../kernel/netns.ts';
import { refuseUnservedProtection } from '../features/firewall/unserved-protection.ts';
import type { Attached, Sandbox } from '../attachment/attachment.ts';
import { UndoStack } from '../attachment/undo-stack.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import {
  CniError,
  ERR_ALREADY_EXISTS,
  ERR_CLEANUP_INCOMPLETE,
  ERR_INVALID_NETNS,
  ERR_INVALID_NETWORK_CONFIG,
  toCniError,
} from '../protocol/errors.ts';
import { type AttachmentRequest, refuseMalformedArgs } from '../protocol/request.ts';
import { encodeResult } from '../protocol/result/result-codec.ts';
import type { Result } from '../protocol/result/result.ts';
import { describeKey, keyOf } from '../attachment/key.ts';
import { deleteRecord, findRecord } from '../attachment/record-store.ts';
import { lockAttachment } from '../attachment/lock.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import type { Context } from './context.ts';
import {
  applyFeatures,
  describeAttachment,
  type EarlyWork,
  featureRemovals,
  prepareEarly,
  prepareFeatures,
  recordOf,
  removeOwnElements,
} from './features.ts';
import type { Ipam } from './ipam/ipam.ts';
import { changeRecord, recordWork } from './record-change.ts';
import { type Plan, planRequest } from './plan.ts';
import { removalOfRecord, removeAttachment } from './removal.ts';
import { closeSandbox, openSandbox } from './sandbox.ts';
import { beginRecord, refuseOthers } from './sole-attachment.ts';

/** Connect the container. Returns the result to print. Throws CniError, FieldError or an error toCniError() knows. */
export async function add(request: AttachmentRequest, context: Context): Promise<Result> {
  const key = keyOf(request);
  refuseMalformedArgs(request);
  refuseUnservedProtection(request.config.fields);
  const plan = planRequest({ ...request, key }, context);
  const prepared = plan.ipam?.prepare();
  const previous = request.config.prevResult();
  if (plan.mode.hasOwnInterface && previous) refuseSecondInterface(key, previous);
  context.mark('plan');
  const lock = lockAttachment(context.runDir, key);
  try {
    // Before the sandbox is opened: the remains of a killed ADD may be a mount that shows another namespace there.
    await settleEarlierAdd(request, context, key);
    const sandbox = openOwnSandbox(request, context, plan);
    try {
      return await attach(request, context, plan, prepared, sandbox, previous);
    } finally {
      closeSandbox(sandbox);
    }
  } finally {
    lock.release();
  }
}

/** An earlier plugin of the list has made the interface: podlink is no plugin that works on another's. */
function refuseSecondInterface(key: AttachmentKey, previous: Result): void {
  if (!previous.interfaces.some(({ name, sandbox }) => name === key.ifname && sandbox)) return;
  throw new CniError(
    ERR_INVALID_NETWORK_CONFIG,
    `Cannot attach ${describeKey(key)}: an earlier plugin of the list has made "${key.ifname}", and podlink makes the interface itself: put podlink in its place, or make two networks of them`,
  );
}

/** Open the sandbox. Where another network's attachment shows our own namespace there, that one is what is wrong. */
function openOwnSandbox(request: AttachmentRequest, context: Context, plan: Plan): Sandbox {
  try {
    return openSandbox(request);
  } catch (error) {
    if (error instanceof CniError && error.code === ERR_INVALID_NETNS) {
      refuseOthers(context.runDir, { ...keyOf(request), netns: request.netns, mode: plan.mode.name });
    }
    throw error;
  }
}

/** An ADD that was killed left its record: finish its removal. One that came to its end is an attachment: refuse. */
async function settleEarlierAdd(request: AttachmentRequest, context: Context, key: AttachmentKey): Promise<void> {
  const record = findRecord(context.runDir, key);
  if (!record) return;
  if (record.state === 'complete') {
    throw new CniError(
      ERR_ALREADY_EXISTS,
      `Cannot attach container "${key.containerId}" to network "${key.network}" as "${key.ifname}": it is attached already since ${record.created}, in ${record.netns} (run DEL first)`,
    );
  }
  await removeAttachment(context, removalOfRecord(record, context, request.path));
}

async function attach(
  request: AttachmentRequest,
  context: Context,
  plan: Plan,
  prepared: ReturnType<Ipam['prepare']> | undefined,
  sandbox: Sandbox,
  previous: Result | undefined,
): Promise<Result> {
  const key = keyOf(request);
  let begun = firstRecord(request, plan, sandbox);
  const undo = new UndoStack();
  try {
    beginRecord(context.runDir, begun);
    context.mark('record');
    const addressing = (await prepared?.allocate()) ?? { ips: [], routes: [], dns: {} };
    // Not before: an allocation that fails takes back its own, and an owner who is refused because he holds an address
    // already must keep it.
    context.mark('ipam');
    if (prepared) undo.push('release the addresses', () => plan.ipam?.release());
    const early = prepareEarly(context, sandbox, plan.features, {
      key,
      addresses: addressing.ips.map(({ address }) => address),
    });
    if (early) begun = settleNamespace(context, sandbox, begun, { early, undo });
    const tuned = early ? { ...sandbox, beforeUp: early.setInterface } : sandbox;
    const attached = plan.steps.attach(context, tuned, addressing, undo, begun.objects);
    context.mark('mode');
    const complete = addFeatures(context, sandbox, plan, begun, attached, undo);
    context.mark('features');
    const result = joinResults(previous, withConfiguredDns(plan, attached));
    // Old versions cannot say everything (0.2.0 knows no interface without address): what cannot be told must not stay.
    encodeResult(result, request.config.cniVersion);
    changeRecord(context, complete, { state: 'complete', result: attached });
    context.mark('record again');
    return result;
  } catch (error) {
    context.mark('failing step');
    context.renewNft();
    const failures = await undo.run();
    context.mark('undo');
    // Whatever could not be taken back stays on record, for DEL.
    if (failures.length === 0) deleteRecord(context.runDir, key);
    throw afterUndo(error, failures, key);
  }
}

function firstRecord(request: AttachmentRequest, plan: Plan, sandbox: Sandbox): AttachmentRecord {
  const { prevResult: _, ...config } = request.config.fields.raw;
  return {
    version: 1,
    state: 'adding',
    ...keyOf(request),
    netns: request.netns,
    ...recordNetns(sandbox.netns),
    mode: plan.mode.name,
    objects: plan.steps.objects(),
    addresses: [],
    features: {},
    elements: [],
    hasAllElements: true,
    config,
    cniArgs: Array.from(request.args, ([name, value]) => `${name}=${value}`).join(';'),
    created: new Date().toISOString(),
  };
}

/** Have features set what new interfaces of the namespace take over. Returns the record with what has been changed. */
function settleNamespace(
  context: Context,
  sandbox: Sandbox,
  begun: AttachmentRecord,
  { early, undo }: { readonly early: EarlyWork; readonly undo: UndoStack },
): AttachmentRecord {
  if (Object.keys(early.objects).length === 0) return begun;
  const record = changeRecord(context, begun, { features: early.objects });
  const traces = { objects: early.objects, elements: [] };
  for (const { name, remove } of featureRemovals(context, begun, traces, () => sandbox.netns)) {
    undo.push(`remove ${name}`, remove);
  }
  early.setNamespace();
  return record;
}

/** Add the features to what the mode has made. Returns the record with all that is there by then. */
function addFeatures(
  context: Context,
  sandbox: Sandbox,
  plan: Plan,
  begun: AttachmentRecord,
  attached: Attached,
  undo: UndoStack,
): AttachmentRecord {
  const attachment = describeAttachment(begun, begun.objects, attached);
  const work = prepareFeatures(context, sandbox, plan.features, attachment);
  const addressed = { ...begun, addresses: attachment.addresses };
  if (plan.features.length === 0) {
    // Rules that another attachment needs of its neighbours.
    applyFeatures(context, sandbox, work);
    return addressed;
  }
  // The addresses and the interface are known only now, and DEL must find what is about to be made for them.
  const record = recordWork(context, addressed, recordOf(work));
  const traces = { objects: record.features, elements: work.nftables.elements };
  for (const { name, remove } of featureRemovals(context, attachment.key, traces, () => sandbox.netns)) {
    undo.push(`remove ${name}`, remove);
  }
  undo.push('remove the elements of nftables', () => removeOwnElements(context, attachment.key, traces));
  return { ...record, ...applyFeatures(context, sandbox, work) };
}

/**
 * The configuration's `dns` replaces IPAM's as soon as one of its fields is set, as in the reference bridge plugin. Each
 * list of the capability `dns` replaces that list alone.
 */
function withConfiguredDns({ dns: { configured, requested } }: Plan, attached: Attached): Attached {
  const isConfigured = configured !== undefined && Object.keys(configured).length > 0;
  return { ...attached, dns: { ...(isConfigured ? configured : attached.dns), ...requested } };
}

/** In a chain our result is the previous one with ours added: later plugins and the runtime see both. */
function joinResults(previous: Result | undefined, ours: Attached): Result {
  if (!previous)
    return { interfaces: [...ours.interfaces], ips: [...ours.ips], routes: [...ours.routes], dns: ours.dns };
  const offset = previous.interfaces.length;
  return {
    interfaces: [...previous.interfaces, ...ours.interfaces],
    ips: [
      ...previous.ips,
      ...ours.ips.map((ip) => (ip.interface === undefined ? ip : { ...ip, interface: ip.interface + offset })),
    ],
    routes: [...previous.routes, ...ours.routes],
    dns: Object.keys(ours.dns).length > 0 ? ours.dns : previous.dns,
  };
}

function afterUndo(error: unknown, failures: readonly string[], key: AttachmentKey): unknown {
  if (failures.length === 0) return error;
  const { code, message, details, note } = toCniError(error);
  return new CniError(
    code || ERR_CLEANUP_INCOMPLETE,
    `${message}; and not everything could be taken back: run DEL for container "${key.containerId}", interface "${key.ifname}"`,
    [details, ...failures].filter((text) => text !== '').join('; '),
    { cause: error, note },
  );
}
