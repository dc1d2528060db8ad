// Names and marks of the host's end of a veth pair: both tell which attachment it belongs to, with or without a record.

import type { AttachmentKey } from '../protocol/config.ts';
import { digestOf } from '../protocol/digest.ts';

/**
 * Name the host end of an attachment's veth pair: "veth" and the first 44 bits of a hash, 15 bytes in all.
 *
 * Always the same for the same attachment, so DEL finds it without a record, and a second ADD of the same attachment
 * meets it. "veth" because firewalls and network managers know to leave that alone.
 */
export function hostInterfaceName(key: AttachmentKey): string {
  // Zero bytes keep ("ab", "c") apart from ("a", "bc"), which the reference plugins' hashes do not.
  return `veth${digestOf(`${key.network}\0${key.containerId}\0${key.ifname}`).slice(0, 11)}`;
}

/** Bytes of the longest alias the kernel takes: IFALIASZ - 1 (include/uapi/linux/if.h). */
const MAX_ALIAS_BYTES = 255;

/** The alias of the host end; undefined when it is too long to hold the whole ID, so that it may be another's as well. */
export function wholeHostInterfaceAlias(key: AttachmentKey): string | undefined {
  const alias = hostInterfaceAlias(key);
  return alias === `podlink ${key.network} ${key.containerId} ${key.ifname}` ? alias : undefined;
}

/**
 * The alias (`ip link` shows it) of the host end: "podlink", network, container and interface. When that is too long
 * the container's ID is cut, which may be of any length; the hash in the interface's name still tells it from others.
 */
export function hostInterfaceAlias({ network, containerId, ifname }: AttachmentKey): string {
  const excess = Buffer.byteLength(`podlink ${network} ${containerId} ${ifname}`) - MAX_ALIAS_BYTES;
  // Names are ASCII but the interface's, so cutting bytes off the ID cuts no character in two.
  const id = excess <= 0 ? containerId : `${containerId.slice(0, Math.max(0, containerId.length - excess - 3))}...`;
  return Buffer.from(`podlink ${network} ${id} ${ifname}`).subarray(0, MAX_ALIAS_BYTES).toString('utf8');
}
