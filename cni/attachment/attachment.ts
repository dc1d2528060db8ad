// What verbs, modes, features and the operator's commands say about one attachment.

import type { NetlinkConnection } from '../kernel/netlink/connection.ts';
import type { Netns } from '../kernel/netns.ts';
import type { Dns, Interface, Ip, Route } from '../protocol/result/result.ts';
import type { Unsaid } from '../protocol/result/unsaid.ts';

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

/** What CHECK is told an attachment must be. */
export interface Expected extends Attached {
  /** The parts that may be missing in it, since its version cannot say them; absent when none are. */
  readonly unsaid?: Unsaid;
}

/** Steps back, last one first, when an ADD fails. Implemented by undo-stack.ts. */
export interface Undo {
  /** `action` completes "Cannot …" in an error. */
  push(action: string, step: () => void): void;
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
