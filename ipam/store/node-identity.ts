// Which machine this is, and since which start it runs: what tells a reservation from before a reboot.
//
// A network namespace does not outlive the boot it was made in. The machine belongs to it, because several machines can
// share one directory of reservations, and another machine's boot says nothing about its containers.

import { readFileSync } from 'node:fs';

export interface NodeIdentity {
  /** /proc/sys/kernel/random/boot_id: a new UUID each time the kernel starts. */
  readonly boot: string;
  /** /etc/machine-id (machine-id(5)), else the host name; empty when neither is to be had. */
  readonly machine: string;
}

/** Read the identity; undefined when the kernel does not tell its boot, and then no boot is told from another. */
export function readNodeIdentity(): NodeIdentity | undefined {
  const boot = readLine('/proc/sys/kernel/random/boot_id');
  if (boot === '') return undefined;
  return {
    boot,
    // Only when it is asked for: to release an address takes no more than the boot.
    get machine() {
      return readLine('/etc/machine-id') || readLine('/proc/sys/kernel/hostname');
    },
  };
}

function readLine(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    // A minimal root file system has no machine-id, and a sandbox may hide /proc/sys.
    return '';
  }
}
