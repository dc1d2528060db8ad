// Whether this kernel's bridges can filter by VLAN: what it owes us is what it gives to ip(8).

import { withNamespace } from './namespaces.ts';

export async function hasVlanFiltering(): Promise<boolean> {
  let canFilter = true;
  await withNamespace((ns) => {
    try {
      ns.ip('link', 'add', 'br0', 'type', 'bridge', 'vlan_filtering', '1');
    } catch {
      canFilter = false; // the kernel's refusal is the answer
    }
  });
  return canFilter;
}

/** The VLANs of a port as bridge(8) tells them: the number, then what the port does with it. */
export function refereedVlans(ns: { bridgeJson<Item>(...args: readonly string[]): Item[] }, port: string): string[] {
  const [shown] = ns.bridgeJson<{ vlans?: { vlan: number; vlanEnd?: number; flags?: string[] }[] }>(
    'vlan',
    'show',
    'dev',
    port,
  );
  return (shown?.vlans ?? []).flatMap(({ vlan, vlanEnd = vlan, flags = [] }) =>
    Array.from({ length: vlanEnd - vlan + 1 }, (_, i) => [vlan + i, ...flags].join(' ')),
  );
}
