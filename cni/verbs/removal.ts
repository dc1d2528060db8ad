// Taking an attachment away: what DEL, GC and an ADD that finds the remains of a killed one have in common.
//
// The record of ADD says what there is to remove. Without one (first run after an upgrade, /run wiped) it is
// gathered from the configuration, prevResult, the names of our links and the comments of our nftables elements. Every
// step is taken, whatever becomes of the others, and what is gone already is fine.

import { ALL_RULESETS } from '../features/feature-registry.ts';
import { findElements } from '../features/elements/owned-elements.ts';
import type { Element } from '../kernel/nftables/element.ts';
import { UnsafeDirectoryError } from '../kernel/directory.ts';
import { disableBridgePort } from '../kernel/rtnetlink/link/bridge-port.ts';
import { findLink, findLinks, type Link, listLinks } from '../kernel/rtnetlink/link/link.ts';
import { deleteLinks } from '../kernel/rtnetlink/link/link-group.ts';
import { identityAt } from '../kernel/netns.ts';
import { hostInterfaceName, wholeHostInterfaceAlias, ownerComment } from '../attachment/marks.ts';
import { DEFAULT_MODE } from '../modes/mode-registry.ts';
import { selectMode } from '../modes/mode-selection.ts';
import type { Mode } from '../modes/mode.ts';
import type { AttachmentObjects, Sandbox, OwnLink } from '../attachment/attachment.ts';
import type { AttachmentKey, NetworkConfig } from '../protocol/config.ts';
import type { AttachmentRequest } from '../protocol/request.ts';
import type { Result } from '../protocol/result/result.ts';
import { keyOf } from '../attachment/key.ts';
import { deleteRecord, listAllRecords } from '../attachment/record-store.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import type { Context } from './context.ts';
import { findSandbox, openRecordedSandbox, SandboxOnDemand } from './sandbox.ts';
import { type FeatureTraces, featureLinks, featureRemovals, removeOwnElements, tracesOfRecord } from './features.ts';
import { findIpam, type Ipam } from './ipam/ipam.ts';
import { sourceOfRecord, sourceOfRequest } from './plan-source.ts';

/** Everything there is to remove of one attachment. */
export interface Removal {
  readonly key: AttachmentKey;
  /** The mode on record; without one that of the request, and the one with links: the configuration may be another by now. */
  readonly modes: readonly Mode[];
  readonly objects: AttachmentObjects;
  /** CNI_NETNS of ADD; empty when it is not on record. */
  readonly netnsPath: string;
  readonly features: FeatureTraces;
  readonly ipam: Ipam | undefined;
  /** Asked when `ipam` cannot release: the configuration on record may name a plugin or a directory that is gone. */
  readonly findOtherIpam: () => Ipam | undefined;
  /** Host interfaces of prevResult: another plugin's attachment has no marks of ours. */
  readonly reported: readonly string[];
  /** Open the container's own namespace if it is still there; undefined when it is not, or nobody can tell. */
  readonly openSandbox: () => Sandbox | undefined;
}

/** Read a removal from a record. `path`: where a foreign IPAM plugin is looked for, the runtime's CNI_PATH of today. */
export function removalOfRecord(record: AttachmentRecord, context: Context, path: readonly string[]): Removal {
  const { network, containerId, ifname } = record;
  const key = { network, containerId, ifname };
  const mode = context.parts.findMode(record.mode) ?? DEFAULT_MODE;
  return {
    key,
    modes: [mode],
    objects: record.objects,
    netnsPath: record.netns,
    features: tracesOf(record, key, context),
    // An ADD without an interface has asked for no address.
    ipam: mode.hasOwnInterface ? attempt(context, () => findIpam(sourceOfRecord(record, context, path))) : undefined,
    findOtherIpam: () => undefined,
    reported: [],
    // A shared one is not the container's own, and nothing in it was changed.
    openSandbox: () =>
      record.objects.sharedNetns === undefined ? attempt(context, () => openRecordedSandbox(record)) : undefined,
  };
}

/** A record of version 0.1.0 may lack elements that a repair has added. Its successors' have all of them. */
function tracesOf(record: AttachmentRecord, key: AttachmentKey, context: Context): FeatureTraces {
  const traces = tracesOfRecord(record);
  if (record.hasAllElements || record.state === 'adding') return traces;
  // A removal takes only those with its owner's comment: what is not found is not there, or another's.
  return { ...traces, elements: attempt(context, () => findOwned(key, context)) ?? traces.elements };
}

/** Gather what can be known without a record. A configuration that is broken by now must not keep anything from being removed. */
export function removalOfRequest(request: AttachmentRequest, context: Context): Removal {
  const key = keyOf(request);
  const mode = modeOfRequest(request, context);
  const previous = previousResult(request.config);
  return {
    key,
    modes: mode.hasOwnInterface ? [mode] : [mode, DEFAULT_MODE],
    objects: {
      ...(mode.hasOwnInterface ? {} : sharedObjects(request, context, mode)),
      ...attempt(context, () => findRenamed(key, context)),
    },
    netnsPath: request.netns,
    features: findTraces(key, context),
    ipam: findRequestIpam(request, context),
    findOtherIpam: () => undefined,
    reported: previous?.interfaces.filter((link) => !link.sandbox).map(({ name }) => name) ?? [],
    openSandbox: () => findSandbox(request, undefined, context.warn),
  };
}

/** A host end that somebody has renamed, by its alias: without a record and a sandbox nothing else leads to it. */
function findRenamed(key: AttachmentKey, context: Context): AttachmentObjects {
  const alias = wholeHostInterfaceAlias(key);
  if (alias === undefined || findLink(context.route, hostInterfaceName(key))) return {};
  const renamed = listLinks(context.route).find((link) => link.kind === 'veth' && link.alias === alias);
  return renamed ? { hostInterface: renamed.name } : {};
}

/** By the elements' own comments: prevResult may be torn, the configuration another one, and the interface gone. */
function findTraces(key: AttachmentKey, context: Context): FeatureTraces {
  return { objects: undefined, elements: attempt(context, () => findOwned(key, context)) ?? [] };
}

function findOwned(key: AttachmentKey, context: Context): Element[] {
  return findElements(context.nft, ALL_RULESETS, ownerComment(key));
}

/** The mode a request would be served in now. */
function modeOfRequest(request: AttachmentRequest, context: Context): Mode {
  return attempt(context, () => context.parts.findMode(selectMode(request.config, request.args).mode)) ?? DEFAULT_MODE;
}

/** The IPAM of the request's own configuration. */
export function findRequestIpam(request: AttachmentRequest, context: Context): Ipam | undefined {
  return attempt(context, () => findIpam(sourceOfRequest(request, context)));
}

/** A mount of podlink's without a record. */
function sharedObjects(request: AttachmentRequest, context: Context, mode: Mode): AttachmentObjects {
  if (!mode.mayHaveMounted) return {};
  const shown = attempt(context, () => identityAt(request.netns));
  if (shown === undefined) return {};
  const isOnRecord = (): boolean =>
    attempt(context, () => listAllRecords(context.runDir))?.some(
      ({ netnsIdentity, netns }) => netnsIdentity === shown && netns !== request.netns,
    ) ?? false;
  return mode.mayHaveMounted(shown, isOnRecord) ? { sharedNetns: shown } : {};
}

/** prevResult if there is one that can be read: a torn cache of the runtime's (containernetworking/cni#1055) is no reason to fail. */
function previousResult(config: NetworkConfig): Result | undefined {
  try {
    return config.prevResult();
  } catch {
    return undefined;
  }
}

function attempt<Value>(context: Context, work: () => Value): Value | undefined {
  try {
    return work();
  } catch (error) {
    context.warn(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

/**
 * Remove an attachment: links, nftables elements, reservations, and last its record, which stays if anything else did.
 * The links go before the address is free, or another container could get one that still answers. The elements go before
 * the links, since freeing them takes the kernel a while that the links take anyway; so the container is cut off first.
 *
 * Throws AggregateError with everything that could not be removed.
 */
export async function removeAttachment(context: Context, removal: Removal): Promise<void> {
  const sandbox = new SandboxOnDemand(removal.openSandbox);
  try {
    await removeFrom(context, removal, sandbox);
  } finally {
    sandbox.close();
  }
}

async function removeFrom(context: Context, removal: Removal, sandbox: SandboxOnDemand): Promise<void> {
  const { key, modes, features } = removal;
  const errors: unknown[] = [];
  const step = async (work: () => void | Promise<void>) => {
    try {
      await work();
    } catch (error) {
      errors.push(error);
    }
  };
  let own: OwnLinks = { ofMode: [], ofFeatures: [] };
  await step(() => {
    own = findOwnLinks(context, removal);
    for (const link of own.ofMode) if (link.masterIndex !== undefined) disableBridgePort(context.route, link);
  });
  await step(() => removeOwnElements(context, key, features));
  context.mark('nft');
  await step(() => deleteLinks(context.route, [...own.ofMode, ...own.ofFeatures]));
  const hadLinks = own.ofMode.length > 0;
  for (const mode of modes) {
    await step(() => mode.detach(context, { ...removal, hadLinks, sandbox: hadLinks ? undefined : sandbox.get() }));
  }
  context.mark('link');
  for (const { remove } of featureRemovals(context, key, features, () => sandbox.get()?.netns)) await step(remove);
  context.mark('features');
  await step(() => releaseAddresses(removal, context));
  context.mark('ipam');
  if (errors.length === 0) await step(() => deleteTrustedRecord(context, key));
  if (errors.length > 0) throw new AggregateError(errors, 'Cannot remove everything of the attachment');
}

function deleteTrustedRecord(context: Context, key: AttachmentKey): void {
  try {
    deleteRecord(context.runDir, key);
  } catch (error) {
    // Nobody has gone by what is there.
    if (!(error instanceof UnsafeDirectoryError)) throw error;
  }
}

/** The links of an attachment that are on the host. */
export interface OwnLinks {
  readonly ofMode: readonly Link[];
  readonly ofFeatures: readonly Link[];
}

export function findOwnLinks(context: Context, { key, modes, objects, features }: Removal): OwnLinks {
  const ofMode = modes.flatMap((mode) => mode.links(key, objects));
  const ofFeatures = featureLinks(key, features, context.parts.features);
  const names = [...ofMode, ...ofFeatures].map(({ name }) => name);
  const links = findLinks(context.route, names);
  const found = new Map(names.map((name, i) => [name, links[i]]));
  const own = (wanted: readonly OwnLink[]): Link[] =>
    wanted.flatMap(({ name, kind, alias }) => {
      const link = found.get(name);
      return link && link.kind === kind && (alias === undefined || link.alias === alias) ? [link] : [];
    });
  return { ofMode: own(ofMode), ofFeatures: own(ofFeatures) };
}

async function releaseAddresses({ ipam, findOtherIpam }: Removal, context: Context): Promise<void> {
  try {
    await ipam?.release();
  } catch (error) {
    const other = findOtherIpam();
    if (!other) throw error;
    context.warn(`${error instanceof Error ? error.message : String(error)}; the configuration of DEL is used instead`);
    await other.release();
  }
}
