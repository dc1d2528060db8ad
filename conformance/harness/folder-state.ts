// What is in a folder: every name below it, and what that is. Two states are the same when nothing can tell them apart
// but times.

import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** By path relative to the folder: `0755 sha256`, `link TARGET` or `folder`. */
export type FolderState = ReadonlyMap<string, string>;

export function stateOf(folder: string): FolderState {
  const names = readdirSync(folder, { recursive: true }).map(String).sort();
  return new Map(names.map((name) => [name, describe(join(folder, name))]));
}

function describe(path: string): string {
  const stats = lstatSync(path);
  if (stats.isSymbolicLink()) return `link ${readlinkSync(path)}`;
  if (!stats.isFile()) return 'folder';
  const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
  return `${mode} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
}
