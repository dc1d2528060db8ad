// Whether what an attachment was made for can still be there. Where it cannot be told, it can: gc removes by this.

import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { isErrno } from '../../kernel/errno.ts';
import { findLink } from '../../kernel/rtnetlink/link/link.ts';
import {
  identityAt,
  isRecordedNetns,
  type Netns,
  NotANamespaceError,
  openNetns,
  type RecordedNetns,
} from '../../kernel/netns.ts';
import { findProcessIn } from '../../kernel/netns-process.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import type { Context } from '../../verbs/context.ts';
import { ageSeconds } from './age.ts';

/** Of an attachment, where its container lives. */
export type Inhabitant = Pick<AttachmentRecord, 'netns' | 'netnsIdentity' | 'netnsCookie' | 'objects'>;

/**
 * adding: ADD runs, or has ended just now. unfinished: it did not come to its end. stale: the namespace is gone.
 * target gone: the namespace is that of a target that has ended (lost-target.ts).
 */
export type Life = 'complete' | 'adding' | 'unfinished' | 'stale' | 'target gone';

/** No ADD takes that long: the kubelet gives up on a pod after two minutes, and an ADD needs well under a second. */
const UNFINISHED_AFTER_SECONDS = 60;

/** The state of an attachment as a list shows it: from its record and its path alone. */
export function describeLife(record: AttachmentRecord, now: Date): Life {
  if (isUnfinished(record, now)) return 'unfinished';
  if (record.state === 'adding') return 'adding';
  return isNamespaceAtPath(record) ? 'complete' : 'stale';
}

/** Whether ADD was stopped in its middle. (Under a clock that was set back it runs until the clock has caught up.) */
export function isUnfinished({ state, created }: AttachmentRecord, now: Date): boolean {
  return state === 'adding' && (ageSeconds(created, now) ?? Number.POSITIVE_INFINITY) > UNFINISHED_AFTER_SECONDS;
}

/** Whether the path shows the container's own namespace, or the one it shares. */
export function isNamespaceAtPath(inhabitant: Inhabitant): boolean {
  const { netns, objects } = inhabitant;
  const shown = identityAt(netns);
  return shown !== undefined && (shown === objects.sharedNetns || isRecordedNetnsAt(netns, inhabitant));
}

/** Whether a path shows a namespace on record. Who may not open it, goes by its file alone. */
function isRecordedNetnsAt(path: string, recorded: RecordedNetns): boolean {
  if (identityAt(path) !== recorded.netnsIdentity) return false;
  if (recorded.netnsCookie === undefined) return true;
  let netns: Netns;
  try {
    netns = openNetns(path);
  } catch (error) {
    if (isErrno(error, 'EACCES', 'EPERM')) return true;
    if (error instanceof NotANamespaceError || isErrno(error, 'ENOENT', 'ENOTDIR', 'ESRCH')) return false;
    throw error;
  }
  try {
    return isRecordedNetns(netns, recorded);
  } finally {
    netns.close();
  }
}

/**
 * Say why an attachment may be in use although its path does not show its namespace; undefined when nothing speaks
 * for it.
 *
 * The kernel takes a veth pair away together with the namespace of either end: as long as the host's end is there, so
 * is the container's namespace, whatever has become of its path or of our view of it.
 */
export function findSignOfLife(inhabitant: Inhabitant, context: Context): string | undefined {
  const { netns, objects } = inhabitant;
  if (objects.hostInterface !== undefined && findLink(context.route, objects.hostInterface)) {
    const holder = describeHolder(inhabitant) ?? `something holds it: ${NEXT_STEP}`;
    return `its interface ${objects.hostInterface} on the host is there, so that its namespace is somewhere; ${holder}`;
  }
  if (!existsSync(dirname(netns)) && !isBelowProc(netns)) {
    return `${dirname(netns)} cannot be seen from here: this may be another mount namespace than the runtime's`;
  }
  return describeHolder(inhabitant);
}

const NEXT_STEP = 'have the runtime run DEL';

function describeHolder(recorded: RecordedNetns): string | undefined {
  const found = findProcessIn({ inode: BigInt(recorded.netnsIdentity.split(':')[1] ?? 0) });
  const pid = found !== undefined && isRecordedNetnsAt(`/proc/${found}/ns/net`, recorded) ? found : undefined;
  return pid === undefined ? undefined : `process ${pid} runs in its namespace: ${NEXT_STEP}, or end that process`;
}

/** /proc/PID of a process that has ended is gone with the directory. */
function isBelowProc(path: string): boolean {
  return path.startsWith('/proc/');
}
