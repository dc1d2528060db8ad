// What podlink keeps on the node: its directories, the attachments on record, the reservations.

import { accessSync, constants, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { dataDirOf } from '../../../ipam/local/host-local.ts';
import { takeInventory } from '../../../ipam/inventory.ts';
import { isPrivateDirectory, UnsafeDirectoryError } from '../../kernel/directory.ts';
import { isErrno } from '../../kernel/errno.ts';
import { describeKey } from '../../attachment/key.ts';
import { listAllRecords } from '../../attachment/record-store.ts';
import { isRecord } from '../../attachment/record.ts';
import { listAddressBooks } from '../listing/address-book.ts';
import { findAttachmentProblems } from '../listing/attachment-problems.ts';
import { binDirsOf, type Call } from '../cli/command.ts';
import { type Finding, finding } from './finding.ts';
import { findSignOfLife } from '../listing/liveness.ts';
import { describeState } from '../listing/lost-target.ts';
import { count } from '../cli/text-table.ts';

/** How much of a range must be taken to be told of: the next burst of pods may find none. */
const FULL_PERCENT = 90;

export function examineDirectories(call: Call): Finding[] {
  const dataDirs = new Set(listAddressBooks(call).map(({ request }) => dataDirOf(request)));
  return [
    examineRunDirectory(call.context.runDir),
    ...[...dataDirs].map((dir) => examineDirectory(dir, 'reservations')),
  ];
}

/** The directory of the records; where it is in the reach of others, that is what there is to say of it. */
function examineRunDirectory(runDir: string): Finding {
  try {
    for (const path of [runDir, `${runDir}/attachments`]) if (!isPrivateDirectory(path)) break;
  } catch (error) {
    if (!(error instanceof UnsafeDirectoryError)) throw error;
    const parts = { subject: runDir, object: error.path, found: error.message };
    return finding('fail', 'directories', 'directory-unsafe', parts);
  }
  return examineDirectory(runDir, 'records');
}

/** Whether something could be written there. Nothing is. */
function examineDirectory(dir: string, use: 'records' | 'reservations'): Finding {
  const subject = 'directories';
  let existing = dir;
  while (statSync(existing, { throwIfNoEntry: false }) === undefined) existing = dirname(existing);
  try {
    accessSync(existing, constants.W_OK | constants.X_OK);
    if (!statSync(existing).isDirectory()) throw new Error(`"${existing}" is not a directory`);
    const { bavail, files, ffree } = statfsSync(existing);
    if (bavail === 0) throw new Error('its file system is full');
    // File systems without a fixed number of inodes tell 0 of 0.
    if (files > 0 && ffree === 0) throw new Error('its file system has no inodes left');
  } catch (error) {
    const isDenied = isErrno(error, 'EACCES') && process.getuid?.() !== 0;
    if (isDenied) return finding('unknown', subject, 'directory-for-root', { subject: dir, object: use });
    const found = error instanceof Error ? error.message : String(error);
    return finding('fail', subject, `${use}-unwritable`, { subject: dir, found });
  }
  const what =
    existing === dir ? `${dir} (${use}) can be written to` : `${dir} (${use}) is not there yet and can be made`;
  return { level: 'ok', subject, what };
}

export async function examineAttachments(call: Call): Promise<Finding[]> {
  const subject = 'attachments';
  const { context } = call;
  const now = new Date();
  const records = listAllRecords(context.runDir);
  // What CHECK warns of is the firewall's, and told there.
  const quiet = { env: context.env, warn: () => undefined };
  const findings: Finding[] = [];
  let whole = 0;
  for (const record of records) {
    const life = describeState(record, now, context);
    if (life === 'unfinished') {
      findings.push(finding('warn', subject, 'attachment-unfinished', { subject: describeKey(record) }));
      continue;
    }
    if (life === 'stale') {
      const parts = { subject: describeKey(record), object: record.netns };
      const kept = findSignOfLife(record, context);
      findings.push(
        kept === undefined
          ? finding('warn', subject, 'attachment-stale', parts)
          : finding('warn', subject, 'attachment-stale-and-kept', { ...parts, found: kept }),
      );
      continue;
    }
    const problems = await findAttachmentProblems(record, quiet, binDirsOf(call));
    if (problems.length === 0) {
      whole++;
      continue;
    }
    const code = life === 'target gone' ? 'attachment-lost-target' : 'attachment-damaged';
    findings.push(finding('fail', subject, code, { subject: describeKey(record), causes: problems }));
  }
  const unreadable = findUnreadableRecords(context.runDir);
  if (unreadable.length > 0) findings.push(finding('warn', subject, 'records-unreadable', { found: unreadable }));
  return [
    { level: 'ok', subject, what: `${count(records.length, 'attachment')} on record, ${whole} as ADD made them` },
    ...findings,
  ];
}

/** Files that are called as records are, and are torn, or of another version of podlink. */
function findUnreadableRecords(runDir: string): string[] {
  const root = `${runDir}/attachments`;
  return list(root).flatMap((network) =>
    list(`${root}/${network}`)
      .filter((name) => name.endsWith('.json'))
      .map((name) => `${root}/${network}/${name}`)
      .filter((path) => !holdsRecord(path)),
  );
}

function holdsRecord(path: string): boolean {
  try {
    return isRecord(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    // Removed meanwhile.
    return isErrno(error, 'ENOENT');
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

export function examineReservations(call: Call): Finding[] {
  const subject = 'reservations';
  const findings: Finding[] = [];
  let total = 0;
  for (const { request, isOurs } of listAddressBooks(call)) {
    const { network, directory, ranges, reservations, strays } = takeInventory(request);
    total += reservations.length;
    for (const { range, blocks, size, taken } of ranges) {
      // A node whose blocks of a shared pool are full claims another.
      if (blocks || taken * 100 < size * FULL_PERCENT) continue;
      const parts = { subject: range, of: network, expected: size, found: taken };
      findings.push(
        taken >= size
          ? finding('fail', subject, 'range-full', parts)
          : finding('warn', subject, 'range-nearly-full', parts),
      );
    }
    const reclaimable = reservations.filter(({ state }) => state !== 'held');
    if (reclaimable.length > 0 && isOurs) {
      const parts = { subject: network, found: reclaimable.length };
      findings.push(finding('warn', subject, 'reservations-of-nobody', parts));
    }
    const others = strays.filter(({ isReservation }) => !isReservation);
    if (others.length > 0) {
      const found = others.map(({ name, problem }) => `${name} (${problem})`);
      findings.push(finding('warn', subject, 'files-astray', { subject: directory, found }));
    }
  }
  return [{ level: 'ok', subject, what: `${count(total, 'address', 'addresses')} reserved` }, ...findings];
}
