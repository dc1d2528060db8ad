// Sharing a network namespace: the other namespace's file is bind-mounted over CNI_NETNS, so that whatever the runtime
// starts at that path runs in it. DEL takes exactly that mount off, and the runtime finds its own namespace again.
//
// Nothing in the shared namespace is ever changed: no link, address, route or sysctl.

import { closeSync, openSync } from 'node:fs';
import { isErrno } from '../../kernel/errno.ts';
import { findMountOf } from '../../kernel/mount-table.ts';
import { identityAt, identityOf, identityOfFile, type Netns } from '../../kernel/netns.ts';
import { findProcessIn, nameOfProcess } from '../../kernel/netns-process.ts';
import { bindMount, MNT_DETACH, unmount } from '../../kernel/syscalls.ts';
import { ownerOf, ownUserNamespace } from '../../kernel/user-namespace.ts';
import {
  CniError,
  ERR_ALREADY_EXISTS,
  ERR_INVALID_ENVIRONMENT_VARIABLES,
  ERR_INVALID_NETWORK_CONFIG,
  ERR_KERNEL_REFUSED,
} from '../../protocol/errors.ts';
import type { Ip } from '../../protocol/result/result.ts';
import type { ModeRequest } from '../mode.ts';
import type { Attached, Attachment, Sandbox } from '../../attachment/attachment.ts';
import { findOwnAddresses } from './shared-address.ts';

/** include/uapi/asm-generic/fcntl.h: an open file that stands for a place in the file system, and for nothing to read. */
const O_PATH = 0o10000000;
const MAX_PORT = 65535;

/**
 * Mount `shared` over the sandbox's path, and look whether it is there: a runtime in another mount namespace would
 * start the container in its own empty namespace and report it as running.
 *
 * Throws CniError 102 when the path shows that namespace already, 4 when it is no mounted namespace file or when a process
 * is in the sandbox's namespace already, 7 when the container has a user namespace that keeps it from entering `shared`,
 * 100 when the mount cannot be made or seen.
 */
export function shareNamespace({ sandbox, undo }: Pick<Attachment, 'sandbox' | 'undo'>, shared: Netns): void {
  const wanted = identityOf(shared);
  // By descriptor from here on: the place that is looked at is the one that is mounted on, whatever its path means by then.
  const place = openIfThere(sandbox.path);
  if (place === undefined) throw invalidNetns(`nothing is at "${sandbox.path}" any more`);
  try {
    const shown = identityOfFile(place);
    if (shown === wanted) {
      throw new CniError(ERR_ALREADY_EXISTS, `${sandbox.path} is the shared namespace already: run DEL first`);
    }
    if (shown !== identityOf(sandbox.netns)) {
      throw invalidNetns(`another namespace is at "${sandbox.path}" since a moment ago`);
    }
    if (!findMountOf(place)) {
      throw invalidNetns(
        `"${sandbox.path}" is not a mounted namespace file, so another namespace cannot be put in its place`,
      );
    }
    refuseForeignUser(sandbox, shared);
    refuseInhabited(sandbox);
    undo.push(`unmount ${sandbox.path}`, () => unshareNamespace(sandbox.path, wanted));
    bindMount(`/proc/self/fd/${shared.fd}`, `/proc/self/fd/${place}`, sandbox.path);
  } finally {
    closeSync(place);
  }
  if (identityAt(sandbox.path) !== wanted) {
    throw new CniError(
      ERR_KERNEL_REFUSED,
      `The shared namespace cannot be seen at ${sandbox.path} after mounting it there`,
    );
  }
}

function invalidNetns(problem: string): CniError {
  return new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, `Invalid CNI_NETNS: ${problem}`);
}

/**
 * A container with a user namespace of its own may enter no network namespace that belongs to podlink's: the runtime would
 * leave it in its own, or fail without saying why. Into one of a further user namespace, as that of a target that has one
 * too, containerd 2 gets it if both map the same IDs.
 */
function refuseForeignUser(sandbox: Sandbox, shared: Netns): void {
  const [owner, sharedOwner, own] = [ownerOf(sandbox.netns), ownerOf(shared), ownUserNamespace()];
  if (owner === own || owner === sharedOwner) return;
  if (sharedOwner !== own && sharedOwner !== undefined) return;
  throw new CniError(
    ERR_INVALID_NETWORK_CONFIG,
    `Conflicting options: a user namespace of the container's own and a network namespace that it shares: ${sandbox.path} belongs to another user namespace than the shared one, which the container may not enter`,
  );
}

/** A process that is in the sandbox's namespace before the mount is made stays there, and so does the container it becomes. */
function refuseInhabited(sandbox: Sandbox): void {
  const pid = findProcessIn(sandbox.netns);
  if (pid === undefined) return;
  throw invalidNetns(
    `process ${pid} (${nameOfProcess(pid)}) is in the namespace of "${sandbox.path}" already and would stay there, so another cannot be put in its place: the runtime must call podlink before it starts the container`,
  );
}

/**
 * Take our mount off the sandbox's path: only if the record names it, the path shows the shared namespace, and
 * something lies below. Anything else there is the runtime's.
 */
export function unshareNamespace(netnsPath: string, sharedIdentity: string | undefined): void {
  if (sharedIdentity === undefined || netnsPath === '') return;
  const place = openIfThere(netnsPath);
  if (place === undefined) return;
  try {
    if (identityOfFile(place) !== sharedIdentity || !findMountOf(place)?.coversMount) return;
    // Detached, since whoever has the file open (DEL itself has, to look at it) keeps the mount busy.
    unmount(`/proc/self/fd/${place}`, MNT_DETACH, netnsPath);
  } catch (error) {
    // Somebody has taken it off since it was looked at.
    if (!isErrno(error, 'EINVAL')) throw error;
  } finally {
    closeSync(place);
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, O_PATH);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** Describe a shared namespace in the terms of a result. `standIn`: the address of one that has none. */
export function describeShared(shared: Netns, standIn: Ip): Attached {
  const ips = findOwnAddresses(shared);
  // Without an interface index: containerd counts these as the pod's.
  return { interfaces: [], ips: ips.length > 0 ? ips : [standIn], routes: [], dns: {} };
}

/** What of a request has no place in a namespace that belongs to somebody else. */
export function refuseOwnSettings(request: ModeRequest, mode: string): void {
  const { runtimeConfig, argsCni } = request.config;
  const asked: string[] = [];
  if ((runtimeConfig.list('ips') ?? []).length > 0) asked.push('runtimeConfig.ips');
  if ((argsCni.list('ips') ?? []).length > 0) asked.push('args.cni.ips');
  if (runtimeConfig.string('mac')) asked.push('runtimeConfig.mac');
  if (argsCni.string('mac')) asked.push('args.cni.mac');
  for (const name of ['IP', 'MAC']) if (request.cniArgs.get(name)) asked.push(`${name} in CNI_ARGS`);
  if (Object.values(runtimeConfig.object('bandwidth')?.raw ?? {}).some((rate) => rate !== 0)) {
    asked.push('runtimeConfig.bandwidth');
  }
  if (asked.length > 0) {
    throw new CniError(
      ERR_INVALID_NETWORK_CONFIG,
      mode === 'none'
        ? `Conflicting options: ${asked.join(', ')} and mode "none", which has no interface for them`
        : `Conflicting options: ${asked.join(', ')} and mode "${mode}": the namespace is shared, and nothing in it is changed`,
    );
  }
}

/**
 * Whether a request asks for a port to be published. One without `hostPort`, or with 0, names a port of the container that
 * is not published (PortMapping.host_port of the CRI). Throws FieldError for what is no port.
 */
export function publishesPorts(request: ModeRequest): boolean {
  const mappings = request.config.runtimeConfig.objects('portMappings') ?? [];
  return mappings.some((mapping) => (mapping.integer('hostPort', 0, MAX_PORT) ?? 0) !== 0);
}
