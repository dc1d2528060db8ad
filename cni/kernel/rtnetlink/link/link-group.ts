// Deleting several links at once, by the group they are put into for it (IFLA_GROUP).
//
// To delete a link the kernel waits for the end of RCU grace periods: 15 to 35 ms with HZ=100, whatever the link. For a
// group it waits once (unregister_netdevice_many(), net/core/dev.c).
//
// Source: include/uapi/linux/if_link.h, rtnl_group_dellink() in net/core/rtnetlink.c (v6.12). Host order.

import { isErrno } from '../../errno.ts';
import type { NetlinkConnection, Operation } from '../../netlink/connection.ts';
import { MessageWriter } from '../../netlink/writer.ts';
import { randomBytes } from '../../syscalls.ts';
import { deleteLink, encodeLink, IFLA_GROUP, type Link, RTM_DELLINK, RTM_SETLINK } from './link.ts';

/** Delete links. One end of a veth pair takes the other with it. What is gone already is fine. */
export function deleteLinks(route: NetlinkConnection, links: readonly Pick<Link, 'index' | 'name'>[]): void {
  const [first, ...more] = links;
  if (!first) return;
  if (more.length === 0) {
    deleteLink(route, first.index);
    return;
  }
  const group = randomGroup();
  const requests = links.map((link) => groupChange(link, group));
  const payload = encodeLink(new MessageWriter(), 0, {}).attributeU32(IFLA_GROUP, group).finish();
  const operation = `delete the ${links.length} links of group ${group}`;
  requests.push({ operation, type: RTM_DELLINK, flags: 0, payload });
  // The kernel carries them out one after the other, and goes on after one that it refuses.
  for (const { failure } of route.attemptAll(requests)) {
    if (failure && !isErrno(failure, 'ENODEV')) throw failure; // all of them may be gone, and the group with them
  }
}

/** One that nobody has: 0 is every link's, and people number theirs from below. */
function randomGroup(): number {
  return (new DataView(randomBytes(4).buffer).getUint32(0, true) | 0x4000_0000) >>> 0;
}

function groupChange(link: Pick<Link, 'index' | 'name'>, group: number): Operation {
  const payload = encodeLink(new MessageWriter(), link.index, {}).attributeU32(IFLA_GROUP, group).finish();
  return { operation: `put link "${link.name}" into group ${group}`, type: RTM_SETLINK, flags: 0, payload };
}
