// Names and marks of the host's end of a veth pair: both tell which attachment it belongs to, with or without a record.

// Imported at the top, unlike other modules that few calls need: as part of the startup snapshot the module costs
// 0.5 ms when it is used, loaded at run time 14 (medians of five runs each of the packed executable).
import type { AttachmentKey } from '../protocol/config.ts';
import { hash } from 'node:crypto';

/**
 * Name the host end of an attachment's veth pair: "veth" and the first 44 bits of a hash, 15 bytes in all.
 *
 * Always the same for the same attachment, so DEL finds it without a record, and a second ADD of the same attachment
 * meets it. "veth" because firewalls and network managers know to leave that alone.
 */
export function hostInterfaceName(key: AttachmentKey): string {
  // Zero bytes keep ("ab", "c") apart from ("a", "bc"), which the reference plugins' hashes do not.
  return `veth${hash('sha256', `${key.network}\0${key.containerId}\0${key.ifname}`).slice(0, 11)}`;
}

/** The alias (`ip link` shows it) of the host end. The kernel takes at most 255 bytes, so a long container ID is cut. */
export function hostInterfaceAlias(key: AttachmentKey): string {
  const text = `podlink ${key.network} ${key.containerId} ${key.ifname}`;
  return text.length <= 255 ? text : `${text.slice(0, 252)}...`;
}
