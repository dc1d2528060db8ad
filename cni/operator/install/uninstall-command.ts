// `uninstall`: take back what `install` has put on the node.

import { reasonOf } from './place-diagnosis.ts';
import { realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { isErrno } from '../../kernel/errno.ts';
import { lockFile } from '../../kernel/flock.ts';
import { listAllRecords } from '../../attachment/record-store.ts';
import { type Call, type Command, CommandError } from '../cli/command.ts';
import { type Manifest, readManifest } from './install-manifest.ts';
import { carryOutRemoval, planRemoval, type Removal, type RemovalOutcome } from './install-removal.ts';
import { type Colour, count, printable, type Style } from '../cli/text-table.ts';

const LOCK_TIMEOUT_MS = 120_000;

const COLOURS: Readonly<Record<RemovalOutcome, Colour>> = {
  removed: 'green',
  restored: 'green',
  gone: 'dim',
  left: 'yellow',
};

/** What a dry run says instead. */
const PLANNED: Readonly<Record<RemovalOutcome, string>> = {
  removed: 'would remove',
  restored: 'would restore',
  gone: 'gone already',
  left: 'would leave',
};

export const uninstallCommand: Command = {
  name: 'uninstall',
  summary: 'take back what install has put on this node',
  description:
    'Removes what "podlink install DIR" made, the configuration too, and puts back what it kept. What has been changed since is left, and said to be (exit status 1). Refused while containers are attached, since nobody could detach them then: drain the node first.',
  arguments: [{ name: 'DIR', isRequired: true, completes: 'directory' }],
  options: [
    {
      name: 'conf-dir',
      value: 'DIR',
      summary: 'where the configuration is now, if not where it was',
      completes: 'directory',
    },
    { name: 'force', summary: 'also while containers are attached' },
    { name: 'dry-run', short: 'n', summary: 'show what would be removed, and change nothing' },
  ],
  run(call) {
    const dir = directoryAt(call.args[0] ?? '');
    const isDryRun = call.isSet('dry-run');
    const confDir = call.valueOf('conf-dir');
    const conf = confDir === undefined ? undefined : directoryAt(confDir);
    const removals = isDryRun ? planRemoval(dir, manifestOf(dir), conf) : uninstall(call, dir, conf);
    for (const { path, outcome, reason } of removals) {
      if (outcome === 'left' && reason) call.warn(`"${path}": ${reasonOf(reason)}`);
    }
    return {
      json: removals.map(({ path, outcome, reason }) => ({
        path,
        outcome,
        ...(reason && { reason: reasonOf(reason), diagnosis: reason }),
      })),
      text: (style) => describe(removals, dir, isDryRun, style),
      hasFinding: removals.some(({ outcome }) => outcome === 'left'),
    };
  },
};

function uninstall(call: Call, dir: string, confDir: string | undefined): Removal[] {
  const lock = lockFile(dir, LOCK_TIMEOUT_MS);
  try {
    const manifest = manifestOf(dir);
    const removals = planRemoval(dir, manifest, confDir);
    checkConfigurations(removals);
    if (!call.isSet('force')) checkAttachments(call.context.runDir);
    carryOutRemoval(dir, removals);
    return removals;
  } finally {
    lock.release();
  }
}

/** Throws CommandError. */
function manifestOf(dir: string): Manifest {
  const manifest = readManifest(dir);
  if (manifest) return manifest;
  throw new CommandError(`"podlink install" has put nothing into "${dir}" that could be taken back`);
}

/** Without its plugin no runtime can remove a container. Throws CommandError. */
function checkAttachments(runDir: string): void {
  const number = listAllRecords(runDir).length;
  if (number === 0) return;
  const attached = count(number, 'interface');
  throw new CommandError(
    `${attached} of containers ${number === 1 ? 'is' : 'are'} attached, and could not be detached without podlink: drain the node first ("podlink attachment ls" lists them), or use --force`,
  );
}

/** Throws CommandError when a configuration is in a directory that cannot be seen from here. */
function checkConfigurations(removals: readonly Removal[]): void {
  const hidden = removals.find(({ path, outcome }) => outcome === 'gone' && !isDirectory(dirname(path)));
  if (!hidden) return;
  throw new CommandError(
    `"${hidden.path}" was written from where the directory had that name: say with --conf-dir where it is from here`,
  );
}

function isDirectory(path: string): boolean {
  try {
    realpathSync(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** Throws CommandError. */
function directoryAt(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) throw new CommandError(`there is no directory "${path}"`);
    throw error;
  }
}

function describe(removals: readonly Removal[], dir: string, isDryRun: boolean, style: Style): string {
  const wordOf = ({ outcome }: Removal) => (isDryRun ? PLANNED[outcome] : outcome);
  const width = Math.max(...removals.map((removal) => wordOf(removal).length));
  const lines = removals.map(
    (removal) => `${style(COLOURS[removal.outcome], wordOf(removal).padEnd(width))}  ${printable(removal.path)}`,
  );
  const where = printable(dir);
  const summary = isDryRun ? `nothing in ${where} was changed` : `podlink is no longer installed in ${where}`;
  return [...lines, summary].join('\n');
}
