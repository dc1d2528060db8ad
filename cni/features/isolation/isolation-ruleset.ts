// The rules of `icc` and `internal`, as `nft list table inet podlink` shows them:
//
//   chain forward_isolation { type filter hook forward priority filter; policy accept;
//     iifname . ip daddr @isolation_icc_v4 jump isolation_icc_v4
//     iifname . ether saddr @isolation_internal_macs jump isolation_out
//     oifname . ip daddr @isolation_internal_v4 jump isolation_into_v4
//   }
//   chain isolation_icc_v4 {
//     ip saddr . ether saddr . ip daddr @isolation_self_v4 ct status dnat return
//     ip daddr . ether daddr @isolation_direct_v4 return
//     drop
//   }
//   chain isolation_out {
//     oifname . ether saddr @isolation_internal_macs return
//     drop
//   }
//   chain isolation_into_v4 {
//     iifname . ip daddr @isolation_internal_v4 return
//     drop
//   }
//
// and the like for IPv6. These see what is routed; between two ports of a bridge it is the ports' isolated flag.
//
// `icc` asks for the destination alone, so it does not matter what source a sender writes: whoever is on the bridge and
// has the host route his packet back onto it, with the destination's own address or through a port that it publishes,
// is stopped. Two things pass. One is a container that reaches itself through its published port: the source must be
// the container's in IP and in Ethernet. The other is a frame that is addressed to the container itself; it was not
// routed, but the host passes bridged packets through these chains, too (net.bridge.bridge-nf-call-iptables).
//
// `internal` on the way out asks for the MAC address, since a container may write any IP source; that it writes no other
// MAC is seen to by macspoof-ruleset.ts. One set does for both questions of a way: is it an internal container's, and
// does it stay on the bridge, which is the case if the same element is found with the interface of the other side.
//
// Needs Linux 5.6, like masquerading.

import type { IpFamily } from '../../address/ip.ts';
import type { Chain } from '../../kernel/nftables/chain.ts';
import {
  NF_ACCEPT,
  NF_DROP,
  NF_INET_FORWARD,
  NF_IP_PRI_FILTER,
  NFT_JUMP,
  NFT_RETURN,
} from '../../kernel/nftables/constants.ts';
import { maskBits } from '../../kernel/nftables/expressions/bitwise.ts';
import { compare, NFT_CMP_NEQ } from '../../kernel/nftables/expressions/cmp.ts';
import { IPS_DST_NAT, loadConntrack, NFT_CT_STATUS } from '../../kernel/nftables/expressions/ct.ts';
import { type Expression, registerAt } from '../../kernel/nftables/expressions/expression.ts';
import { giveVerdict } from '../../kernel/nftables/expressions/immediate.ts';
import { loadDestination, loadSource, matchFamily } from '../../kernel/nftables/expressions/ip-header.ts';
import { loadEtherDestination, loadEtherSource, matchEthernet } from '../../kernel/nftables/expressions/link-layer.ts';
import { lookUp } from '../../kernel/nftables/expressions/lookup.ts';
import { loadMeta, NFT_META_IIFNAME, NFT_META_OIFNAME } from '../../kernel/nftables/expressions/meta.ts';
import { type DataType, ETHER_ADDR, IFNAME, IPV4_ADDR, IPV6_ADDR } from '../../kernel/nftables/key.ts';
import type { Rule } from '../../kernel/nftables/rule.ts';
import type { ChainWithRules, Ruleset } from '../../kernel/nftables/ruleset.ts';
import type { NamedSet } from '../../kernel/nftables/set.ts';
import { PODLINK_TABLE } from '../elements/podlink-table.ts';

/** The sets of one family. */
export interface IsolationSets {
  /** Interface of the bridge and container's address. */
  readonly icc: NamedSet;
  /** The container's address, its MAC and its address again. */
  readonly self: NamedSet;
  /** The container's address and its MAC. */
  readonly direct: NamedSet;
  /** Interface of the bridge and container's address. */
  readonly internal: NamedSet;
}

interface FamilyRules extends IsolationSets {
  readonly family: IpFamily;
  readonly iccChain: Chain;
  readonly intoChain: Chain;
  /** Where the second of two addresses goes. */
  readonly afterAddress: number;
}

const table = PODLINK_TABLE;
const AFTER_IFNAME = registerAt(IFNAME.bytes);

const FORWARD: Chain = {
  table,
  name: 'forward_isolation',
  hook: { type: 'filter', number: NF_INET_FORWARD, priority: NF_IP_PRI_FILTER, policy: NF_ACCEPT },
};
const OUT: Chain = { table, name: 'isolation_out' };

/** Interface of the bridge and MAC of an internal container. */
export const INTERNAL_MACS: NamedSet = namedSet('isolation_internal_macs', [IFNAME, ETHER_ADDR], 'internal containers');
export const ISOLATION_V4: IsolationSets = isolationSets('v4', IPV4_ADDR);
export const ISOLATION_V6: IsolationSets = isolationSets('v6', IPV6_ADDR);

const FAMILIES: readonly FamilyRules[] = [familyRules(4, 'v4', ISOLATION_V4), familyRules(6, 'v6', ISOLATION_V6)];

export const ISOLATION_RULESET: Ruleset = {
  table,
  name: 'isolation',
  version: 1,
  sets: [
    ...[ISOLATION_V4, ISOLATION_V6].flatMap(({ icc, self, direct, internal }) => [icc, self, direct, internal]),
    INTERNAL_MACS,
  ],
  chains: [
    ...FAMILIES.flatMap((rules) => [iccChain(rules), intoChain(rules)]),
    {
      chain: OUT,
      rules: [
        rule('it stays on the bridge', [...macOn(NFT_META_OIFNAME), giveVerdict(NFT_RETURN)]),
        rule('no way out', [giveVerdict(NF_DROP)]),
      ],
    },
    {
      chain: FORWARD,
      rules: [
        ...FAMILIES.map((rules) =>
          rule('to a container that no other may reach', [
            ...matchFamily(rules.family),
            ...addressOn(NFT_META_IIFNAME, rules, rules.icc),
            giveVerdict(NFT_JUMP, rules.iccChain),
          ]),
        ),
        rule('from an internal container', [...macOn(NFT_META_IIFNAME), giveVerdict(NFT_JUMP, OUT)]),
        ...FAMILIES.map((rules) =>
          rule('to an internal container', [
            ...matchFamily(rules.family),
            ...addressOn(NFT_META_OIFNAME, rules, rules.internal),
            giveVerdict(NFT_JUMP, rules.intoChain),
          ]),
        ),
      ],
    },
  ],
};

function isolationSets(suffix: string, address: DataType): IsolationSets {
  return {
    icc: namedSet(`isolation_icc_${suffix}`, [IFNAME, address], 'containers that others on the bridge must not reach'),
    self: namedSet(`isolation_self_${suffix}`, [address, ETHER_ADDR, address], 'of these, how each reaches itself'),
    direct: namedSet(`isolation_direct_${suffix}`, [address, ETHER_ADDR], 'of these, what is bridged and not routed'),
    internal: namedSet(`isolation_internal_${suffix}`, [IFNAME, address], 'internal containers'),
  };
}

function namedSet(name: string, key: readonly DataType[], comment: string): NamedSet {
  return { table, name, key, interval: false, comment };
}

function familyRules(family: IpFamily, suffix: string, sets: IsolationSets): FamilyRules {
  return {
    ...sets,
    family,
    iccChain: { table, name: `isolation_icc_${suffix}` },
    intoChain: { table, name: `isolation_into_${suffix}` },
    afterAddress: sets.self.key[0]?.bytes ?? 0,
  };
}

function iccChain({ family, self, direct, iccChain: chain, afterAddress }: FamilyRules): ChainWithRules {
  const isEthernet = [...matchFamily(family), ...matchEthernet()];
  const leaveAlone = giveVerdict(NFT_RETURN);
  return {
    chain,
    rules: [
      rule('a container reaches itself through its published port', [
        ...isEthernet,
        loadSource(family),
        loadEtherSource(registerAt(afterAddress)),
        loadDestination(family, registerAt(afterAddress + 8)),
        lookUp(self),
        loadConntrack(NFT_CT_STATUS),
        maskBits(Uint8Array.of(IPS_DST_NAT, 0, 0, 0)),
        compare(NFT_CMP_NEQ, new Uint8Array(4)),
        leaveAlone,
      ]),
      rule('bridged: the isolation of the ports decides', [
        ...isEthernet,
        loadDestination(family),
        loadEtherDestination(registerAt(afterAddress)),
        lookUp(direct),
        leaveAlone,
      ]),
      rule('from its own bridge', [giveVerdict(NF_DROP)]),
    ],
  };
}

function intoChain(rules: FamilyRules): ChainWithRules {
  return {
    chain: rules.intoChain,
    rules: [
      rule('it comes from the same bridge', [
        ...matchFamily(rules.family),
        ...addressOn(NFT_META_IIFNAME, rules, rules.internal),
        giveVerdict(NFT_RETURN),
      ]),
      rule('no way in', [giveVerdict(NF_DROP)]),
    ],
  };
}

/** The destination is an element's, on the interface that the meta key names. */
function addressOn(interfaceKey: number, { family }: FamilyRules, set: NamedSet): Expression[] {
  return [loadMeta(interfaceKey), loadDestination(family, AFTER_IFNAME), lookUp(set)];
}

/** The source is an internal container's, on the interface that the meta key names. */
function macOn(interfaceKey: number): Expression[] {
  return [...matchEthernet(), loadMeta(interfaceKey), loadEtherSource(AFTER_IFNAME), lookUp(INTERNAL_MACS)];
}

function rule(comment: string, expressions: readonly Expression[]): Rule {
  return { expressions, comment };
}
