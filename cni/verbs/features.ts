// The features of an attachment, taken through their steps together: see cni/features/feature.ts.

import type { AttachmentDiagnosis } from '../diagnosis/attachment-diagnosis.ts';
import type {
  Feature,
  FeatureObjects,
  FeaturePlan,
  FeatureRemoval,
  FeatureRequest,
  NftablesState,
} from '../features/feature.ts';
import { ALL_RULESETS, FEATURES } from '../features/feature-registry.ts';
import { applyElements, checkElements, joinStates, ownedBy } from '../features/elements/owned-elements.ts';
import { recordedElements, recordElement } from '../features/elements/recorded-element.ts';
import { guardOfLocalnet, isLocalnetClaimed } from '../features/portmap/route-localnet.ts';
import { isRecordedNetns, type Netns } from '../kernel/netns.ts';
import type { Element } from '../kernel/nftables/element.ts';
import type { OwnLink } from '../attachment/attachment.ts';
import type { AttachedInterface, Attachment, ConnectedAttachment, Sandbox } from '../attachment/attachment.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import type { KeptRecord } from '../attachment/kept-record.ts';
import { listRecordsOfContainer } from '../attachment/record-store.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { refuseConnected } from './connected-owner.ts';
import type { Context } from './context.ts';
import { diagnoseMissingParts, possibleGuard } from './missing-part.ts';
import { ownersOnRecord } from './owners-on-record.ts';
import { removeWithHeirs, stopWaiting, waitingOnRecord } from './waiting-elements.ts';

/** A feature that is asked for. */
export interface PlannedFeature {
  readonly feature: Feature;
  readonly plan: FeaturePlan;
}

/** The work that an attachment's features are about to do: it goes on record. */
export interface FeatureWork {
  readonly attachment: ConnectedAttachment;
  readonly planned: readonly PlannedFeature[];
  /** By the feature's name. */
  readonly objects: Readonly<Record<string, FeatureObjects>>;
  readonly nftables: NftablesState;
}

/** Ask every feature. Changes nothing. Throws FieldError or CniError. */
export function planFeatures(features: readonly Feature[], request: FeatureRequest): PlannedFeature[] {
  return features.flatMap((feature) => {
    const plan = feature.plan(request);
    return plan ? [{ feature, plan }] : [];
  });
}

/** Work out what is to be made. Reads, changes nothing. `context`: the attachment's host. */
export function prepareFeatures(
  context: Context,
  attachment: ConnectedAttachment,
  planned: readonly PlannedFeature[],
): FeatureWork {
  const objects = planned.flatMap(({ feature, plan }) => {
    const made = plan.objects?.(attachment, () => otherObjects(context, attachment, feature.name, IN_ANY_STATE));
    return made ? [[feature.name, made] as const] : [];
  });
  return {
    attachment,
    planned,
    objects: Object.fromEntries(objects),
    nftables: nftablesOf(planned, attachment, possibleGuard(context, attachment)),
  };
}

/** The work of features before the interface is made, and before it goes up. */
export interface EarlyWork {
  /** By the feature's name: what setNamespace() is about to change. Empty when that is nothing. */
  readonly objects: Readonly<Record<string, FeatureObjects>>;
  setNamespace(): void;
  setInterface(): void;
}

/**
 * Work out what features do early. Reads, changes nothing; undefined when there is nothing to do. `addresses`: CIDRs that the
 * interface will have.
 */
export function prepareEarly(
  context: Context,
  { key, sandbox }: Pick<Attachment, 'key' | 'sandbox'>,
  planned: readonly PlannedFeature[],
  addresses: readonly string[],
): EarlyWork | undefined {
  const { netns } = sandbox;
  const early = planned.flatMap(({ feature, plan }) => (plan.early ? [{ name: feature.name, steps: plan.early }] : []));
  if (early.length === 0) return undefined;
  const objects = early.flatMap(({ name, steps }) => {
    const made = steps.objects(netns, addresses, () => otherObjects(context, { key, sandbox }, name, IN_ANY_STATE));
    return made ? [[name, made] as const] : [];
  });
  return {
    objects: Object.fromEntries(objects),
    setNamespace() {
      for (const { steps } of early) steps.setNamespace(netns);
    },
    setInterface() {
      for (const { steps } of early) steps.setInterface(netns);
    },
  };
}

const IN_ANY_STATE: readonly AttachmentRecord['state'][] = ['adding', 'complete'];

/** List the objects that a feature has on record for the container's other attachments in the same namespace, oldest first. */
function otherObjects(
  context: Context,
  { key, sandbox }: { readonly key: AttachmentKey; readonly sandbox: Pick<Sandbox, 'netns'> },
  feature: string,
  states: readonly AttachmentRecord['state'][],
): FeatureObjects[] {
  return listRecordsOfContainer(context.runDir, key.containerId)
    .filter((record) => record.network !== key.network || record.ifname !== key.ifname)
    .filter((record) => states.includes(record.state) && isRecordedNetns(sandbox.netns, record))
    .toSorted((a, b) => (a.created < b.created ? -1 : 1))
    .flatMap(({ features }) => {
      const objects: FeatureObjects | undefined = features[feature];
      return objects ? [objects] : [];
    });
}

function nftablesOf(
  planned: readonly PlannedFeature[],
  attachment: AttachedInterface,
  guard: NftablesState | undefined,
): NftablesState {
  const wanted = planned.flatMap(({ plan }) => plan.nftables?.(attachment) ?? []);
  const states = wanted.filter(({ elements }) => elements.length > 0);
  return joinStates(guard ? [...states, guard] : states);
}

/** Give the part of the work that belongs in the record. */
export function recordOf({ objects, nftables }: FeatureWork): Pick<AttachmentRecord, 'features' | 'elements'> {
  return { features: objects, elements: nftables.elements.map(recordElement) };
}

/**
 * Make it, and put on record which elements wait. A failure leaves what was made so far: featureRemovals() take it away.
 */
export function applyFeatures(context: Context, work: FeatureWork, record: KeptRecord): void {
  const { attachment, planned, objects, nftables } = work;
  for (const { feature, plan } of planned) {
    plan.apply?.(attachment, objects[feature.name] ?? {});
    if (plan.apply) context.mark(feature.name);
  }
  const { key } = attachment;
  const waiting =
    nftables.rulesets.length === 0
      ? new Set<Element>()
      : applyElements(context.nft, key, nftables, {
          owners: ownersOnRecord(context, key),
          noteWaiting: (elements) => record.change(waitingOnRecord(elements)),
          refuseToTake: (element) => refuseConnected(context, key, element),
        });
  context.mark('nft');
  for (const { plan } of planned) plan.settle?.(attachment, waiting);
  if (waiting.size === 0 && record.current.waiting !== undefined) record.change(waitingOnRecord([]));
}

/** Find what is wrong with an attachment's features. */
export function checkFeatures(
  context: Context,
  attachment: ConnectedAttachment,
  planned: readonly PlannedFeature[],
): AttachmentDiagnosis[] {
  const { key } = attachment;
  const guard = guardOfLocalnet(attachment);
  const isOurs = guard && attachment.gateway !== undefined && isLocalnetClaimed(context, attachment.gateway);
  const nftables = nftablesOf(planned, attachment, isOurs ? guard : undefined);
  const problems =
    nftables.rulesets.length > 0 ? checkElements(context.nft, key, nftables, ownersOnRecord(context, key)) : [];
  return [
    ...planned.flatMap(({ plan }) => plan.check?.(attachment) ?? []),
    ...problems,
    ...(problems.length > 0 ? diagnoseMissingParts(context, nftables.rulesets) : []),
  ];
}

/** The known traces of an attachment's features: from its record, or else as far as they could be found. */
export interface FeatureTraces {
  /** By the feature's name; undefined without a record, when every feature looks for what is its. */
  readonly objects: Readonly<Record<string, FeatureObjects>> | undefined;
  readonly elements: readonly Element[];
}

/** Without a record nor anything found. */
export const NO_TRACES: FeatureTraces = { objects: undefined, elements: [] };

export function tracesOfRecord({ features, elements }: Pick<AttachmentRecord, 'features' | 'elements'>): FeatureTraces {
  return { objects: features, elements: recordedElements(elements, ALL_RULESETS) };
}

/**
 * Take an attachment's elements out of nftables. What is gone already, or another's, is left alone. Call with the attachment
 * locked.
 */
export function removeOwnElements(context: Context, key: AttachmentKey, { elements }: FeatureTraces): void {
  if (elements.length === 0) return;
  stopWaiting(context, key);
  removeWithHeirs(context, ownedBy(key, elements), [key.containerId]);
}

/**
 * The steps that take away what features have made outside of nftables; each is to be taken, whatever becomes of the
 * others. What is gone already is fine.
 */
export function featureRemovals(
  context: Context,
  key: AttachmentKey,
  { objects }: FeatureTraces,
  findSandbox: () => Netns | undefined,
): { readonly name: string; readonly remove: () => void }[] {
  return context.parts.features.flatMap(({ name, remove }) => {
    const made = objects?.[name];
    if (!remove || (objects && !made)) return [];
    const removal: FeatureRemoval = {
      key,
      objects: made,
      get sandbox() {
        return findSandbox();
      },
      listOthers() {
        const netns = findSandbox();
        return netns ? otherObjects(context, { key, sandbox: { netns } }, name, ['complete']) : [];
      },
    };
    return [{ name, remove: () => remove(context, removal) }];
  });
}

/** The links on the host that features have made for an attachment. */
export function featureLinks(
  key: AttachmentKey,
  { objects }: FeatureTraces,
  features: readonly Feature[] = FEATURES,
): OwnLink[] {
  return features.flatMap(({ name, links }) => {
    const made = objects?.[name];
    return links && (made || !objects) ? links({ key, objects: made }) : [];
  });
}
