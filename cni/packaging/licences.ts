// The licences of all that is in the executable, as one text beside it: dist/LICENSES.txt.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle } from './bundle.ts';
import type { Architecture } from './elf.ts';

/** Licences that ask for no text to be handed on. A package under one of these may come without a file. */
const WITHOUT_CONDITIONS = ['Unlicense', '0BSD', 'CC0-1.0'];

/** Debian's packages with the libraries of library-source.ts, and where they have their licences. */
const LIBRARY_PACKAGES = ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1'];
const DEBIAN_NAMES = { x64: 'amd64', arm64: 'arm64' } as const;
const DOCUMENTATION = '/usr/share/doc';

export interface Licence {
  /** Whose it is. */
  readonly title: string;
  readonly text: string;
}

/** Read the licences of the packages in bundles, each once. Throws Error when a package has none. */
export function licencesOfBundles(bundles: Iterable<Bundle>): Licence[] {
  const all = [...bundles];
  const folders = [...new Set(all.flatMap(({ packages }) => packages))].sort();
  const comments = all.map(({ legalComments }) => legalComments.trim()).filter((text) => text !== '');
  return [
    ...folders.map(licenceOfPackage),
    ...(comments.length > 0 ? [{ title: 'Comments in these packages', text: comments.join('\n') }] : []),
  ];
}

function licenceOfPackage(folder: string): Licence {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    readonly name: string;
    readonly version: string;
    readonly license?: string;
  };
  const title = `${name} ${version}`;
  const files = readdirSync(folder)
    .filter((file) => /^(licen[cs]e|copying|notice)\b/i.test(file))
    .sort();
  if (files.length > 0)
    return { title, text: files.map((file) => readFileSync(join(folder, file), 'utf8')).join('\n') };
  if (!WITHOUT_CONDITIONS.includes(license ?? '')) throw new Error(`${title} is in a bundle, and has no licence`);
  return { title, text: `License: ${license}\n` };
}

/** Read the licences of Node itself and of all that is in it. `folder`: of its npm package. */
export function licenceOfNode(folder: string, version: string): Licence {
  return { title: `Node.js ${version}`, text: readFileSync(join(folder, 'LICENSE'), 'utf8') };
}

/**
 * Read the licences of the dynamic loader and the libraries, where Debian's packages have them. Throws Error, naming the
 * package, when one is missing.
 */
export function licencesOfLibraries(architecture: Architecture, documentation = DOCUMENTATION): Licence[] {
  const textToNames = new Map<string, string[]>();
  for (const name of LIBRARY_PACKAGES) {
    const file = join(
      documentation,
      architecture === process.arch ? name : `${name}-${DEBIAN_NAMES[architecture]}-cross`,
      'copyright',
    );
    if (!existsSync(file)) throw new Error(`Cannot find ${file}, the licence of a library in the executable`);
    const text = readFileSync(file, 'utf8');
    textToNames.set(text, [...(textToNames.get(text) ?? []), name]);
  }
  return Array.from(textToNames, ([text, names]) => ({ title: `${names.join(', ')} (as Debian has them)`, text }));
}

/** Format licences as one text, each under the name of whose it is. */
export function formatLicences(licences: readonly Licence[]): string {
  const line = '='.repeat(80);
  return licences.map(({ title, text }) => `${line}\n${title}\n${line}\n\n${text.trim()}\n`).join('\n');
}
