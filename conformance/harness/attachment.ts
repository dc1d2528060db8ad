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

/** Attach a pod to a network in use. */
export function attachBesideNeighbour(host: Host, overrides: Config = {}): Attachment {
  const { config, neighbour } = networkInUse(host, overrides);
  const pod = host.addContainer('pod');
  const before = host.snapshot();
  const result = mustAdd(host, { config, container: pod });
  return { pod, neighbour, config, result, later: withPrevResult(config, result), before };
}

/**
 * Fail unless all is as in `before`: nothing of the pod is left, nothing of the neighbour is missing.
 *
 * What may differ is where the next address is looked for, and a pod's namespace that is gone.
 */
export function mustBeAsBefore(host: Host, { pod, before }: Pick<Attachment, 'pod' | 'before'>): void {
  const isMeantToChange = pod.exists ? /last_reserved_ip\.\d+ / : /last_reserved_ip\.\d+ |^[+-] pod /;
  const changes = host.changesSince(before).filter((line) => !isMeantToChange.test(line));
  mustBeEmpty(changes, 'not as it was before the ADD');
}
