// The rules for the gateway of a VLAN, as `nft list table inet podlink` shows them:
//
//   chain bridged_gateway { type filter hook prerouting priority raw; policy accept;
//     iifname . ether saddr . ether daddr @bridged_gateway notrack
//     iifname . ether daddr . ether saddr @bridged_gateway notrack
//   }
//
// A packet of a VLAN's container to its gateway is bridged first, to the gateway's port, and routed then, by the interface
// behind it. With net.bridge.bridge-nf-call-iptables (on nodes of Kubernetes) the hooks of IP see it both times, the first
// time with the bridge as its interface. Translated there (a mapped port, a service of kube-proxy), the packet is handed to
// the bridge itself, which is not in the VLAN and drops it; masqueraded there, it has no address to take. And a connection
// that was not translated the first time is not the second time either: the kernel decides once. So the first time it is not
// tracked. The veth pair of the gateway makes the kernel forget that, and the second time is as on any interface.
//
// Needs Linux 5.2.

import type { Chain } from '../../kernel/nftables/chain.ts';
import { NF_ACCEPT, NF_INET_PRE_ROUTING, NF_IP_PRI_RAW } from '../../kernel/nftables/constants.ts';
import { registerAt } from '../../kernel/nftables/expressions/expression.ts';
import { loadEtherDestination, loadEtherSource, matchEthernet } from '../../kernel/nftables/expressions/link-layer.ts';
import { lookUp } from '../../kernel/nftables/expressions/lookup.ts';
import { loadMeta, NFT_META_IIFNAME } from '../../kernel/nftables/expressions/meta.ts';
import { doNotTrack } from '../../kernel/nftables/expressions/notrack.ts';
import { ETHER_ADDR, IFNAME, keyLength } from '../../kernel/nftables/key.ts';
import type { Rule } from '../../kernel/nftables/rule.ts';
import type { Ruleset } from '../../kernel/nftables/ruleset.ts';
import type { NamedSet } from '../../kernel/nftables/set.ts';
import { PODLINK_TABLE } from '../elements/podlink-table.ts';

const table = PODLINK_TABLE;

export const BRIDGED_GATEWAY: NamedSet = {
  table,
  name: 'bridged_gateway',
  key: [IFNAME, ETHER_ADDR, ETHER_ADDR],
  interval: false,
  comment: 'bridge, and MACs of a container and of the gateway of its VLAN',
};

const FIRST_MAC = registerAt(keyLength([IFNAME]));
const SECOND_MAC = registerAt(keyLength([IFNAME, ETHER_ADDR]));

const CHAIN: Chain = {
  table,
  name: 'bridged_gateway',
  hook: { type: 'filter', number: NF_INET_PRE_ROUTING, priority: NF_IP_PRI_RAW, policy: NF_ACCEPT },
};

export const BRIDGED_GATEWAY_RULESET: Ruleset = {
  table,
  name: 'bridged_gateway',
  version: 1,
  sets: [BRIDGED_GATEWAY],
  chains: [
    {
      chain: CHAIN,
      rules: [
        rule('to the gateway', [loadEtherSource(FIRST_MAC), loadEtherDestination(SECOND_MAC)]),
        rule('from the gateway', [loadEtherDestination(FIRST_MAC), loadEtherSource(SECOND_MAC)]),
      ],
    },
  ],
};

function rule(comment: string, loadMacs: Rule['expressions']): Rule {
  return {
    expressions: [...matchEthernet(), loadMeta(NFT_META_IIFNAME), ...loadMacs, lookUp(BRIDGED_GATEWAY), doNotTrack()],
    comment,
  };
}
