// A feature is something that is added to an attachment of a mode with an interface of its own (masquerading,
// ports, isolation, bandwidth, tuning). The registry is feature-registry.ts.
//
// One ADD takes its features through these steps, all of them through one before any through the next:
//
//   plan()       before anything changes: accept or refuse the configuration
//   early        before the interface is made, and before it goes up: what it must find, or be, from its first moment on
//   objects()    the interface is there: name what is about to be made; it goes on record
//   apply()      make it, except for nftables
//   nftables()   the elements to add: all features' in one batch, see owned-elements.ts
//   settle()     what must come after the elements are in place
//
// A failed ADD, DEL, GC and repair take it away again by remove(), from what objects() has put on record. Elements of
// nftables need nothing of the kind: they are on record themselves, and their comments name the owner.

import type {
  AttachedInterface,
  AttachmentRequestFacts,
  ConnectedAttachment,
  OwnLink,
} from '../attachment/attachment.ts';
import type { AttachmentDiagnosis } from '../diagnosis/attachment-diagnosis.ts';
import type { NetlinkConnection } from '../kernel/netlink/connection.ts';
import type { Netns } from '../kernel/netns.ts';
import type { Element } from '../kernel/nftables/element.ts';
import type { NftablesConnection } from '../kernel/nftables/connection.ts';
import type { Ruleset } from '../kernel/nftables/ruleset.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import type { KeyTable, ModeTraits } from '../protocol/schema.ts';
import type { ElementClaim, Owners } from './elements/element-owners.ts';

/**
 * The facts by which a feature decides whether it can serve an ADD. Without an interface of the container's own the
 * namespace is nobody's to change.
 */
export interface FeatureRequest extends AttachmentRequestFacts, ModeTraits {
  /** The name of the mode. */
  readonly mode: string;
  /** Whether that is the mode of the configuration itself, and not one of `overrides` or of the pod's choice. */
  readonly isConfigured: boolean;
  /** Tell the operator something that is no error. */
  warn(message: string): void;
}

/** Where a feature works. */
export interface FeatureHost {
  /** rtnetlink in the host's namespace. */
  readonly route: NetlinkConnection;
  /** Where locks and records are kept: /run/podlink. */
  readonly runDir: string;
  /** Tell the operator something that is no error. */
  warn(message: string): void;
}

/** The rules and elements that a feature wants in nftables for one attachment. */
export interface NftablesState {
  /** The rules that the elements are for. */
  readonly rulesets: readonly Ruleset[];
  /** Without comments: the owner's is put on them. */
  readonly elements: readonly Element[];
  /**
   * Find out which of the elements can be had. Throws CniError if those of an owner who may be alive stand in the way.
   * Without it, elements take the place of another owner's that they find.
   */
  readonly claim?: (nft: NftablesConnection, owners: Owners) => ElementClaim;
  /** Whether what a sibling has in the place of an element serves as well. */
  readonly isServedBy?: (wanted: Element, found: Element) => boolean;
}

/** JSON, as it stands in the record. */
export type FeatureObjects = Readonly<Record<string, unknown>>;

/**
 * List the objects that the same feature has on record for the container's other attachments in the same namespace, oldest first. Reads
 * their records: for features that share something of the namespace with them.
 */
export type ListOthers = () => readonly FeatureObjects[];

/** The part of a feature that must not come late, since the kernel or a neighbour acts as soon as an interface is up. */
export interface EarlySteps {
  /**
   * The addresses are known, and the interface is not there: name what setNamespace() is about to change. It goes on
   * record. Undefined when that is nothing. Reads, changes nothing. Throws FieldError.
   */
  objects(sandbox: Netns, addresses: readonly string[], listOthers: ListOthers): FeatureObjects | undefined;
  /** Make what every new interface of the namespace takes over. */
  setNamespace(sandbox: Netns): void;
  /** The interface is there and down: make what goes with it. */
  setInterface(sandbox: Netns): void;
}

/** A feature that an ADD was accepted with. Nothing has been changed yet. */
export interface FeaturePlan {
  readonly early?: EarlySteps;
  /** Name what is about to be made. Reads, changes nothing. `listOthers` knows also of ADDs that were killed. */
  readonly objects?: (attachment: ConnectedAttachment, listOthers?: ListOthers) => FeatureObjects;
  readonly apply?: (attachment: ConnectedAttachment, objects: FeatureObjects) => void;
  readonly nftables?: (attachment: AttachedInterface) => NftablesState;
  /** `waiting`: those of its elements that a sibling has the place of. */
  readonly settle?: (attachment: ConnectedAttachment, waiting: ReadonlySet<Element>) => void;
  /** Find what is wrong with the feature; empty when all is well. Its elements are checked elsewhere. */
  readonly check?: (attachment: ConnectedAttachment) => AttachmentDiagnosis[];
}

/** The known facts of a feature that is to be removed. */
export interface FeatureRemoval {
  readonly key: AttachmentKey;
  /** From the record; undefined without one, when whatever can be told by name is removed. */
  readonly objects: FeatureObjects | undefined;
  /** The container's namespace, if it is still there. It is opened when this is read first. */
  readonly sandbox: Netns | undefined;
  /** Only of attachments that are complete. */
  readonly listOthers?: ListOthers;
}

export interface Feature {
  readonly name: string;
  /** The keys of the configuration that are this feature's; absent when it has none. */
  readonly keys?: KeyTable;
  /** The rules it may have put into nftables. */
  readonly rulesets: readonly Ruleset[];
  /** Accept or refuse the configuration; undefined when it asks for nothing. Touches nothing. Throws FieldError or CniError. */
  plan(request: FeatureRequest): FeaturePlan | undefined;
  /** The links of an attachment on the host: they are deleted together with the mode's, before remove() is called. */
  links?(removal: Pick<FeatureRemoval, 'key' | 'objects'>): readonly OwnLink[];
  /** Remove what apply() made. What is gone already is fine. The links of the attachment are gone by then. */
  remove?(host: FeatureHost, removal: FeatureRemoval): void;
}
