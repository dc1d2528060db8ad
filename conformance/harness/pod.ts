// A container that is attached, with what a case asks of it most: its addresses, and the way back.

import { addressOf, type Config, type Result } from './document.ts';
import type { Host, Invocation } from './host.ts';
import type { Namespace } from './namespace.ts';
import { getLink, type Link, linksOf } from './referee.ts';
import { mustAdd, mustPass, withPrevResult } from './verdict.ts';

export interface Pod {
  readonly namespace: Namespace;
  readonly config: Config;
  readonly invocation: Invocation;
  readonly result: Result;
  /** Its first IPv4 address without the prefix; empty when it has none. */
  readonly ipv4: string;
  /** Likewise, IPv6. */
  readonly ipv6: string;
}

/** ADD a new container. With `more.container` it is that one, for a further interface. */
export function addPod(host: Host, config: Config, more: Partial<Invocation> = {}): Pod {
  const namespace = more.container ?? host.addContainer();
  const invocation = { ...more, config, container: namespace };
  const result = mustAdd(host, invocation);
  const addresses = (result.ips ?? []).map(({ address }) => addressOf(address));
  return {
    namespace,
    config,
    invocation,
    result,
    ipv4: addresses.find((address) => !address.includes(':')) ?? '',
    ipv6: addresses.find((address) => address.includes(':')) ?? '',
  };
}

/** CHECK the container as a runtime does, with the result of its ADD. */
export function checkPod(host: Host, pod: Pod): void {
  mustPass(host, 'CHECK', { ...pod.invocation, config: withPrevResult(pod.config, pod.result) });
}

/** DEL the container, likewise. */
export function delPod(host: Host, pod: Pod): void {
  mustPass(host, 'DEL', { ...pod.invocation, config: withPrevResult(pod.config, pod.result) });
}

/** The host's end of the container's veth pair, as the kernel knows it. Throws Error when there is none. */
export function hostEndOf(host: Host, pod: Pod): Link {
  const end = getLink(pod.namespace, pod.invocation.ifname ?? 'eth0');
  const other = linksOf(host.namespace).find(({ ifindex }) => ifindex === end.link_index);
  if (!other) throw new Error(`The other end of "${end.ifname}" in ${pod.namespace.name} is not on the host`);
  return other;
}
