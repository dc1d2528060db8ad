// The rules of `macspoofchk`, as `nft list table bridge podlink` shows them:
//
//   chain prerouting_macspoof { type filter hook prerouting priority dstnat; policy accept;
//     iifname @macspoof_ports goto macspoof_port
//   }
//   chain macspoof_port {
//     iifname . ether saddr @macspoof_macs goto macspoof_payload
//     drop
//   }
//   chain macspoof_payload {
//     meta protocol != arp return
//     iifname . arp saddr ether @macspoof_macs return
//     drop
//   }
//
// A port is there by the name of the veth's host end, so that it does not matter what addresses the container writes.
//
// Not all frames come by here: those to a link-local group (LLDP and the like) do not. macspoof.ts sees to it that the
// bridge does not learn from them, so that they cannot bring another container's traffic to the port.
//
// What ARP says of its sender is checked, what IPv6 neighbour discovery says in its options is not: they stand at no
// fixed place. Nor is it anybody's IP address that is checked, only MACs.

import type { Chain } from '../../kernel/nftables/chain.ts';
import {
  NF_ACCEPT,
  NF_BR_PRE_ROUTING,
  NF_BR_PRI_NAT_DST_BRIDGED,
  NF_DROP,
  NFPROTO_BRIDGE,
  NFT_RETURN,
} from '../../kernel/nftables/constants.ts';
import { NFT_CMP_EQ, NFT_CMP_NEQ } from '../../kernel/nftables/expressions/cmp.ts';
import { registerAt } from '../../kernel/nftables/expressions/expression.ts';
import { giveVerdict, goTo } from '../../kernel/nftables/expressions/immediate.ts';
import { loadArpSender, loadEtherSource, matchArp } from '../../kernel/nftables/expressions/link-layer.ts';
import { lookUp } from '../../kernel/nftables/expressions/lookup.ts';
import { loadMeta, NFT_META_IIFNAME } from '../../kernel/nftables/expressions/meta.ts';
import { ETHER_ADDR, IFNAME } from '../../kernel/nftables/key.ts';
import type { Ruleset } from '../../kernel/nftables/ruleset.ts';
import type { NamedSet } from '../../kernel/nftables/set.ts';
import type { Table } from '../../kernel/nftables/table.ts';
import { PODLINK_TABLE } from '../elements/podlink-table.ts';

/** Beside the table that routed packets pass, the one for frames. */
const PODLINK_BRIDGE_TABLE: Table = { family: NFPROTO_BRIDGE, name: PODLINK_TABLE.name };

const table = PODLINK_BRIDGE_TABLE;
const AFTER_IFNAME = registerAt(IFNAME.bytes);
const PREROUTING: Chain = {
  table,
  name: 'prerouting_macspoof',
  hook: { type: 'filter', number: NF_BR_PRE_ROUTING, priority: NF_BR_PRI_NAT_DST_BRIDGED, policy: NF_ACCEPT },
};
const PORT: Chain = { table, name: 'macspoof_port' };
const PAYLOAD: Chain = { table, name: 'macspoof_payload' };

export const MACSPOOF_PORTS: NamedSet = {
  table,
  name: 'macspoof_ports',
  key: [IFNAME],
  interval: false,
  comment: 'ports whose container may send with its own MAC alone',
};
export const MACSPOOF_MACS: NamedSet = {
  table,
  name: 'macspoof_macs',
  key: [IFNAME, ETHER_ADDR],
  interval: false,
  comment: 'port and MAC of its container',
};

export const MACSPOOF_RULESET: Ruleset = {
  table,
  name: 'macspoof',
  version: 1,
  sets: [MACSPOOF_PORTS, MACSPOOF_MACS],
  chains: [
    {
      chain: PAYLOAD,
      rules: [
        { expressions: [...matchArp(NFT_CMP_NEQ), giveVerdict(NFT_RETURN)], comment: 'says no MAC of its own' },
        {
          expressions: [
            ...matchArp(NFT_CMP_EQ),
            loadMeta(NFT_META_IIFNAME),
            loadArpSender(AFTER_IFNAME),
            lookUp(MACSPOOF_MACS),
            giveVerdict(NFT_RETURN),
          ],
          comment: 'ARP of the container',
        },
        { expressions: [giveVerdict(NF_DROP)], comment: 'ARP in the name of another MAC' },
      ],
    },
    {
      chain: PORT,
      rules: [
        {
          expressions: [
            loadMeta(NFT_META_IIFNAME),
            loadEtherSource(AFTER_IFNAME),
            lookUp(MACSPOOF_MACS),
            goTo(PAYLOAD),
          ],
          comment: 'with the MAC of the container',
        },
        { expressions: [giveVerdict(NF_DROP)], comment: 'with another MAC' },
      ],
    },
    {
      chain: PREROUTING,
      rules: [
        {
          expressions: [loadMeta(NFT_META_IIFNAME), lookUp(MACSPOOF_PORTS), goTo(PORT)],
          comment: 'from a port that is checked',
        },
      ],
    },
  ],
};
