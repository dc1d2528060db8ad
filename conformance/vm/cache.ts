// The folder in which kernels and the Debian root are kept between runs.

import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** $PODLINK_VM_CACHE, or podlink-vm among the user's caches. Made when it is not there. */
export function cacheFolder(): string {
  const caches = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const folder = process.env.PODLINK_VM_CACHE || join(caches, 'podlink-vm');
  mkdirSync(folder, { recursive: true });
  return folder;
}
