// A node with two bridges, three containers and a machine outside, for tests with real packets:
//
//   a  10.22.0.5  fd00:22::5 ── vetha ┐
//                                     br0  10.22.0.1  fd00:22::1 ┐
//   b  10.22.0.6  fd00:22::6 ── vethb ┘                         host  192.0.2.1    out0 ── 192.0.2.2    outside
//                                                                │    2001:db8::1          2001:db8::2
//   c  10.23.0.7  fd00:23::7 ── vethc ─ br1  10.23.0.1  fd00:23::1 ┘
//
// Everybody's default route leads through the host, which forwards; the outside machine has one to the containers, too.
// Nothing keeps anybody from writing whatever source he likes: that is what the tests look for. The referees are ping
// and, for what is sent one way, counters of nft in the namespace of the receiver.

import { execFileSync, spawnSync } from 'node:child_process';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { type NftablesConnection, openNftables } from '../../kernel/nftables/connection.ts';
import { type Netns, openNetns } from '../../kernel/netns.ts';
import { openRtnetlink } from '../../kernel/rtnetlink/socket.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';

export class Machine {
  readonly name: string;
  #counters = 0;

  constructor(name: string) {
    this.name = name;
    execFileSync('ip', ['netns', 'add', name]);
  }

  /** Run ip(8)'s commands. Throws when one fails. */
  ip(...commands: readonly string[]): void {
    execFileSync('ip', ['-n', this.name, '-batch', '-'], { input: commands.join('\n') });
  }

  /** Run a line of the shell. Throws when it fails. */
  run(line: string): string {
    return execFileSync('ip', ['netns', 'exec', this.name, 'bash', '-c', line], { encoding: 'utf8', stdio: 'pipe' });
  }

  /** Set what there is of these keys. Returns whether all are there. */
  sysctl(...settings: readonly string[]): boolean {
    return spawnSync('ip', ['netns', 'exec', this.name, 'sysctl', '-qw', ...settings]).status === 0;
  }

  nft(ruleset: string): void {
    execFileSync('ip', ['netns', 'exec', this.name, 'nft', '-f', '-'], { input: ruleset });
  }

  /** Whether an address answers to a ping. */
  reaches(address: string): boolean {
    return this.#ping(address, '-W', '3');
  }

  /** Whether it does not: a neighbour answers in far under a millisecond. */
  isCutOffFrom(address: string): boolean {
    return !this.#ping(address, '-W', '0.4');
  }

  /** Send one echo request, from one of this machine's own addresses if so wished, without caring for an answer. */
  sendPing(address: string, { from, bytes = 56 }: { from?: string; bytes?: number } = {}): void {
    this.#ping(address, '-W', '0.02', '-s', String(bytes), ...(from === undefined ? [] : ['-I', from]));
  }

  #ping(...options: readonly string[]): boolean {
    return spawnSync('ip', ['netns', 'exec', this.name, 'ping', '-n', '-c', '1', ...options]).status === 0;
  }

  /** Send one datagram, without caring for an answer. */
  sendUdp(address: string, port: number): void {
    this.run(`echo x >/dev/udp/${address}/${port}`);
  }

  /** Count the packets that match, an expression of nft's language, when they come in, before anything else sees them. */
  watch(expression: string): () => number {
    const table = `watch${++this.#counters}`;
    this.nft(`table inet ${table} {
      chain in { type filter hook prerouting priority -400; ${expression} counter; }
    }`);
    return () => {
      // What was sent last may still be on its way through a queue of the kernel.
      execFileSync('sleep', ['0.05']);
      const list = this.run(`nft list table inet ${table}`);
      return Number(/counter packets (\d+)/.exec(list)?.[1] ?? Number.NaN);
    };
  }
}

export interface World {
  readonly host: Machine;
  readonly a: Machine;
  readonly b: Machine;
  readonly c: Machine;
  readonly outside: Machine;
  /** nftables and rtnetlink of the host. */
  readonly nft: NftablesConnection;
  readonly route: NetlinkConnection;
  attachment(name: 'a' | 'b' | 'c'): AttachedInterface;
}

/** Addresses of the outside machine, both families. */
export const OUTSIDE = ['192.0.2.2', '2001:db8::2'];

interface Pod {
  readonly bridge: string;
  readonly mac: string;
  readonly cidrs: readonly [v4: string, v6: string];
}

export const PODS: Readonly<Record<'a' | 'b' | 'c', Pod>> = {
  a: { bridge: 'br0', mac: '02:00:00:00:00:05', cidrs: ['10.22.0.5/16', 'fd00:22::5/64'] },
  b: { bridge: 'br0', mac: '02:00:00:00:00:06', cidrs: ['10.22.0.6/16', 'fd00:22::6/64'] },
  c: { bridge: 'br1', mac: '02:00:00:00:00:07', cidrs: ['10.23.0.7/16', 'fd00:23::7/64'] },
};

/** A container's addresses, both families. */
export function addressesOf(name: 'a' | 'b' | 'c'): string[] {
  return PODS[name].cidrs.map((cidr) => cidr.split('/')[0] ?? '');
}

let made = 0;

/** Run a test in a new world, which is removed however the test ends. */
export async function withWorld(work: (world: World) => void | Promise<void>): Promise<void> {
  const machines: Machine[] = [];
  let netns: Netns | undefined;
  let nft: NftablesConnection | undefined;
  let route: NetlinkConnection | undefined;
  const add = (suffix: string): Machine => {
    const machine = new Machine(`pliso-${process.pid}-${++made}-${suffix}`);
    machines.push(machine);
    return machine;
  };
  try {
    const [host, a, b, c, outside] = [add('h'), add('a'), add('b'), add('c'), add('o')];
    connect(host, { a, b, c }, outside);
    netns = openNetns(`/run/netns/${host.name}`);
    nft = openNftables(netns);
    route = openRtnetlink(netns);
    await work({ host, a, b, c, outside, nft, route, attachment });
  } finally {
    route?.close();
    nft?.close();
    netns?.close();
    for (const { name } of machines) execFileSync('ip', ['netns', 'del', name]);
  }
}

function attachment(name: 'a' | 'b' | 'c'): AttachedInterface {
  const { bridge, mac, cidrs } = PODS[name];
  const key = { network: bridge, containerId: name, ifname: 'eth0' };
  return { key, bridge, gateway: bridge, hostInterface: `veth${name}`, mac, addresses: cidrs };
}

function connect(host: Machine, pods: Readonly<Record<'a' | 'b' | 'c', Machine>>, outside: Machine): void {
  // Not inherited by links that are there already, so before any is: the answers must not depend on the machine's own.
  for (const machine of [host, outside, ...Object.values(pods)]) {
    machine.sysctl(
      'net.ipv4.conf.all.rp_filter=0',
      'net.ipv4.conf.default.rp_filter=0',
      'net.ipv4.conf.default.accept_local=1',
      'net.ipv6.conf.default.accept_dad=0',
      'net.ipv4.ping_group_range=0 2147483647',
    );
  }
  host.sysctl('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1', 'net.ipv4.conf.default.send_redirects=0');
  host.sysctl('net.ipv4.conf.all.send_redirects=0');
  host.ip(
    'link set lo up',
    ...['br0', 'br1'].flatMap((bridge, i) => [
      `link add ${bridge} address 02:00:00:00:01:0${i} type bridge forward_delay 0`,
      `link set ${bridge} up`,
      `address add 10.2${2 + i}.0.1/16 dev ${bridge}`,
      `address add fd00:2${2 + i}::1/64 dev ${bridge} nodad`,
    ]),
    `link add out0 type veth peer name eth0 netns ${outside.name}`,
    'link set out0 up',
    'address add 192.0.2.1/24 dev out0',
    'address add 2001:db8::1/64 dev out0 nodad',
  );
  outside.ip(...addressing('eth0', ['192.0.2.2/24', '2001:db8::2/64'], ['192.0.2.1', '2001:db8::1']));
  for (const name of ['a', 'b', 'c'] as const) {
    const { bridge, mac, cidrs } = PODS[name];
    host.ip(
      `link add veth${name} type veth peer name eth0 address ${mac} netns ${pods[name].name}`,
      `link set veth${name} master ${bridge} up`,
      `link set veth${name} type bridge_slave hairpin on`,
    );
    const gateways = bridge === 'br0' ? ['10.22.0.1', 'fd00:22::1'] : ['10.23.0.1', 'fd00:23::1'];
    pods[name].ip(...addressing('eth0', cidrs, gateways));
  }
}

function addressing(link: string, cidrs: readonly string[], gateways: readonly string[]): string[] {
  return [
    'link set lo up',
    `link set ${link} up`,
    ...cidrs.map((cidr) => `address add ${cidr} dev ${link}${cidr.includes(':') ? ' nodad' : ''}`),
    ...gateways.map((gateway) => `route add default via ${gateway}`),
  ];
}
