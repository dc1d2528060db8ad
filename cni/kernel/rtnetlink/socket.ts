// Opens the way to rtnetlink.

import { NetlinkConnection } from '../netlink/connection.ts';
import { NETLINK_ROUTE, openTransport } from '../netlink/transport.ts';
import { inNetns, type Netns } from '../netns.ts';

/** Open rtnetlink in the given namespace, or in the calling thread's own. Close it after use. */
export function openRtnetlink(netns?: Netns): NetlinkConnection {
  const transport = netns ? inNetns(netns, () => openTransport(NETLINK_ROUTE)) : openTransport(NETLINK_ROUTE);
  return new NetlinkConnection(transport);
}

/** Run `work` with rtnetlink of a namespace open. */
export function withRtnetlink<Value>(netns: Netns, work: (route: NetlinkConnection) => Value): Value {
  const route = openRtnetlink(netns);
  try {
    return work(route);
  } finally {
    route.close();
  }
}
