// Taking an attachment away: what DEL, GC and an ADD that finds the remains of a killed one have in common.
//
// What there is to remove is known from the record of ADD. Without one (first run after an upgrade, /run wiped) it is
// gathered from the configuration, prevResult, the names of our links and the comments of our nftables elements. Every
// step is taken, whatever becomes of the others, and what is gone already is fine.

import { ALL_RULESETS } from '../features/feature-registry.ts';
import { findElements } from '../features/owned-elements.ts';
import { ownerComment } from '../features/podlink-table.ts';
import { disableBridgePort } from '../kernel/rtnetlink/bridge-port.ts';
import { findLinks, type Link } from '../kernel/rtnetlink/link.ts';
import { deleteLinks } from '../kernel/rtnetlink/link-group.ts';
import { identityAt, identityOf, openOwnNetns } from '../kernel/netns.ts';
import { DEFAULT_MODE, findMode } from '../modes/mode-registry.ts';
import { selectMode } from '../modes/mode-selection.ts';
import type { AttachmentObjects, Mode, OwnLink, Sandbox } from '../modes/mode.ts';
import { parseCniArgs } from '../protocol/args.ts';
import { type AttachmentKey, type NetworkConfig, parseNetworkConfig } from '../protocol/config.ts';
import type { AttachmentRequest, Environment } from '../protocol/request.ts';
import type { Result } from '../protocol/result.ts';
import { keyOf } from './attachment-key.ts';
import { type AttachmentRecord, deleteRecord, listAllRecords } from './attachment-record.ts';
import type { Context } from './context.ts';
import { closeSandbox, openRecordedSandbox } from './sandbox.ts';
import { type FeatureTraces, featureLinks, featureRemovals, removeOwnElements, tracesOfRecord } from './features.ts';
import { findIpam, type Ipam } from './ipam.ts';

/** Everything there is to remove of one attachment. */
export interface Removal {
  readonly key: AttachmentKey;
  readonly mode: Mode;
  readonly objects: AttachmentObjects;
  /** CNI_NETNS of ADD; empty when it is not on record. */
  readonly netnsPath: string;
  readonly features: FeatureTraces;
  readonly ipam: Ipam | undefined;
  /** Asked when `ipam` cannot release: the configuration on record may name a plugin or a directory that is gone. */
  readonly findOtherIpam: () => Ipam | undefined;
  /** Host interfaces of prevResult: another plugin's attachment has no marks of ours. */
  readonly reported: readonly string[];
  /** Open the container's own namespace if it still is what the record says: for whoever is not told where it is. */
  readonly openSandbox: () => Sandbox | undefined;
}

/** What a record says is there. `path`: where a foreign IPAM plugin is looked for, the runtime's CNI_PATH of today. */
export function removalOfRecord(record: AttachmentRecord, context: Context, path: readonly string[]): Removal {
  const stdin = JSON.stringify(record.config);
  const config = parseNetworkConfig(stdin);
  const key = { network: record.network, containerId: record.containerId, ifname: record.ifname };
  const env: Environment = {
    ...context.env,
    CNI_CONTAINERID: record.containerId,
    CNI_IFNAME: record.ifname,
    CNI_NETNS: record.netns,
    CNI_ARGS: record.cniArgs,
  };
  return {
    key,
    mode: findMode(record.mode) ?? DEFAULT_MODE,
    objects: record.objects,
    netnsPath: record.netns,
    features: tracesOfRecord(record),
    ipam: attempt(context, () =>
      findIpam({ key, config, cniArgs: parseCniArgs(record.cniArgs), path, env, stdin, warn: context.warn }),
    ),
    findOtherIpam: () => undefined,
    reported: [],
    // A shared one is not the container's own, and nothing in it was changed.
    openSandbox: () =>
      record.objects.sharedNetns === undefined ? attempt(context, () => openRecordedSandbox(record)) : undefined,
  };
}

/** What can be known without a record. A configuration that is broken by now must not keep anything from being removed. */
export function removalOfRequest(request: AttachmentRequest, context: Context): Removal {
  const key = keyOf(request);
  const mode = modeOfRequest(request, context);
  const previous = previousResult(request.config);
  return {
    key,
    mode,
    objects: mode.hasOwnInterface ? {} : sharedObjects(request, context, mode),
    netnsPath: request.netns,
    features: mode.hasOwnInterface ? findTraces(key, context) : { objects: {}, elements: [] },
    ipam: findRequestIpam(request, context),
    findOtherIpam: () => undefined,
    reported: previous?.interfaces.filter((link) => !link.sandbox).map(({ name }) => name) ?? [],
    openSandbox: () => undefined,
  };
}

/** By the elements' own comments: prevResult may be torn, the configuration another one, and the interface gone. */
function findTraces(key: AttachmentKey, context: Context): FeatureTraces {
  const find = () => findElements(context.nft, ALL_RULESETS, ownerComment(key));
  return { objects: undefined, elements: attempt(context, find) ?? [] };
}

/** The mode a request would be served in now. */
function modeOfRequest(request: AttachmentRequest, context: Context): Mode {
  return attempt(context, () => findMode(selectMode(request.config, request.args).mode)) ?? DEFAULT_MODE;
}

/** The IPAM of the request's own configuration. */
export function findRequestIpam(request: AttachmentRequest, context: Context): Ipam | undefined {
  return attempt(context, () =>
    findIpam({ ...request, key: keyOf(request), cniArgs: request.args, env: context.env, warn: context.warn }),
  );
}

/** A mount of ours without a record: one that shows the host's namespace in host mode, a container's on record in container mode. */
function sharedObjects(request: AttachmentRequest, context: Context, mode: Mode): AttachmentObjects {
  const shown = attempt(context, () => identityAt(request.netns));
  if (shown === undefined || mode.name === 'none') return {};
  const isShared =
    mode.name === 'host'
      ? shown === ownIdentity()
      : listAllRecords(context.runDir).some(
          ({ netnsIdentity, netns }) => netnsIdentity === shown && netns !== request.netns,
        );
  return isShared ? { sharedNetns: shown } : {};
}

function ownIdentity(): string {
  const own = openOwnNetns();
  own.close();
  return identityOf(own);
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
export async function removeAttachment(
  context: Context,
  removal: Removal,
  sandbox: Sandbox | undefined,
): Promise<void> {
  const recorded = sandbox ? undefined : removal.openSandbox();
  try {
    await removeFrom(context, removal, sandbox ?? recorded);
  } finally {
    closeSandbox(recorded);
  }
}

async function removeFrom(context: Context, removal: Removal, sandbox: Sandbox | undefined): Promise<void> {
  const { key, mode, features } = removal;
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
  await step(() => mode.detach(context, { ...removal, sandbox, hadLinks: own.ofMode.length > 0 }));
  context.mark('link');
  for (const { remove } of featureRemovals(context, key, features, sandbox?.netns)) await step(remove);
  context.mark('features');
  await step(() => releaseAddresses(removal, context));
  context.mark('ipam');
  if (errors.length === 0) await step(() => deleteRecord(context.runDir, key));
  if (errors.length > 0) throw new AggregateError(errors, 'Cannot remove everything of the attachment');
}

/** The links of an attachment that are on the host. */
export interface OwnLinks {
  readonly ofMode: readonly Link[];
  readonly ofFeatures: readonly Link[];
}

export function findOwnLinks(context: Context, { key, mode, objects, features }: Removal): OwnLinks {
  const [ofMode, ofFeatures] = [mode.links(key, objects), featureLinks(key, features)];
  const found = findLinks(
    context.route,
    [...ofMode, ...ofFeatures].map(({ name }) => name),
  );
  const own = (links: readonly OwnLink[], from: number): Link[] =>
    links.flatMap(({ kind, alias }, i) => {
      const link = found[from + i];
      return link?.kind === kind && (alias === undefined || link.alias === alias) ? [link] : [];
    });
  return { ofMode: own(ofMode, 0), ofFeatures: own(ofFeatures, ofMode.length) };
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
