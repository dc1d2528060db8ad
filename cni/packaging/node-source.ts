// The Node that is packed: npm's, in the version that package.json pins.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Architecture } from './elf.ts';

/** What the build needs of package.json and package-lock.json. */
interface PackageFile {
  readonly version: string;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly integrity?: string }>>;
}

/** Read podlink's own version. */
export function readVersion(root: string): string {
  return readJson<PackageFile>(join(root, 'package.json')).version;
}

/** Read which Node is pinned for an architecture. Throws Error when none is. */
export function readNodeVersion(root: string, architecture: Architecture): string {
  const version = readJson<PackageFile>(join(root, 'package.json')).optionalDependencies[packageOf(architecture)];
  if (version === undefined) throw new Error(`package.json pins no ${packageOf(architecture)}`);
  return version;
}

/**
 * Find the folder of the npm package with Node: the one that npm has installed for this machine; another is fetched with
 * npm into `temporary`. Throws Error when that is not what package-lock.json names.
 */
export function findNodePackage(root: string, architecture: Architecture, temporary: string): string {
  const name = packageOf(architecture);
  const installed = join(root, 'node_modules', name);
  if (existsSync(join(installed, 'bin/node'))) return installed;
  const version = readNodeVersion(root, architecture);
  const { packages } = readJson<LockFile>(join(root, 'package-lock.json'));
  execFileSync('npm', ['pack', '--silent', '--pack-destination', temporary, `${name}@${version}`]);
  const archive = join(temporary, `${name}-${version}.tgz`);
  const digest = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (digest !== packages[`node_modules/${name}`]?.integrity)
    throw new Error(`${name}@${version} is not what package-lock.json names: ${digest}`);
  execFileSync('tar', ['-xzf', archive, '-C', temporary, 'package/bin/node', 'package/LICENSE']);
  return join(temporary, 'package');
}

function packageOf(architecture: Architecture): string {
  return `node-linux-${architecture}`;
}

/** Files of the project itself, whose shape is its own affair. */
function readJson<Shape>(path: string): Shape {
  return JSON.parse(readFileSync(path, 'utf8')) as Shape;
}
