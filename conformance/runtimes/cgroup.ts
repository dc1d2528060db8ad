// The cgroups of a suite: one folder of its own in every hierarchy, which all containers are put below. Namespaces do
// not take cgroups away with them, so whoever made the folder removes it.

import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = '/sys/fs/cgroup';

/** The parent cgroup for containers, e.g. `/podlink-suite-123`. */
export class CgroupTree {
  /** Environment variable in which a process inside finds the name. */
  static readonly VARIABLE = 'PODLINK_SUITE_CGROUP';
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** The tree of the suite this process belongs to. Throws Error outside of one. */
  static own(): CgroupTree {
    const name = process.env[CgroupTree.VARIABLE];
    if (!name) throw new Error(`${CgroupTree.VARIABLE} is not set: call enterOwnMachine() first`);
    return new CgroupTree(name);
  }

  /** Remove the trees of suites that were killed: those named by a process that is not there any more. */
  static removeForsaken(prefix: string): void {
    const names = hierarchies().flatMap((hierarchy) => list(hierarchy).filter((name) => name.startsWith(prefix)));
    for (const name of new Set(names)) {
      if (!existsSync(`/proc/${name.slice(prefix.length)}`)) new CgroupTree(name).remove();
    }
  }

  /** As a runtime wants it: from the root of the hierarchy. */
  get path(): string {
    return `/${this.name}`;
  }

  /** The cgroups of containers that are there, as paths in the file system. */
  containers(): string[] {
    return this.#folders().flatMap((folder) => subfolders(folder));
  }

  /** Remove all of it, deepest first. Returns those that still have processes, one text each. */
  remove(): string[] {
    const left: string[] = [];
    for (const folder of this.#folders()) {
      for (const cgroup of [...subfolders(folder).reverse(), folder]) {
        try {
          rmdirSync(cgroup);
        } catch (error) {
          left.push(`${cgroup}: ${(error as Error).message}; processes ${processesOf(cgroup)}`);
        }
      }
    }
    return left;
  }

  /** One a hierarchy (cgroup v1), or one in all (cgroup v2). */
  #folders(): string[] {
    return hierarchies()
      .filter((hierarchy) => list(hierarchy).includes(this.name))
      .map((h) => join(h, this.name));
  }
}

/** Where cgroups may be: one root (cgroup v2), or one for each controller below it (cgroup v1). */
function hierarchies(): string[] {
  return [ROOT, ...list(ROOT).map((name) => join(ROOT, name))];
}

/** All folders below a folder, each before what is in it. */
function subfolders(folder: string): string[] {
  return list(folder).flatMap((name) => [join(folder, name), ...subfolders(join(folder, name))]);
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return []; // a file, or gone meanwhile
  }
}

function processesOf(cgroup: string): string {
  try {
    return readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').trim().replaceAll('\n', ' ');
  } catch {
    return '?'; // gone meanwhile
  }
}
