// A machine of the suite's own, as far as the kernel can give one: the file that calls enterOwnMachine() runs in new
// PID, mount and network namespaces, with empty folders where runtimes keep their state, and with an /etc and an /opt
// whose changes are its own.
//
// A runtime's daemons, shims and containers are processes in that PID namespace, and the mounts and files they make
// are in that mount namespace: whatever becomes of a test, they end with it. The suite still looks for what is left
// while it is inside (leftovers.ts).

import { spawnSync } from 'node:child_process';
import { mkdirSync, readlinkSync } from 'node:fs';
import { mustRun } from '../harness/command.ts';
import { CgroupTree } from './cgroup.ts';

/** Set inside, to the mount namespace outside. */
const MARK = 'PODLINK_OWN_MACHINE';
/** Folders that runtimes and plugins have fixed paths in. */
const FRESH_FOLDERS = ['/run', '/run/netns', '/var/lib', '/var/tmp', '/dev/shm'];
/** Folders of the machine that they write into: dockerd a key into /etc/docker, its containerd folders into /opt. */
const COVERED_FOLDERS = ['/etc', '/opt'];
/** What follows is the process that removes it. */
const CGROUP_PREFIX = 'podlink-suite-';
/** Everything a test file makes, unless it has a fixed path. In the fresh /run, so in memory. */
export const SCRATCH = '/run/podlink-suite';

/**
 * Go on in a machine of the file's own. Called once at the top of a case file, before anything is defined.
 *
 * Outside it runs the same file again inside, ends the process with its exit code and does not return. Throws Error
 * when the kernel gives no such namespaces.
 */
export function enterOwnMachine(): void {
  if (process.env[MARK] === undefined) runInside();
  if (process.env[MARK] === readlinkSync('/proc/self/ns/mnt')) {
    throw new Error('Cannot give the suite a mount namespace of its own: unshare left it in the old one');
  }
  for (const folder of FRESH_FOLDERS) {
    mkdirSync(folder, { recursive: true });
    mustRun('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'podlink-suite', folder]);
  }
  for (const folder of COVERED_FOLDERS) {
    const [upper, work] = [`${SCRATCH}/changes${folder}`, `${SCRATCH}/work${folder}`];
    for (const each of [upper, work]) mkdirSync(each, { recursive: true });
    const options = `lowerdir=${folder},upperdir=${upper},workdir=${work}`;
    mustRun('mount', ['-t', 'overlay', '-o', options, 'podlink-suite', folder]);
  }
  process.env.TMPDIR = SCRATCH;
}

function runInside(): never {
  CgroupTree.removeForsaken(CGROUP_PREFIX);
  const cgroups = new CgroupTree(`${CGROUP_PREFIX}${process.pid}`);
  const { status, signal, error } = spawnSync(
    'setpriv',
    [
      // A runner that loses patience kills this process: then the whole machine goes too.
      ...['--pdeathsig', 'KILL', 'unshare'],
      ...['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc', '--net', '--'],
      // The first process of a PID namespace inherits orphans, which a shell reaps and Node does not.
      ...['sh', '-c', 'ip link set lo up && "$@"; exit $?', 'sh', process.execPath, ...process.argv.slice(1)],
    ],
    {
      stdio: 'inherit',
      env: { ...process.env, [MARK]: readlinkSync('/proc/self/ns/mnt'), [CgroupTree.VARIABLE]: cgroups.name },
    },
  );
  const left = cgroups.remove();
  if (left.length > 0) console.error(`cgroups with processes in them are left:\n${left.join('\n')}`);
  if (error) throw new Error(`Cannot run unshare: ${error.message}`);
  process.exit(left.length > 0 || signal !== null ? 1 : (status ?? 1));
}
