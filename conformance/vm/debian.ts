// Packages of a Debian suite that need not be the machine's own: looked up, fetched and unpacked with an apt whose lists
// and settings lie in the cache folder, so that nothing of the machine is changed.

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../harness/command.ts';
import { cacheFolder } from './cache.ts';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const FALLBACK_MIRROR = 'http://deb.debian.org/debian/';
/** Lists of 10 MB, a kernel of 25 MB, by a slow line. */
const STEP_TIMEOUT_MS = 10 * 60_000;

export class DebianSuite {
  readonly name: string;
  readonly #folder: string;

  constructor(name: string) {
    this.name = name;
    this.#folder = join(cacheFolder(), 'apt', name);
  }

  /** Fetch the suite's lists of packages. Throws Error with apt's words. */
  update(): void {
    for (const folder of ['lists/partial', 'archives/partial']) {
      mkdirSync(join(this.#folder, folder), { recursive: true });
    }
    const source = `deb [signed-by=${KEYRING}] ${machineMirror()} ${this.name} main\n`;
    writeFileSync(join(this.#folder, 'sources.list'), source);
    this.#apt('apt-get', 'update');
  }

  /** Name the packages that a package depends on. Throws Error when the suite does not have it. */
  dependenciesOf(packageName: string): string[] {
    const lines = this.#apt('apt-cache', 'depends', '--important', packageName).split('\n');
    return lines.flatMap((line) => /^\s*\|?Depends: ([^<\s]+)/.exec(line)?.[1] ?? []);
  }

  /** Fetch packages, without what they depend on, and unpack them into a folder. */
  unpack(packageNames: readonly string[], target: string): void {
    const downloads = join(this.#folder, 'downloads');
    rmSync(downloads, { recursive: true, force: true });
    mkdirSync(downloads, { recursive: true });
    this.#apt('apt-get', 'download', ...packageNames);
    mkdirSync(target, { recursive: true });
    for (const file of readdirSync(downloads)) mustRun('dpkg-deb', ['-x', join(downloads, file), target]);
    rmSync(downloads, { recursive: true });
  }

  #apt(program: string, ...args: string[]): string {
    const options = {
      'Dir::Etc::SourceList': join(this.#folder, 'sources.list'),
      'Dir::Etc::SourceParts': join(this.#folder, 'none'),
      'Dir::State::Lists': join(this.#folder, 'lists'),
      'Dir::Cache::Archives': join(this.#folder, 'archives'),
      'Dir::Cache::PkgCache': '',
      'Dir::Cache::SrcPkgCache': '',
      // The folder is root's, and apt would drop to another user that may not write there.
      'APT::Sandbox::User': 'root',
    };
    const settings = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    const cwd = args[0] === 'download' ? join(this.#folder, 'downloads') : this.#folder;
    return mustRun(program, ['-q', ...settings, ...args], { timeoutMs: STEP_TIMEOUT_MS, cwd });
  }
}

/** The Debian archive that the machine itself uses. */
function machineMirror(): string {
  const targets = mustRun('apt-get', ['indextargets', '--format', '$(REPO_URI)']).split('\n');
  return targets.find((uri) => /\/debian\/?$/.test(uri)) ?? FALLBACK_MIRROR;
}
