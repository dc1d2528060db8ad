// What a mode is: a way for a container to get its network. The registry is mode-registry.ts.

import type { NetlinkConnection } from '../kernel/netlink/connection.ts';
import type { Netns } from '../kernel/netns.ts';
import type { NetworkConfig } from '../protocol/config.ts';
import type { Dns, Interface, Ip, Route } from '../protocol/result.ts';

/** The attachment an operation is about, as the runtime names it. */
export interface AttachmentKey {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** What a mode may look at when it decides whether it can serve an ADD. */
export interface ModeRequest {
  readonly key: AttachmentKey;
  readonly config: NetworkConfig;
  readonly cniArgs: ReadonlyMap<string, string>;
  readonly hasIpam: boolean;
}

/** Addresses and what belongs to them, as IPAM hands them out. */
export interface Addressing {
  readonly ips: readonly Ip[];
  readonly routes: readonly Route[];
  readonly dns: Dns;
}

/** What a mode made, in the terms of a CNI result. */
export interface Attached extends Addressing {
  readonly interfaces: readonly Interface[];
}

/** Steps back, last one first, when an ADD fails. Implemented by verbs/undo-stack.ts. */
export interface Undo {
  /** `action` completes "Cannot …" in an error. */
  push(action: string, step: () => void): void;
}

/** Objects in the kernel that an attachment is made of: written to its record before any of them is made. */
export interface AttachmentObjects {
  readonly bridge?: string;
  readonly hostInterface?: string;
}

/** The open sandbox an operation works on. */
export interface Sandbox {
  /** CNI_NETNS as the runtime spells it: results repeat it. */
  readonly path: string;
  readonly netns: Netns;
}

/** The node's side of an operation. */
export interface Host {
  /** rtnetlink in the namespace the runtime called us in. */
  readonly route: NetlinkConnection;
  /** Where locks and records are kept: /run/podlink. */
  readonly runDir: string;
  /** Tell the operator something that is no error: stderr. */
  warn(message: string): void;
}

/** An ADD that a mode has accepted. Nothing has been changed yet. */
export interface ModePlan {
  readonly objects: AttachmentObjects;
  /** Make the attachment. What it changes it pushes on `undo` first. */
  attach(host: Host, sandbox: Sandbox, addressing: Addressing, undo: Undo): Attached;
  /** Throws CniError 102 when something of the host's is in the way of an ADD. */
  status(host: Host): void;
  /** What is wrong with an attachment made by this plan, one sentence each; empty when all is well. */
  check(host: Host, sandbox: Sandbox, expected: Attached): string[];
}

export interface Mode {
  readonly name: string;
  /** Accept or refuse a configuration. Touches nothing. Throws FieldError or CniError. */
  plan(request: ModeRequest): ModePlan;
  /** Remove what `objects` names, and CNI_IFNAME in the sandbox if that is still there. What is gone already is fine. */
  detach(host: Host, key: AttachmentKey, objects: AttachmentObjects, sandbox: Sandbox | undefined): void;
}
