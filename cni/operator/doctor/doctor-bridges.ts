// Bridges that were adopted as they are: what in their settings keeps containers waiting.

import { forwardDelayOf, hasSpanningTree } from '../../kernel/rtnetlink/link/bridge.ts';
import { findLink } from '../../kernel/rtnetlink/link/link.ts';
import type { Call } from '../cli/command.ts';
import type { Finding } from './finding.ts';
import type { Network } from '../listing/network-list.ts';

export function examineBridges(call: Call, networks: readonly Network[]): Finding[] {
  const subject = 'bridges';
  const names = new Set(
    networks.flatMap(({ bridge, records }) => [bridge, ...records.map((each) => each.objects.bridge)]),
  );
  return [...names].flatMap((name): Finding[] => {
    const bridge = name === undefined ? undefined : findLink(call.context.route, name);
    if (!bridge || !hasSpanningTree(bridge)) return [];
    const delay = forwardDelayOf(bridge);
    return [
      {
        level: 'warn',
        subject,
        what: `bridge "${name}" runs STP with a forward delay of ${delay} s`,
        meaning: `a container reaches nobody for ${2 * delay} s after its ADD: its port listens and learns before it forwards`,
        remedy: {
          sentence: 'turn STP off if no two of its ports are joined elsewhere, or give it a shorter forward_delay',
          commands: [`ip link set ${name} type bridge stp_state 0`],
        },
      },
    ];
  });
}
