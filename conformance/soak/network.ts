// The networks of the soak, and what a container may ask of each: between them all modes and features.

import type { Config } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import type { Random } from './random.ts';

export interface Network {
  readonly config: Config;
  /** Whether its containers get an interface of their own. */
  readonly isBridged: boolean;
  /** What one ADD adds to the configuration and the call. */
  ask(random: Random, targets: readonly string[]): Pick<Invocation, 'config' | 'args'>;
}

const NAMED = { cniVersion: '1.1.0', type: 'podlink' } as const;

/** Every network with a name and addresses of its own. */
export function networksOf(host: Host): readonly Network[] {
  return [open(host), isolated(host), small(host), tuned(host), shared()];
}

/** Dual stack, masquerading, mapped ports and limits: what a kubelet's chain does. */
function open(host: Host): Network {
  const ipam = host.hostLocal(['10.61.0.0/24', 'fd00:61::/64'], { routes: [{ dst: '0.0.0.0/0' }] });
  const config = {
    ...NAMED,
    name: 'open',
    bridge: 'cni0',
    isDefaultGateway: true,
    ipMasq: true,
    hairpinMode: true,
    ipam,
  };
  return {
    config,
    isBridged: true,
    ask(random) {
      const runtimeConfig: Record<string, unknown> = {};
      if (random.oneIn(2)) {
        runtimeConfig.portMappings = Array.from({ length: 1 + random.below(3) }, (_, i) => ({
          // From a range that is large enough for most, and small enough for two to meet now and then.
          hostPort: 20_000 + random.below(300) * 4 + i,
          containerPort: 80 + i,
          protocol: random.pick(['tcp', 'udp']),
        }));
      }
      if (random.oneIn(2)) runtimeConfig.bandwidth = bandwidth(random);
      if (random.oneIn(6)) runtimeConfig.mac = `02:00:00:00:00:${(16 + random.below(200)).toString(16)}`;
      return { config: { ...config, runtimeConfig } };
    },
  };
}

function bandwidth(random: Random): Record<string, number> {
  return {
    ...(random.oneIn(2) && { ingressRate: 8_000_000 + random.below(1000), ingressBurst: 800_000 }),
    egressRate: 8_000_000 + random.below(1000),
    egressBurst: 800_000,
  };
}

/** Containers that must not reach each other nor lie about who they are. */
function isolated(host: Host): Network {
  const config = { ...NAMED, name: 'isolated', bridge: 'cni1', isGateway: true, icc: false, macspoofchk: true };
  const ipam = host.hostLocal(['10.62.0.0/24']);
  return {
    config: { ...config, ipam },
    isBridged: true,
    ask: (random) => ({ config: { ...config, ipam, internal: false, portIsolation: random.oneIn(2) } }),
  };
}

/** So few addresses that they run out. */
function small(host: Host): Network {
  const config = { ...NAMED, name: 'small', bridge: 'cni2', ipam: host.hostLocal(['10.63.0.0/28']) };
  return {
    config,
    isBridged: true,
    ask: (random) => (random.oneIn(3) ? { config, args: `IP=10.63.0.${2 + random.below(13)}` } : { config }),
  };
}

/** Settings of the container's own namespace. */
function tuned(host: Host): Network {
  const config = {
    ...NAMED,
    name: 'tuned',
    bridge: 'cni3',
    mtu: 1400,
    ipMasq: true,
    promisc: true,
    txQLen: 500,
    sysctl: { 'net.ipv4.conf.IFNAME.arp_filter': '1', 'net.ipv4.ip_unprivileged_port_start': '80' },
    ipam: host.hostLocal(['fd00:64::/64']),
  };
  return { config, isBridged: true, ask: () => ({ config }) };
}

/** The host's network, another container's, or none: the container asks for it. */
function shared(): Network {
  const config = { ...NAMED, name: 'shared', mode: 'none', allowModes: ['host', 'container', 'none'] };
  return {
    config,
    isBridged: false,
    ask(random, targets) {
      const mode = random.pick(['host', 'container', 'none']);
      const target = mode === 'container' && targets.length > 0 ? `;TARGET=container:${random.pick(targets)}` : '';
      return { config, args: mode === 'container' && target === '' ? 'MODE=none' : `MODE=${mode}${target}` };
    },
  };
}
