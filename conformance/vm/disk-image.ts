// Images of disks: an ext4 file system that holds a copy of a folder, made without mounting anything.

import { renameSync, rmSync } from 'node:fs';
import { mustRun } from '../harness/command.ts';

const STEP_TIMEOUT_MS = 10 * 60_000;

/** Make an image of a folder with some room left. It appears under its name when it is complete. */
export function makeDiskImage(folder: string, image: string, freeMebibytes: number): void {
  const used = Number.parseInt(mustRun('du', ['-sm', '--apparent-size', folder], { timeoutMs: STEP_TIMEOUT_MS }), 10);
  const unfinished = `${image}.new`;
  rmSync(unfinished, { force: true });
  // A fifth more for what ext4 keeps of each file.
  mustRun('truncate', ['-s', `${Math.ceil(used * 1.2) + freeMebibytes}M`, unfinished]);
  const options = ['-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-i', '8192', '-d', folder];
  mustRun('mke2fs', [...options, unfinished], { timeoutMs: STEP_TIMEOUT_MS });
  renameSync(unfinished, image);
}
