// The rules of masquerading, as `nft list table inet podlink` shows them:
//
//   chain postrouting_masquerade { type nat hook postrouting priority srcnat; policy accept;
//     ip saddr @masquerade_v4 goto masquerade_v4
//     ip6 saddr @masquerade_v6 goto masquerade_v6
//   }
//   chain masquerade_v4 {
//     ip daddr 224.0.0.0/4 return
//     ip saddr . ip daddr @masquerade_except_v4 return
//     meta nfproto ipv4 masquerade fully-random
//   }
//
// and the like for IPv6 with ff00::/8. All traffic of the node that is not a container's is through with two look-ups
// in hash sets; only a container's packets meet the set with ranges, and of these only the first of a connection.
//
// Needs Linux 5.6: nat chains in inet tables (5.2), sets of a field and a range (5.6).

import type { Chain } from '../kernel/nftables/chain.ts';
import {
  NF_ACCEPT,
  NF_INET_POST_ROUTING,
  NF_IP_PRI_NAT_SRC,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  NFT_RETURN,
} from '../kernel/nftables/constants.ts';
import { maskBits } from '../kernel/nftables/expressions/bitwise.ts';
import { compare, NFT_CMP_EQ } from '../kernel/nftables/expressions/cmp.ts';
import { type Expression, registerAt } from '../kernel/nftables/expressions/expression.ts';
import { giveVerdict, goTo } from '../kernel/nftables/expressions/immediate.ts';
import {
  loadDestination,
  loadSource,
  matchFamily,
  type PacketFamily,
} from '../kernel/nftables/expressions/ip-header.ts';
import { lookUp } from '../kernel/nftables/expressions/lookup.ts';
import { masquerade, NF_NAT_RANGE_PROTO_RANDOM_FULLY } from '../kernel/nftables/expressions/masq.ts';
import { type DataType, IPV4_ADDR, IPV6_ADDR } from '../kernel/nftables/key.ts';
import type { Rule } from '../kernel/nftables/rule.ts';
import type { ChainWithRules, Ruleset } from '../kernel/nftables/ruleset.ts';
import type { NamedSet } from '../kernel/nftables/set.ts';
import { PODLINK_TABLE } from './podlink-table.ts';

/** The sets of one family. */
export interface MasqueradeSets {
  /** Addresses whose packets are masqueraded. */
  readonly sources: NamedSet;
  /** Address and destinations to which its packets go as they are. */
  readonly exceptions: NamedSet;
}

/**
 * Choose the source port at random, as kube-proxy does: when two connections to one destination ask for the same port
 * at the same time, the kernel gives it to both and drops the later one's first packet, which shows as DNS queries that
 * take five seconds (https://github.com/kubernetes/kubernetes/pull/78547). The price is that a container's port is not
 * kept even if it is free.
 */
const MASQUERADE_FLAGS = NF_NAT_RANGE_PROTO_RANDOM_FULLY;

const POSTROUTING: Chain = {
  table: PODLINK_TABLE,
  name: 'postrouting_masquerade',
  hook: { type: 'nat', number: NF_INET_POST_ROUTING, priority: NF_IP_PRI_NAT_SRC, policy: NF_ACCEPT },
};

const CHAIN_V4: Chain = { table: PODLINK_TABLE, name: 'masquerade_v4' };
const CHAIN_V6: Chain = { table: PODLINK_TABLE, name: 'masquerade_v6' };

export const MASQUERADE_V4 = masqueradeSets('v4', IPV4_ADDR);
export const MASQUERADE_V6 = masqueradeSets('v6', IPV6_ADDR);

export const MASQUERADE_RULESET: Ruleset = {
  table: PODLINK_TABLE,
  name: 'masquerade',
  version: 1,
  sets: [MASQUERADE_V4, MASQUERADE_V6].flatMap(({ sources, exceptions }) => [sources, exceptions]),
  chains: [
    // 224.0.0.0/4 (RFC 5771) is not a whole number of bytes, ff00::/8 (RFC 4291) is.
    familyChain(CHAIN_V4, NFPROTO_IPV4, MASQUERADE_V4, [
      loadDestination(NFPROTO_IPV4),
      maskBits(Uint8Array.of(0xf0, 0, 0, 0)),
      compare(NFT_CMP_EQ, Uint8Array.of(224, 0, 0, 0)),
    ]),
    familyChain(CHAIN_V6, NFPROTO_IPV6, MASQUERADE_V6, [
      loadDestination(NFPROTO_IPV6, undefined, 1),
      compare(NFT_CMP_EQ, Uint8Array.of(0xff)),
    ]),
    {
      chain: POSTROUTING,
      rules: [entryRule(CHAIN_V4, NFPROTO_IPV4, MASQUERADE_V4), entryRule(CHAIN_V6, NFPROTO_IPV6, MASQUERADE_V6)],
    },
  ],
};

function masqueradeSets(suffix: string, address: DataType): MasqueradeSets {
  const table = PODLINK_TABLE;
  return {
    sources: {
      table,
      name: `masquerade_${suffix}`,
      key: [address],
      interval: false,
      comment: 'containers that reach other networks by an address of the host',
    },
    exceptions: {
      table,
      name: `masquerade_except_${suffix}`,
      key: [address, address],
      interval: true,
      comment: 'container and networks that it reaches by its own address',
    },
  };
}

function entryRule(chain: Chain, family: PacketFamily, { sources }: MasqueradeSets): Rule {
  return {
    expressions: [...matchFamily(family), loadSource(family), lookUp(sources), goTo(chain)],
    comment: 'from a container that is masqueraded',
  };
}

function familyChain(
  chain: Chain,
  family: PacketFamily,
  { exceptions }: MasqueradeSets,
  isMulticast: readonly Expression[],
): ChainWithRules {
  const afterSource = registerAt(exceptions.key[0]?.bytes ?? 0);
  const leaveAlone = giveVerdict(NFT_RETURN);
  return {
    chain,
    rules: [
      { expressions: [...matchFamily(family), ...isMulticast, leaveAlone], comment: 'multicast keeps its source' },
      {
        expressions: [
          ...matchFamily(family),
          loadSource(family),
          loadDestination(family, afterSource),
          lookUp(exceptions),
          leaveAlone,
        ],
        comment: 'so does what stays in the own network',
      },
      { expressions: [...matchFamily(family), masquerade(MASQUERADE_FLAGS)], comment: 'all else leaves as the host' },
    ],
  };
}
