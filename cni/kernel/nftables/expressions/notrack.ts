// Keep a packet from connection tracking, and with it from network address translation.

import type { Expression } from './expression.ts';

/** Leave the packet untracked. Only in a chain of the prerouting or output hook, before connection tracking (priority -200). */
export function doNotTrack(): Expression {
  return { name: 'notrack' };
}
