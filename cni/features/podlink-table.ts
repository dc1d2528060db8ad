// The one nftables table of the node that is ours, and how its elements name their owner.

import { NFPROTO_INET } from '../kernel/nftables/constants.ts';
import type { Table } from '../kernel/nftables/table.ts';
import { fitComment } from '../kernel/nftables/userdata.ts';

/** IFNAMSIZ less the terminating zero. */
const MAX_INTERFACE_NAME = 15;

export const PODLINK_TABLE: Table = { family: NFPROTO_INET, name: 'podlink' };

/** The attachment that an element is there for. */
export interface ElementOwner {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** The comment of an owner's elements: no part can contain the slash, and it is cut, distinctly, if it is too long. */
export function ownerComment({ network, containerId, ifname }: ElementOwner): string {
  return fitComment(`${network}/${containerId}/${ifname}`);
}

/** What the comments of all owners of a network begin with, and nobody else's. */
export function ownerCommentPrefix(network: string): string {
  return fitComment(`${network}/`);
}

/** The owner that a comment names; undefined when it is cut, or not one of ours. */
export function readOwnerComment(comment: string | undefined): ElementOwner | undefined {
  const [network = '', containerId = '', ifname, ...rest] = comment?.split('/') ?? [];
  // A comment that is cut ends in a digest, which is longer than an interface's name can be.
  if (ifname === undefined || ifname.length > MAX_INTERFACE_NAME || rest.length > 0) return undefined;
  return { network, containerId, ifname };
}
