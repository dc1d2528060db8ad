// Intermediate functional blocks: links that send what is redirected to them back to where it came from, by way of
// their own queue. So what a link receives can be made to wait (drivers/net/ifb.c, v6.12).

import { AF_INET6 } from '../../netlink/address-bytes.ts';
import { type NetlinkConnection, type Operation, understand } from '../../netlink/connection.ts';
import { NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL } from '../../netlink/message.ts';
import { ByteReader } from '../../netlink/reader.ts';
import { MessageWriter } from '../../netlink/writer.ts';
import {
  encodeLink,
  findLink,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  type LinkChange,
  RTM_NEWLINK,
  RTM_SETLINK,
} from './link.ts';

const IFLA_AF_SPEC = 26;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;

export interface IfbProperties extends Pick<LinkChange, 'mac' | 'mtu'> {
  readonly name: string;
}

/**
 * Add an ifb and return its index; undefined when it is gone again. It is down until quietIfb() has been sent: up, it would
 * have an IPv6 address before it can be told not to.
 *
 * Throws NetlinkError EEXIST if the name is taken by any link, EOPNOTSUPP when the kernel has no ifb.
 */
export function addIfb(route: NetlinkConnection, properties: IfbProperties): number | undefined {
  const { name } = properties;
  const request = {
    operation: `add ifb "${name}"`,
    type: RTM_NEWLINK,
    // Since Linux 6.2 the kernel then tells what it has made, and nobody has to ask for it.
    flags: NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO,
    payload: encodeLink(new MessageWriter(), 0, properties)
      .nested(IFLA_LINKINFO, (info) => info.attributeString(IFLA_INFO_KIND, 'ifb'))
      .finish(),
  };
  const echo = route.execute(request).find(({ type }) => type === RTM_NEWLINK);
  return echo ? understand(request, () => readIndex(echo.payload)) : findLink(route, name)?.index;
}

/** ifi_index of struct ifinfomsg. */
function readIndex(payload: Uint8Array): number {
  return new ByteReader(payload).skip(4).s32();
}

/**
 * Name the owner of an ifb, in at most 255 bytes, and keep IPv6 from giving it an address: the kernel ignores both on
 * creation without a word. To be sent together with others.
 *
 * EAFNOSUPPORT when the kernel has no IPv6: without `hasIpv6` only the owner is named.
 */
export function quietIfb(link: { index: number; name: string }, alias: string, hasIpv6: boolean): Operation {
  const writer = encodeLink(new MessageWriter(), link.index, { alias });
  if (hasIpv6) {
    writer.nested(IFLA_AF_SPEC, (families) =>
      families.nested(AF_INET6, (inet6) => inet6.attributeU8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)),
    );
  }
  return { operation: `change link "${link.name}"`, type: RTM_SETLINK, flags: 0, payload: writer.finish() };
}
