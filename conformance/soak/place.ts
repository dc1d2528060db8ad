// Where a container may be attached: a container, an interface and a network, and what is known of it.

import type { Config, Result } from '../harness/document.ts';
import type { Invocation } from '../harness/host.ts';
import { Namespace } from '../harness/namespace.ts';
import type { Network } from './network.ts';

/** unknown: a call was killed, or two met. */
export type Knowledge = 'detached' | 'attached' | 'unknown';

export class Place {
  readonly network: Network;
  readonly containerId: string;
  readonly ifname: string;
  knowledge: Knowledge = 'detached';
  /** Of the last ADD that was not refused, with what it asked for. */
  invocation: Pick<Invocation, 'config' | 'args'>;
  result: Result | undefined;
  /** Calls that are about it now. */
  users = 0;
  #isContested = false;
  #namespace: Namespace | undefined;
  /** The one of the last ADD that was not refused. */
  #home: Namespace | undefined;

  constructor(network: Network, containerId: string, ifname: string) {
    this.network = network;
    this.containerId = containerId;
    this.ifname = ifname;
    this.invocation = { config: network.config };
  }

  /** The container's namespace, made anew when it has vanished. */
  get namespace(): Namespace {
    this.#namespace ??= Namespace.create(this.containerId, { loopback: false });
    return this.#namespace;
  }

  get path(): string {
    return this.#namespace?.path ?? `/run/netns/${this.containerId}-gone`;
  }

  /** Let the container end: its namespace goes, and with it what was in there. */
  vanish(): void {
    this.#namespace?.remove();
    this.#namespace = undefined;
  }

  /** An ADD has succeeded in the namespace as it is now. */
  settle(): void {
    this.#home = this.#namespace;
  }

  /** Whether the namespace that it was attached in is still there. An ADD that is refused may find a new one in its place. */
  get lives(): boolean {
    return this.#namespace !== undefined && this.#namespace === this.#home;
  }

  enter(): void {
    this.users++;
    if (this.users > 1) this.#isContested = true;
  }

  /** A call has ended. What two at once have made of it is known of neither. */
  leave(knowledge: Knowledge): void {
    this.users--;
    this.knowledge = this.#isContested ? 'unknown' : knowledge;
    if (this.users === 0) this.#isContested = false;
  }

  get isContested(): boolean {
    return this.#isContested;
  }
}

/** What a call about a place says of it. */
export function invocationOf(place: Place, config: Config | string, args?: string): Invocation {
  return {
    config,
    containerId: place.containerId,
    ifname: place.ifname,
    netns: place.path,
    ...(args !== undefined && { args }),
  };
}

/** Places enough for all calls at once, two interfaces of one container among them. */
export function placesOf(networks: readonly Network[], count: number): Place[] {
  return Array.from({ length: count }, (_, i) => {
    const network = networks[i % networks.length];
    if (!network) throw new RangeError('There is no network');
    return new Place(network, `soak${i}`, i % 7 === 0 ? 'net1.x' : 'eth0');
  });
}
