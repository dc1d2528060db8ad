// VLANs of a bridge: whether the kernel can filter by them, and which ones a port is in, as bridge(8) tells.

import { skip } from '../suite/skip.ts';
import type { Body, Cases, Reference } from './case.ts';
import { run as runProgram } from './command.ts';
import type { Host } from './host.ts';

/** Whether this kernel has CONFIG_BRIDGE_VLAN_FILTERING: asked of `ip`, in the namespace of the case. */
export function canFilterVlans(host: Host): boolean {
  const args = ['-n', host.namespace.name, 'link', 'add', 'probe0', 'type', 'bridge', 'vlan_filtering', '1'];
  if (runProgram('ip', args).code !== 0) return false;
  host.namespace.ip('link', 'del', 'probe0');
  return true;
}

/** Add a case that is skipped, with that reason, where the kernel cannot filter by VLAN. */
export function vlanTest({ test }: Cases, title: string, reference: Reference, body: Body): void {
  test(title, reference, (host) => {
    if (canFilterVlans(host)) return body(host);
    skip(title, 'this kernel has no bridge VLAN filtering (npm run test:vm runs it on kernels that have it)');
  });
}

/** The VLANs of a port: the id, with what the port does with it. */
export function vlansOf(host: Host, port: string): string[] {
  const shown = host.namespace.bridgeJson<{ vlans?: { vlan: number; vlanEnd?: number; flags?: string[] }[] }>(
    'vlan',
    'show',
    'dev',
    port,
  );
  return (shown[0]?.vlans ?? []).flatMap(({ vlan, vlanEnd = vlan, flags = [] }) =>
    Array.from({ length: vlanEnd - vlan + 1 }, (_, i) => [vlan + i, ...flags].join(' ')),
  );
}

/** Make the bridge beforehand, as an operator may have: one that filters by VLAN, with this default VLAN. */
export function addFilteringBridge(host: Host, defaultVlan: number, name = 'cni0'): void {
  const words = ['type', 'bridge', 'vlan_filtering', '1', 'vlan_default_pvid', String(defaultVlan)];
  host.namespace.ip('link', 'add', name, 'up', ...words);
}
