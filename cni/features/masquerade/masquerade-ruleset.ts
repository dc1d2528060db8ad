// The rules of masquerading, as `nft list table inet podlink` shows them:
//
//   chain postrouting_masquerade { type nat hook postrouting priority srcnat; policy accept;
//     ip saddr @masquerade_v4 goto masquerade_v4
//     ip6 saddr @masquerade_v6 goto masquerade_v6
//   }
//   chain masquerade_v4 {
//     ip daddr 224.0.0.0/4 return
//     ip saddr . ip daddr @masquerade_except_v4 return
//     ip saddr @masquerade_random_v4 masquerade fully-random
//     meta nfproto ipv4 masquerade
//   }
//   chain forward_masquerade { type filter hook forward priority filter; policy accept;
//     ct state invalid goto masquerade_invalid
//   }
//   chain masquerade_invalid {
//     ip saddr @masquerade_v4 goto masquerade_invalid_v4
//     ip6 saddr @masquerade_v6 goto masquerade_invalid_v6
//   }
//   chain masquerade_invalid_v4 {
//     ip daddr 224.0.0.0/4 return
//     ip saddr . ip daddr @masquerade_except_v4 return
//     meta nfproto ipv4 drop
//   }
//
// and the like for IPv6 with ff00::/8. All traffic of the node that is not a container's is through with two look-ups
// in hash sets; only a container's packets meet the set with ranges, and of these only the first of a connection.
//
// A packet that belongs to no connection (late, out of the window, after a restart of the host's connection tracking)
// never comes to a nat chain: it would leave with the container's address, which nobody out there can answer and some
// networks take for an attack (https://github.com/containernetworking/plugins/pull/817). So it does not leave.
//
// Needs Linux 5.6: nat chains in inet tables (5.2), sets of a field and a range (5.6).

import type { IpFamily } from '../../address/ip.ts';
import type { Chain } from '../../kernel/nftables/chain.ts';
import {
  NF_ACCEPT,
  NF_DROP,
  NF_INET_FORWARD,
  NF_INET_POST_ROUTING,
  NF_IP_PRI_FILTER,
  NF_IP_PRI_NAT_SRC,
  NFT_RETURN,
} from '../../kernel/nftables/constants.ts';
import { maskBits } from '../../kernel/nftables/expressions/bitwise.ts';
import { compare, NFT_CMP_EQ, NFT_CMP_NEQ } from '../../kernel/nftables/expressions/cmp.ts';
import { loadConntrack, NF_CT_STATE_INVALID_BIT, NFT_CT_STATE } from '../../kernel/nftables/expressions/ct.ts';
import { type Expression, registerAt } from '../../kernel/nftables/expressions/expression.ts';
import { giveVerdict, goTo } from '../../kernel/nftables/expressions/immediate.ts';
import { loadDestination, loadSource, matchFamily } from '../../kernel/nftables/expressions/ip-header.ts';
import { lookUp } from '../../kernel/nftables/expressions/lookup.ts';
import { masquerade, NF_NAT_RANGE_PROTO_RANDOM_FULLY } from '../../kernel/nftables/expressions/masq.ts';
import { type DataType, IPV4_ADDR, IPV6_ADDR } from '../../kernel/nftables/key.ts';
import type { Rule } from '../../kernel/nftables/rule.ts';
import type { Ruleset } from '../../kernel/nftables/ruleset.ts';
import type { NamedSet } from '../../kernel/nftables/set.ts';
import { PODLINK_TABLE } from '../elements/podlink-table.ts';

/** The sets of one family. */
export interface MasqueradeSets {
  /** Addresses whose packets are masqueraded. */
  readonly sources: NamedSet;
  /** Address and destinations to which its packets go as they are. */
  readonly exceptions: NamedSet;
  /** Of the sources, those whose connections leave from a port chosen at random. */
  readonly random: NamedSet;
}

/** Keep the container's source port if it is free: SIP, WireGuard and other peers answer only where they expect it. */
const KEEP_PORT = 0;

/**
 * Choose the source port at random, as kube-proxy does: when two connections to one destination ask for the same port
 * at the same time, the kernel gives it to both and drops the later one's first packet, which shows as DNS queries that
 * take five seconds (https://github.com/kubernetes/kubernetes/pull/78547). The price is that a container's port is not
 * kept even if it is free.
 */
const RANDOM_PORT = NF_NAT_RANGE_PROTO_RANDOM_FULLY;

const POSTROUTING: Chain = {
  table: PODLINK_TABLE,
  name: 'postrouting_masquerade',
  hook: { type: 'nat', number: NF_INET_POST_ROUTING, priority: NF_IP_PRI_NAT_SRC, policy: NF_ACCEPT },
};

const FORWARD: Chain = {
  table: PODLINK_TABLE,
  name: 'forward_masquerade',
  hook: { type: 'filter', number: NF_INET_FORWARD, priority: NF_IP_PRI_FILTER, policy: NF_ACCEPT },
};

const CHAIN_V4: Chain = { table: PODLINK_TABLE, name: 'masquerade_v4' };
const CHAIN_V6: Chain = { table: PODLINK_TABLE, name: 'masquerade_v6' };
const INVALID: Chain = { table: PODLINK_TABLE, name: 'masquerade_invalid' };
const INVALID_V4: Chain = { table: PODLINK_TABLE, name: 'masquerade_invalid_v4' };
const INVALID_V6: Chain = { table: PODLINK_TABLE, name: 'masquerade_invalid_v6' };

// 224.0.0.0/4 (RFC 5771) is not a whole number of bytes, ff00::/8 (RFC 4291) is.
const MULTICAST_V4: readonly Expression[] = [
  loadDestination(4),
  maskBits(Uint8Array.of(0xf0, 0, 0, 0)),
  compare(NFT_CMP_EQ, Uint8Array.of(224, 0, 0, 0)),
];
const MULTICAST_V6: readonly Expression[] = [
  loadDestination(6, undefined, 1),
  compare(NFT_CMP_EQ, Uint8Array.of(0xff)),
];
export const MASQUERADE_V4 = masqueradeSets('v4', IPV4_ADDR);
export const MASQUERADE_V6 = masqueradeSets('v6', IPV6_ADDR);

export const MASQUERADE_RULESET: Ruleset = {
  table: PODLINK_TABLE,
  name: 'masquerade',
  version: 3,
  sets: [MASQUERADE_V4, MASQUERADE_V6].flatMap(({ sources, exceptions, random }) => [sources, exceptions, random]),
  chains: [
    { chain: CHAIN_V4, rules: [...exemptions(4), ...leaveAsHost(4)] },
    { chain: CHAIN_V6, rules: [...exemptions(6), ...leaveAsHost(6)] },
    {
      chain: POSTROUTING,
      rules: [entryRule(CHAIN_V4, 4), entryRule(CHAIN_V6, 6)],
    },
    { chain: INVALID_V4, rules: [...exemptions(4), stayInside(4)] },
    { chain: INVALID_V6, rules: [...exemptions(6), stayInside(6)] },
    {
      chain: INVALID,
      rules: [entryRule(INVALID_V4, 4), entryRule(INVALID_V6, 6)],
    },
    {
      chain: FORWARD,
      rules: [
        {
          expressions: [
            loadConntrack(NFT_CT_STATE),
            maskBits(Uint8Array.of(NF_CT_STATE_INVALID_BIT, 0, 0, 0)),
            compare(NFT_CMP_NEQ, new Uint8Array(4)),
            goTo(INVALID),
          ],
          comment: 'of no connection',
        },
      ],
    },
  ],
};

/** Find the sets of a family. */
export function masqueradeSetsOf(family: IpFamily): MasqueradeSets {
  return family === 4 ? MASQUERADE_V4 : MASQUERADE_V6;
}

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
    random: {
      table,
      name: `masquerade_random_${suffix}`,
      key: [address],
      interval: false,
      comment: 'of these containers, those that leave from a port chosen at random',
    },
  };
}

function entryRule(chain: Chain, family: IpFamily): Rule {
  const { sources } = masqueradeSetsOf(family);
  return {
    expressions: [...matchFamily(family), loadSource(family), lookUp(sources), goTo(chain)],
    comment: 'from a container that is masqueraded',
  };
}

/** The rules by which a container's packets stay as they are. */
function exemptions(family: IpFamily): Rule[] {
  const { exceptions } = masqueradeSetsOf(family);
  const isMulticast = family === 4 ? MULTICAST_V4 : MULTICAST_V6;
  const afterSource = registerAt(exceptions.key[0]?.bytes ?? 0);
  const leaveAlone = giveVerdict(NFT_RETURN);
  return [
    { expressions: [...matchFamily(family), ...isMulticast, leaveAlone], comment: 'multicast keeps its source' },
    {
      expressions: [
        ...matchFamily(family),
        loadSource(family),
        loadDestination(family, afterSource),
        lookUp(exceptions),
        leaveAlone,
      ],
      comment: 'so does what goes to the own or an excepted network',
    },
  ];
}

function leaveAsHost(family: IpFamily): Rule[] {
  const { random } = masqueradeSetsOf(family);
  return [
    {
      expressions: [...matchFamily(family), loadSource(family), lookUp(random), masquerade(RANDOM_PORT)],
      comment: 'all else leaves as the host, of some containers from any port',
    },
    {
      expressions: [...matchFamily(family), masquerade(KEEP_PORT)],
      comment: 'of all others from their own port if it is free',
    },
  ];
}

function stayInside(family: IpFamily): Rule {
  return {
    expressions: [...matchFamily(family), giveVerdict(NF_DROP)],
    comment: 'all else could only leave as the container',
  };
}
