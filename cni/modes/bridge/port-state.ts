// Waits until the bridge lets packets pass by a port.

import { monotonicMs } from '../../kernel/clock.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { BR_STATE_DISABLED, bridgePortState } from '../../kernel/rtnetlink/link/bridge-port.ts';
import { findLink, type Link } from '../../kernel/rtnetlink/link/link.ts';
import { sleep } from '../../kernel/syscalls.ts';
import { CniError, ERR_KERNEL_REFUSED } from '../../protocol/errors.ts';

/** As long as the reference waits in all; here it was always there at the first look, 0.2 ms after the sandbox end came up. */
const PORT_TIMEOUT_MS = 2_550;

/**
 * Until the bridge has noticed the port's carrier, the first packets are lost, and the sender repeats them only a second
 * later. With STP (which nobody needs here, but an adopted bridge may have) it then listens and learns for half a minute
 * more; that is the operator's choice, and not waited for. Returns the port's BR_STATE_*.
 */
export function waitForPort(route: NetlinkConnection, hostEnd: Link): number {
  const deadline = monotonicMs() + PORT_TIMEOUT_MS;
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 50)) {
    const port = findLink(route, hostEnd.index);
    const state = (port && bridgePortState(port)) ?? BR_STATE_DISABLED;
    if (state !== BR_STATE_DISABLED) return state;
    if (!port || monotonicMs() > deadline) {
      throw new CniError(
        ERR_KERNEL_REFUSED,
        `Bridge port "${hostEnd.name}" does not come up: its link is ${port?.operstate ?? 'gone'}`,
      );
    }
    sleep(waitMs);
  }
}
