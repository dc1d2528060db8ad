// The bundles of the executable: a module and all that it imports, as one script.

import { resolve } from 'node:path';
import { type BuildOptions, build } from 'esbuild';

export interface Bundle {
  readonly script: string;
  /** Folders of the packages that are in it, absolute. */
  readonly packages: readonly string[];
  /** The comments in it that say whose code that is, which are no part of the script. */
  readonly legalComments: string;
}

/** Bundle as a CommonJS script. `root`: the project's folder. `options`: esbuild's, on top of what all bundles share. */
async function bundle(root: string, options: BuildOptions): Promise<Bundle> {
  const { outputFiles = [], metafile } = await build({
    ...{ write: false, metafile: true, legalComments: 'external', absWorkingDir: root, outfile: 'bundle.cjs' },
    ...{ bundle: true, platform: 'node', target: 'node26', format: 'cjs', external: ['node:*'] },
    // Characters beyond Latin-1 would have V8 keep the whole text in 16 bits. Names stay, for stack traces.
    ...{ minifyWhitespace: true, charset: 'ascii' },
    ...options,
  });
  const textOf = (suffix: string): string | undefined => outputFiles.find(({ path }) => path.endsWith(suffix))?.text;
  const script = textOf('.cjs');
  if (script === undefined || metafile === undefined) throw new Error('esbuild has made no bundle');
  const packages = Object.keys(metafile.inputs).flatMap((path) => packageOf(root, path) ?? []);
  return { script, packages: [...new Set(packages)].sort(), legalComments: textOf('.LEGAL.txt') ?? '' };
}

/** Find the folder of the package that a file is in: behind the last node_modules of its path. */
function packageOf(root: string, path: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(resolve(root, path))?.[0];
}

/** Bundle what runtimes call, which the snapshot is made of. */
export async function bundleMain(root: string, version: string): Promise<Bundle> {
  return await bundle(root, {
    entryPoints: ['cni/main.ts'],
    define: { PODLINK_VERSION: JSON.stringify(version) },
  });
}

/**
 * Bundle the scripts that no runtime's call needs, by the name of their asset: they are no part of the snapshot.
 * cni/verbs/packed-script.ts and cni/kernel/packed-library.ts load them.
 */
export async function bundleAssets(root: string): Promise<ReadonlyMap<string, Bundle>> {
  const library = (contents: string): BuildOptions => ({ stdin: { contents, resolveDir: root }, minify: true });
  const options: Readonly<Record<string, BuildOptions>> = {
    'operator.cjs': { entryPoints: ['cni/operator/cli/command-line.ts'] },
    'foreign-firewall.cjs': { entryPoints: ['cni/features/firewall/foreign-firewall.ts'] },
    'kubernetes-client.cjs': library("export { CoreV1Api, KubeConfig } from '@kubernetes/client-node';"),
    're2js.cjs': library("export { RE2JS } from 're2js';"),
  };
  return new Map(
    await Promise.all(
      Object.entries(options).map(async ([name, each]): Promise<[string, Bundle]> => [name, await bundle(root, each)]),
    ),
  );
}
