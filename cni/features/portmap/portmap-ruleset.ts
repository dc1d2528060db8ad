// The rules of port mappings, as `nft list table inet podlink` shows them, for IPv4:
//
//   chain portmap_prerouting { type nat hook prerouting priority dstnat; policy accept;
//     meta nfproto ipv4 fib daddr type local goto portmap_dnat_v4
//   }
//   chain portmap_output { type nat hook output priority dstnat; policy accept;   (the same)
//   chain portmap_dnat_v4 {
//     dnat ip to meta l4proto . th dport map @portmap_any_v4
//     dnat ip to ip daddr . meta l4proto . th dport map @portmap_address_v4
//     dnat ip to meta l4proto . th dport map @portmap_any_range_v4
//     dnat ip to ip daddr . meta l4proto . th dport map @portmap_address_range_v4
//   }
//   (chain portmap_dnat_v6 has, before its maps: ip6 daddr fe80::/10 return, ip6 saddr fe80::/10 return)
//   chain portmap_postrouting { type nat hook postrouting priority srcnat; policy accept;
//     meta nfproto ipv4 ct status dnat goto portmap_snat_v4
//   }
//   chain portmap_snat_v4 {
//     ip saddr 127.0.0.0/8 ip daddr @portmap_localhost masquerade
//     ip saddr . ip daddr @portmap_own_v4 masquerade
//     iifname . ip daddr @portmap_neighbours_v4 masquerade
//     ip daddr @portmap_masq_all_v4 masquerade
//   }
//   chain portmap_raw { type filter hook prerouting priority raw; policy accept;
//     ip daddr 127.0.0.0/8 iif != "lo" drop
//     ip saddr 127.0.0.0/8 iif != "lo" drop
//   }
//
// Only the first packet of a connection meets the nat chains, and only one to an address of the host more than their
// first rule. The chain portmap_raw is there because connections from 127.0.0.1 into a bridge need route_localnet on
// it, with which the kernel would also take in what comes from there, or is on its way, for 127.0.0.0/8
// (CVE-2020-8558).
//
// Connections to ::1 are left alone: their packets would have to come back to ::1 by the bridge, but the kernel looks
// for a way to ::1 only on the interface that a packet came in by (rt6_need_strict(), net/ipv6/route.c), and there is
// no route_localnet for IPv6. So a client that tries ::1 and then 127.0.0.1, as most do for "localhost", is refused by
// the first at once.
//
// Traffic from or to a link-local address of IPv6 is left alone too: it must not leave its link, and the
// kernel forwards none of it (ip6_forward(), net/ipv6/ip6_output.c). So it reaches what listens on the host, or is refused
// at once.
//
// Needs Linux 5.7: nat chains in inet tables (5.2), maps with ranges (5.6), iifname in postrouting (5.7).

import type { IpFamily } from '../../address/ip.ts';
import type { Chain } from '../../kernel/nftables/chain.ts';
import {
  NF_ACCEPT,
  NF_DROP,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_IP_PRI_NAT_DST,
  NF_IP_PRI_NAT_SRC,
  NF_IP_PRI_RAW,
  NFT_RETURN,
} from '../../kernel/nftables/constants.ts';
import { maskBits } from '../../kernel/nftables/expressions/bitwise.ts';
import { compare, NFT_CMP_EQ, NFT_CMP_NEQ } from '../../kernel/nftables/expressions/cmp.ts';
import { IPS_DST_NAT, loadConntrack, NFT_CT_STATUS } from '../../kernel/nftables/expressions/ct.ts';
import { type Expression, registerAt } from '../../kernel/nftables/expressions/expression.ts';
import { loadDestinationType, RTN_LOCAL } from '../../kernel/nftables/expressions/fib.ts';
import { giveVerdict, goTo } from '../../kernel/nftables/expressions/immediate.ts';
import { loadDestination, loadSource, matchFamily } from '../../kernel/nftables/expressions/ip-header.ts';
import { lookUp, mapTo } from '../../kernel/nftables/expressions/lookup.ts';
import { masquerade } from '../../kernel/nftables/expressions/masq.ts';
import { loadMeta, NFT_META_IIF, NFT_META_IIFNAME, NFT_META_L4PROTO } from '../../kernel/nftables/expressions/meta.ts';
import { sendTo } from '../../kernel/nftables/expressions/nat.ts';
import { loadPayload, NFT_PAYLOAD_TRANSPORT_HEADER } from '../../kernel/nftables/expressions/payload.ts';
import {
  type DataType,
  IFNAME,
  INET_PROTOCOL,
  INET_SERVICE,
  IPV4_ADDR,
  IPV6_ADDR,
  keyLength,
} from '../../kernel/nftables/key.ts';
import type { Rule } from '../../kernel/nftables/rule.ts';
import type { ChainWithRules, Ruleset } from '../../kernel/nftables/ruleset.ts';
import type { NamedSet } from '../../kernel/nftables/set.ts';
import { PODLINK_TABLE } from '../elements/podlink-table.ts';

/** The maps and sets of one family. */
export interface PortmapSets {
  /** Ports of all addresses of the host. */
  readonly any: NamedSet;
  /** Ports of single addresses of the host. */
  readonly address: NamedSet;
  /** The same for several ports that keep their number: apart from the others, so that those are found by a hash. */
  readonly anyRange: NamedSet;
  readonly addressRange: NamedSet;
  /** A container's addresses, and its address with mapped ports. */
  readonly own: NamedSet;
  /** The bridge by which neighbours send, and the container to which they may not seem to be neighbours. */
  readonly neighbours: NamedSet;
  /** Containers that know nobody but the host. */
  readonly masqAll: NamedSet;
}

const table = PODLINK_TABLE;
/** include/net/flow.h: the index that lo has in every namespace; four bytes in host order. */
const LOOPBACK_IFINDEX = Uint8Array.of(1, 0, 0, 0);
/** The first byte of 127.0.0.0/8. */
const LOOPBACK_NET = Uint8Array.of(127);
/** fe80::/10, in the first two bytes. */
const LINK_LOCAL = { mask: Uint8Array.of(0xff, 0xc0), prefix: Uint8Array.of(0xfe, 0x80) };
const LOOPBACK_V6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

/** Containers that are reached from 127.0.0.0/8. */
export const PORTMAP_LOCALHOST: NamedSet = {
  table,
  name: 'portmap_localhost',
  key: [IPV4_ADDR],
  interval: false,
  comment: 'containers whose ports are mapped on localhost',
};
export const PORTMAP_V4 = portmapSets('v4', IPV4_ADDR);
export const PORTMAP_V6 = portmapSets('v6', IPV6_ADDR);

/** The packets of IPv6 that no router forwards. */
const LEFT_TO_LINK = [
  leaveToLink(loadDestination(6, undefined, 2), 'nothing that is sent to a link-local address leaves the link'),
  leaveToLink(loadSource(6, undefined, 2), 'nor does what comes from one'),
];

const DNAT_V4: Chain = { table, name: 'portmap_dnat_v4' };
const DNAT_V6: Chain = { table, name: 'portmap_dnat_v6' };
const SNAT_V4: Chain = { table, name: 'portmap_snat_v4' };
const SNAT_V6: Chain = { table, name: 'portmap_snat_v6' };

/** Drops what route_localnet would let in. */
export const PORTMAP_GUARD: ChainWithRules = {
  chain: {
    table,
    name: 'portmap_raw',
    hook: { type: 'filter', number: NF_INET_PRE_ROUTING, priority: NF_IP_PRI_RAW, policy: NF_ACCEPT },
  },
  rules: [
    dropLoopback(loadDestination(4, undefined, 1), 'nobody else reaches what listens on 127.0.0.1'),
    dropLoopback(loadSource(4, undefined, 1), 'nobody else seems to be 127.0.0.1'),
  ],
};

export const PORTMAP_RULESET: Ruleset = {
  table,
  name: 'portmap',
  version: 2,
  sets: [PORTMAP_LOCALHOST, ...[PORTMAP_V4, PORTMAP_V6].flatMap((sets) => Object.values(sets))],
  chains: [
    destinationChain(DNAT_V4, 4, PORTMAP_V4),
    destinationChain(DNAT_V6, 6, PORTMAP_V6),
    sourceChain(SNAT_V4, 4, PORTMAP_V4),
    sourceChain(SNAT_V6, 6, PORTMAP_V6),
    {
      chain: natChain('portmap_prerouting', NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST),
      rules: [toHost(4, DNAT_V4), toHost(6, DNAT_V6)],
    },
    {
      chain: natChain('portmap_output', NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST),
      rules: [
        {
          expressions: [
            ...matchFamily(6),
            loadDestination(6),
            compare(NFT_CMP_EQ, LOOPBACK_V6),
            giveVerdict(NFT_RETURN),
          ],
          comment: 'nothing can come back to ::1 from another interface',
        },
        toHost(4, DNAT_V4),
        toHost(6, DNAT_V6),
      ],
    },
    {
      chain: natChain('portmap_postrouting', NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC),
      rules: [redirected(4, SNAT_V4), redirected(6, SNAT_V6)],
    },
    PORTMAP_GUARD,
  ],
};

/** Find the sets of a family. */
export function portmapSetsOf(family: IpFamily): PortmapSets {
  return family === 4 ? PORTMAP_V4 : PORTMAP_V6;
}

function portmapSets(suffix: string, address: DataType): PortmapSets {
  const port = [INET_PROTOCOL, INET_SERVICE];
  const portAt = [address, ...port];
  const map = (name: string, key: readonly DataType[], interval: boolean, comment: string): NamedSet => ({
    table,
    name: `portmap_${name}_${suffix}`,
    key,
    interval,
    data: interval ? [address] : [address, INET_SERVICE],
    comment,
  });
  const set = (name: string, key: readonly DataType[], comment: string): NamedSet => ({
    table,
    name: `portmap_${name}_${suffix}`,
    key,
    interval: false,
    comment,
  });
  return {
    any: map('any', port, false, 'ports of all addresses of the host, and where they lead'),
    address: map('address', portAt, false, 'ports of one address of the host, and where they lead'),
    anyRange: map('any_range', port, true, 'ports of all addresses that keep their number, and where they lead'),
    addressRange: map('address_range', portAt, true, 'ports of one address that keep their number'),
    own: set('own', [address, address], 'container that reaches itself by a port of the host'),
    neighbours: set('neighbours', [IFNAME, address], 'bridge, and container on it that answers by the host'),
    masqAll: set('masq_all', [address], 'containers that see the host as every client'),
  };
}

function natChain(name: string, number: number, priority: number): Chain {
  return { table, name, hook: { type: 'nat', number, priority, policy: NF_ACCEPT } };
}

function toHost(family: IpFamily, chain: Chain): Rule {
  return {
    expressions: [
      ...matchFamily(family),
      loadDestinationType(),
      compare(NFT_CMP_EQ, Uint8Array.of(RTN_LOCAL, 0, 0, 0)),
      goTo(chain),
    ],
    comment: 'to an address of the host',
  };
}

function redirected(family: IpFamily, chain: Chain): Rule {
  return {
    expressions: [
      ...matchFamily(family),
      loadConntrack(NFT_CT_STATUS),
      maskBits(Uint8Array.of(IPS_DST_NAT, 0, 0, 0)),
      compare(NFT_CMP_NEQ, new Uint8Array(4)),
      goTo(chain),
    ],
    comment: 'sent elsewhere than it asked for',
  };
}

function destinationChain(chain: Chain, family: IpFamily, sets: PortmapSets): ChainWithRules {
  const rules = ([sets.any, sets.address, sets.anyRange, sets.addressRange] as const).map((map) => ({
    expressions: [...matchFamily(family), ...loadPortKey(family, map), mapTo(map), sendToValue(family, map)],
    comment: map.comment,
  }));
  return { chain, rules: family === 6 ? [...LEFT_TO_LINK, ...rules] : rules };
}

function leaveToLink(loadAddress: Expression, comment: string): Rule {
  const { mask, prefix } = LINK_LOCAL;
  return {
    expressions: [...matchFamily(6), loadAddress, maskBits(mask), compare(NFT_CMP_EQ, prefix), giveVerdict(NFT_RETURN)],
    comment,
  };
}

/** Load the key of a map of ports: the address if it has one, the protocol, the port. */
function loadPortKey(family: IpFamily, { key }: NamedSet): Expression[] {
  const hasAddress = key.length === 3;
  const afterAddress = hasAddress ? keyLength(key.slice(0, 1)) : 0;
  return [
    ...(hasAddress ? [loadDestination(family)] : []),
    loadMeta(NFT_META_L4PROTO, registerAt(afterAddress)),
    // TCP, UDP and SCTP all have the destination port there; of other protocols there is no element.
    loadPayload(
      { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, bytes: INET_SERVICE.bytes },
      registerAt(afterAddress + keyLength([INET_PROTOCOL])),
    ),
  ];
}

function sendToValue(family: IpFamily, { data = [] }: NamedSet): Expression {
  const address = registerAt(0);
  return sendTo(family, data.length === 1 ? { address } : { address, port: registerAt(keyLength(data.slice(0, 1))) });
}

function sourceChain(chain: Chain, family: IpFamily, sets: PortmapSets): ChainWithRules {
  const afterAddress = registerAt(keyLength(sets.masqAll.key));
  const afterInterface = registerAt(keyLength([IFNAME]));
  const masqueraded = (comment: string, ...match: Expression[]): Rule => ({
    // From the client's own port if it is free, as it is with `ipMasq`.
    expressions: [...matchFamily(family), ...match, masquerade(0)],
    comment,
  });
  const fromLocalhost = masqueraded(
    'from localhost, to which nothing can be answered from another interface',
    loadSource(family, undefined, 1),
    compare(NFT_CMP_EQ, LOOPBACK_NET),
    loadDestination(family),
    lookUp(PORTMAP_LOCALHOST),
  );
  return {
    chain,
    rules: [
      ...(family === 4 ? [fromLocalhost] : []),
      masqueraded(
        'from the container itself, which would not answer by the host',
        loadSource(family),
        loadDestination(family, afterAddress),
        lookUp(sets.own),
      ),
      masqueraded(
        'from a neighbour, to whom it would not answer by the host either',
        loadMeta(NFT_META_IIFNAME),
        loadDestination(family, afterInterface),
        lookUp(sets.neighbours),
      ),
      masqueraded('from anywhere, if the network has it so', loadDestination(family), lookUp(sets.masqAll)),
    ],
  };
}

function dropLoopback(loadAddress: Expression, comment: string): Rule {
  return {
    expressions: [
      ...matchFamily(4),
      loadAddress,
      compare(NFT_CMP_EQ, LOOPBACK_NET),
      loadMeta(NFT_META_IIF),
      compare(NFT_CMP_NEQ, LOOPBACK_IFINDEX),
      giveVerdict(NF_DROP),
    ],
    comment,
  };
}
