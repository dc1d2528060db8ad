// Whether containers reach the host's 127.0.0.1: they do by a bridge with route_localnet on, unless podlink's rules drop
// such packets.

import type { AttachmentDiagnosis } from '../../diagnosis/attachment-diagnosis.ts';
import { diagnoseFault } from '../../features/elements/owned-elements.ts';
import { PORTMAP_GUARD } from '../../features/portmap/portmap-ruleset.ts';
import { routesLocalnet } from '../../features/portmap/route-localnet.ts';
import { checkChain } from '../../kernel/nftables/ruleset.ts';
import { openNftables } from '../../kernel/nftables/connection.ts';
import type { Call } from '../cli/command.ts';
import { type Finding, finding } from './finding.ts';
import type { Network } from '../listing/network-list.ts';

export function examineLocalhost(_call: Call, networks: readonly Network[]): Finding[] {
  const open = [...new Set(networks.flatMap(gatewaysOf))].filter(routesLocalnet);
  if (open.length === 0) return [];
  const nft = openNftables();
  try {
    const fault = checkChain(nft, PORTMAP_GUARD);
    return fault ? open.map((bridge) => describeHole(bridge, diagnoseFault(fault), networks)) : [];
  } finally {
    nft.close();
  }
}

function gatewaysOf({ bridge, records }: Network): string[] {
  const used = records.flatMap(({ objects }) => [objects.bridge, objects.gateway]);
  return [bridge, ...used].filter((name) => name !== undefined);
}

function describeHole(bridge: string, problem: AttachmentDiagnosis, networks: readonly Network[]): Finding {
  const isInUse = networks.some(({ records }) =>
    records.some(({ objects }) => objects.bridge === bridge || objects.gateway === bridge),
  );
  const parts = { subject: bridge, causes: [problem] };
  return isInUse
    ? finding('fail', 'firewall', 'localhost-exposed', parts)
    : finding('fail', 'firewall', 'localhost-exposed-by-leftover', parts);
}
