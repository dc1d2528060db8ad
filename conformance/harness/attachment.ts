// An attachment to be taken away again, beside a neighbour whose own must not be touched meanwhile.

import type { Config, Result } from './document.ts';
import type { Host } from './host.ts';
import type { Namespace } from './namespace.ts';
import type { Snapshot } from './snapshot.ts';
import { mustAdd, mustBeEmpty, withPrevResult } from './verdict.ts';

export interface NetworkInUse {
  readonly config: Config;
  readonly neighbour: Namespace;
}

export interface Attachment extends NetworkInUse {
  readonly pod: Namespace;
  readonly result: Result;
  /** The configuration with the result, as a runtime sends it with CHECK and DEL. */
  readonly later: Config;
  /** The state with the neighbour attached and the pod not yet. */
  readonly before: Snapshot;
}

/** A dual-stack network with a gateway and masquerading, in which a neighbour is attached already. */
export function networkInUse(host: Host, overrides: Config = {}): NetworkInUse {
  const config = host.config({
    isDefaultGateway: true,
    ipMasq: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    ...overrides,
  });
  const neighbour = host.addContainer('neighbour');
  mustAdd(host, { config, container: neighbour });
  return { config, neighbour };
}

/**
 * Keys with which every feature leaves something in the host for a container: elements in all sets and maps, an ifb.
 *
 * The container's ports are ten from `hostPort` on.
 */
export function everyFeature(hostPort: number): Config {
  const mapping = (offset: number, more: object) => ({ hostPort: hostPort + offset, containerPort: 7000, ...more });
  const run = Array.from({ length: 4 }, (_, i) => ({ hostPort: hostPort + i, containerPort: hostPort + i }));
  return {
    ipMasqExclude: ['192.0.2.0/24'],
    icc: false,
    internal: true,
    macspoofchk: true,
    runtimeConfig: {
      portMappings: [
        ...run.map((ports) => ({ ...ports, protocol: 'tcp' })),
        mapping(5, { protocol: 'tcp', hostIP: '203.0.113.1' }),
        mapping(6, { protocol: 'udp' }),
        mapping(7, { protocol: 'sctp', hostIP: '2001:db8:1::1' }),
      ],
      bandwidth: { ingressRate: 80e6, ingressBurst: 8e6, egressRate: 80e6, egressBurst: 8e6 },
    },
  };
}

/** Attach a pod to a network in use. `own`: what its configuration has in place of the neighbour's. */
export function attachBesideNeighbour(host: Host, overrides: Config = {}, own: Config = {}): Attachment {
  const { config: shared, neighbour } = networkInUse(host, overrides);
  const config = { ...shared, ...own };
  const pod = host.addContainer('pod');
  const before = host.snapshot();
  const result = mustAdd(host, { config, container: pod });
  return { pod, neighbour, config, result, later: withPrevResult(config, result), before };
}

/**
 * Fail unless all is as in `before`: nothing of the pod is left, nothing of the neighbour is missing.
 *
 * What may differ is where the next address is looked for, a pod's namespace that is gone, and what matches `ignored`.
 */
export function mustBeAsBefore(
  host: Host,
  { pod, before }: Pick<Attachment, 'pod' | 'before'>,
  ignored?: RegExp,
): void {
  const isMeantToChange = pod.exists ? /last_reserved_ip\.\d+ / : /last_reserved_ip\.\d+ |^[+-] pod /;
  const changes = host.changesSince(before).filter((line) => !isMeantToChange.test(line) && !ignored?.test(line));
  mustBeEmpty(changes, 'not as it was before the ADD');
}
