// The sandbox CNI_NETNS names, and the questions every verb asks of it.

import { isErrno } from '../kernel/errno.ts';
import { identityOf, isOwnNetns, isRecordedNetns, type Netns, NotANamespaceError, openNetns } from '../kernel/netns.ts';
import type { Sandbox } from '../attachment/attachment.ts';
import { CniError, ERR_INVALID_ENVIRONMENT_VARIABLES, ERR_INVALID_NETNS } from '../protocol/errors.ts';
import type { AttachmentRequest } from '../protocol/request.ts';
import type { AttachmentRecord } from '../attachment/record.ts';

export function closeSandbox(sandbox: Sandbox | undefined): void {
  sandbox?.netns.close();
}

/**
 * Open the sandbox for ADD and CHECK. Refuses our own namespace before anything is done: a stale /proc/PID/ns/net may
 * by now be the host's (https://github.com/containernetworking/plugins/issues/714).
 *
 * Throws CniError 4 when there is no namespace at the path, 8 when it is our own and CNI_NETNS_OVERRIDE does not say
 * that this is meant.
 */
export function openSandbox(request: AttachmentRequest): Sandbox {
  const sandbox = open(request);
  if (!request.netnsOverride && isOwnNetns(sandbox.netns)) {
    closeSandbox(sandbox);
    throw ownNetnsError(request);
  }
  return sandbox;
}

/**
 * Open the sandbox for DEL, which must not fail for want of it: undefined when CNI_NETNS is empty, when there is nothing
 * at the path, or when what is there is no namespace. Undefined also when the path shows the namespace of somebody else:
 * one that is not the container's own by its record, or without a record the one podlink was started in. A runtime names
 * /proc/PID/ns/net, and the PID may be another process's by now.
 */
export function findSandbox(
  request: AttachmentRequest,
  record: AttachmentRecord | undefined,
  warn: (message: string) => void,
): Sandbox | undefined {
  if (request.netns === '') return undefined;
  let sandbox: Sandbox;
  try {
    sandbox = open(request);
  } catch (error) {
    if (!(error instanceof CniError && isErrno(error.cause, 'ENOENT', 'ENOTDIR'))) warn(messageOf(error));
    return undefined;
  }
  const isItsOwn = record
    ? isRecordedNetns(sandbox.netns, record)
    : request.netnsOverride || !isOwnNetns(sandbox.netns);
  if (isItsOwn) return sandbox;
  closeSandbox(sandbox);
  return undefined;
}

/** The sandbox of an attachment on record; undefined when its namespace is gone, or another is at the path. */
export function openRecordedSandbox(record: AttachmentRecord): Sandbox | undefined {
  let sandbox: Sandbox;
  try {
    sandbox = { path: record.netns, netns: openNetns(record.netns) };
  } catch (error) {
    if (error instanceof NotANamespaceError || isErrno(error, 'ENOENT', 'ENOTDIR', 'EINVAL')) return undefined;
    throw error;
  }
  if (isAsRecorded(sandbox.netns, record)) return sandbox;
  closeSandbox(sandbox);
  return undefined;
}

/** Whether a namespace is the one that the attachment's path has shown since ADD: the container's own, or a shared one. */
export function isAsRecorded(netns: Netns, record: AttachmentRecord): boolean {
  const { sharedNetns } = record.objects;
  // The mount over the path keeps a shared namespace, and nothing else gets its inode as long as the mount is there.
  return sharedNetns === undefined ? isRecordedNetns(netns, record) : identityOf(netns) === sharedNetns;
}

/** A sandbox that is opened when somebody asks for it: what most removals take away is gone without. */
export class SandboxOnDemand {
  readonly #open: () => Sandbox | undefined;
  #sandbox: Sandbox | undefined;
  #isOpen = false;

  constructor(open: () => Sandbox | undefined) {
    this.#open = open;
  }

  get(): Sandbox | undefined {
    if (!this.#isOpen) this.#sandbox = this.#open();
    this.#isOpen = true;
    return this.#sandbox;
  }

  close(): void {
    closeSandbox(this.#sandbox);
  }
}

function open({ netns: path }: AttachmentRequest): Sandbox {
  try {
    return { path, netns: openNetns(path) };
  } catch (error) {
    if (error instanceof NotANamespaceError) {
      throw new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, `Invalid CNI_NETNS: ${error.message}`);
    }
    const what = isErrno(error, 'ENOENT', 'ENOTDIR')
      ? `there is no network namespace at "${path}"`
      : `cannot open "${path}"`;
    throw new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, `Invalid CNI_NETNS: ${what}`, messageOf(error), {
      cause: error,
    });
  }
}

/** Message of the reference library (skel.go), which tools compare. */
function ownNetnsError({ netns }: AttachmentRequest): CniError {
  return new CniError(
    ERR_INVALID_NETNS,
    "plugin's netns and netns from CNI_NETNS should not be the same",
    `CNI_NETNS "${netns}" is the namespace podlink was started in`,
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
