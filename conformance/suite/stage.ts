// The stages of the test suite: which files belong to each, and how they are run.

import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';

export interface Stage {
  readonly name: string;
  /** Folders of the project that are searched. */
  readonly folders: readonly string[];
  readonly pattern: RegExp;
  /** How many files run at the same time. */
  readonly parallel: number;
  /** Files that take minutes: begun first, so that none of them is waited for at the end. */
  readonly first?: RegExp;
  /**
   * Files that run by themselves after the others: they measure time, run whole container runtimes, or look for a namespace
   * that is gone (540: the kernel gives its number to the next that anybody makes, and GC keeps what may live).
   */
  readonly alone?: RegExp;
  readonly needsRoot: boolean;
}

/** Every stage, by the name the command line takes. */
export const STAGES: ReadonlyMap<string, Stage> = new Map(
  [
    {
      name: 'unit',
      folders: ['.ci', 'cni', 'ipam', 'conformance'],
      pattern: /(?<!\.kernel)\.test\.ts$/,
      parallel: 2,
      needsRoot: false,
    },
    {
      name: 'kernel',
      folders: ['cni', 'ipam'],
      pattern: /\.kernel\.test\.ts$/,
      parallel: 2,
      alone: /\/(bandwidth|parallel|etcd)\./,
      needsRoot: true,
    },
    {
      name: 'conformance',
      folders: ['conformance/cases'],
      pattern: /\.case\.ts$/,
      parallel: 2,
      first: /\/(55|60)\d-/,
      alone: /\/(160|3\d\d|430|460|540|640|7\d\d)-/,
      needsRoot: true,
    },
  ].map((stage) => [stage.name, stage]),
);

/**
 * Find the test files of a stage, in the order to run them in, as paths relative to `root`.
 *
 * Keeps only those whose path holds one of `filters`, when there are any.
 */
export function findTestFiles(stage: Stage, root: string, filters: readonly string[] = []): string[] {
  const files: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && entry.name !== 'node_modules') walk(path);
      else if (entry.isFile() && stage.pattern.test(entry.name)) files.push(relative(root, path));
    }
  };
  for (const folder of stage.folders) walk(join(root, folder));
  const rank = (file: string): number => (stage.first?.test(file) ? 0 : 1);
  const isWanted = (file: string): boolean => filters.length === 0 || filters.some((text) => file.includes(text));
  return files.filter(isWanted).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
