// Bridges that were adopted as they are: what in their settings keeps containers waiting.

import { forwardDelayOf, hasSpanningTree } from '../../kernel/rtnetlink/link/bridge.ts';
import { findLink } from '../../kernel/rtnetlink/link/link.ts';
import type { Call } from '../cli/command.ts';
import { type Finding, finding } from './finding.ts';
import type { Network } from '../listing/network-list.ts';

export function examineBridges(call: Call, networks: readonly Network[]): Finding[] {
  const subject = 'bridges';
  const names = new Set(
    networks.flatMap(({ bridge, records }) => [bridge, ...records.map((each) => each.objects.bridge)]),
  );
  return [...names].flatMap((name): Finding[] => {
    const bridge = name === undefined ? undefined : findLink(call.context.route, name);
    if (!bridge || !hasSpanningTree(bridge)) return [];
    return [finding('warn', subject, 'bridge-delays-ports', { subject: bridge.name, found: forwardDelayOf(bridge) })];
  });
}
