// The sysctl route_localnet of a bridge: connections from the host's 127.0.0.1 to a published port need it, and with it
// the kernel would also take in packets of containers for 127.0.0.0/8 (CVE-2020-8558). So it is on while an attachment
// claims it, and the rules of portmap-ruleset.ts that drop such packets stand before it is turned on.
//
//   RUNDIR/localnet/INDEX/DIGEST    one file for each attachment that claims it for the interface with that index: its key
//   RUNDIR/locks/localnet.INDEX     held while claims and sysctl change together
//
// ADD has a record before it claims, and DEL until it has given up: under the lock, a claim without a record is nobody's.
//
// Interfaces are known by their index, which a renamed bridge keeps. Where the sysctl is on without a claim, somebody
// else has turned it on, and it stays on.

import { existsSync, opendirSync, readdirSync, readFileSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { ensureDirectory } from '../../kernel/directory.ts';
import { isErrno } from '../../kernel/errno.ts';
import { isInPlace, lockFile } from '../../kernel/flock.ts';
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
    const { network, containerId, ifname } = key;
    writeFileSync(`${claims}/${nameOf(key)}`, JSON.stringify({ network, containerId, ifname }), { mode: 0o600 });
    ensureSysctl(routeLocalnetKey(link), '1');
  });
  return true;
}

/** Give up an attachment's claim, and turn route_localnet off with the last one. Without a claim nothing changes. */
export function releaseRouteLocalnet(host: FeatureHost, key: AttachmentKey): void {
  const name = nameOf(key);
  for (const index of listIndexes(host)) {
    if (existsSync(`${claimsOf(host, index)}/${name}`)) withLock(host, index, () => giveUp(host, { index, name }));
  }
}

/** A claim on disk. */
export interface LocalnetClaim {
  /** The interface's. */
  readonly index: number;
  /** The file's. */
  readonly name: string;
  /** Undefined when the file does not tell: a claim that was not completed. */
  readonly owner: AttachmentKey | undefined;
}

export function listLocalnetClaims(host: FeatureHost): LocalnetClaim[] {
  return listIndexes(host).flatMap((index) =>
    namesIn(claimsOf(host, index)).map((name) => ({
      index,
      name,
      owner: readOwner(`${claimsOf(host, index)}/${name}`, name),
    })),
  );
}

/** Give up the claim of an attachment that is gone. `isAlive` is asked under the lock. Returns whether the claim went. */
export function dropLocalnetClaim(
  host: FeatureHost,
  claim: LocalnetClaim,
  isAlive: (owner: AttachmentKey) => boolean,
): boolean {
  const { owner } = claim;
  if (owner && isAlive(owner)) return false;
  return withLock(host, claim.index, () => {
    // Claimed anew since: the file has been completed, or its owner has a record by now.
    const now = readOwner(`${claimsOf(host, claim.index)}/${claim.name}`, claim.name);
    if (now && isAlive(now)) return false;
    giveUp(host, claim);
    return true;
  });
}

/** Remove the lock files of interfaces that are gone, and folders without a claim that a killed call left. */
export function removeForsakenLocalnet(host: FeatureHost): void {
  const locks = namesIn(`${host.runDir}/locks`).flatMap((name) => /^localnet\.(\d+)$/.exec(name)?.[1] ?? []);
  for (const index of new Set([...locks.map(Number), ...listIndexes(host)])) {
    if (namesIn(claimsOf(host, index)).length > 0) continue;
    if (findLink(host.route, index) && !existsSync(claimsOf(host, index))) continue;
    withLock(host, index, () => {
      removeIfEmpty(claimsOf(host, index));
      if (existsSync(claimsOf(host, index)) || findLink(host.route, index)) return;
      unlinkIfThere(lockOf(host, index));
    });
  }
}

/** Call with the lock held. */
function giveUp(host: FeatureHost, { index, name }: Pick<LocalnetClaim, 'index' | 'name'>): void {
  const claims = claimsOf(host, index);
  // Turned off first: a process that is killed before it gives up the claim does both again.
  if (isOnlyEntry(claims, name)) turnOff(host, index);
  unlinkIfThere(`${claims}/${name}`);
  removeIfEmpty(claims);
}

/** The attachment that a claim's file names; undefined when it names none, or one that the file is not called after. */
function readOwner(path: string, name: string): AttachmentKey | undefined {
  try {
    const { network, containerId, ifname } = JSON.parse(readFileSync(path, 'utf8'));
    const owner = { network: String(network), containerId: String(containerId), ifname: String(ifname) };
    return nameOf(owner) === name ? owner : undefined;
  } catch {
    return undefined; // torn, or gone by now
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
  return existsSync(root) ? namesIn(root).map(Number).filter(Number.isInteger) : [];
}

function lockOf({ runDir }: FeatureHost, index: number): string {
  return `${runDir}/locks/localnet.${index}`;
}

function withLock<Result>(host: FeatureHost, index: number, work: () => Result): Result {
  ensureDirectory(`${host.runDir}/locks`, 0o700);
  for (;;) {
    const lock = lockFile(lockOf(host, index), LOCK_TIMEOUT_MS);
    try {
      // Otherwise GC has removed the file while we waited.
      if (isInPlace(lock)) return work();
    } finally {
      lock.release();
    }
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    return [];
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
