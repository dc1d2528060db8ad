// netavark, Podman's own network tool, as a second peer: written in Rust, one program for bridge, masquerading and ports,
// which it leaves to iptables.
//
// It speaks no CNI: Podman hands over an address that it has chosen itself and keeps in its own database, so unlike
// podlink and the reference netavark manages no addresses.
//
// Debian's package is unpacked into ${XDG_CACHE_HOME:-$HOME/.cache}/podlink-conformance and not installed: Podman takes
// netavark in place of CNI as soon as it is there.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { mustRun } from '../harness/command.ts';
import { SCRATCH } from '../runtimes/own-machine.ts';
import type { Sequence } from './call.ts';
import { type BenchPod, Contender, podlink, type Protocol } from './contender.ts';
import { PORTS, portsOf } from './network.ts';
import type { Row } from './report.ts';
import { takeTurns, timesOf, withContenders } from './turns.ts';

const PROGRAM = 'usr/lib/podman/netavark';
const DOWNLOAD_TIMEOUT_MS = 2 * 60_000;
const NETWORK_NAME = 'podman';

/** The folder of its unpacked package, which is fetched first when it is not there. Throws Error with what went wrong. */
export function ensureNetavark(): string {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'podlink-conformance');
  const folder = join(cache, 'netavark');
  if (existsSync(join(folder, PROGRAM))) return folder;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'build-'));
  try {
    mustRun('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', 'netavark'], {
      cwd: work,
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
    });
    const [archive = ''] = readdirSync(work);
    mustRun('dpkg-deb', ['--extract', join(work, archive), join(work, 'unpacked')]);
    rmSync(folder, { recursive: true, force: true });
    renameSync(join(work, 'unpacked'), folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return folder;
}

/** What it calls itself, such as "netavark 1.4.0". */
export function netavarkVersion(): string {
  return mustRun(join(ensureNetavark(), PROGRAM), ['--version']).trim();
}

export async function measureNetavark(rounds: number): Promise<Row[]> {
  const starts = [
    () => Contender.start('podlink', podlink(PORTS)),
    () => Contender.start('netavark', netavark(join(ensureNetavark(), PROGRAM))),
  ];
  const series = await withContenders(starts, (...both) => takeTurns(both, { rounds }));
  const row = (id: string, what: string, part: 'attach' | 'detach'): Row => {
    const [ours = [], peer = []] = series.map((each) => timesOf(each[part]));
    return { section: 'netavark', id, what, unit: 'ms', ours, peer, isCharted: true };
  };
  return [
    row('netavark ADD', 'ADD, setup of netavark', 'attach'),
    row('netavark DEL', 'DEL, teardown of netavark', 'detach'),
  ];
}

function netavark(program: string): Protocol {
  const folder = join(SCRATCH, 'netavark');
  const sequence = (command: string, pod: BenchPod): Sequence => ({
    handsOn: false,
    calls: [
      {
        program,
        args: ['--config', folder, command, pod.container.path],
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
        input: optionsOf(pod),
      },
    ],
  });
  return {
    attach: (_, pod) => {
      mkdirSync(folder, { recursive: true });
      return sequence('setup', pod);
    },
    detach: (_, pod) => sequence('teardown', pod),
  };
}

/** What Podman writes to its standard input. */
function optionsOf({ id, slot }: BenchPod): Record<string, unknown> {
  return {
    container_id: id,
    container_name: id,
    port_mappings: portsOf(slot).map(({ hostPort, containerPort, protocol }) => ({
      host_ip: '',
      host_port: hostPort,
      container_port: containerPort,
      protocol,
      range: 1,
    })),
    networks: { [NETWORK_NAME]: { interface_name: 'eth0', static_ips: [`10.77.0.${slot + 2}`] } },
    network_info: {
      [NETWORK_NAME]: {
        name: NETWORK_NAME,
        id: '2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9',
        driver: 'bridge',
        network_interface: 'cni0',
        subnets: [{ subnet: '10.77.0.0/16', gateway: '10.77.0.1' }],
        ipv6_enabled: false,
        internal: false,
        dns_enabled: false,
        ipam_options: { driver: 'host-local' },
      },
    },
  };
}
