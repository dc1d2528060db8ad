// The ifb of an attachment with a limit on what its container sends: its name and marks tell which attachment it
// belongs to, with or without a record.

import { decodeMac } from '../kernel/netlink/address-bytes.ts';
import type { NetlinkConnection } from '../kernel/netlink/connection.ts';
import { isErrno } from '../kernel/errno.ts';
import { addIfb } from '../kernel/rtnetlink/ifb.ts';
import { deleteLink, findLink } from '../kernel/rtnetlink/link.ts';
import type { QueueLink } from '../kernel/rtnetlink/traffic-control.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import { digestOf } from '../protocol/digest.ts';
import { CniError, ERR_ALREADY_EXISTS, ERR_KERNEL_REFUSED } from '../protocol/errors.ts';

/** Bytes of the longest alias the kernel takes: IFALIASZ - 1 (include/uapi/linux/if.h). */
const MAX_ALIAS_BYTES = 255;

/**
 * Name the ifb of an attachment: "ifb" and the first 48 bits of a hash, 15 bytes in all.
 *
 * Unlike the reference's it has the interface in it, so that two of one container do not meet, and zero bytes keep
 * ("ab", "c") apart from ("a", "bc").
 */
export function ifbName(key: AttachmentKey): string {
  return `ifb${digestOfKey(key).slice(0, 12)}`;
}

/** Its MAC address, which nothing ever uses: one that was chosen is left alone by udev's MACAddressPolicy. */
export function ifbMac(key: AttachmentKey): string {
  return decodeMac(Uint8Array.fromHex(`02${digestOfKey(key).slice(-10)}`));
}

/**
 * Its alias (`ip link` shows it): "podlink-ifb", network, container and interface. When that is too long the
 * container's ID is cut, which may be of any length; the hash in the name still tells it from others.
 */
export function ifbAlias({ network, containerId, ifname }: AttachmentKey): string {
  const excess = Buffer.byteLength(`podlink-ifb ${network} ${containerId} ${ifname}`) - MAX_ALIAS_BYTES;
  // Names are ASCII but the interface's, so cutting bytes off the ID cuts no character in two.
  const id = excess <= 0 ? containerId : `${containerId.slice(0, Math.max(0, containerId.length - excess - 3))}...`;
  return Buffer.from(`podlink-ifb ${network} ${id} ${ifname}`).subarray(0, MAX_ALIAS_BYTES).toString('utf8');
}

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

function digestOfKey({ network, containerId, ifname }: AttachmentKey): string {
  return digestOf(`${network}\0${containerId}\0${ifname}`);
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
