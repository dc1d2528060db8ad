// Intermediate functional blocks: links that send what is redirected to them back to where it came from, by way of
// their own queue. So what a link receives can be made to wait (drivers/net/ifb.c, v6.12).

import { AF_INET6 } from '../netlink/address-bytes.ts';
import { isErrno } from '../errno.ts';
import type { NetlinkConnection } from '../netlink/connection.ts';
import { MessageWriter } from '../netlink/writer.ts';
import { addLink, encodeLink, type LinkChange, RTM_SETLINK } from './link.ts';

const IFLA_AF_SPEC = 26;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;

export interface IfbProperties extends Pick<LinkChange, 'mac' | 'mtu'> {
  readonly name: string;
  /** At most 255 bytes. */
  readonly alias: string;
}

/**
 * Add an ifb that will have no IPv6 address. It is down: up, it would have one before it can be told not to.
 *
 * Throws NetlinkError EEXIST if the name is taken by any link, EOPNOTSUPP when the kernel has no ifb.
 */
export function addIfb(route: NetlinkConnection, { alias, ...properties }: IfbProperties): void {
  addLink(route, 'ifb', properties);
  try {
    nameAndQuiet(route, properties.name, alias, true);
  } catch (error) {
    if (!isErrno(error, 'EAFNOSUPPORT')) throw error; // a kernel without IPv6
    nameAndQuiet(route, properties.name, alias, false);
  }
}

/** What the kernel ignores on creation without a word: the alias, and how IPv6 chooses addresses. */
function nameAndQuiet(route: NetlinkConnection, name: string, alias: string, hasIpv6: boolean): void {
  const writer = encodeLink(new MessageWriter(), 0, { name, alias });
  if (hasIpv6) {
    writer.nested(IFLA_AF_SPEC, (families) =>
      families.nested(AF_INET6, (inet6) => inet6.attributeU8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)),
    );
  }
  route.execute({ operation: `change link "${name}"`, type: RTM_SETLINK, flags: 0, payload: writer.finish() });
}
