// ADD: connect a container to the network (CNI spec, section 2, "ADD").
//
// First everything that can be said against the request is said: mode, features and IPAM have each accepted the
// configuration before anything changes. Then the record is written, and only then the kernel is touched. Any failure
// after that takes everything back.

import {
  type Attached,
  type Attachment,
  type ConnectedAttachment,
  interfaceOf,
  type Sandbox,
} from '../attachment/attachment.ts';
import { KeptRecord } from '../attachment/kept-record.ts';
import { describeKey, keyOf } from '../attachment/key.ts';
import { lockAttachment } from '../attachment/lock.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { deleteRecord, findRecord } from '../attachment/record-store.ts';
import { UndoStack } from '../attachment/undo-stack.ts';
import { refuseUnservedProtection } from '../features/firewall/unserved-protection.ts';
import { recordNetns } from '../kernel/netns.ts';
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
import type { Result } from '../protocol/result/result.ts';
import { encodeResult } from '../protocol/result/result-codec.ts';
import type { Context } from './context.ts';
import {
  applyFeatures,
  type EarlyWork,
  type FeatureTraces,
  featureRemovals,
  prepareEarly,
  prepareFeatures,
  recordOf,
  removeOwnElements,
} from './features.ts';
import type { PreparedIpam } from './ipam/ipam.ts';
import { refuseMissingParts } from './missing-part.ts';
import { type Plan, planRequest } from './plan.ts';
import { sourceOfRequest } from './plan-source.ts';
import { removalOfRecord, removeAttachment } from './removal.ts';
import { closeSandbox, openSandbox } from './sandbox.ts';
import { beginRecord, refuseOthers } from './sole-attachment.ts';

/** An ADD that everybody has accepted. Nothing has been changed yet. */
interface AcceptedAdd {
  readonly request: AttachmentRequest;
  readonly key: AttachmentKey;
  readonly plan: Plan;
  readonly prepared: PreparedIpam | undefined;
  /** The result of the plugins before. */
  readonly previous: Result | undefined;
}

/** Connect the container. Returns the result as text. Throws CniError, FieldError or an error toCniError() knows. */
export async function add(request: AttachmentRequest, context: Context): Promise<string> {
  const accepted = accept(request, context);
  const { key } = accepted;
  context.mark('plan');
  const lock = lockAttachment(context.runDir, key);
  try {
    // Before the sandbox is opened: the remains of a killed ADD may be a mount that shows another namespace there.
    await settleEarlierAdd(request, context, key);
    const sandbox = openOwnSandbox(accepted, context);
    try {
      return await attach(accepted, context, sandbox);
    } finally {
      closeSandbox(sandbox);
    }
  } finally {
    lock.release();
  }
}

function accept(request: AttachmentRequest, context: Context): AcceptedAdd {
  const key = keyOf(request);
  refuseMalformedArgs(request);
  refuseUnservedProtection(request.config.fields);
  const plan = planRequest(sourceOfRequest(request, context), context);
  const prepared = plan.ipam?.prepare();
  const previous = request.config.prevResult();
  if (plan.mode.hasOwnInterface && previous) refuseSecondInterface(key, previous);
  refuseMissingParts(
    context,
    plan.features.map(({ feature }) => feature),
  );
  return { request, key, plan, prepared, previous };
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
function openOwnSandbox({ request, key, plan }: AcceptedAdd, context: Context): Sandbox {
  try {
    return openSandbox(request);
  } catch (error) {
    if (error instanceof CniError && error.code === ERR_INVALID_NETNS) {
      refuseOthers(context.runDir, { ...key, netns: request.netns, mode: plan.mode.name });
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

async function attach(accepted: AcceptedAdd, context: Context, sandbox: Sandbox): Promise<string> {
  const { request, key, plan, prepared, previous } = accepted;
  const undo = new UndoStack();
  const record = new KeptRecord(context.runDir, firstRecord(accepted, sandbox));
  const attachment: Attachment = { key, host: context, sandbox, objects: record.current.objects, undo };
  try {
    beginRecord(context.runDir, record.current);
    context.mark('record');
    const addressing = (await prepared?.allocate()) ?? { ips: [], routes: [], dns: {} };
    // Not before: an allocation that fails takes back its own, and an owner that is refused because it holds an address
    // already must keep it.
    context.mark('ipam');
    if (prepared) undo.push('release the addresses', () => plan.ipam?.release());
    const addresses = addressing.ips.map(({ address }) => address);
    const early = prepareEarly(context, attachment, plan.features, addresses);
    if (early) changeNamespace(context, attachment, record, early);
    const tuned = early ? { ...attachment, sandbox: { ...sandbox, beforeUp: early.setInterface } } : attachment;
    const attached = plan.steps.attach(tuned, addressing);
    context.mark('mode');
    const connected = { ...attachment, ...interfaceOf(key, attachment.objects, attached) };
    addFeatures(context, connected, plan, record);
    context.mark('features');
    const result = joinResults(previous, withConfiguredDns(plan, attached));
    // Old versions cannot say everything (0.2.0 knows no interface without address): what cannot be told must not stay.
    const text = encodeResult(result, request.config.cniVersion);
    record.change({ addresses: connected.addresses, state: 'complete', result: attached });
    context.mark('record again');
    return text;
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

function firstRecord({ request, key, plan }: AcceptedAdd, sandbox: Sandbox): AttachmentRecord {
  const { prevResult: _, ...config } = request.config.fields.raw;
  return {
    version: 1,
    state: 'adding',
    ...key,
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

/** Have features set what new interfaces of the namespace take over. */
function changeNamespace(context: Context, attachment: Attachment, record: KeptRecord, early: EarlyWork): void {
  if (Object.keys(early.objects).length === 0) return;
  record.change({ features: early.objects });
  undoFeatures(context, attachment, { objects: early.objects, elements: [] });
  early.setNamespace();
}

/** Add the features to what the mode has made. */
function addFeatures(context: Context, attachment: ConnectedAttachment, { features }: Plan, record: KeptRecord): void {
  const work = prepareFeatures(context, attachment, features);
  if (features.length > 0) {
    // The addresses and the interface are known only now, and DEL must find what is about to be made for them.
    record.add(recordOf(work), { addresses: attachment.addresses });
    const traces = { objects: record.current.features, elements: work.nftables.elements };
    undoFeatures(context, attachment, traces);
    attachment.undo.push('remove the elements of nftables', () => removeOwnElements(context, attachment.key, traces));
  }
  // Without features too: rules that another attachment needs of its neighbours.
  applyFeatures(context, work, record);
}

function undoFeatures(context: Context, { key, sandbox, undo }: Attachment, traces: FeatureTraces): void {
  for (const { name, remove } of featureRemovals(context, key, traces, () => sandbox.netns)) {
    undo.push(`remove ${name}`, remove);
  }
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
