// The records of attachments on disk.
//
// A record is written whole (temporary file, rename) before the first change to the kernel, and again after the last. It need
// not outlive the kernel whose objects it names, so nothing is fsynced: RUNDIR is a tmpfs, and what a crash leaves of a
// record elsewhere is read as none.

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { ensurePrivateDirectory, isPrivateDirectory } from '../kernel/directory.ts';
import { isErrno } from '../kernel/errno.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import { type AttachmentRecord, isRecord } from './record.ts';
import {
  fileNamePart,
  hasRecords,
  hasRecordsOf,
  listDirectory,
  networkDir,
  recordPath,
  TEMPORARY_SUFFIX,
  unlinkIfThere,
} from './record-path.ts';

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
    // A FIFO in its place must not hold up a DEL.
    text = readFileSync(path, { encoding: 'utf8', flag: constants.O_RDONLY | constants.O_NONBLOCK });
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
