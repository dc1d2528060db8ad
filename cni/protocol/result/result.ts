// A success result in memory: always in the shape of CNI 1.1.0, whatever version it is read from or written as.
// result-codec.ts knows the other shapes.

/** An interface that an attachment is made of. Those without a sandbox are the host's. */
export interface Interface {
  readonly name: string;
  readonly mac?: string;
  /** Bytes. */
  readonly mtu?: number;
  /** Path of the network namespace, as CNI_NETNS spells it. */
  readonly sandbox?: string;
  readonly socketPath?: string;
  readonly pciID?: string;
}

export interface Ip {
  /** The address with the prefix length of its subnet: `10.22.0.5/16`. */
  readonly address: string;
  readonly gateway?: string;
  /** Index into the result's interfaces. */
  readonly interface?: number;
}

export interface Route {
  /** Destination prefix: `0.0.0.0/0`. */
  readonly dst: string;
  readonly gw?: string;
  /** Bytes. */
  readonly mtu?: number;
  /** TCP's maximal segment size to announce, in bytes. */
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  /** 0 global, 253 link, 254 host (RT_SCOPE_* of include/uapi/linux/rtnetlink.h). */
  readonly scope?: number;
}

export interface Dns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

export interface Result {
  readonly interfaces: readonly Interface[];
  readonly ips: readonly Ip[];
  readonly routes: readonly Route[];
  readonly dns: Dns;
}

/**
 * The addresses of an interface of the container, as a result tells them. One that names no interface counts as its:
 * there is only one then.
 */
export function ipsOf(
  result: { readonly interfaces: readonly Interface[]; readonly ips: readonly Ip[] },
  ifname: string,
): Ip[] {
  return result.ips.filter((ip) => {
    const owner = ip.interface === undefined ? undefined : result.interfaces[ip.interface];
    return owner === undefined || (owner.name === ifname && Boolean(owner.sandbox));
  });
}
