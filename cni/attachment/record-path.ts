// Where the records of attachments and their locks are:
//
//   RUNDIR/attachments/NETWORK/CONTAINERID.IFNAME.json    the record, mode 0600: record-store.ts
//   RUNDIR/attachments/NETWORK/CONTAINERID.IFNAME.lock    flock'ed during ADD and DEL, gone afterwards: lock.ts

import { readdirSync, unlinkSync } from 'node:fs';
import { isPrivateDirectory } from '../kernel/directory.ts';
import { isErrno } from '../kernel/errno.ts';
import type { AttachmentKey } from '../protocol/config.ts';

/** NAME_MAX is 255 bytes; the rest is for the interface, the suffix and a temporary name's. */
const MAX_NAME_BYTES = 180;
/** Ends the name of a record that is being written. */
export const TEMPORARY_SUFFIX = '.tmp';

export function networkDir(runDir: string, network: string): string {
  return `${runDir}/attachments/${fileNamePart(network)}`;
}

/**
 * Whether the folder of all records is there. What it holds is obeyed, by processes of root's: neither it nor the run
 * directory may be in the reach of others. Throws UnsafeDirectoryError.
 */
export function hasRecords(runDir: string): boolean {
  return isPrivateDirectory(runDir) && isPrivateDirectory(`${runDir}/attachments`);
}

/** Whether there may be records of a network. Throws UnsafeDirectoryError. */
export function hasRecordsOf(runDir: string, network: string): boolean {
  return hasRecords(runDir) && isPrivateDirectory(networkDir(runDir, network));
}

/** A network's or container's name as part of a file name: a very long one ends in a hash behind "~", which no name contains. */
export function fileNamePart(name: string): string {
  return name.length <= MAX_NAME_BYTES
    ? name
    : `${name.slice(0, 64)}~${process.getBuiltinModule('node:crypto').hash('sha256', name)}`;
}

/**
 * File name of an attachment without suffix. A container ID may contain dots, so those of the interface name are
 * escaped: the last dot is the border.
 */
export function fileName(key: { containerId: string; ifname: string }): string {
  return `${fileNamePart(key.containerId)}.${key.ifname.replace(/[%.]/g, (char) => (char === '%' ? '%25' : '%2E'))}`;
}

export function recordPath(runDir: string, key: AttachmentKey): string {
  return `${networkDir(runDir, key.network)}/${fileName(key)}.json`;
}

export function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

export function listDirectory(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}
