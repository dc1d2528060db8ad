// The bundles of the executable: a module and all that it imports, as one script.

import { join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';

/** A bundle as a CommonJS script. `options`: esbuild's, on top of what all bundles share. */
export async function bundleOf(options: BuildOptions): Promise<string> {
  const { outputFiles } = await build({
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'cjs',
    external: ['node:*'],
    ...options,
  });
  const [file] = outputFiles ?? [];
  if (!file) throw new Error('esbuild has made no bundle');
  return file.text;
}

/** The bundle of what runtimes call, which the snapshot is made of. `root`: the project's folder. */
export async function bundleMain(root: string, version: string): Promise<string> {
  return await bundleOf({
    entryPoints: [join(root, 'cni/main.ts')],
    legalComments: 'none',
    // Comments of ip-address hold characters beyond Latin-1, for which V8 keeps the whole text in 16 bits: without
    // them a start takes 4 ms less of CPU and touches 950 pages less. Names stay, for stack traces.
    minifyWhitespace: true,
    charset: 'ascii',
    define: { PODLINK_VERSION: JSON.stringify(version) },
  });
}
