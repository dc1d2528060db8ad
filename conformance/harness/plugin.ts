// What the cases are run against: the packed executable, or the reference plugins.

import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const EXECUTABLE = fileURLToPath(new URL('../../dist/podlink', import.meta.url));
/** Where Debian's containernetworking-plugins puts them. */
export const REFERENCE_FOLDER = '/usr/lib/cni';

/** Whether the cases run against the reference plugins (`run.ts conformance --against reference`). */
export const AGAINST_REFERENCE = process.env.CONFORMANCE_AGAINST === 'reference';

/** The names the executable is installed under, and the reference plugins with the same task. */
export const ROLES: ReadonlyMap<string, string> = new Map([
  ['podlink', 'bridge'],
  ['loopback', 'loopback'],
  ['host-local', 'host-local'],
  ['static', 'static'],
]);

/** The `type` that stands in a configuration for `role`: the reference's own name when that is what runs. */
export function typeOf(role: string): string {
  return AGAINST_REFERENCE ? (ROLES.get(role) ?? role) : role;
}

/** Fill a folder for CNI_PATH with what the cases run against. Throws Error when it was not built or installed. */
export function fillPluginFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [role, reference] of ROLES) {
    const name = AGAINST_REFERENCE ? reference : role;
    const target = AGAINST_REFERENCE ? join(REFERENCE_FOLDER, reference) : EXECUTABLE;
    if (!existsSync(target)) {
      const remedy = AGAINST_REFERENCE ? 'install the Debian package containernetworking-plugins' : 'run npm run build';
      throw new Error(`There is no ${target} to test: ${remedy}`);
    }
    symlinkSync(target, join(folder, name));
  }
}
