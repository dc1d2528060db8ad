// Which sysctls a node's operator allows: the file of the reference tuning plugin, with its meaning. One regular
// expression a line, which has to match some part of the key as it stands in the configuration; without the file every
// sysctl is allowed, with an empty one none.

import { readFileSync, statSync } from 'node:fs';
import { isErrno } from '../kernel/errno.ts';
import { CniError, ERR_INVALID_NETWORK_CONFIG } from '../protocol/errors.ts';
import { FieldError } from '../protocol/fields.ts';
import type { SysctlSetting } from './tuning-config.ts';

export const ALLOWLIST_PATH = '/etc/cni/tuning/allowlist.conf';

/** Throws FieldError for the first setting that is not allowed, CniError 7 when the file has a line that is no regular expression. */
export function requireAllowed(settings: readonly SysctlSetting[], path = ALLOWLIST_PATH): void {
  const patterns = settings.length === 0 ? undefined : readAllowlist(path);
  if (!patterns) return;
  const refused = settings.find(({ text }) => !patterns.some((pattern) => pattern.test(text)));
  if (!refused) return;
  const allowed = patterns.length === 0 ? 'none is' : `only ${patterns.map(({ source }) => source).join(', ')}`;
  throw new FieldError(refused.path, `must be a sysctl that ${path} allows (${allowed})`);
}

function readAllowlist(path: string): RegExp[] | undefined {
  const text = readIfThere(path);
  return text?.split('\n').flatMap((line, i) => {
    const source = line.trim();
    return source === '' ? [] : [parsePattern(source, `${path}, line ${i + 1}`)];
  });
}

function readIfThere(path: string): string | undefined {
  // Most nodes have none, and this says so without an exception.
  if (!statSync(path, { throwIfNoEntry: false })) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function parsePattern(source: string, place: string): RegExp {
  try {
    return new RegExp(source);
  } catch (cause) {
    const message = `Invalid ${place}: must be a regular expression, is "${source}"`;
    throw new CniError(ERR_INVALID_NETWORK_CONFIG, message, String(cause), { cause });
  }
}
