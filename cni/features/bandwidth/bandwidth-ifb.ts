// The ifb of an attachment with a limit on what its container sends. cni/attachment/marks.ts names it.

import { ifbMac, ifbName } from '../../attachment/marks.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { isErrno } from '../../kernel/errno.ts';
import { addIfb } from '../../kernel/rtnetlink/link/ifb.ts';
import { deleteLink, findLink } from '../../kernel/rtnetlink/link/link.ts';
import type { QueueLink } from '../../kernel/rtnetlink/traffic/traffic-control.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import { CniError, ERR_ALREADY_EXISTS, ERR_KERNEL_REFUSED } from '../../protocol/errors.ts';

/**
 * Make the ifb of an attachment, still down and without its alias.
 *
 * Throws NetlinkError EEXIST when there is a link of its name, CniError 100 when the kernel has no ifb.
 */
export function makeIfb(route: NetlinkConnection, key: AttachmentKey, mtu: number): QueueLink {
  const name = ifbName(key);
  let index: number | undefined;
  try {
    index = addIfb(route, { name, mtu, mac: ifbMac(key) });
  } catch (error) {
    if (isErrno(error, 'EOPNOTSUPP')) throw unsupported(key, error);
    throw error;
  }
  if (index !== undefined) return { name, index };
  throw new CniError(ERR_KERNEL_REFUSED, `Interface "${name}" vanished while it was being set up`);
}

/**
 * Find the ifb of an attachment, which an earlier call has made; undefined when there is none.
 *
 * Throws CniError 102 when another kind of link has its name.
 */
export function findIfb(route: NetlinkConnection, key: AttachmentKey): QueueLink | undefined {
  const link = findLink(route, ifbName(key));
  if (link && link.kind !== 'ifb') throw inTheWay(key);
  return link;
}

/** Delete an ifb, with the given alias if one is given. What is gone already, or is another's, is left alone. */
export function deleteIfb(route: NetlinkConnection, name: string, alias?: string): void {
  const link = findLink(route, name);
  if (link?.kind !== 'ifb' || (alias !== undefined && link.alias !== alias)) return;
  deleteLink(route, link.index);
}

function unsupported(key: AttachmentKey, cause: unknown): CniError {
  return new CniError(
    ERR_KERNEL_REFUSED,
    `Cannot limit what container "${key.containerId}" sends to network "${key.network}": the kernel has no ifb (load its module ifb, or leave out the egress limit)`,
    '',
    { cause },
  );
}

function inTheWay(key: AttachmentKey): CniError {
  return new CniError(
    ERR_ALREADY_EXISTS,
    `Cannot limit what container "${key.containerId}" sends to network "${key.network}": "${ifbName(key)}" already exists but is not an ifb`,
  );
}
