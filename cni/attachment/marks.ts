// Marks of an attachment's objects in the kernel, each written and read here: the names and aliases of its links on the host,
// and the comments of its elements in nftables. They tell whose an object is, with or without a record.

import { fitComment } from '../kernel/nftables/userdata.ts';
import type { AttachmentKey } from '../protocol/config.ts';
import { digestOf } from '../protocol/digest.ts';

/** Bytes of the longest alias the kernel takes: IFALIASZ - 1 (include/uapi/linux/if.h). */
const MAX_ALIAS_BYTES = 255;
/** IFNAMSIZ less the terminating zero. */
const MAX_INTERFACE_NAME = 15;
/** The first words of aliases: of the host's end of a veth pair, and of an ifb. */
const HOST_INTERFACE = 'podlink';
const IFB = 'podlink-ifb';

/**
 * Name the host's end of an attachment's veth pair: "veth" and the first 44 bits of a hash, 15 bytes in all.
 *
 * Always the same for the same attachment, so DEL finds it without a record, and a second ADD of the same attachment
 * meets it. "veth" because firewalls and network managers know to leave that alone.
 */
export function hostInterfaceName(key: AttachmentKey): string {
  return `veth${digestOfKey(key).slice(0, 11)}`;
}

/** Write the alias (`ip link` shows it) of the host's end of a veth pair. */
export function hostInterfaceAlias(key: AttachmentKey): string {
  return aliasOf(HOST_INTERFACE, key);
}

/** Write the alias of the host's end; undefined when it is too long to hold the whole ID, so that it may be another's as well. */
export function wholeHostInterfaceAlias(key: AttachmentKey): string | undefined {
  const alias = hostInterfaceAlias(key);
  return alias === wholeAliasOf(HOST_INTERFACE, key) ? alias : undefined;
}

/** Name the ifb of an attachment: "ifb" and the first 48 bits of a hash, 15 bytes in all. */
export function ifbName(key: AttachmentKey): string {
  return `ifb${digestOfKey(key).slice(0, 12)}`;
}

/** Choose the MAC address of an ifb, in lower case. It is never used, but udev's MACAddressPolicy leaves a chosen one alone. */
export function ifbMac(key: AttachmentKey): string {
  const digits = `02${digestOfKey(key).slice(-10)}`;
  return digits.replace(/..(?=.)/g, '$&:');
}

/** Write the alias of an ifb. */
export function ifbAlias(key: AttachmentKey): string {
  return aliasOf(IFB, key);
}

/** The attachment that an alias names. */
export interface AliasOwner {
  readonly key: AttachmentKey;
  /** Of which link: the host's end of a veth pair, or one that a feature has made. */
  readonly isHostInterface: boolean;
}

/**
 * Read the alias of a link; undefined when it is not one of podlink's. The ID in it may be cut: only a link whose name is made
 * from the key is certainly that attachment's.
 */
export function readAlias(alias: string | undefined): AliasOwner | undefined {
  const [mark = '', network = '', containerId = '', ...rest] = alias?.split(' ') ?? [];
  if (mark !== HOST_INTERFACE && !mark.startsWith(`${HOST_INTERFACE}-`)) return undefined;
  return { key: { network, containerId, ifname: rest.join(' ') }, isHostInterface: mark === HOST_INTERFACE };
}

/** Write the comment of an attachment's elements: no part can contain the slash, and a long one is cut, distinctly. */
export function ownerComment({ network, containerId, ifname }: AttachmentKey): string {
  return fitComment(`${network}/${containerId}/${ifname}`);
}

/** Write what the comments of all attachments of a network begin with, and no others. */
export function ownerCommentPrefix(network: string): string {
  return fitComment(`${network}/`);
}

/** Read the attachment that a comment names; undefined when the comment is cut, or not one of podlink's. */
export function readOwnerComment(comment: string | undefined): AttachmentKey | undefined {
  const [network = '', containerId = '', ifname, ...rest] = comment?.split('/') ?? [];
  // A comment that is cut ends in a digest, which is longer than an interface's name can be.
  if (ifname === undefined || ifname.length > MAX_INTERFACE_NAME || rest.length > 0) return undefined;
  return { network, containerId, ifname };
}

/** Zero bytes keep ("ab", "c") apart from ("a", "bc"), which the reference plugins' hashes do not. */
function digestOfKey({ network, containerId, ifname }: AttachmentKey): string {
  return digestOf(`${network}\0${containerId}\0${ifname}`);
}

function wholeAliasOf(mark: string, { network, containerId, ifname }: AttachmentKey): string {
  return `${mark} ${network} ${containerId} ${ifname}`;
}

/**
 * A mark, network, container and interface. When that is too long the container's ID is cut, which may be of any length; the
 * hash in the link's name still tells it from others.
 */
function aliasOf(mark: string, key: AttachmentKey): string {
  const { containerId } = key;
  const excess = Buffer.byteLength(wholeAliasOf(mark, key)) - MAX_ALIAS_BYTES;
  // Names are ASCII but the interface's, so cutting bytes off the ID cuts no character in two.
  const id = excess <= 0 ? containerId : `${containerId.slice(0, Math.max(0, containerId.length - excess - 3))}...`;
  const alias = wholeAliasOf(mark, { ...key, containerId: id });
  return Buffer.from(alias).subarray(0, MAX_ALIAS_BYTES).toString('utf8');
}
