import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertBytes, bytes } from '../testing/bytes.ts';
import { addChain, deleteChain, flushChain, getChain, type Hook } from './chain.ts';
import { NF_ACCEPT, NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC, NFPROTO_INET } from './constants.ts';

const test = suite('nftables chain');
const table = { family: NFPROTO_INET, name: 'podlink' };
const hook: Hook = { type: 'nat', number: NF_INET_POST_ROUTING, priority: NF_IP_PRI_NAT_SRC, policy: NF_ACCEPT };

// Captured: strace -e trace=sendmsg -e write=all nft -f, with (nftables 1.0.6)
//   chain postrouting_masquerade { type nat hook postrouting priority srcnat; policy accept; }
const NEWCHAIN_BASE = bytes(`
  01 00 00 00  ; nfgen_family NFPROTO_INET, version, res_id
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_CHAIN_TABLE "podlink"
  1b 00 03 00 70 6f 73 74 72 6f 75 74 69 6e 67 5f 6d 61 73 71 75 65 72 61 64 65 00 00  ; NFTA_CHAIN_NAME
  08 00 07 00 6e 61 74 00  ; NFTA_CHAIN_TYPE "nat"
  08 00 05 00 00 00 00 01  ; NFTA_CHAIN_POLICY NF_ACCEPT
  14 00 04 80  ; NFTA_CHAIN_HOOK nested
  08 00 01 00 00 00 00 04  ; NFTA_HOOK_HOOKNUM NF_INET_POST_ROUTING
  08 00 02 00 00 00 00 64  ; NFTA_HOOK_PRIORITY 100
`);

// Captured the same way: chain masquerade_v4 { }; and delete chain and flush chain inet podlink postrouting_masquerade
const NEWCHAIN_REGULAR = bytes(`
  01 00 00 00
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_CHAIN_TABLE "podlink"
  12 00 03 00 6d 61 73 71 75 65 72 61 64 65 5f 76 34 00 00 00  ; NFTA_CHAIN_NAME "masquerade_v4"
`);
const DELCHAIN = NEWCHAIN_BASE.subarray(0, 44);
const DELRULE = bytes(`
  01 00 00 00
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_RULE_TABLE "podlink"
  1b 00 02 00 70 6f 73 74 72 6f 75 74 69 6e 67 5f 6d 61 73 71 75 65 72 61 64 65 00 00  ; NFTA_RULE_CHAIN
`);

test('addChain() sends what nft sends for a base chain', () => {
  const { type, flags, payload, operation } = addChain({ table, name: 'postrouting_masquerade', hook });
  assert.equal([type, flags], [0x0a03, 0x400]);
  assert.is(operation, 'add chain postrouting_masquerade of table inet podlink');
  assertBytes(payload, NEWCHAIN_BASE);
});

test('addChain() sends what nft sends for a regular chain', () => {
  assertBytes(addChain({ table, name: 'masquerade_v4' }).payload, NEWCHAIN_REGULAR);
});

test('addChain() writes a priority before 0', () => {
  // chain early { type filter hook prerouting priority raw; } has NFTA_HOOK_PRIORITY -300
  const { payload } = addChain({ table, name: 'early', hook: { ...hook, priority: -300 } });
  assertBytes(payload.subarray(-8), bytes('08 00 02 00 ff ff fe d4'));
});

test('deleteChain(), getChain() and flushChain() name the chain', () => {
  const chain = { table, name: 'postrouting_masquerade', hook };
  assert.equal([deleteChain(chain).type, getChain(chain).type, flushChain(chain).type], [0x0a05, 0x0a04, 0x0a08]);
  assertBytes(deleteChain(chain).payload, DELCHAIN);
  assertBytes(getChain(chain).payload, DELCHAIN);
  assertBytes(flushChain(chain).payload, DELRULE);
});

test.run();
