// Each kind of expression, as nft sends it. Captured: strace -e trace=sendmsg -e write=all nft -f, with (nftables 1.0.6)
//   ip daddr 224.0.0.0/4 return
//   ip saddr . ip daddr @masquerade_except_v4 return
//   ip6 daddr ff00::/8 return
//   meta nfproto ipv4 masquerade fully-random
//   ip6 saddr . ip6 daddr @masquerade_except_v6 return
//   fib daddr type local jump portmap_v4
//   dnat ip to meta l4proto . th dport map @portmap_any_v4
//   dnat ip to ip daddr . meta l4proto . th dport map @portmap_range_v4
//   ct status dnat accept
//   oifname . ether saddr @isolation_internal drop
//   meta protocol != arp return; iifname . arp saddr ether @macspoof_macs drop (in a bridge table)

import { readdirSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MessageWriter } from '../../netlink/writer.ts';
import { assertBytes, bytes } from '../../testing/bytes.ts';
import { NFPROTO_INET, NFT_RETURN } from '../constants.ts';
import { INET_PROTOCOL, INET_SERVICE, IPV4_ADDR } from '../key.ts';
import { maskBits } from './bitwise.ts';
import { compare, NFT_CMP_EQ, NFT_CMP_NEQ } from './cmp.ts';
import { loadConntrack, NFT_CT_STATUS } from './ct.ts';
import { type Expression, registerAt, writeExpression } from './expression.ts';
import { loadDestinationType } from './fib.ts';
import { giveVerdict, goTo } from './immediate.ts';
import { loadDestination, loadSource } from './ip-header.ts';
import { loadArpSender, loadEtherDestination, loadEtherSource, matchArp, matchEthernet } from './link-layer.ts';
import { lookUp, mapTo } from './lookup.ts';
import { masquerade, NF_NAT_RANGE_PROTO_RANDOM_FULLY } from './masq.ts';
import { doNotTrack } from './notrack.ts';
import { loadMeta, NFT_META_IIFNAME, NFT_META_L4PROTO, NFT_META_NFPROTO, NFT_META_OIFNAME } from './meta.ts';
import { sendTo } from './nat.ts';
import { loadPayload, NFT_PAYLOAD_TRANSPORT_HEADER } from './payload.ts';

const test = suite('nftables expressions');
const table = { family: NFPROTO_INET, name: 'podlink' };

interface Case {
  /** File of the kind. */
  readonly file: string;
  readonly title: string;
  readonly expression: Expression | readonly Expression[];
  readonly bytes: string;
}

const CASES: readonly Case[] = [
  {
    file: 'meta.ts',
    title: 'meta load nfproto => reg 1',
    expression: loadMeta(NFT_META_NFPROTO),
    bytes: `
      24 00 01 80  ; NFTA_LIST_ELEM nested
      09 00 01 00 6d 65 74 61 00 00 00 00  ; NFTA_EXPR_NAME "meta"
      14 00 02 80  ; NFTA_EXPR_DATA nested
      08 00 02 00 00 00 00 0f  ; NFTA_META_KEY NFT_META_NFPROTO
      08 00 01 00 00 00 00 01  ; NFTA_META_DREG NFT_REG_1`,
  },
  {
    file: 'meta.ts',
    title: 'meta load l4proto => reg 9',
    expression: loadMeta(NFT_META_L4PROTO, registerAt(4)),
    bytes: `
      24 00 01 80 09 00 01 00 6d 65 74 61 00 00 00 00 14 00 02 80
      08 00 02 00 00 00 00 10  ; NFTA_META_KEY NFT_META_L4PROTO
      08 00 01 00 00 00 00 09  ; NFTA_META_DREG NFT_REG32_01`,
  },
  {
    file: 'payload.ts',
    title: 'payload load 2b @ transport header + 2 => reg 10',
    expression: loadPayload({ base: NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, bytes: 2 }, registerAt(8)),
    bytes: `
      34 00 01 80 0c 00 01 00 70 61 79 6c 6f 61 64 00 24 00 02 80
      08 00 01 00 00 00 00 0a  ; NFTA_PAYLOAD_DREG NFT_REG32_02
      08 00 02 00 00 00 00 02  ; NFTA_PAYLOAD_BASE NFT_PAYLOAD_TRANSPORT_HEADER
      08 00 03 00 00 00 00 02  ; NFTA_PAYLOAD_OFFSET
      08 00 04 00 00 00 00 02  ; NFTA_PAYLOAD_LEN`,
  },
  {
    file: 'ct.ts',
    title: 'ct load status => reg 1',
    expression: loadConntrack(NFT_CT_STATUS),
    bytes: `
      20 00 01 80 07 00 01 00 63 74 00 00  ; NFTA_LIST_ELEM nested, NFTA_EXPR_NAME "ct"
      14 00 02 80  ; NFTA_EXPR_DATA nested
      08 00 02 00 00 00 00 02  ; NFTA_CT_KEY NFT_CT_STATUS
      08 00 01 00 00 00 00 01  ; NFTA_CT_DREG NFT_REG_1`,
  },
  {
    file: 'fib.ts',
    title: 'fib daddr type => reg 1',
    expression: loadDestinationType(),
    bytes: `
      28 00 01 80 08 00 01 00 66 69 62 00  ; NFTA_LIST_ELEM nested, NFTA_EXPR_NAME "fib"
      1c 00 02 80  ; NFTA_EXPR_DATA nested
      08 00 03 00 00 00 00 02  ; NFTA_FIB_FLAGS NFTA_FIB_F_DADDR
      08 00 02 00 00 00 00 03  ; NFTA_FIB_RESULT NFT_FIB_RESULT_ADDRTYPE
      08 00 01 00 00 00 00 01  ; NFTA_FIB_DREG NFT_REG_1`,
  },
  {
    file: 'nat.ts',
    title: 'nat dnat ip addr_min reg 1 proto_min reg 9',
    expression: sendTo(4, { address: registerAt(0), port: registerAt(4) }),
    bytes: `
      30 00 01 80 08 00 01 00 6e 61 74 00  ; NFTA_LIST_ELEM nested, NFTA_EXPR_NAME "nat"
      24 00 02 80  ; NFTA_EXPR_DATA nested
      08 00 01 00 00 00 00 01  ; NFTA_NAT_TYPE NFT_NAT_DNAT
      08 00 02 00 00 00 00 02  ; NFTA_NAT_FAMILY NFPROTO_IPV4
      08 00 03 00 00 00 00 01  ; NFTA_NAT_REG_ADDR_MIN NFT_REG_1
      08 00 05 00 00 00 00 09  ; NFTA_NAT_REG_PROTO_MIN NFT_REG32_01`,
  },
  {
    file: 'nat.ts',
    title: 'nat dnat ip addr_min reg 1',
    expression: sendTo(4, { address: registerAt(0) }),
    bytes: `
      28 00 01 80 08 00 01 00 6e 61 74 00 1c 00 02 80
      08 00 01 00 00 00 00 01  ; NFTA_NAT_TYPE NFT_NAT_DNAT
      08 00 02 00 00 00 00 02  ; NFTA_NAT_FAMILY NFPROTO_IPV4
      08 00 03 00 00 00 00 01  ; NFTA_NAT_REG_ADDR_MIN NFT_REG_1`,
  },
  {
    // Without NFTA_LOOKUP_SET_ID, as below.
    file: 'lookup.ts',
    title: 'lookup reg 1 set portmap_any_v4 dreg 1',
    expression: mapTo({
      table,
      name: 'portmap_any_v4',
      key: [INET_PROTOCOL, INET_SERVICE],
      interval: false,
      data: [IPV4_ADDR, INET_SERVICE],
      comment: '',
    }),
    bytes: `
      38 00 01 80 0b 00 01 00 6c 6f 6f 6b 75 70 00 00  ; NFTA_LIST_ELEM nested, NFTA_EXPR_NAME "lookup"
      28 00 02 80  ; NFTA_EXPR_DATA nested
      08 00 02 00 00 00 00 01  ; NFTA_LOOKUP_SREG NFT_REG_1
      08 00 03 00 00 00 00 01  ; NFTA_LOOKUP_DREG NFT_REG_1
      13 00 01 00 70 6f 72 74 6d 61 70 5f 61 6e 79 5f 76 34 00 00  ; NFTA_LOOKUP_SET "portmap_any_v4"`,
  },
  {
    file: 'meta.ts',
    title: 'meta load iifname => reg 1',
    expression: loadMeta(NFT_META_IIFNAME),
    bytes: `
      24 00 01 80 09 00 01 00 6d 65 74 61 00 00 00 00 14 00 02 80
      08 00 02 00 00 00 00 06  ; NFTA_META_KEY NFT_META_IIFNAME
      08 00 01 00 00 00 00 01  ; NFTA_META_DREG NFT_REG_1`,
  },
  {
    file: 'meta.ts',
    title: 'meta load oifname => reg 1',
    expression: loadMeta(NFT_META_OIFNAME),
    bytes: `
      24 00 01 80 09 00 01 00 6d 65 74 61 00 00 00 00 14 00 02 80
      08 00 02 00 00 00 00 07  ; NFTA_META_KEY NFT_META_OIFNAME
      08 00 01 00 00 00 00 01  ; NFTA_META_DREG NFT_REG_1`,
  },
  {
    file: 'link-layer.ts',
    title: 'meta load iiftype => reg 1, cmp eq reg 1 0x00000001',
    expression: matchEthernet(),
    bytes: `
      24 00 01 80 09 00 01 00 6d 65 74 61 00 00 00 00 14 00 02 80
      08 00 02 00 00 00 00 08  ; NFTA_META_KEY NFT_META_IIFTYPE
      08 00 01 00 00 00 00 01  ; NFTA_META_DREG NFT_REG_1
      2c 00 01 80 08 00 01 00 63 6d 70 00 20 00 02 80
      08 00 01 00 00 00 00 01  ; NFTA_CMP_SREG NFT_REG_1
      08 00 02 00 00 00 00 00  ; NFTA_CMP_OP NFT_CMP_EQ
      0c 00 03 80 06 00 01 00 01 00 00 00  ; NFTA_CMP_DATA nested, NFTA_DATA_VALUE ARPHRD_ETHER, host order`,
  },
  {
    file: 'link-layer.ts',
    title: 'meta load protocol => reg 1, cmp neq reg 1 0x00000608',
    expression: matchArp(NFT_CMP_NEQ),
    bytes: `
      24 00 01 80 09 00 01 00 6d 65 74 61 00 00 00 00 14 00 02 80
      08 00 02 00 00 00 00 01  ; NFTA_META_KEY NFT_META_PROTOCOL
      08 00 01 00 00 00 00 01  ; NFTA_META_DREG NFT_REG_1
      2c 00 01 80 08 00 01 00 63 6d 70 00 20 00 02 80
      08 00 01 00 00 00 00 01  ; NFTA_CMP_SREG NFT_REG_1
      08 00 02 00 00 00 00 01  ; NFTA_CMP_OP NFT_CMP_NEQ
      0c 00 03 80 06 00 01 00 08 06 00 00  ; NFTA_CMP_DATA nested, NFTA_DATA_VALUE ETH_P_ARP, network order`,
  },
  {
    file: 'link-layer.ts',
    title: 'payload load 6b @ link header + 6 => reg 2',
    expression: loadEtherSource(registerAt(16)),
    bytes: `
      34 00 01 80 0c 00 01 00 70 61 79 6c 6f 61 64 00 24 00 02 80
      08 00 01 00 00 00 00 02  ; NFTA_PAYLOAD_DREG NFT_REG_2
      08 00 02 00 00 00 00 00  ; NFTA_PAYLOAD_BASE NFT_PAYLOAD_LL_HEADER
      08 00 03 00 00 00 00 06  ; NFTA_PAYLOAD_OFFSET
      08 00 04 00 00 00 00 06  ; NFTA_PAYLOAD_LEN`,
  },
  {
    file: 'link-layer.ts',
    title: 'payload load 6b @ link header + 0 => reg 9',
    expression: loadEtherDestination(registerAt(4)),
    bytes: `
      34 00 01 80 0c 00 01 00 70 61 79 6c 6f 61 64 00 24 00 02 80
      08 00 01 00 00 00 00 09  ; NFTA_PAYLOAD_DREG NFT_REG32_01
      08 00 02 00 00 00 00 00  ; NFTA_PAYLOAD_BASE NFT_PAYLOAD_LL_HEADER
      08 00 03 00 00 00 00 00  ; NFTA_PAYLOAD_OFFSET
      08 00 04 00 00 00 00 06  ; NFTA_PAYLOAD_LEN`,
  },
  {
    file: 'link-layer.ts',
    title: 'payload load 6b @ network header + 8 => reg 2',
    expression: loadArpSender(registerAt(16)),
    bytes: `
      34 00 01 80 0c 00 01 00 70 61 79 6c 6f 61 64 00 24 00 02 80
      08 00 01 00 00 00 00 02  ; NFTA_PAYLOAD_DREG NFT_REG_2
      08 00 02 00 00 00 00 01  ; NFTA_PAYLOAD_BASE NFT_PAYLOAD_NETWORK_HEADER
      08 00 03 00 00 00 00 08  ; NFTA_PAYLOAD_OFFSET
      08 00 04 00 00 00 00 06  ; NFTA_PAYLOAD_LEN`,
  },
  {
    file: 'cmp.ts',
    title: 'cmp eq reg 1 0x000000e0',
    expression: compare(NFT_CMP_EQ, Uint8Array.of(224, 0, 0, 0)),
    bytes: `
      2c 00 01 80  ; NFTA_LIST_ELEM nested
      08 00 01 00 63 6d 70 00  ; NFTA_EXPR_NAME "cmp"
      20 00 02 80  ; NFTA_EXPR_DATA nested
      08 00 01 00 00 00 00 01  ; NFTA_CMP_SREG NFT_REG_1
      08 00 02 00 00 00 00 00  ; NFTA_CMP_OP NFT_CMP_EQ
      0c 00 03 80 08 00 01 00 e0 00 00 00  ; NFTA_CMP_DATA nested, NFTA_DATA_VALUE`,
  },
  {
    file: 'bitwise.ts',
    title: 'bitwise reg 1 = ( reg 1 & 0x000000f0 ) ^ 0x00000000',
    expression: maskBits(Uint8Array.of(0xf0, 0, 0, 0)),
    bytes: `
      44 00 01 80  ; NFTA_LIST_ELEM nested
      0c 00 01 00 62 69 74 77 69 73 65 00  ; NFTA_EXPR_NAME "bitwise"
      34 00 02 80  ; NFTA_EXPR_DATA nested
      08 00 01 00 00 00 00 01  ; NFTA_BITWISE_SREG NFT_REG_1
      08 00 02 00 00 00 00 01  ; NFTA_BITWISE_DREG NFT_REG_1
      08 00 03 00 00 00 00 04  ; NFTA_BITWISE_LEN
      0c 00 04 80 08 00 01 00 f0 00 00 00  ; NFTA_BITWISE_MASK nested, NFTA_DATA_VALUE
      0c 00 05 80 08 00 01 00 00 00 00 00  ; NFTA_BITWISE_XOR nested, NFTA_DATA_VALUE`,
  },
  {
    file: 'payload.ts',
    title: 'payload load 4b @ network header + 16 => reg 9',
    expression: loadDestination(4, registerAt(4)),
    bytes: `
      34 00 01 80  ; NFTA_LIST_ELEM nested
      0c 00 01 00 70 61 79 6c 6f 61 64 00  ; NFTA_EXPR_NAME "payload"
      24 00 02 80  ; NFTA_EXPR_DATA nested
      08 00 01 00 00 00 00 09  ; NFTA_PAYLOAD_DREG NFT_REG32_01
      08 00 02 00 00 00 00 01  ; NFTA_PAYLOAD_BASE NFT_PAYLOAD_NETWORK_HEADER
      08 00 03 00 00 00 00 10  ; NFTA_PAYLOAD_OFFSET
      08 00 04 00 00 00 00 04  ; NFTA_PAYLOAD_LEN`,
  },
  {
    file: 'ip-header.ts',
    title: 'payload load 16b @ network header + 8 => reg 1',
    expression: loadSource(6),
    bytes: `
      34 00 01 80 0c 00 01 00 70 61 79 6c 6f 61 64 00 24 00 02 80
      08 00 01 00 00 00 00 01  ; NFTA_PAYLOAD_DREG NFT_REG_1
      08 00 02 00 00 00 00 01  ; NFTA_PAYLOAD_BASE NFT_PAYLOAD_NETWORK_HEADER
      08 00 03 00 00 00 00 08  ; NFTA_PAYLOAD_OFFSET
      08 00 04 00 00 00 00 10  ; NFTA_PAYLOAD_LEN`,
  },
  {
    file: 'ip-header.ts',
    title: 'payload load 16b @ network header + 24 => reg 2',
    expression: loadDestination(6, registerAt(16)),
    bytes: `
      34 00 01 80 0c 00 01 00 70 61 79 6c 6f 61 64 00 24 00 02 80
      08 00 01 00 00 00 00 02  ; NFTA_PAYLOAD_DREG NFT_REG_2
      08 00 02 00 00 00 00 01  ; NFTA_PAYLOAD_BASE NFT_PAYLOAD_NETWORK_HEADER
      08 00 03 00 00 00 00 18  ; NFTA_PAYLOAD_OFFSET
      08 00 04 00 00 00 00 10  ; NFTA_PAYLOAD_LEN`,
  },
  {
    file: 'ip-header.ts',
    title: 'payload load 1b @ network header + 24 => reg 1',
    expression: loadDestination(6, undefined, 1),
    bytes: `
      34 00 01 80 0c 00 01 00 70 61 79 6c 6f 61 64 00 24 00 02 80
      08 00 01 00 00 00 00 01  ; NFTA_PAYLOAD_DREG NFT_REG_1
      08 00 02 00 00 00 00 01  ; NFTA_PAYLOAD_BASE NFT_PAYLOAD_NETWORK_HEADER
      08 00 03 00 00 00 00 18  ; NFTA_PAYLOAD_OFFSET
      08 00 04 00 00 00 00 01  ; NFTA_PAYLOAD_LEN`,
  },
  {
    // Without NFTA_LOOKUP_SET_ID, and the two lengths around it shorter by its 8 bytes.
    file: 'lookup.ts',
    title: 'lookup reg 1 set masquerade_v4',
    expression: lookUp({ table, name: 'masquerade_v4', key: [IPV4_ADDR], interval: false, comment: '' }),
    bytes: `
      30 00 01 80  ; NFTA_LIST_ELEM nested
      0b 00 01 00 6c 6f 6f 6b 75 70 00 00  ; NFTA_EXPR_NAME "lookup"
      20 00 02 80  ; NFTA_EXPR_DATA nested
      08 00 02 00 00 00 00 01  ; NFTA_LOOKUP_SREG NFT_REG_1
      12 00 01 00 6d 61 73 71 75 65 72 61 64 65 5f 76 34 00 00 00  ; NFTA_LOOKUP_SET "masquerade_v4"`,
  },
  {
    file: 'immediate.ts',
    title: 'immediate reg 0 return',
    expression: giveVerdict(NFT_RETURN),
    bytes: `
      30 00 01 80  ; NFTA_LIST_ELEM nested
      0e 00 01 00 69 6d 6d 65 64 69 61 74 65 00 00 00  ; NFTA_EXPR_NAME "immediate"
      1c 00 02 80  ; NFTA_EXPR_DATA nested
      08 00 01 00 00 00 00 00  ; NFTA_IMMEDIATE_DREG NFT_REG_VERDICT
      10 00 02 80  ; NFTA_IMMEDIATE_DATA nested
      0c 00 02 80 08 00 01 00 ff ff ff fb  ; NFTA_DATA_VERDICT nested, NFTA_VERDICT_CODE NFT_RETURN`,
  },
  {
    file: 'immediate.ts',
    title: 'immediate reg 0 goto -> masquerade_v4',
    expression: goTo({ table, name: 'masquerade_v4' }),
    bytes: `
      44 00 01 80  ; NFTA_LIST_ELEM nested
      0e 00 01 00 69 6d 6d 65 64 69 61 74 65 00 00 00  ; NFTA_EXPR_NAME "immediate"
      30 00 02 80  ; NFTA_EXPR_DATA nested
      08 00 01 00 00 00 00 00  ; NFTA_IMMEDIATE_DREG NFT_REG_VERDICT
      24 00 02 80 20 00 02 80  ; NFTA_IMMEDIATE_DATA nested, NFTA_DATA_VERDICT nested
      08 00 01 00 ff ff ff fc  ; NFTA_VERDICT_CODE NFT_GOTO
      12 00 02 00 6d 61 73 71 75 65 72 61 64 65 5f 76 34 00 00 00  ; NFTA_VERDICT_CHAIN "masquerade_v4"`,
  },
  {
    file: 'masq.ts',
    title: 'masq flags 0x10',
    expression: masquerade(NF_NAT_RANGE_PROTO_RANDOM_FULLY),
    bytes: `
      1c 00 01 80  ; NFTA_LIST_ELEM nested
      09 00 01 00 6d 61 73 71 00 00 00 00  ; NFTA_EXPR_NAME "masq"
      0c 00 02 80 08 00 01 00 00 00 00 10  ; NFTA_EXPR_DATA nested, NFTA_MASQ_FLAGS`,
  },
  {
    file: 'notrack.ts',
    title: 'notrack',
    expression: doNotTrack(),
    bytes: `
      10 00 01 80  ; NFTA_LIST_ELEM nested, without NFTA_EXPR_DATA
      0c 00 01 00 6e 6f 74 72 61 63 6b 00  ; NFTA_EXPR_NAME "notrack"`,
  },
];

for (const { title, expression, bytes: expected } of CASES) {
  test(`writeExpression() sends what nft sends for [ ${title} ]`, () => {
    const writer = new MessageWriter();
    for (const one of [expression].flat()) writeExpression(writer, one);
    assertBytes(writer.finish(), bytes(expected));
  });
}

test('the cases above cover every kind of expression there is', () => {
  const kinds = readdirSync(import.meta.dirname).filter((file) => !file.includes('test') && file !== 'expression.ts');
  assert.equal([...new Set(CASES.map(({ file }) => file))].toSorted(), kinds.toSorted());
});

test('registerAt() gives large registers at multiples of 16, and only registers that are there', () => {
  assert.equal([0, 4, 12, 16, 20, 48, 60].map(registerAt), [1, 9, 11, 2, 13, 4, 23]);
  for (const offset of [-4, 2, 64]) assert.throws(() => registerAt(offset), /no register at byte/);
});

test.run();
