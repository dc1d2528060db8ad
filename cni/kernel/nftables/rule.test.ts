import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertBytes, bytes } from '../testing/bytes.ts';
import { NFPROTO_INET } from './constants.ts';
import { goTo } from './expressions/immediate.ts';
import { loadSource, matchFamily } from './expressions/ip-header.ts';
import { lookUp } from './expressions/lookup.ts';
import { IPV4_ADDR } from './key.ts';
import { addRule, listRules } from './rule.ts';

const test = suite('nftables rule');
const table = { family: NFPROTO_INET, name: 'podlink' };
const chain = { table, name: 'postrouting_masquerade' };
const set = { table, name: 'masquerade_v4', key: [IPV4_ADDR], interval: false, comment: 'c' };

// Captured: strace -e trace=sendmsg -e write=all nft -f, with the rule in chain postrouting_masquerade (nftables 1.0.6)
//   ip saddr @masquerade_v4 goto masquerade_v4 comment "why"
// without NFTA_LOOKUP_SET_ID (lookup.ts), and the three lengths around it shorter by its 8 bytes.
const NEWRULE = bytes(`
  01 00 00 00  ; nfgen_family NFPROTO_INET, version, res_id
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_RULE_TABLE "podlink"
  1b 00 02 00 70 6f 73 74 72 6f 75 74 69 6e 67 5f 6d 61 73 71 75 65 72 61 64 65 00 00  ; NFTA_RULE_CHAIN
  fc 00 04 80  ; NFTA_RULE_EXPRESSIONS nested
  24 00 01 80  ; NFTA_LIST_ELEM nested
  09 00 01 00 6d 65 74 61 00 00 00 00  ; NFTA_EXPR_NAME "meta"
  14 00 02 80  ; NFTA_EXPR_DATA nested
  08 00 02 00 00 00 00 0f  ; NFTA_META_KEY NFT_META_NFPROTO
  08 00 01 00 00 00 00 01  ; NFTA_META_DREG NFT_REG_1
  2c 00 01 80  ; NFTA_LIST_ELEM nested
  08 00 01 00 63 6d 70 00  ; NFTA_EXPR_NAME "cmp"
  20 00 02 80  ; NFTA_EXPR_DATA nested
  08 00 01 00 00 00 00 01  ; NFTA_CMP_SREG NFT_REG_1
  08 00 02 00 00 00 00 00  ; NFTA_CMP_OP NFT_CMP_EQ
  0c 00 03 80 05 00 01 00 02 00 00 00  ; NFTA_CMP_DATA nested, NFTA_DATA_VALUE NFPROTO_IPV4
  34 00 01 80  ; NFTA_LIST_ELEM nested
  0c 00 01 00 70 61 79 6c 6f 61 64 00  ; NFTA_EXPR_NAME "payload"
  24 00 02 80  ; NFTA_EXPR_DATA nested
  08 00 01 00 00 00 00 01  ; NFTA_PAYLOAD_DREG NFT_REG_1
  08 00 02 00 00 00 00 01  ; NFTA_PAYLOAD_BASE NFT_PAYLOAD_NETWORK_HEADER
  08 00 03 00 00 00 00 0c  ; NFTA_PAYLOAD_OFFSET 12: source address
  08 00 04 00 00 00 00 04  ; NFTA_PAYLOAD_LEN
  30 00 01 80  ; NFTA_LIST_ELEM nested
  0b 00 01 00 6c 6f 6f 6b 75 70 00 00  ; NFTA_EXPR_NAME "lookup"
  20 00 02 80  ; NFTA_EXPR_DATA nested
  08 00 02 00 00 00 00 01  ; NFTA_LOOKUP_SREG NFT_REG_1
  12 00 01 00 6d 61 73 71 75 65 72 61 64 65 5f 76 34 00 00 00  ; NFTA_LOOKUP_SET "masquerade_v4"
  44 00 01 80  ; NFTA_LIST_ELEM nested
  0e 00 01 00 69 6d 6d 65 64 69 61 74 65 00 00 00  ; NFTA_EXPR_NAME "immediate"
  30 00 02 80  ; NFTA_EXPR_DATA nested
  08 00 01 00 00 00 00 00  ; NFTA_IMMEDIATE_DREG NFT_REG_VERDICT
  24 00 02 80  ; NFTA_IMMEDIATE_DATA nested
  20 00 02 80  ; NFTA_DATA_VERDICT nested
  08 00 01 00 ff ff ff fc  ; NFTA_VERDICT_CODE NFT_GOTO
  12 00 02 00 6d 61 73 71 75 65 72 61 64 65 5f 76 34 00 00 00  ; NFTA_VERDICT_CHAIN "masquerade_v4"
  0a 00 07 00 00 04 77 68 79 00 00 00  ; NFTA_RULE_USERDATA comment "why"
`);

test('addRule() sends what nft sends', () => {
  const expressions = [...matchFamily(4), loadSource(4), lookUp(set), goTo({ table, name: 'masquerade_v4' })];
  const { type, flags, payload, operation } = addRule(chain, { expressions, comment: 'why' });
  assert.equal([type, flags], [0x0a06, 0xc00]);
  assert.is(operation, 'add rule "why" to chain postrouting_masquerade of table inet podlink');
  assertBytes(payload, NEWRULE);
});

test('listRules() asks for one chain only', () => {
  assert.is(listRules(chain).type, 0x0a07);
  assertBytes(listRules(chain).payload, NEWRULE.subarray(0, 44));
});

test.run();
