// ADD: connect a container to the network (CNI spec, section 2, "ADD").
//
// First everything that can be said against the request is said: mode, features and IPAM have each accepted the
// configuration before anything changes. Then the record is written, and only then the kernel is touched. Any failure
// after that takes everything back.

import { applyMasquerade, parseMasquerade, removeMasquerade } from '../features/masquerade.ts';
import type { Attached, AttachmentKey, ModePlan, Sandbox } from '../modes/mode.ts';
import { modeOf } from '../modes/mode-registry.ts';
import { CniError, ERR_ALREADY_EXISTS, ERR_CLEANUP_INCOMPLETE, toCniError } from '../protocol/errors.ts';
import type { AttachmentRequest } from '../protocol/request.ts';
import type { Result } from '../protocol/result.ts';
import { keyOf } from './attachment-key.ts';
import { type AttachmentRecord, deleteRecord, findRecord, lockAttachment, writeRecord } from './attachment-record.ts';
import type { Context } from './context.ts';
import { findIpam } from './ipam.ts';
import { removalOfRecord, removeAttachment, withNftables } from './removal.ts';
import { closeSandbox, openSandbox, sandboxIdentity } from './sandbox.ts';
import { UndoStack } from './undo-stack.ts';

/** An ADD that everybody has accepted. */
interface AcceptedAdd {
  readonly key: AttachmentKey;
  readonly mode: string;
  readonly plan: ModePlan;
  readonly ipam: { allocate(): Pick<Attached, 'ips' | 'routes' | 'dns'>; release(): void } | undefined;
  readonly masquerade: boolean;
  readonly previous: Result | undefined;
}

/** Connect the container. Returns the result to print. Throws CniError, FieldError or an error toCniError() knows. */
export function add(request: AttachmentRequest, context: Context): Result {
  const accepted = accept(request, context);
  const sandbox = openSandbox(request);
  try {
    const lock = lockAttachment(context.runDir, accepted.key);
    try {
      settleEarlierAdd(request, context, accepted.key);
      return attach(request, context, accepted, sandbox);
    } finally {
      lock.release();
    }
  } finally {
    closeSandbox(sandbox);
  }
}

function accept(request: AttachmentRequest, context: Context): AcceptedAdd {
  const { config } = request;
  const key = keyOf(request);
  const mode = modeOf(config.fields);
  const ipam = findIpam({ ...request, key, cniArgs: request.args, env: context.env });
  const plan = mode.plan({ key, config, cniArgs: request.args, hasIpam: ipam !== undefined });
  const masquerade = parseMasquerade(config.fields, context.warn);
  const previous = config.prevResult();
  const prepared = ipam?.prepare();
  return {
    key,
    mode: mode.name,
    plan,
    ipam: ipam && prepared && { allocate: () => prepared.allocate(), release: () => ipam.release() },
    masquerade,
    previous,
  };
}

/** An ADD that was killed left its record: finish its removal. One that came to its end is an attachment: refuse. */
function settleEarlierAdd(request: AttachmentRequest, context: Context, key: AttachmentKey): void {
  const record = findRecord(context.runDir, key);
  if (!record) return;
  if (record.state === 'complete') {
    throw new CniError(
      ERR_ALREADY_EXISTS,
      `Cannot attach container "${key.containerId}" to network "${key.network}" as "${key.ifname}": it is attached already since ${record.created}, in ${record.netns} (run DEL first)`,
    );
  }
  removeAttachment(context, removalOfRecord(record, context, request.path), undefined);
}

function attach(request: AttachmentRequest, context: Context, accepted: AcceptedAdd, sandbox: Sandbox): Result {
  const undo = new UndoStack();
  undo.push('remove the attachment record', () => deleteRecord(context.runDir, accepted.key));
  const begun = beginRecord(request, accepted, sandbox);
  try {
    writeRecord(context.runDir, begun);
    undo.push('release the addresses', () => accepted.ipam?.release());
    const addressing = accepted.ipam?.allocate() ?? { ips: [], routes: [], dns: {} };
    const addresses = addressing.ips.map(({ address }) => address);
    if (accepted.masquerade && addresses.length > 0) {
      // The addresses are known only now, and DEL must find what is about to be made for them.
      writeRecord(context.runDir, { ...begun, addresses });
    }
    const attached = accepted.plan.attach(context, sandbox, addressing, undo);
    if (accepted.masquerade) masquerade(accepted.key, addresses, undo);
    writeRecord(context.runDir, { ...begun, state: 'complete', addresses });
    return joinResults(accepted.previous, withConfiguredDns(request, attached));
  } catch (error) {
    throw afterUndo(error, undo.run(), accepted.key);
  }
}

function beginRecord(request: AttachmentRequest, accepted: AcceptedAdd, sandbox: Sandbox): AttachmentRecord {
  const { prevResult: _, ...config } = request.config.fields.raw;
  return {
    version: 1,
    state: 'adding',
    ...accepted.key,
    netns: request.netns,
    netnsIdentity: sandboxIdentity(sandbox),
    mode: accepted.mode,
    objects: accepted.plan.objects,
    addresses: [],
    masquerade: accepted.masquerade,
    config,
    cniArgs: Array.from(request.args, ([name, value]) => `${name}=${value}`).join(';'),
    created: new Date().toISOString(),
  };
}

function masquerade(key: AttachmentKey, addresses: readonly string[], undo: UndoStack): void {
  if (addresses.length === 0) return;
  undo.push('remove masquerading', () => withNftables((nft) => removeMasquerade(nft, addresses)));
  withNftables((nft) => applyMasquerade(nft, key, addresses));
}

/** The configuration's `dns` replaces IPAM's as soon as one of its fields is set, as in the reference bridge plugin. */
function withConfiguredDns(request: AttachmentRequest, attached: Attached): Attached {
  const { dns } = request.config;
  return dns && Object.values(dns).some((value) => value !== undefined && value.length > 0)
    ? { ...attached, dns }
    : attached;
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
  const { code, message, details } = toCniError(error);
  return new CniError(
    code || ERR_CLEANUP_INCOMPLETE,
    `${message}; and not everything could be taken back: run DEL for container "${key.containerId}", interface "${key.ifname}"`,
    [details, ...failures].filter((text) => text !== '').join('; '),
    { cause: error },
  );
}
