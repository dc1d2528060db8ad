// What `install` has put on a node, written down beside it, so that `uninstall` takes back exactly that.
//
//   DIR/.podlink-installed.json
//   { "version": 1, "podlink": "0.1.0", "files": [
//       { "path": "podlink", "is": ["sha256:…"] },
//       { "path": "loopback", "is": ["link:podlink"], "kept": "sha256:…" },
//       { "path": "/etc/cni/net.d/10-podlink.conflist", "is": ["sha256:…"] } ] }
//
// Written before anything is changed, with both what is there and what will be, and again when all is done: whenever
// `install` is stopped, what it has done until then is known.

import { closeSync, constants, fchmodSync, fsyncSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../kernel/errno.ts';
import { isObject } from '../../protocol/fields.ts';
import { CommandError } from '../cli/command.ts';

const MANIFEST_VERSION = 1;

export const MANIFEST_NAME = '.podlink-installed.json';

export interface InstalledFile {
  /** Relative to the directory of the manifest, which may be mounted at different places; a conflist's is absolute. */
  readonly path: string;
  /** The fingerprints it may have; two or more while `install` is at work, or when it was stopped. */
  readonly is: readonly string[];
  /** The fingerprint of what was there before, kept beside it. */
  readonly kept?: string;
}

export interface Manifest {
  readonly version: typeof MANIFEST_VERSION;
  /** Version of the executable. */
  readonly podlink: string;
  readonly files: readonly InstalledFile[];
}

/** In the order of their paths, so that the same files make the same text. */
export function makeManifest(podlink: string, files: readonly InstalledFile[]): Manifest {
  return { version: MANIFEST_VERSION, podlink, files: files.toSorted((a, b) => (a.path < b.path ? -1 : 1)) };
}

export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

/** The manifest of a directory; undefined when there is none. Throws CommandError when what is there is not one. */
export function readManifest(dir: string): Manifest | undefined {
  const path = join(dir, MANIFEST_NAME);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
  const manifest = parse(text);
  if (manifest) return manifest;
  throw new CommandError(`"${path}" is not what "podlink install" writes: move it away, and install with --force`);
}

function parse(text: string): Manifest | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isManifest(value) ? value : undefined;
  } catch {
    return undefined; // not JSON: the caller says what to do
  }
}

function isManifest(value: unknown): value is Manifest {
  return (
    isObject(value) &&
    value.version === MANIFEST_VERSION &&
    typeof value.podlink === 'string' &&
    Array.isArray(value.files) &&
    value.files.every(isInstalledFile)
  );
}

function isInstalledFile(value: unknown): value is InstalledFile {
  return (
    isObject(value) &&
    typeof value.path === 'string' &&
    isPathOfOurs(value.path) &&
    Array.isArray(value.is) &&
    value.is.every((fingerprint) => typeof fingerprint === 'string') &&
    (value.kept === undefined || typeof value.kept === 'string')
  );
}

/** A name in the directory, or a conflist elsewhere: nothing else is ever removed because a manifest says so. */
function isPathOfOurs(path: string): boolean {
  return /^[\w-][\w.-]*$/.test(path) || /^\/(.*\/)?[^/]+\.conflist$/.test(path);
}

/** Write a text to a path where nothing is, durably, readable by everybody. */
export function writeDurably(path: string, text: string): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
  try {
    writeFileSync(fd, text);
    fchmodSync(fd, 0o644); // whatever the umask is
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
