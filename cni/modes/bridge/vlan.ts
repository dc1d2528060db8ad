// The VLANs that a container's port on the bridge is in: `vlan` untagged, those of `vlanTrunk` tagged, and no other but,
// with `preserveDefaultVlan`, the default VLAN of the bridge, in which the kernel puts each new port.
//
// Needs a kernel with CONFIG_BRIDGE_VLAN_FILTERING; ensureBridge() has refused by now where that is missing.

import { type AttachmentDiagnosis, diagnose } from '../../diagnosis/attachment-diagnosis.ts';
import type { NetlinkConnection } from '../../kernel/netlink/connection.ts';
import { defaultVlanOf, isVlanFiltering } from '../../kernel/rtnetlink/link/bridge.ts';
import type { Link } from '../../kernel/rtnetlink/link/link.ts';
import {
  listPortVlans,
  type PortVlan,
  portVlanAddition,
  portVlanDeletion,
} from '../../kernel/rtnetlink/link/port-vlan.ts';
import type { BridgeConfig } from './config.ts';

/** As the reference: a trunk without a VLAN of its own sends its untagged packets in this one. */
const NATIVE_VLAN_OF_TRUNK = 1;

/** The VLANs a port is to be in, and whether it may be in others as well. */
export interface WantedVlans {
  readonly vlans: readonly PortVlan[];
  readonly mayHaveMore: boolean;
}

/** The VLANs that the configuration wants of a container's port; undefined when it leaves the VLANs to the bridge. */
export function wantedVlansOf(config: BridgeConfig): WantedVlans | undefined {
  if (config.vlan === 0 && config.vlanTrunk.length === 0) return undefined;
  const native = config.vlan === 0 ? NATIVE_VLAN_OF_TRUNK : config.vlan;
  const tagged = config.vlanTrunk.filter((id) => id !== native);
  return {
    vlans: [...tagged.map((id) => ({ id, isPvid: false, isUntagged: false })), untagged(native)],
    mayHaveMore: config.preserveDefaultVlan,
  };
}

/** The VLAN of a port whose packets have no tag, neither those that come in nor those that go out. */
export function untagged(id: number): PortVlan {
  return { id, isPvid: true, isUntagged: true };
}

/** Put a port that was made a moment ago in its VLANs: it is in the default VLAN of the bridge, or in none. */
export function setVlansOfNewPort(
  route: NetlinkConnection,
  bridge: Link,
  port: Link,
  { vlans, mayHaveMore }: WantedVlans,
): void {
  const defaultVlan = defaultVlanOf(bridge);
  const isStray = defaultVlan !== 0 && !mayHaveMore && !vlans.some(({ id }) => id === defaultVlan);
  route.executeAll([...(isStray ? [portVlanDeletion(port, [defaultVlan])] : []), portVlanAddition(port, vlans)]);
}

/** Put a port that may be in any VLANs in its own. True when that took a change. */
export function mendPortVlans(route: NetlinkConnection, port: Link, wanted: WantedVlans): boolean {
  const { missing, changed, stray } = compareVlans(route, port, wanted);
  const wrong = [...missing, ...changed];
  route.executeAll([
    ...(stray.length > 0
      ? [
          portVlanDeletion(
            port,
            stray.map(({ id }) => id),
          ),
        ]
      : []),
    ...(wrong.length > 0 ? [portVlanAddition(port, wrong)] : []),
  ]);
  return stray.length + wrong.length > 0;
}

/** A port of a bridge; `gateway`: the link that it is the other end of, where that is a VLAN's gateway. */
export interface BridgePort {
  readonly bridge: Link;
  readonly port: Link;
  readonly gateway?: Link;
}

/** Find what is wrong with the VLANs of a port of the bridge. */
export function checkPortVlans(
  route: NetlinkConnection,
  { bridge, port, gateway }: BridgePort,
  wanted: WantedVlans,
): AttachmentDiagnosis[] {
  if (!isVlanFiltering(bridge)) return []; // the bridge's fault, which is named with the bridge
  const { missing, changed, stray } = compareVlans(route, port, wanted);
  const at = { subject: port.name, object: bridge.name };
  const of = gateway && { of: gateway.name };
  const problems: AttachmentDiagnosis[] = [];
  if (missing.length > 0) {
    const expected = describeVlans(missing);
    problems.push(
      of
        ? diagnose('vlan-gateway-port-vlan-missing', { ...at, ...of, expected })
        : diagnose('host-end-vlan-missing', { ...at, expected }),
    );
  }
  for (const vlan of changed) {
    const parts = {
      ...at,
      found: describeVlans([vlan]),
      expected: vlan.isPvid ? 'without a tag both ways' : 'with a tag',
    };
    problems.push(
      of ? diagnose('vlan-gateway-port-vlan-differs', { ...parts, ...of }) : diagnose('host-end-vlan-differs', parts),
    );
  }
  if (stray.length > 0) {
    const found = describeVlans(stray);
    problems.push(
      of
        ? diagnose('vlan-gateway-port-vlan-stray', { ...at, ...of, found })
        : diagnose('host-end-vlan-stray', { ...at, found }),
    );
  }
  return problems;
}

interface VlanDifference {
  readonly missing: readonly PortVlan[];
  /** As they are to be. */
  readonly changed: readonly PortVlan[];
  readonly stray: readonly PortVlan[];
}

function compareVlans(route: NetlinkConnection, port: Link, { vlans, mayHaveMore }: WantedVlans): VlanDifference {
  const present = new Map(listPortVlans(route, port).map((vlan) => [vlan.id, vlan]));
  const wantedIds = new Set(vlans.map(({ id }) => id));
  const isChanged = ({ id, isPvid, isUntagged }: PortVlan): boolean => {
    const found = present.get(id);
    return found !== undefined && (found.isPvid !== isPvid || found.isUntagged !== isUntagged);
  };
  return {
    missing: vlans.filter(({ id }) => !present.has(id)),
    changed: vlans.filter(isChanged),
    stray: mayHaveMore ? [] : [...present.values()].filter(({ id }) => !wantedIds.has(id)),
  };
}

/** E.g. `VLAN 5`, `VLANs 5, 7-9`. */
function describeVlans(vlans: readonly PortVlan[]): string {
  const runs: { first: number; last: number }[] = [];
  for (const { id } of vlans.toSorted((a, b) => a.id - b.id)) {
    const run = runs.at(-1);
    if (run?.last === id - 1) run.last = id;
    else runs.push({ first: id, last: id });
  }
  const texts = runs.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`));
  return `${vlans.length === 1 ? 'VLAN' : 'VLANs'} ${texts.join(', ')}`;
}
