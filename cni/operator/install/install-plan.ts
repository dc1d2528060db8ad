// What `install` is going to do, found out before anything is changed; and doing it.
//
// Everything is first written under other names beside its place, which is what runs out of space or meets a read-only
// file system. Then the manifest says what is coming, and each place is filled by one rename(2): whenever that is
// stopped, a plugin is the old one or the new one, is there all the time, and the next `install` or `uninstall` goes on.

import { reasonOf } from './place-diagnosis.ts';
import {
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isErrno } from '../../kernel/errno.ts';
import { CommandError } from '../cli/command.ts';
import { copyExecutable, type RunningExecutable } from './install-executable.ts';
import {
  formatManifest,
  type InstalledFile,
  MANIFEST_NAME,
  type Manifest,
  makeManifest,
  writeDurably,
} from './install-manifest.ts';
import { type Content, EXECUTABLE_NAME, examinePlace, keptPathOf, LINK_NAMES, type Place } from './install-place.ts';

export interface InstallRequest {
  /** Of plugins; absolute. */
  readonly dir: string;
  readonly executable: RunningExecutable;
  readonly version: string;
  /** A configuration to write, and where. */
  readonly conflist?: { readonly path: string; readonly text: string };
  readonly force: boolean;
}

export interface InstallPlan {
  readonly dir: string;
  readonly places: readonly Place[];
  /** While the changes are made, and after them. */
  readonly during: Manifest;
  readonly after: Manifest;
  /** Whether there is nothing to do at all. */
  readonly isDone: boolean;
}

/** Throws CommandError that names all places that may not be filled. */
export function planInstall(request: InstallRequest, manifest: Manifest | undefined): InstallPlan {
  const { dir, executable, version, conflist, force } = request;
  const files = manifest?.files ?? [];
  const examine = (path: string, name: string, content: Content, known: InstalledFile | undefined) =>
    examinePlace(path, content, { name, known, force });
  const inDir = (name: string, content: Content) =>
    examine(
      join(dir, name),
      name,
      content,
      files.find((file) => file.path === name),
    );
  const places = [
    inDir(EXECUTABLE_NAME, { kind: 'executable', executable }),
    ...LINK_NAMES.map((name) => inDir(name, { kind: 'link', target: EXECUTABLE_NAME })),
  ];
  if (conflist) {
    const known = files.find((file) => file.path === conflist.path);
    places.push(examine(conflist.path, conflist.path, { kind: 'conflist', text: conflist.text }, known));
  }
  const refusals = places.flatMap(({ refusal }) => refusal ?? []);
  if (refusals.length > 0) throw new CommandError(refusals.map(reasonOf).join('; '));
  // What an earlier version installed besides stays on record.
  const others = files.filter(({ path }) => places.every(({ after }) => after.path !== path));
  const during = makeManifest(version, [...others, ...places.map((place) => place.during)]);
  const after = makeManifest(version, [...others, ...places.map((place) => place.after)]);
  const isDone =
    places.every(({ outcome }) => outcome === 'unchanged' || outcome === 'left') &&
    manifest !== undefined &&
    formatManifest(manifest) === formatManifest(after);
  return { dir, places, during, after, isDone };
}

/** Throws Error with the file system's as its cause, and says whether something was changed. */
export function carryOut(plan: InstallPlan): void {
  const { dir, during, after } = plan;
  const places = plan.places.filter(({ outcome }) => outcome === 'installed' || outcome === 'replaced');
  let isChanged = false;
  try {
    removeLeftovers(
      dir,
      plan.places.map(({ path }) => path),
    );
    for (const place of places) stage(place);
    writeManifest(dir, during);
    isChanged = true;
    for (const { path, keepsForeign } of places) {
      if (keepsForeign) keepAside(path);
      renameSync(temporaryOf(path), path);
    }
    for (const directory of new Set([dir, ...places.map(({ path }) => dirname(path))])) syncDirectory(directory);
    writeManifest(dir, after);
    syncDirectory(dir);
  } catch (cause) {
    tryToRemoveLeftovers(dir, places);
    const state = isChanged ? 'not everything is in place: run it again' : 'nothing was changed';
    throw new Error(`Cannot install into "${dir}"; ${state}`, { cause });
  }
}

/** Remove what a stopped `install` left under the other names of these paths, and of the manifest. */
export function removeLeftovers(dir: string, paths: readonly string[]): void {
  for (const path of [join(dir, MANIFEST_NAME), ...paths]) removeLeftover(path);
}

function tryToRemoveLeftovers(dir: string, places: readonly Place[]): void {
  try {
    removeLeftovers(
      dir,
      places.map(({ path }) => path),
    );
  } catch {
    // What has failed already is told; the next `install` tries this again.
  }
}

function removeLeftover(path: string): void {
  for (const each of [path, keptPathOf(path)]) unlinkIfThere(temporaryOf(each));
}

/** In the same directory, so that it can be renamed; hidden, and with an ending that no runtime reads. */
function temporaryOf(path: string): string {
  return join(dirname(path), `.${basename(path).replace(/^\./, '')}.podlink-new`);
}

function stage({ path, content }: Place): void {
  const temporary = temporaryOf(path);
  switch (content.kind) {
    case 'executable':
      copyExecutable(content.executable, temporary);
      break;
    case 'link':
      symlinkSync(content.target, temporary);
      break;
    case 'conflist':
      writeDurably(temporary, content.text);
      break;
  }
}

function writeManifest(dir: string, manifest: Manifest): void {
  const path = join(dir, MANIFEST_NAME);
  const temporary = temporaryOf(path);
  try {
    writeDurably(temporary, formatManifest(manifest));
    renameSync(temporary, path);
  } catch (error) {
    unlinkIfThere(temporary);
    throw error;
  }
}

/** Give what is at a path a second name, so that it is never missing at the first. */
function keepAside(path: string): void {
  const kept = keptPathOf(path);
  const temporary = temporaryOf(kept);
  try {
    linkSync(path, temporary);
  } catch (error) {
    if (!isErrno(error, 'EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'EMLINK', 'ENOSYS')) throw error;
    copyAside(path, temporary); // a file system without hard links
  }
  renameSync(temporary, kept);
  unlinkIfThere(temporary); // rename(2) does nothing where both names are the same file's already
}

function copyAside(path: string, temporary: string): void {
  if (lstatSync(path).isSymbolicLink()) symlinkSync(readlinkSync(path), temporary);
  else copyFileSync(path, temporary, constants.COPYFILE_EXCL);
}

export function syncDirectory(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } catch (error) {
    if (!isErrno(error, 'EINVAL')) throw error; // some file systems cannot, and need not
  } finally {
    closeSync(fd);
  }
}

export function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
