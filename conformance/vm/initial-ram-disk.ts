// The initial RAM disk: busybox, the drivers of the virtual disks and of ext4, and a script that mounts the disks.

import { copyFileSync, chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { mustRun } from '../harness/command.ts';
import { BUSYBOX } from './needs.ts';
import { GUEST_INIT, GUEST_MODULES, GUEST_PROJECT } from './root.ts';

/** In an order in which each finds what it needs; those that are built into the kernel are not there as files. */
const DRIVERS = [
  'virtio',
  'virtio_ring',
  'virtio_pci_modern_dev',
  'virtio_pci_legacy_dev',
  'virtio_pci',
  'virtio_blk',
  'crc16',
  'crc32c_generic',
  'libcrc32c',
  'mbcache',
  'jbd2',
  'ext4',
];

const INIT = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
for module in $($b cat /drivers/order); do $b insmod /drivers/$module || echo "cannot load $module"; done
for try in $($b seq 300); do [ -e /dev/vdc ] && break; $b sleep 0.1; done
$b mount -t ext4 -o noatime /dev/vda /root || $b poweroff -f
$b mount -t ext4 -o noatime /dev/vdb /root${GUEST_MODULES} || $b poweroff -f
$b mount -t ext4 -o noatime /dev/vdc /root${GUEST_PROJECT} || $b poweroff -f
$b mount -t proc proc /root/proc; $b mount -t sysfs sys /root/sys; $b mount -t devtmpfs dev /root/dev
exec $b switch_root /root ${GUEST_INIT}
`;

/** Make the initial RAM disk for the kernel whose modules are in the folder. */
export function makeInitialRamDisk(modules: string, target: string): void {
  const work = mkdtempSync(join(tmpdir(), 'podlink-initrd-'));
  try {
    for (const folder of ['bin', 'drivers', 'proc', 'sys', 'dev', 'root']) mkdirSync(join(work, folder));
    copyFileSync(BUSYBOX, join(work, 'bin', 'busybox'));
    const drivers = copyDrivers(modules, join(work, 'drivers'));
    writeFileSync(join(work, 'drivers', 'order'), drivers.join('\n'));
    writeFileSync(join(work, 'init'), INIT);
    for (const program of ['init', 'bin/busybox']) chmodSync(join(work, program), 0o755);
    const names = readdirSync(work, { recursive: true }).map(String).join('\n');
    mustRun('cpio', ['--quiet', '-o', '-H', 'newc', '-F', target], { cwd: work, input: `${names}\n` });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Copy the drivers, uncompressed, since busybox's insmod knows no compression. Tells their file names in order. */
function copyDrivers(modules: string, target: string): string[] {
  const files = readdirSync(join(modules, 'kernel'), { recursive: true }).map(String);
  return DRIVERS.flatMap((driver) => {
    const file = files.find((path) => new RegExp(`^${driver}\\.ko(\\.|$)`).test(basename(path)));
    if (file === undefined) return [];
    const copy = join(target, basename(file));
    copyFileSync(join(modules, 'kernel', file), copy);
    if (copy.endsWith('.xz')) mustRun('xz', ['-d', copy]);
    if (copy.endsWith('.zst')) mustRun('zstd', ['-q', '-d', '--rm', copy]);
    return [`${driver}.ko`];
  });
}
