// What a configuration asks of the kernel.

import type { NetworkConfig } from '../../protocol/config.ts';
import {
  FOR_EGRESS_LIMITS,
  FOR_FILTERING,
  FOR_FRAMES,
  FOR_INGRESS_LIMITS,
  FOR_MASQUERADING,
  FOR_PORTS,
  IPV6,
  type KernelFeature,
  VLAN_FILTERING,
} from './kernel-feature.ts';

export interface KernelNeed {
  /** The key that asks. */
  readonly key: string;
  readonly features: readonly KernelFeature[];
}

/** The needs of a configuration whose keys have the right types; those of a wrong type ask for nothing. */
export function kernelNeedsOf({ fields }: NetworkConfig): KernelNeed[] {
  const raw = (key: string) => fields.get(key);
  const capabilities = fields.get('capabilities');
  const isDeclared = (name: string) =>
    typeof capabilities === 'object' &&
    capabilities !== null &&
    Object.entries(capabilities).some(([key, value]) => key === name && value === true);
  const vlanTrunk = raw('vlanTrunk');
  const needs: readonly (KernelNeed & { readonly isAsked: boolean })[] = [
    { key: 'vlan', features: [VLAN_FILTERING], isAsked: Number(raw('vlan') ?? 0) > 0 },
    { key: 'vlanTrunk', features: [VLAN_FILTERING], isAsked: Array.isArray(vlanTrunk) && vlanTrunk.length > 0 },
    { key: 'ipam', features: [IPV6], isAsked: hasIpv6(raw('ipam')) },
    { key: 'ipMasq', features: FOR_MASQUERADING, isAsked: raw('ipMasq') === true },
    { key: 'icc', features: FOR_FILTERING, isAsked: raw('icc') === false },
    { key: 'internal', features: [...FOR_FILTERING, ...FOR_FRAMES], isAsked: raw('internal') === true },
    { key: 'macspoofchk', features: FOR_FRAMES, isAsked: raw('macspoofchk') === true },
    { key: 'capabilities.portMappings', features: FOR_PORTS, isAsked: isDeclared('portMappings') },
    { key: 'ingressRate', features: FOR_INGRESS_LIMITS, isAsked: Number(raw('ingressRate') ?? 0) > 0 },
    { key: 'egressRate', features: FOR_EGRESS_LIMITS, isAsked: Number(raw('egressRate') ?? 0) > 0 },
    { key: 'capabilities.bandwidth', features: FOR_EGRESS_LIMITS, isAsked: isDeclared('bandwidth') },
  ];
  return needs.filter(({ isAsked }) => isAsked);
}

/** Whether a CIDR of IPv6 stands anywhere in the addressing: in ranges, addresses or routes. */
function hasIpv6(value: unknown): boolean {
  if (typeof value === 'string') return /^[0-9a-f]*:[0-9a-f:.]*\/\d+$/i.test(value);
  return typeof value === 'object' && value !== null && Object.values(value).some(hasIpv6);
}
