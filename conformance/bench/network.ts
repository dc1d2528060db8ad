// The networks of the bench: one entry of ours, and the plugins of the reference that do the same.

import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';

export const CNI_VERSION = '1.0.0';
/** The harness's crowd knows it by this name. */
export const NETWORK = 'pods';
/** The pod that stays attached has this one; the others have two, each of its own. */
export const RESIDENT_PORT = 8080;
const FIRST_PORT = 9000;

/** 10 MB/s in both directions. */
const BANDWIDTH = { ingressRate: 80e6, ingressBurst: 8e6, egressRate: 80e6, egressBurst: 8e6 };
const SYSCTL = { 'net.core.somaxconn': '500' };

/** One network, as an entry of podlink's and as a chain of the reference's. */
export interface Task {
  /** Without `name` and `cniVersion`. `slot`: which of the pods; 0 stays attached. */
  ours(host: Host, slot: number): Config;
  reference(host: Host, slot: number): readonly Config[];
}

export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'tcp';
}

/** The ports of a pod. */
export function portsOf(slot: number): PortMapping[] {
  if (slot === 0) return [{ hostPort: RESIDENT_PORT, containerPort: 80, protocol: 'tcp' }];
  return [80, 443].map((containerPort, i) => ({
    hostPort: FIRST_PORT + 2 * slot + i,
    containerPort,
    protocol: 'tcp',
  }));
}

function bridge(host: Host, ipMasq: boolean): Config {
  return {
    bridge: 'cni0',
    isDefaultGateway: true,
    hairpinMode: true,
    ipMasq,
    ipam: host.hostLocal(['10.77.0.0/16']),
  };
}

/** Bridge and host-local. */
export function bridgeTask(ipMasq: boolean): Task {
  return {
    ours: (host) => ({ type: 'podlink', ...bridge(host, ipMasq) }),
    reference: (host) => [{ type: 'bridge', ...bridge(host, ipMasq) }],
  };
}

/** What a kubelet's node usually does for a pod: bridge, masquerading, two ports, limits, forwarding, a sysctl. */
export const CHAIN: Task = {
  ours: (host, slot) => ({
    type: 'podlink',
    ...bridge(host, true),
    sysctl: SYSCTL,
    runtimeConfig: { portMappings: portsOf(slot), bandwidth: BANDWIDTH },
  }),
  reference: (host, slot) => [
    { type: 'bridge', ...bridge(host, true) },
    { type: 'portmap', snat: true, runtimeConfig: { portMappings: portsOf(slot) } },
    { type: 'bandwidth', runtimeConfig: { bandwidth: BANDWIDTH } },
    { type: 'firewall' },
    { type: 'tuning', sysctl: SYSCTL },
  ],
};

/** A hundred ports, none of which follows another: no range stands for several. The reference makes rules for each. */
export const MANY_PORTS: Task = {
  ours: (host, slot) => ({ type: 'podlink', ...bridge(host, true), runtimeConfig: { portMappings: manyPorts(slot) } }),
  reference: (host, slot) => [
    { type: 'bridge', ...bridge(host, true) },
    { type: 'portmap', snat: true, runtimeConfig: { portMappings: manyPorts(slot) } },
  ],
};

function manyPorts(slot: number): PortMapping[] {
  if (slot === 0) return portsOf(slot);
  return Array.from({ length: 100 }, (_, i) => ({
    hostPort: 10_000 + 200 * slot + 2 * i,
    containerPort: 1000 + i,
    protocol: 'tcp',
  }));
}

/** Bridge, masquerading and ports, which is what netavark does. */
export const PORTS: Pick<Task, 'ours'> = {
  ours: (host, slot) => ({
    type: 'podlink',
    ...bridge(host, true),
    runtimeConfig: { portMappings: portsOf(slot) },
  }),
};
