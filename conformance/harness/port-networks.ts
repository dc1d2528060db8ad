// A container in several networks, each of which gets the same list of ports from the runtime.

import type { Config } from './document.ts';
import type { Host } from './host.ts';
import { ownedElementsOf } from './owned-element.ts';

const PORTS = [
  { hostPort: 8080, containerPort: 7777, protocol: 'tcp' },
  { hostPort: 8080, containerPort: 7777, protocol: 'udp' },
  ...[7770, 7771, 7772].map((number) => ({ hostPort: number, containerPort: number, protocol: 'tcp' })),
];

/** The configuration of the network with that number, and the container's interface in it. */
export function networkOf(host: Host, i: number, more: Config = {}): { config: Config; ifname: string } {
  const config = host.config({
    name: `net${i}`,
    bridge: `cni${i}`,
    isGateway: true,
    isDefaultGateway: i === 0,
    ipMasq: true,
    ipam: host.hostLocal([`10.${77 + i}.0.0/24`, `fd00:${77 + i}::/64`]),
    runtimeConfig: { portMappings: PORTS },
    ...more,
  });
  return { config, ifname: `eth${i}` };
}

/** Which interface of the container each port of IPv4 or IPv6 leads to: `tcp . 8080: eth0`. */
export function holdersOf(host: Host, family: 'v4' | 'v6' = 'v4'): string[] {
  return ownedElementsOf(host.namespace)
    .filter(({ set }) => [`portmap_any_${family}`, `portmap_any_range_${family}`].includes(set))
    .map(({ key, owner }) => `${key}: ${owner.split('/')[2]}`)
    .sort();
}

/** All the ports at one interface. */
export const allAt = (ifname: string): string[] =>
  ['tcp . 7770-7772', 'tcp . 8080', 'udp . 8080'].map((key) => `${key}: ${ifname}`);
