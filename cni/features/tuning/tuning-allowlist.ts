// Which sysctls a node's operator allows: the file of the reference tuning plugin, with its meaning. One regular
// expression a line, in Go's syntax (https://github.com/google/re2/wiki/Syntax), which has to match some part of the key as
// it stands in the configuration; without the file every sysctl is allowed, with an empty one none.

import { readFileSync, statSync } from 'node:fs';
import { isErrno } from '../../kernel/errno.ts';
import { loadLibrary } from '../../kernel/packed-library.ts';
import { CniError, ERR_INVALID_NETWORK_CONFIG } from '../../protocol/errors.ts';
import { FieldError } from '../../protocol/fields.ts';
import type { SysctlSetting } from './tuning-config.ts';

const ALLOWLIST_PATH = '/etc/cni/tuning/allowlist.conf';

interface Pattern {
  readonly source: string;
  test(text: string): boolean;
}

/** A fault for each setting that is not allowed. Throws CniError 7 when the file has a line that is no regular expression. */
export function findDisallowed(settings: readonly SysctlSetting[], path = ALLOWLIST_PATH): FieldError[] {
  const patterns = settings.length === 0 ? undefined : readAllowlist(path);
  if (!patterns) return [];
  const allowed = patterns.length === 0 ? 'none is' : `only ${patterns.map(({ source }) => source).join(', ')}`;
  return settings
    .filter(({ text }) => !patterns.some((pattern) => pattern.test(text)))
    .map((refused) => new FieldError(refused.path, `must be a sysctl that ${path} allows (${allowed})`));
}

function readAllowlist(path: string): Pattern[] | undefined {
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

/** JavaScript's own expressions know neither `(?i)` nor `\Q`, and take what Go refuses, such as `(?=` and `\1`. */
function parsePattern(source: string, place: string): Pattern {
  const { RE2JS } = loadLibrary('re2js.cjs') as typeof import('re2js');
  try {
    const compiled = RE2JS.compile(source);
    return { source, test: (text) => compiled.matcher(text).find() };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `Invalid ${place}: must be a regular expression as Go's and RE2's are, is "${source}"`;
    throw new CniError(ERR_INVALID_NETWORK_CONFIG, message, why, { cause });
  }
}
