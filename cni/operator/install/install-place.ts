// A place on the node that `install` is to fill: what shall stand there, what does, and what to do about it.

import { diagnose, type PlaceDiagnosis } from './place-diagnosis.ts';
import { lstatSync } from 'node:fs';
import { isPodlinkExecutable, type RunningExecutable } from './install-executable.ts';
import { fingerprintAt, fingerprintOfLink, fingerprintOfText } from './install-fingerprint.ts';
import { ROLE_ROWS } from '../../roles/role-names.ts';
import type { InstalledFile } from './install-manifest.ts';

/** The reference plugins that podlink does the work of, as links to it. */
export const LINK_NAMES = ROLE_ROWS.filter(({ isStock }) => isStock).map(({ name }) => name);
export const EXECUTABLE_NAME = 'podlink';

export type Content =
  | { readonly kind: 'executable'; readonly executable: RunningExecutable }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'conflist'; readonly text: string };

/** left: somebody has edited what `install` wrote. */
export type Outcome = 'installed' | 'replaced' | 'unchanged' | 'left';

export interface Place {
  readonly path: string;
  readonly content: Content;
  readonly outcome: Outcome;
  /** Whether what is there is somebody else's, to be kept beside it. */
  readonly keepsForeign: boolean;
  /** Why that may not be done. */
  readonly refusal?: PlaceDiagnosis;
  /** For the manifest while the change is made, and after it. */
  readonly during: InstalledFile;
  readonly after: InstalledFile;
}

/** Where what was at a path before is kept. Runtimes read neither plugins nor configurations of such names. */
export function keptPathOf(path: string): string {
  return `${path}.before-podlink`;
}

function fingerprintOf(content: Content): string {
  switch (content.kind) {
    case 'executable':
      return content.executable.fingerprint;
    case 'link':
      return fingerprintOfLink(content.target);
    case 'conflist':
      return fingerprintOfText(content.text);
  }
}

export interface PlaceOptions {
  /** As it stands in the manifest. */
  readonly name: string;
  /** What the manifest says of it. */
  readonly known: InstalledFile | undefined;
  /** Whether what is not podlink's may be replaced. */
  readonly force: boolean;
}

/**
 * Find out what is to be done at a path. Changes nothing.
 *
 * Throws CommandError when there is neither a file nor a link.
 */
export function examinePlace(path: string, content: Content, { name, known, force }: PlaceOptions): Place {
  const wanted = fingerprintOf(content);
  const found = fingerprintAt(path);
  const kept = known?.kept === undefined ? {} : { kept: known.kept };
  const place = (outcome: Outcome, keepsForeign: boolean, during: InstalledFile, after: InstalledFile): Place => ({
    path,
    content,
    outcome,
    keepsForeign,
    during,
    after,
  });
  const done: InstalledFile = { path: name, is: [wanted], ...kept };
  if (found === undefined) return place('installed', false, done, done);
  const both: InstalledFile = { path: name, is: [...new Set([wanted, ...(known?.is ?? []), found])], ...kept };
  if (found === wanted && hasRightMode(path, content)) return place('unchanged', false, both, done);
  if (found === wanted || known?.is.includes(found) || isOurs(path, content)) {
    return place('replaced', false, both, done);
  }
  // What is kept can only be here still when an `install` was stopped before it came to this place.
  const isEdited = content.kind === 'conflist' && known !== undefined && known.kept !== found;
  if (isEdited) return place('left', false, known, known);
  const taken: InstalledFile = { path: name, is: [...new Set([wanted, ...(known?.is ?? [])])], kept: found };
  const refusal = force ? refusalToKeep(path, found, known) : diagnoseForeign(path, content);
  return { ...place('replaced', true, taken, { ...taken, is: [wanted] }), ...(refusal !== undefined && { refusal }) };
}

/** Whether a file is podlink's although no manifest knows it: a plain copy, or a link that somebody made. */
function isOurs(path: string, { kind }: Content): boolean {
  if (kind === 'conflist') return false;
  // A link in the place of the executable was made on purpose: a packager's, for one.
  if (kind === 'executable' && lstatSync(path).isSymbolicLink()) return false;
  return isPodlinkExecutable(path);
}

/** An executable that nobody may run is not there yet. */
function hasRightMode(path: string, { kind }: Content): boolean {
  return kind !== 'executable' || (lstatSync(path).mode & 0o777) === 0o755;
}

function diagnoseForeign(path: string, { kind }: Content): PlaceDiagnosis {
  const code = kind === 'conflist' ? 'configuration-foreign' : 'plugin-foreign';
  return diagnose(code, { subject: path, object: keptPathOf(path) });
}

/** State why what is there cannot be kept; undefined when it can. */
function refusalToKeep(path: string, found: string, known: InstalledFile | undefined): PlaceDiagnosis | undefined {
  const keptPath = keptPathOf(path);
  const there = fingerprintAt(keptPath);
  // The same: an `install` was stopped before it came to replace it. Known: it is our own copy of one that a package has
  // put a newer one in the place of.
  if (there === undefined || there === found || known?.kept !== undefined) return undefined;
  return diagnose('kept-name-taken', { subject: path, object: keptPath });
}
