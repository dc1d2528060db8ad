// What a mode is: a way for a container to get its network. The registry is mode-registry.ts.

import type {
  Addressing,
  Attached,
  Attachment,
  AttachmentObjects,
  AttachmentRequestFacts,
  Expected,
  Host,
  OwnLink,
  Sandbox,
} from '../attachment/attachment.ts';
import type { AttachmentDiagnosis } from '../diagnosis/attachment-diagnosis.ts';
import type { Netns } from '../kernel/netns.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import type { KeyTable, ModeTraits } from '../protocol/schema.ts';

/** The mode that a request comes to, by the configuration or by the pod's own choice. */
export interface SelectedMode {
  readonly mode: string;
  /** For container mode: whose namespace. Not parsed yet. */
  readonly target: string | undefined;
  /** Whether the pod named mode and target itself, so that only what the operator allows may come of them. */
  readonly isPodsChoice: boolean;
  /** Modes a pod may choose. */
  readonly allowed: readonly string[];
}

/** What a mode may look at when it decides whether it can serve an ADD. */
export interface ModeRequest extends AttachmentRequestFacts {
  readonly selected: SelectedMode;
  /** The attachments on record whose namespace can be shared. */
  readonly findPeers: (which: (peer: Peer) => boolean) => Peer[];
  readonly hasIpam: boolean;
}

/** Another attachment on this node, as far as container mode is concerned with it. */
export interface Peer {
  readonly containerId: string;
  /** Kubernetes namespace and name; empty when the runtime gave none. */
  readonly podNamespace: string;
  readonly podName: string;
  readonly netnsPath: string;
  /** Tell whether a namespace is the one that the container runs in, which is another's if it shares one itself. */
  readonly isItsNetns: (netns: Netns) => boolean;
  readonly isSharer: boolean;
  /** ISO 8601. */
  readonly created: string;
}

/** An ADD that a mode has accepted. Nothing has been changed yet. */
export interface ModePlan {
  /** What is about to be made, for the record. Throws CniError 11 when something it depends on is not there yet. */
  objects(): AttachmentObjects;
  /** Make the attachment. Before each change its step back is pushed on the attachment's `undo`. */
  attach(attachment: Attachment, addressing: Addressing): Attached;
  /** Throws CniError 102 when something of the host's is in the way of an ADD. */
  status(host: Host): void;
  /** Find what is wrong with an attachment made by this plan; empty when all is well. */
  check(attachment: Attachment, expected: Expected): AttachmentDiagnosis[];
  /**
   * Whether the namespace that an attachment shares is not its target's any more: the target has ended or was started anew,
   * and only a new ADD helps. Absent in modes that share none that can end. `objects`: from its record.
   */
  hasLostTarget?(objects: AttachmentObjects): boolean;
  /**
   * Make again what check() misses, where that is possible. Absent where nothing is: a namespace that is shared is never
   * changed. Returns what the attachment is from now on, where that is not what was expected.
   */
  repair?(attachment: Attachment, expected: Attached): Attached | undefined;
}

/** What is known of an attachment that is to be removed. */
export interface Detachment {
  readonly key: AttachmentKey;
  /** From its record; empty without one. */
  readonly objects: AttachmentObjects;
  /** CNI_NETNS of its ADD, or of this call without a record. */
  readonly netnsPath: string;
  /** Host interfaces that prevResult names. */
  readonly reported: readonly string[];
  /** What CNI_NETNS of this call names, if it is a namespace other than the host's. */
  readonly sandbox: Sandbox | undefined;
  /** Whether one of links() was there, and has been deleted. */
  readonly hadLinks: boolean;
}

export interface Mode extends ModeTraits {
  readonly name: string;
  /** Whether the namespace that it shares is the host's. */
  readonly sharesHost?: true;
  /** Docker's name for the driver of such a network, where that is not the mode's. */
  readonly dockerDriver?: string;
  /** The keys of the configuration that are this mode's; absent when it has none. */
  readonly keys?: KeyTable;
  /** Accept or refuse a configuration. Touches nothing. Throws FieldError or CniError. */
  plan(request: ModeRequest): ModePlan;
  /** The links on the host that the attachment is made of: they are deleted first, together with those of features. */
  links(key: AttachmentKey, objects: AttachmentObjects): readonly OwnLink[];
  /**
   * Tell whether the namespace that CNI_NETNS shows may be one that this mode has mounted there, when no record does. Absent in
   * modes that mount none. `identity`: its `device:inode`. `isOnRecord`: whether it is the namespace of another attachment.
   */
  mayHaveMounted?(identity: string, isOnRecord: () => boolean): boolean;
  /** Remove what else it is made of. What is gone already is fine. */
  detach(host: Host, detachment: Detachment): void;
}
