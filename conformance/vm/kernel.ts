// The kernels that the tests are run on: Debian's "cloud" builds, which have VLAN filtering, br_netfilter, SCTP, ifb and
// all queueing disciplines as modules. Each is fetched once and kept as three files: the kernel, an initial RAM disk with
// the drivers of the virtual disks, and an image with all modules.

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../harness/command.ts';
import { cacheFolder } from './cache.ts';
import { DebianSuite } from './debian.ts';
import { makeDiskImage } from './disk-image.ts';
import { makeInitialRamDisk } from './initial-ram-disk.ts';

export interface KernelSource {
  /** The version that `--kernel` takes. */
  readonly version: string;
  /** Debian suite whose linux-image-cloud-amd64 is of that version. */
  readonly suite: string;
}

export const KERNELS: readonly KernelSource[] = [
  { version: '5.10', suite: 'bullseye' },
  { version: '6.1', suite: 'bookworm' },
  { version: '6.12', suite: 'trixie' },
];

const NEWEST_PACKAGE = 'linux-image-cloud-amd64';
/** Newer kernels have their modules in packages of their own. */
const KERNEL_PACKAGE = /^linux-(image|modules|binary)-[0-9]/;

/** A kernel that can be booted. */
export interface Kernel {
  /** As `uname -r` says it. */
  readonly release: string;
  readonly image: string;
  readonly initialRamDisk: string;
  readonly modules: string;
}

/** Find a kernel in the cache, or fetch it. Throws Error with the words of the program that failed. */
export function ensureKernel(source: KernelSource): Kernel {
  const folder = join(cacheFolder(), `kernel-${source.version}`);
  if (!existsSync(folder)) fetchKernel(source, folder);
  const release = readdirSync(folder)
    .find((name) => name.startsWith('vmlinuz-'))
    ?.slice('vmlinuz-'.length);
  if (release === undefined) throw new Error(`There is no kernel in ${folder}: remove the folder and run this again`);
  return {
    release,
    image: join(folder, `vmlinuz-${release}`),
    initialRamDisk: join(folder, 'initrd'),
    modules: join(folder, 'modules.img'),
  };
}

function fetchKernel(source: KernelSource, folder: string): void {
  console.error(`vm: fetching Linux ${source.version} from Debian ${source.suite}`);
  const work = mkdtempSync(join(cacheFolder(), 'fetch-'));
  try {
    const unpacked = join(work, 'unpacked');
    unpackKernel(source, unpacked);
    const made = join(work, 'made');
    mkdirSync(made);
    prepareKernel(unpacked, made);
    renameSync(made, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function unpackKernel({ version, suite: suiteName }: KernelSource, target: string): void {
  const suite = new DebianSuite(suiteName);
  suite.update();
  const image = suite.dependenciesOf(NEWEST_PACKAGE).find((name) => KERNEL_PACKAGE.test(name));
  if (!image?.startsWith(`linux-image-${version}.`)) {
    throw new Error(
      `Debian ${suiteName} has ${image ?? 'no kernel'}, not Linux ${version}: correct the table in kernel.ts`,
    );
  }
  const others = suite.dependenciesOf(image).filter((name) => KERNEL_PACKAGE.test(name));
  suite.unpack([image, ...others], target);
}

function prepareKernel(unpacked: string, target: string): void {
  const modules = ['usr/lib/modules', 'lib/modules'].map((path) => join(unpacked, path)).find(existsSync);
  const release = modules && readdirSync(modules)[0];
  if (modules === undefined || release === undefined) throw new Error('The kernel packages hold no modules');
  const boot = [join(unpacked, 'boot'), join(modules, release)].find((path) =>
    readdirSync(path).some((name) => name.startsWith('vmlinuz')),
  );
  if (boot === undefined) throw new Error('The kernel packages hold no kernel');
  const image = readdirSync(boot).find((name) => name.startsWith('vmlinuz')) ?? '';
  copyFileSync(join(boot, image), join(target, `vmlinuz-${release}`));
  const config = join(unpacked, 'boot', `config-${release}`);
  if (existsSync(config)) copyFileSync(config, join(modules, release, 'config'));
  // depmod wants the modules at lib/modules.
  const base = join(target, 'base');
  mkdirSync(join(base, 'lib'), { recursive: true });
  renameSync(modules, join(base, 'lib', 'modules'));
  mustRun('depmod', ['-b', base, release]);
  makeInitialRamDisk(join(base, 'lib', 'modules', release), join(target, 'initrd'));
  makeDiskImage(join(base, 'lib', 'modules'), join(target, 'modules.img'), 16);
  rmSync(base, { recursive: true });
}
