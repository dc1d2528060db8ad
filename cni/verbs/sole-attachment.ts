// A mode that gives a container no interface of its own (host, container, none) is the container's only attachment, as in
// Docker: an interface that another network made would lie in the namespace that is covered, or in somebody else's.
//
//   RUNDIR/locks/sharing    made with the first such ADD, and stays; locked for as long as an ADD looks for the others of
//                           its container and goes on record. Nothing else is locked meanwhile: the order of locks is
//                           attachment, then this
//
// While the file is not there, no ADD has to look through all networks for its container, which takes 0.6 to 1 ms beside
// 1,000 attachments. Both kinds of ADD are on record before they look, or at the same time under the lock, so that of two
// that run at once the second one sees the first.

import { existsSync } from 'node:fs';
import { ensurePrivateDirectory } from '../kernel/directory.ts';
import { lockFile } from '../kernel/flock.ts';
import { findMode } from '../modes/mode-registry.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import { CniError, ERR_ALREADY_EXISTS } from '../protocol/errors.ts';
import { describeKey } from '../attachment/key.ts';
import { listRecordsOfContainer, writeRecord } from '../attachment/record-store.ts';
import type { AttachmentRecord } from '../attachment/record.ts';

/** Held for two or three milliseconds each time, by as many as start at once. */
const LOCK_TIMEOUT_MS = 30_000;

/** An attachment, and where its container is. */
type Occupant = AttachmentKey & Pick<AttachmentRecord, 'netns' | 'mode'>;

/**
 * Write the record with which an ADD begins.
 *
 * Throws CniError 102 when the container has another attachment, and its mode or this one's allows no other. A record of a
 * mode with an interface has been written then, and is the caller's to delete.
 */
export function beginRecord(runDir: string, record: AttachmentRecord): void {
  if (isSole(record)) {
    withLock(runDir, () => {
      refuseOthers(runDir, record);
      writeRecord(runDir, record);
    });
    return;
  }
  writeRecord(runDir, record);
  if (existsSync(lockPath(runDir))) withLock(runDir, () => refuseOthers(runDir, record));
}

/**
 * Refuse an ADD for a container that another attachment leaves no room for, or that leaves none for another.
 *
 * Throws CniError 102.
 */
export function refuseOthers(runDir: string, occupant: Occupant): void {
  if (!existsSync(lockPath(runDir))) return;
  const other = othersOf(runDir, occupant).find((each) => isSole(each) || isSole(occupant));
  if (!other) return;
  throw new CniError(ERR_ALREADY_EXISTS, `Cannot attach ${describeKey(occupant)}: ${describe(other, occupant)}`);
}

/** Find the record by which a container runs in another's namespace at `netns`; undefined when it runs in its own. */
export function findSharing(runDir: string, containerId: string, netns: string): AttachmentRecord | undefined {
  if (!existsSync(lockPath(runDir))) return undefined;
  return listRecordsOfContainer(runDir, containerId).find(
    (record) => record.objects.sharedNetns !== undefined && record.netns === netns,
  );
}

/** The other attachments of a container, as far as they are for the same namespace: a container's ID may come again. */
function othersOf(runDir: string, { network, containerId, ifname, netns }: Occupant): AttachmentRecord[] {
  return listRecordsOfContainer(runDir, containerId).filter(
    (record) => record.netns === netns && !(record.network === network && record.ifname === ifname),
  );
}

function isSole({ mode }: Pick<AttachmentRecord, 'mode'>): boolean {
  return findMode(mode)?.hasOwnInterface === false;
}

function describe({ network, ifname, mode, objects: { target } }: AttachmentRecord, occupant: Occupant): string {
  if (!isSole({ mode })) {
    return `by network "${network}" the container has interface "${ifname}" of its own, and mode "${occupant.mode}" must be its only network`;
  }
  if (target === undefined)
    return `by network "${network}" the container is in mode "${mode}", which must be its only network`;
  return isSole(occupant)
    ? `by network "${network}" the container is in a shared namespace already, that of "${target}", and mode "${mode}" must be its only network`
    : `by network "${network}" the container runs in the network namespace of "${target}", in which nothing is changed`;
}

function lockPath(runDir: string): string {
  return `${runDir}/locks/sharing`;
}

function withLock(runDir: string, work: () => void): void {
  ensurePrivateDirectory(`${runDir}/locks`);
  const lock = lockFile(lockPath(runDir), LOCK_TIMEOUT_MS);
  try {
    work();
  } finally {
    lock.release();
  }
}
