// What podlink keeps on the node: its directories, the attachments on record, the reservations.

import { sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
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
import { advise, type Finding } from './finding.ts';
import { findSignOfLife } from '../listing/liveness.ts';
import { describeState, LOST_TARGET_REMEDY } from '../listing/lost-target.ts';
import { count } from '../cli/text-table.ts';

/** How much of a range must be taken to be told of: the next burst of pods may find none. */
const FULL_PERCENT = 90;

export function examineDirectories(call: Call): Finding[] {
  const dataDirs = new Set(listAddressBooks(call).map(({ request }) => dataDirOf(request)));
  return [
    examineRunDirectory(call.context.runDir),
    ...[...dataDirs].map((dir) => examineDirectory(dir, 'reservations', 'no address can be reserved')),
  ];
}

/** The directory of the records; where it is in the reach of others, that is what there is to say of it. */
function examineRunDirectory(runDir: string): Finding {
  try {
    for (const path of [runDir, `${runDir}/attachments`]) if (!isPrivateDirectory(path)) break;
  } catch (error) {
    if (!(error instanceof UnsafeDirectoryError)) throw error;
    return {
      level: 'fail',
      subject: 'directories',
      what: error.message,
      meaning: 'no container can be attached, and DEL goes without the records',
      remedy: {
        sentence: 'see who has put what there, then give it to root alone (or move PODLINK_RUN_DIR)',
        commands: [`chown root:root ${error.path}`, `chmod go-w ${error.path}`],
      },
    };
  }
  return examineDirectory(runDir, 'records', 'no container can be attached');
}

/** Whether something could be written there. Nothing is. */
function examineDirectory(dir: string, use: string, meaning: string): Finding {
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
    const why = error instanceof Error ? error.message : String(error);
    const isDenied = isErrno(error, 'EACCES') && process.getuid?.() !== 0;
    if (isDenied) return { level: 'unknown', subject, what: `${dir} (${use}): only root can tell` };
    return {
      level: 'fail',
      subject,
      what: `${dir} (${use}) cannot be written to: ${why}`,
      meaning,
      remedy: advise('make room, or mount it for writing'),
    };
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
    if (life === 'stale' || life === 'unfinished') {
      const kept = life === 'stale' ? findSignOfLife(record, context) : undefined;
      findings.push({
        level: 'warn',
        subject,
        what: `${describeKey(record)} is ${life}: ${life === 'stale' ? `its network namespace ${record.netns} is gone${kept === undefined ? '' : ' from there'}` : 'its ADD did not come to its end'}`,
        meaning: 'it keeps its addresses and rules until it is removed',
        remedy:
          kept === undefined
            ? { sentence: "the runtime's DEL or GC removes it, or this:", commands: ['podlink gc'] }
            : advise(`gc keeps it: ${kept}`),
      });
      continue;
    }
    const problems = await findAttachmentProblems(record, quiet, binDirsOf(call));
    if (problems.length === 0) {
      whole++;
      continue;
    }
    findings.push({
      level: 'fail',
      subject,
      what: `${describeKey(record)}: ${sentencesOf(problems).join('; ')}`,
      meaning:
        life === 'target gone'
          ? 'the container is reached by nobody, and starts its processes anew where it is'
          : 'it is not any more what its ADD made',
      remedy:
        life === 'target gone'
          ? advise(LOST_TARGET_REMEDY)
          : { sentence: 'make it again what it was, where that can be done:', commands: ['podlink repair'] },
    });
  }
  const unreadable = findUnreadableRecords(context.runDir);
  if (unreadable.length > 0) {
    findings.push({
      level: 'warn',
      subject,
      what: `${count(unreadable.length, 'file')} among the records ${unreadable.length === 1 ? 'is' : 'are'} torn, or of another version of podlink: ${unreadable.slice(0, 3).join(', ')}${unreadable.length > 3 ? ', …' : ''}`,
      meaning: 'DEL goes by the configuration and the marks on interfaces and rules then',
      remedy: advise("nothing to do: the container's DEL removes it"),
    });
  }
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
      findings.push({
        level: taken >= size ? 'fail' : 'warn',
        subject,
        what: `range ${range} of network "${network}" has ${taken} of its ${size} addresses taken`,
        meaning: 'with none left, an ADD fails with error 11',
        remedy: { sentence: 'enlarge the range; this shows who holds them:', commands: ['podlink ipam ls'] },
      });
    }
    const reclaimable = reservations.filter(({ state }) => state !== 'held');
    if (reclaimable.length > 0 && isOurs) {
      findings.push({
        level: 'warn',
        subject,
        what: `${count(reclaimable.length, 'reservation')} of network "${network}" ${reclaimable.length === 1 ? 'is' : 'are'} of nobody or from before a reboot`,
        meaning: 'reclaimed when the range is full, and by GC',
        remedy: { sentence: 'release them now:', commands: ['podlink gc'] },
      });
    }
    const others = strays.filter(({ isReservation }) => !isReservation);
    if (others.length > 0) {
      const shown = others.slice(0, 3).map(({ name, problem }) => `${name} (${problem})`);
      findings.push({
        level: 'warn',
        subject,
        what: `${directory} holds what does not belong there: ${shown.join(', ')}${others.length > 3 ? ', …' : ''}`,
        remedy: advise('see what it is, and remove it'),
      });
    }
  }
  return [{ level: 'ok', subject, what: `${count(total, 'address', 'addresses')} reserved` }, ...findings];
}
