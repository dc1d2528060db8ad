// veth pairs: two links that hand each other what they send (drivers/net/veth.c, include/uapi/linux/veth.h, v6.12).

import type { NetlinkConnection } from '../../netlink/connection.ts';
import { addLink, encodeLink, type LinkChange } from './link.ts';

const VETH_INFO_PEER = 1;

/** Properties of one end. The alias is not among them: the kernel ignores it on creation. */
export type VethEnd = Omit<LinkChange, 'alias' | 'netnsFd' | 'isPromiscuous'> & { readonly name: string };

/**
 * Add a veth pair, each end made directly in its own namespace: `near` in the connection's, `far` in `farNetnsFd`'s.
 *
 * One RTM_NEWLINK does it all, so neither end is ever seen in the wrong namespace. Moving an end afterwards costs
 * 30 ms instead of 0.5: the kernel unregisters it and waits for an RCU grace period under the RTNL
 * (https://github.com/aws/amazon-vpc-cni-k8s/pull/3764).
 * `near` may be up and a bridge port at once; `far` cannot be up (the kernel answers ENOTCONN).
 *
 * Throws NetlinkError EEXIST if either name is taken; nothing is made then.
 */
export function addVethPair(
  route: NetlinkConnection,
  near: VethEnd,
  far: Omit<VethEnd, 'isUp'>,
  farNetnsFd: number,
): void {
  addLink(route, 'veth', near, (driver) =>
    driver.nested(VETH_INFO_PEER, (peer) => encodeLink(peer, 0, { ...far, netnsFd: farNetnsFd })),
  );
}
