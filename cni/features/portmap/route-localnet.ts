// The sysctl route_localnet of a bridge: connections from the host's 127.0.0.1 to a published port need it, and with it
// the kernel would also take in packets of containers for 127.0.0.0/8 (CVE-2020-8558). So it is on while an attachment
// claims it, and the rules of portmap-ruleset.ts that drop such packets stand before it is turned on.
//
//   RUNDIR/localnet/INDEX/DIGEST    one empty file for each attachment that claims it for the interface with that index
//   RUNDIR/locks/localnet.INDEX     held while claims and sysctl change together
//
// Interfaces are known by their index, which a renamed bridge keeps. Where the sysctl is on without a claim, somebody
// else has turned it on, and it stays on.

import { closeSync, existsSync, opendirSync, openSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { ensureDirectory } from '../../kernel/directory.ts';
import { isErrno } from '../../kernel/errno.ts';
import { lockFile } from '../../kernel/flock.ts';
import { findLink } from '../../kernel/rtnetlink/link/link.ts';
import { ensureSysctl, findSysctl, setSysctl, type SysctlKey } from '../../kernel/sysctl.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import { digestOf } from '../../protocol/digest.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';
import type { FeatureHost, NftablesState } from '../feature.ts';
import { PORTMAP_RULESET } from './portmap-ruleset.ts';

/** The lock is held for a few system calls: whoever waits longer waits for a stopped process. */
const LOCK_TIMEOUT_MS = 10_000;

/**
 * The rules that must stand because packets for 127.0.0.0/8 come in by the attachment's bridge, whether it publishes a
 * port itself or not. Undefined where none do.
 */
export function guardOfLocalnet({ gateway }: AttachedInterface): NftablesState | undefined {
  if (gateway === undefined || !routesLocalnet(gateway)) return undefined;
  return { rulesets: [PORTMAP_RULESET], elements: [] };
}

/** Whether an attachment has had route_localnet turned on for an interface: where somebody else has, the guard is theirs. */
export function isLocalnetClaimed(host: FeatureHost, link: string): boolean {
  const index = findLink(host.route, link)?.index;
  return index !== undefined && existsSync(claimsOf(host, index));
}

export function routeLocalnetKey(link: string): SysctlKey {
  return ['ipv4', 'conf', link, 'route_localnet'];
}

/** Whether the interface's own setting is on. */
export function hasRouteLocalnet(link: string): boolean {
  return findSysctl(routeLocalnetKey(link)) === '1';
}

/** Whether the kernel takes in packets for 127.0.0.0/8 by this interface: `all` turns it on for each. */
export function routesLocalnet(link: string): boolean {
  return hasRouteLocalnet(link) || hasRouteLocalnet('all');
}

/**
 * Turn route_localnet on for an interface, on behalf of an attachment. Doing it again changes nothing.
 *
 * Call it only when the rules are in place. False when there is no such interface. Throws node:fs errors and
 * LockTimeoutError.
 */
export function claimRouteLocalnet(host: FeatureHost, link: string, key: AttachmentKey): boolean {
  const index = findLink(host.route, link)?.index;
  if (index === undefined) return false;
  const claims = claimsOf(host, index);
  withLock(host, index, () => {
    if (routesLocalnet(link) && !existsSync(claims)) return;
    ensureDirectory(claims, 0o700);
    closeSync(openSync(`${claims}/${nameOf(key)}`, 'a', 0o600));
    ensureSysctl(routeLocalnetKey(link), '1');
  });
  return true;
}

/** Give up an attachment's claim, and turn route_localnet off with the last one. Without a claim nothing changes. */
export function releaseRouteLocalnet(host: FeatureHost, key: AttachmentKey): void {
  const name = nameOf(key);
  for (const index of listIndexes(host)) {
    const claims = claimsOf(host, index);
    if (!existsSync(`${claims}/${name}`)) continue;
    withLock(host, index, () => {
      // Turned off first: a process that is killed before it gives up the claim does both again.
      if (isOnlyEntry(claims, name)) turnOff(host, index);
      unlinkIfThere(`${claims}/${name}`);
      removeIfEmpty(claims);
    });
  }
}

function turnOff(host: FeatureHost, index: number): void {
  const link = findLink(host.route, index);
  if (link && hasRouteLocalnet(link.name)) setSysctl(routeLocalnetKey(link.name), '0');
}

function claimsOf({ runDir }: FeatureHost, index: number): string {
  return `${runDir}/localnet/${index}`;
}

function nameOf({ network, containerId, ifname }: AttachmentKey): string {
  return digestOf(`${network}\0${containerId}\0${ifname}`);
}

/** The interfaces with claims: as many as there are bridges with published ports. */
function listIndexes({ runDir }: FeatureHost): number[] {
  const root = `${runDir}/localnet`;
  return existsSync(root) ? readdirSync(root).map(Number).filter(Number.isInteger) : [];
}

function withLock({ runDir }: FeatureHost, index: number, work: () => void): void {
  ensureDirectory(`${runDir}/locks`, 0o700);
  const lock = lockFile(`${runDir}/locks/localnet.${index}`, LOCK_TIMEOUT_MS);
  try {
    work();
  } finally {
    lock.release();
  }
}

/** Reads two entries at most, however many there are. */
function isOnlyEntry(directory: string, name: string): boolean {
  if (!existsSync(directory)) return false;
  const entries = opendirSync(directory, { bufferSize: 2 });
  try {
    return entries.readSync()?.name === name && entries.readSync() === null;
  } finally {
    entries.closeSync();
  }
}

function unlinkIfThere(path: string): void {
  if (existsSync(path)) unlinkSync(path);
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) throw error;
  }
}
