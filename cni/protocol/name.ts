// What containers, networks and interfaces may be called ("Parameters" and "Network configuration", SPEC.md).
//
// The messages are the reference library's (pkg/utils), so that tools which compare them still do.

import {
  CniError,
  ERR_INVALID_ENVIRONMENT_VARIABLES,
  ERR_INVALID_NETWORK_CONFIG,
  ERR_UNKNOWN_CONTAINER,
} from './errors.ts';

/** Container IDs and network names alike. Without the `m` flag `$` is the end of the text, not of a line. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** IFNAMSIZ of include/uapi/linux/if.h less the closing zero byte. */
const INTERFACE_NAME_MAX_BYTES = 15;

/** Whether a text may be a container ID or a network name. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

/** Throws CniError 3 when the ID is empty, CniError 4 when it holds what it must not. */
export function validateContainerId(id: string): void {
  if (id === '') throw new CniError(ERR_UNKNOWN_CONTAINER, 'missing containerID');
  if (!isName(id)) throw new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, 'invalid characters in containerID', id);
}

/** Throws CniError 7 when the name is empty or holds what it must not. */
export function validateNetworkName(name: string): void {
  if (name === '') throw new CniError(ERR_INVALID_NETWORK_CONFIG, 'missing network name');
  if (!isName(name)) throw new CniError(ERR_INVALID_NETWORK_CONFIG, 'invalid characters found in network name', name);
}

/** Slash, colon and Unicode's White_Space, spelled out: V8 takes 0.5 ms to build the set of a property. */
const UNUSABLE = /[/:\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** Whether there is a control character (Unicode's Cc) in a text. Not /\p{Cc}/u: V8 takes 0.5 ms to build that set. */
export function hasControlCharacter(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return true;
  }
  return false;
}

/**
 * Names that the kernel lets no interface have: directories of /proc/sys/net/ipv4/conf (sysctl_dev_name_is_allowed() in
 * net/ipv4/devinet.c), and a file of /sys/class/net while the bonding driver is loaded.
 */
const RESERVED: ReadonlyMap<string, string> = new Map([
  ['all', 'the sysctls of all interfaces are under this name'],
  ['default', 'the sysctls of interfaces to come are under this name'],
  ['bonding_masters', 'the bonding driver has a file of this name'],
]);

/**
 * Say why no interface can be made with this name, though it is spelled as a name may be; undefined when one can.
 *
 * Not part of isInterfaceName(): a DEL of what can never have been made is fine.
 */
export function newInterfaceNameFault(name: string): string | undefined {
  const reserved = RESERVED.get(name);
  if (reserved !== undefined) return `"${name}" is reserved: ${reserved}`;
  // The kernel looks at bytes, and takes this one for white space (isspace() in lib/ctype.c): a part of "à" in UTF-8.
  if (Buffer.byteLength(name) > name.length && Buffer.from(name).includes(0xa0)) {
    return `"${name}" contains a character that the kernel takes for white space (a byte a0 in UTF-8)`;
  }
  return hasControlCharacter(name) ? `${JSON.stringify(name)} contains a control character` : undefined;
}

/** Say why a text cannot name an interface; undefined when it can. */
function interfaceNameFault(name: string): { message: string; details?: string } | undefined {
  if (name === '') return { message: 'interface name is empty' };
  if (Buffer.byteLength(name, 'utf8') > INTERFACE_NAME_MAX_BYTES)
    return { message: 'interface name is too long', details: 'interface name should be less than 16 characters' };
  if (name === '.' || name === '..') return { message: 'interface name is . or ..' };
  if (UNUSABLE.test(name)) return { message: 'interface name contains / or : or whitespace characters' };
  return undefined;
}

/** Whether a text may name an interface: 1 to 15 bytes, not a path, no `:`, no white space. */
export function isInterfaceName(name: string): boolean {
  return interfaceNameFault(name) === undefined;
}

/** Throws CniError 4 when no interface can have this name. */
export function validateInterfaceName(name: string): void {
  const fault = interfaceNameFault(name);
  if (fault !== undefined) throw new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, fault.message, fault.details);
}

/** Throws CniError 4 when no interface can be made with this name, whatever the mode. */
export function validateNewInterfaceName(name: string): void {
  const fault = newInterfaceNameFault(name);
  if (fault !== undefined) throw new CniError(ERR_INVALID_ENVIRONMENT_VARIABLES, `Invalid CNI_IFNAME: ${fault}`);
}
