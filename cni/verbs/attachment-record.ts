// The attachment record: what podlink made, or was about to make, for one (network, container, interface).
//
//   RUNDIR/attachments/NETWORK/CONTAINERID.IFNAME.json    the record, mode 0600
//   RUNDIR/attachments/NETWORK/CONTAINERID.IFNAME.lock    flock'ed during ADD and DEL, gone afterwards
//
// Written whole (temporary file, rename) before the first change to the kernel, and again after the last. It need not
// outlive the kernel whose objects it names, so nothing is fsynced: RUNDIR is a tmpfs, and what a crash leaves of a
// record elsewhere is read as none.

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import type { RecordedElement } from '../features/recorded-element.ts';
import { monotonicMs } from '../kernel/clock.ts';
import { ensurePrivateDirectory, isPrivateDirectory } from '../kernel/directory.ts';
import { isErrno } from '../kernel/errno.ts';
import { type FileLock, LockTimeoutError, lockFile } from '../kernel/flock.ts';
import type { RecordedNetns } from '../kernel/netns.ts';
import type { AttachmentObjects, Attached } from '../modes/mode.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import { isObject } from '../protocol/fields.ts';
import { hasControlCharacter, isInterfaceName, isName } from '../protocol/name.ts';

const RECORD_VERSION = 1;
/** ADD or DEL of one attachment against each other: the slowest, a DEL under load, takes well under a second. */
const LOCK_TIMEOUT_MS = 30_000;
/** NAME_MAX is 255 bytes; the rest is for the interface, the suffix and a temporary name's. */
const MAX_NAME_BYTES = 180;
const TEMPORARY_SUFFIX = '.tmp';

export interface AttachmentRecord extends RecordedNetns {
  readonly version: typeof RECORD_VERSION;
  /** `adding`: ADD has not come to its end, and what it made may be there in part. */
  readonly state: 'adding' | 'complete';
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly netns: string;
  readonly mode: string;
  readonly objects: AttachmentObjects;
  /** CIDRs handed out by IPAM; empty until it has. */
  readonly addresses: readonly string[];
  /** What ADD returned of its own, once it is complete: what CHECK and repair compare the kernel with. */
  readonly result?: Attached;
  /** What the features made outside of nftables, by their names. */
  readonly features: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** What is in nftables for it. */
  readonly elements: readonly RecordedElement[];
  /** Of these the ones whose place another interface of the container has, with their values; absent for none. */
  readonly waiting?: readonly RecordedElement[];
  /** Whether each element was put on record before it was added. Version 0.1.0 does not say so: its repair added others. */
  readonly hasAllElements?: boolean;
  /** The network configuration of ADD without prevResult, and its CNI_ARGS: DEL needs them when the runtime's are gone. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly cniArgs: string;
  readonly created: string;
}

function networkDir(runDir: string, network: string): string {
  return `${runDir}/attachments/${fileNamePart(network)}`;
}

/**
 * Whether the folder of all records is there. What it holds is obeyed, by processes of root's: neither it nor the run
 * directory may be in the reach of others. Throws UnsafeDirectoryError.
 */
function hasRecords(runDir: string): boolean {
  return isPrivateDirectory(runDir) && isPrivateDirectory(`${runDir}/attachments`);
}

/** Whether there may be records of a network. Throws UnsafeDirectoryError. */
function hasRecordsOf(runDir: string, network: string): boolean {
  return hasRecords(runDir) && isPrivateDirectory(networkDir(runDir, network));
}

/** A network's or container's name as part of a file name: a very long one ends in a hash behind "~", which no name contains. */
function fileNamePart(name: string): string {
  return name.length <= MAX_NAME_BYTES
    ? name
    : `${name.slice(0, 64)}~${process.getBuiltinModule('node:crypto').hash('sha256', name)}`;
}

/**
 * File name of an attachment without suffix. A container ID may contain dots, so those of the interface name are
 * escaped: the last dot is the border.
 */
function fileName(key: { containerId: string; ifname: string }): string {
  return `${fileNamePart(key.containerId)}.${key.ifname.replace(/[%.]/g, (char) => (char === '%' ? '%25' : '%2E'))}`;
}

function recordPath(runDir: string, key: AttachmentKey): string {
  return `${networkDir(runDir, key.network)}/${fileName(key)}.json`;
}

/** Make the folder of all records if it is not there. Throws the file system's error when no record could be written. */
export function ensureRecordsWritable(runDir: string): void {
  const dir = `${runDir}/attachments`;
  for (const path of [runDir, dir]) ensurePrivateDirectory(path);
  accessSync(dir, constants.W_OK);
}

/** An empty file that is there as soon as a record of this node has elements that wait, and stays: without it nobody looks for one. */
function waitingNote(runDir: string): string {
  return `${runDir}/locks/waiting`;
}

function leaveNote(runDir: string, note: string): void {
  if (existsSync(note)) return;
  ensurePrivateDirectory(`${runDir}/locks`);
  writeFileSync(note, '', { mode: 0o600 });
}

/** Write a record whole, over the one that is there: a call that is killed leaves the one or the other. */
export function writeRecord(runDir: string, record: AttachmentRecord): void {
  if (record.waiting !== undefined) leaveNote(runDir, waitingNote(runDir));
  const path = recordPath(runDir, record);
  const temporary = `${path}${TEMPORARY_SUFFIX}`;
  // The attachment is locked, so what stands under this name is what a killed call left.
  const fd = openNew(temporary);
  try {
    writeFileSync(fd, JSON.stringify(record));
    renameSync(temporary, path);
  } catch (error) {
    unlinkIfThere(temporary);
    throw error;
  } finally {
    closeSync(fd);
  }
}

function openNew(path: string): number {
  try {
    return openSync(path, 'wx', 0o600);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    unlinkSync(path);
    return openSync(path, 'wx', 0o600);
  }
}

/** The record of an attachment; undefined when there is none, or when what is there is not a record. */
export function findRecord(runDir: string, key: AttachmentKey): AttachmentRecord | undefined {
  if (!hasRecordsOf(runDir, key.network)) return undefined;
  const record = readRecord(recordPath(runDir, key));
  // The name can only be another's if somebody copied files about.
  return record?.containerId === key.containerId && record.ifname === key.ifname && record.network === key.network
    ? record
    : undefined;
}

/** All records of a network. */
export function listRecords(runDir: string, network: string): AttachmentRecord[] {
  if (!hasRecordsOf(runDir, network)) return [];
  return readRecords(networkDir(runDir, network)).filter((record) => record.network === network);
}

/** All records of all networks. */
export function listAllRecords(runDir: string): AttachmentRecord[] {
  return listNetworkDirs(runDir).flatMap((dir) => readRecords(dir));
}

/** The folders of all networks' records. Throws UnsafeDirectoryError. */
function listNetworkDirs(runDir: string): string[] {
  const root = `${runDir}/attachments`;
  if (!hasRecords(runDir)) return [];
  return listDirectory(root)
    .map((name) => `${root}/${name}`)
    .filter(isPrivateDirectory);
}

/** The records of one container, in whatever networks, without reading those of others. */
export function listRecordsOfContainer(runDir: string, containerId: string): AttachmentRecord[] {
  return listNetworkDirs(runDir)
    .flatMap((dir) => readRecords(dir, `${fileNamePart(containerId)}.`))
    .filter((record) => record.containerId === containerId);
}

/** The records of a container with elements that wait, oldest first. */
export function listWaiting(runDir: string, containerId: string): AttachmentRecord[] {
  if (!existsSync(waitingNote(runDir))) return [];
  return listRecordsOfContainer(runDir, containerId)
    .filter(({ waiting }) => waiting !== undefined)
    .toSorted((a, b) => (a.created + a.ifname < b.created + b.ifname ? -1 : 1));
}

function readRecords(dir: string, prefix = ''): AttachmentRecord[] {
  return listDirectory(dir)
    .filter((name) => name.startsWith(prefix) && name.endsWith('.json'))
    .map((name) => readRecord(`${dir}/${name}`))
    .filter((record) => record !== undefined);
}

/** Remove a record. It may be gone already. */
export function deleteRecord(runDir: string, key: AttachmentKey): void {
  if (!hasRecordsOf(runDir, key.network)) return;
  const path = recordPath(runDir, key);
  unlinkIfThere(path);
  unlinkIfThere(`${path}${TEMPORARY_SUFFIX}`);
}

function readRecord(path: string): AttachmentRecord | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR')) return undefined;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined; // torn or foreign: DEL goes by the configuration and the names of our links then
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

/** Whether JSON is a record of this version. */
export function isRecord(value: unknown): value is AttachmentRecord {
  return (
    isObject(value) &&
    value.version === RECORD_VERSION &&
    ['netns', 'netnsIdentity', 'mode', 'cniArgs', 'created'].every((name) => isCleanText(value[name])) &&
    // They become names of files and of links, and words of the commands that doctor proposes.
    [value.network, value.containerId].every((name) => typeof name === 'string' && isName(name)) &&
    isLinkName(value.ifname) &&
    (value.netnsCookie === undefined || isCleanText(value.netnsCookie)) &&
    (value.hasAllElements === undefined || typeof value.hasAllElements === 'boolean') &&
    (value.state === 'adding' || value.state === 'complete') &&
    isObject(value.objects) &&
    Object.values(value.objects).every(isCleanText) &&
    [value.objects.hostInterface, value.objects.bridge].every((name) => name === undefined || isLinkName(name)) &&
    isObject(value.config) &&
    (value.result === undefined || isAttached(value.result)) &&
    isObject(value.features) &&
    Object.values(value.features).every(isObject) &&
    Array.isArray(value.elements) &&
    Array.isArray(value.waiting ?? []) &&
    Array.isArray(value.addresses) &&
    value.addresses.every((address) => typeof address === 'string')
  );
}

function isLinkName(value: unknown): boolean {
  return typeof value === 'string' && isInterfaceName(value) && !hasControlCharacter(value);
}

/** Text that can be handed to the kernel. */
function isCleanText(value: unknown): value is string {
  return typeof value === 'string' && !value.includes('\0');
}

function isAttached(value: unknown): value is Attached {
  return (
    isObject(value) &&
    [value.interfaces, value.ips, value.routes].every((list) => Array.isArray(list) && list.every(isObject)) &&
    isObject(value.dns)
  );
}

function listDirectory(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

/**
 * Remove what calls left that were killed before there was a record, or after it had gone: lock files nobody holds, and
 * temporary ones. Of an attachment with a record, or one that a call is busy with, nothing is touched.
 */
export function removeForsakenFiles(runDir: string, network: string): void {
  const dir = networkDir(runDir, network);
  const names = new Set(listDirectory(dir).flatMap((name) => /^(.+)\.(lock|json\.tmp)$/.exec(name)?.[1] ?? []));
  for (const name of names) {
    const path = `${dir}/${name}.lock`;
    let lock: FileLock;
    try {
      lock = lockFile(path, 0);
    } catch (error) {
      if (error instanceof LockTimeoutError || isErrno(error, 'ENOENT')) continue;
      throw error;
    }
    if (!isStillThere(path, lock.fd)) lock.release();
    else {
      if (!existsSync(`${dir}/${name}.json`)) unlinkIfThere(`${dir}/${name}.json${TEMPORARY_SUFFIX}`);
      releaseAttachment(dir, path, lock);
    }
  }
}

/**
 * Keep other calls away from one attachment. Throws LockTimeoutError.
 *
 * The lock's file is removed on release, so a lock counts only if its file is still the one at the path: another
 * process may have been waiting for it on a file that is no longer there.
 */
export function lockAttachment(runDir: string, key: AttachmentKey, timeoutMs = LOCK_TIMEOUT_MS): FileLock {
  const dir = networkDir(runDir, key.network);
  const path = `${dir}/${fileName(key)}.lock`;
  for (const deadline = monotonicMs() + timeoutMs; ; ) {
    for (const path of [runDir, `${runDir}/attachments`, dir]) ensurePrivateDirectory(path);
    let lock: FileLock;
    try {
      lock = lockFile(path, timeoutMs);
    } catch (error) {
      // The last attachment's DEL removed the directory under us.
      if (isErrno(error, 'ENOENT') && monotonicMs() < deadline) continue;
      throw error;
    }
    if (isStillThere(path, lock.fd)) return { ...lock, release: () => releaseAttachment(dir, path, lock) };
    lock.release();
  }
}

function isStillThere(path: string, fd: number): boolean {
  try {
    return statSync(path, { bigint: true }).ino === fstatSync(fd, { bigint: true }).ino;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

function releaseAttachment(dir: string, path: string, lock: FileLock): void {
  // What was locked for is done: a lock file that stays is no reason to call it failed.
  for (const step of [() => unlinkSync(path), () => lock.release(), () => rmdirSync(dir)]) {
    try {
      step();
    } catch {
      // rmdir fails as long as the network has other attachments: the usual case.
    }
  }
}
