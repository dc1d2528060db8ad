// The attachment: the one object that an operation works on, from the verbs through modes and features.

import type { NetlinkConnection } from '../kernel/netlink/connection.ts';
import type { Netns } from '../kernel/netns.ts';
import type { AttachmentKey, NetworkConfig } from '../protocol/config.ts';
import type { Dns, Interface, Ip, Route } from '../protocol/result/result.ts';
import type { Unsaid } from '../protocol/result/unsaid.ts';

/** Addresses and what belongs to them, as IPAM hands them out. */
export interface Addressing {
  readonly ips: readonly Ip[];
  readonly routes: readonly Route[];
  readonly dns: Dns;
}

/** The interfaces and addresses that a mode made, in the terms of a CNI result. */
export interface Attached extends Addressing {
  readonly interfaces: readonly Interface[];
}

/** What CHECK is told an attachment must be. */
export interface Expected extends Attached {
  /** The parts that may be missing in it, since its version cannot say them; absent when none are. */
  readonly unsaid?: Unsaid;
}

/** Objects in the kernel that an attachment is made of: written to its record before any of them is made. */
export interface AttachmentObjects {
  readonly bridge?: string;
  /** The interface that routes for the container where it is not the bridge itself. */
  readonly gateway?: string;
  readonly hostInterface?: string;
  /** `device:inode` of the namespace mounted over CNI_NETNS, and whose it is. */
  readonly sharedNetns?: string;
  readonly target?: string;
}

/** The open sandbox an operation works on. */
export interface Sandbox {
  /** CNI_NETNS as the runtime spells it: results repeat it. */
  readonly path: string;
  readonly netns: Netns;
  /** On ADD: set what must be so before the container's interface goes up. A mode calls it when the interface is there. */
  readonly beforeUp?: () => void;
}

/** The node's side of an operation. */
export interface Host {
  /** rtnetlink in the namespace the runtime called us in. */
  readonly route: NetlinkConnection;
  /** Where locks and records are kept: /run/podlink. */
  readonly runDir: string;
  /** Tell the operator something that is no error: stderr. */
  warn(message: string): void;
  /** End a phase of the call, for the operator who wants to know what takes the time. */
  mark(phase: string): void;
}

/** Steps back, last one first, when an ADD fails. Implemented by undo-stack.ts. */
export interface Undo {
  /** `action` completes "Cannot …" in an error. */
  push(action: string, step: () => void): void;
}

/** The request for an attachment, of a runtime or from its record: by this modes, features and IPAM decide. */
export interface AttachmentRequestFacts {
  readonly key: AttachmentKey;
  readonly config: NetworkConfig;
  /** CNI_ARGS. */
  readonly cniArgs: ReadonlyMap<string, string>;
}

/** An attachment that is being made, checked or repaired. */
export interface Attachment {
  readonly key: AttachmentKey;
  readonly host: Host;
  readonly sandbox: Sandbox;
  /** As they stand in its record. */
  readonly objects: AttachmentObjects;
  /** Gets the steps back of each change. Only ADD takes them: CHECK changes nothing, and a repair is there to stay. */
  readonly undo: Undo;
}

/** The part of an attachment that work on the host alone needs. */
export type HostWork = Pick<Attachment, 'host' | 'undo'>;

/** The interface of an attachment, and what belongs to it on the host: what features work with. */
export interface AttachedInterface {
  readonly key: AttachmentKey;
  /** The bridge's name; undefined in a mode without one. */
  readonly bridge: string | undefined;
  /** The host's interface in the container's network, which routes for it: the bridge, or the gateway of its VLAN. */
  readonly gateway: string | undefined;
  /** The gateway's MAC address in a VLAN, in lower case; absent where the bridge is the gateway. */
  readonly gatewayMac?: string;
  /** The name of the host's end of the veth pair; undefined in a mode without one. */
  readonly hostInterface: string | undefined;
  /** The MAC address of the container's interface, in lower case. */
  readonly mac: string | undefined;
  /** CIDRs: the container's addresses with the prefix length of their network. */
  readonly addresses: readonly string[];
}

/** An attachment whose interface is there. */
export type ConnectedAttachment = Attachment & AttachedInterface;

/** Describe the interface of an attachment. `made`: what the mode has made, or prevResult. */
export function interfaceOf(
  key: AttachmentKey,
  objects: AttachmentObjects,
  made: Pick<Attached, 'interfaces' | 'ips'>,
): AttachedInterface {
  const own = made.interfaces.find(({ name, sandbox }) => name === key.ifname && sandbox);
  const gateway = made.interfaces.find(({ name, sandbox }) => name === objects.gateway && !sandbox);
  return {
    key,
    bridge: objects.bridge,
    gateway: objects.gateway ?? objects.bridge,
    ...(gateway?.mac !== undefined && { gatewayMac: gateway.mac.toLowerCase() }),
    hostInterface: objects.hostInterface,
    mac: own?.mac?.toLowerCase(),
    addresses: made.ips.map(({ address }) => address),
  };
}

/** A link on the host that goes with an attachment. */
export interface OwnLink {
  readonly name: string;
  /** Of another kind, it is somebody else's. */
  readonly kind: string;
  /** With another alias, it is somebody else's; absent when the record names the link. */
  readonly alias?: string;
}
