// Whether containers reach the host's 127.0.0.1: they do by a bridge with route_localnet on, unless podlink's rules drop
// such packets.

import { type AttachmentDiagnosis, sentenceOf } from '../../diagnosis/attachment-diagnosis.ts';
import { diagnoseFault } from '../../features/elements/owned-elements.ts';
import { PORTMAP_GUARD } from '../../features/portmap/portmap-ruleset.ts';
import { hasRouteLocalnet } from '../../features/portmap/route-localnet.ts';
import { checkChain } from '../../kernel/nftables/ruleset.ts';
import { openNftables } from '../../kernel/nftables/connection.ts';
import type { Call } from '../cli/command.ts';
import type { Finding } from './finding.ts';
import type { Network } from '../listing/network-list.ts';

export function examineLocalhost(_call: Call, networks: readonly Network[]): Finding[] {
  const open = [...new Set(networks.flatMap(gatewaysOf))].filter(hasRouteLocalnet);
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

/** A repair looks after attachments: where there is none, the setting has to go. */
function describeHole(bridge: string, problem: AttachmentDiagnosis, networks: readonly Network[]): Finding {
  const isInUse = networks.some(({ records }) =>
    records.some(({ objects }) => objects.bridge === bridge || objects.gateway === bridge),
  );
  return {
    level: 'fail',
    subject: 'firewall',
    what: `containers of bridge "${bridge}" reach what listens on the host's 127.0.0.1: net.ipv4.conf.${bridge}.route_localnet is 1, and ${sentenceOf(problem)}`,
    meaning:
      'services without a password of their own, because only this node should reach them, are open to containers',
    remedy: isInUse
      ? { sentence: 'put the rules back:', commands: ['podlink repair'] }
      : { sentence: 'turn it off:', commands: [`sysctl -w net.ipv4.conf.${bridge}.route_localnet=0`] },
  };
}
