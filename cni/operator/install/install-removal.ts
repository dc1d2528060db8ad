// What `uninstall` takes back: what the manifest names, as long as it is still what `install` put there.

import { diagnose, type PlaceDiagnosis } from './place-diagnosis.ts';
import { renameSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { fingerprintIfAny } from './install-fingerprint.ts';
import { type InstalledFile, MANIFEST_NAME, type Manifest } from './install-manifest.ts';
import { EXECUTABLE_NAME, keptPathOf } from './install-place.ts';
import { removeLeftovers, syncDirectory, unlinkIfThere } from './install-plan.ts';

/** restored: what was there before is there again. gone: somebody has removed it. left: it is not what was installed. */
export type RemovalOutcome = 'removed' | 'restored' | 'gone' | 'left';

export interface Removal {
  readonly path: string;
  readonly outcome: RemovalOutcome;
  /** Why something was left. */
  readonly reason?: PlaceDiagnosis;
  carryOut(): void;
}

/**
 * Find out what is to be done. The configuration comes first, so that no runtime calls a plugin that is gone, and the
 * executable last, so that no link leads nowhere. `confDir` is where the configurations are now, if not at the path on
 * record: seen from a container it is another.
 */
export function planRemoval(dir: string, manifest: Manifest, confDir: string | undefined): Removal[] {
  const order = ({ path }: InstalledFile) => (isAbsolute(path) ? 0 : path === EXECUTABLE_NAME ? 2 : 1);
  return manifest.files
    .toSorted((a, b) => order(a) - order(b))
    .map((file) => {
      const { path } = file;
      const isMoved = isAbsolute(path) && confDir !== undefined;
      return examine(isMoved ? join(confDir, basename(path)) : isAbsolute(path) ? path : join(dir, path), file);
    });
}

function examine(path: string, { path: name, is, kept }: InstalledFile): Removal {
  const keptPath = keptPathOf(path);
  const found = fingerprintIfAny(path);
  const foundKept = kept === undefined ? undefined : fingerprintIfAny(keptPath);
  const isOurs = found !== undefined && is.includes(found);
  const nothing = () => undefined;
  if (kept !== undefined && found === kept) {
    // Put back already, or never replaced: `install` or `uninstall` was stopped in between.
    return { path, outcome: 'restored', carryOut: () => foundKept === kept && unlinkIfThere(keptPath) };
  }
  if (isOurs || found === undefined) {
    if (kept !== undefined && foundKept === kept) {
      return { path, outcome: 'restored', carryOut: () => renameSync(keptPath, path) };
    }
    const carryOut = () => isOurs && unlinkIfThere(path);
    if (foundKept !== undefined) {
      const reason = diagnose('kept-file-changed', { subject: path, object: keptPath });
      return { path, outcome: 'left', reason, carryOut };
    }
    return { path, outcome: isOurs ? 'removed' : 'gone', carryOut };
  }
  const parts = { subject: path, ...(foundKept !== undefined && { object: keptPath }) };
  const reason = diagnose(isAbsolute(name) ? 'configuration-changed' : 'plugin-changed', parts);
  return { path, outcome: 'left', reason, carryOut: nothing };
}

/** Throws Error with the file system's as its cause. What was done until then is found done the next time. */
export function carryOutRemoval(dir: string, removals: readonly Removal[]): void {
  try {
    removeLeftovers(
      dir,
      removals.map(({ path }) => path),
    );
    for (const removal of removals) removal.carryOut();
    for (const { path, outcome } of removals) if (outcome !== 'gone') syncDirectory(dirname(path));
    unlinkIfThere(join(dir, MANIFEST_NAME));
    syncDirectory(dir);
  } catch (cause) {
    throw new Error(`Cannot take everything back from "${dir}": run it again`, { cause });
  }
}
