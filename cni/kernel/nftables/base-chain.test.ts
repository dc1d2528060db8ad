import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { done, FakeTransport } from '../netlink/fake-transport.ts';
import { assertBytes, bytes, received } from '../testing/bytes.ts';
import { decodeBaseChain, listBaseChains } from './base-chain.ts';
import { NftablesConnection } from './connection.ts';
import { NF_DROP, NF_INET_FORWARD, NFPROTO_INET } from './constants.ts';

const test = suite('nftables base chain');

// Captured: strace -e trace=recvmsg -e read=all nft list chains (nftables 1.0.6, kernel 6.18), of
//   table inet fw { chain passing { type filter hook forward priority 10; policy drop; }; chain regular { }; }
const BASE = bytes(`
  01 00 00 02  ; nfgen_family NFPROTO_INET, version, res_id: the generation
  07 00 01 00 66 77 00 00  ; NFTA_CHAIN_TABLE "fw"
  0c 00 03 00 70 61 73 73 69 6e 67 00  ; NFTA_CHAIN_NAME "passing"
  0c 00 02 00 00 00 00 00 00 00 00 01  ; NFTA_CHAIN_HANDLE
  14 00 04 00  ; NFTA_CHAIN_HOOK
  08 00 01 00 00 00 00 02  ; NFTA_HOOK_HOOKNUM NF_INET_FORWARD
  08 00 02 00 00 00 00 0a  ; NFTA_HOOK_PRIORITY 10
  08 00 05 00 00 00 00 00  ; NFTA_CHAIN_POLICY NF_DROP
  0b 00 07 00 66 69 6c 74 65 72 00 00  ; NFTA_CHAIN_TYPE "filter"
  08 00 0a 00 00 00 00 01  ; NFTA_CHAIN_FLAGS NFT_CHAIN_BASE
  08 00 06 00 00 00 00 00  ; NFTA_CHAIN_USE
`);
const REGULAR = bytes(`
  01 00 00 02
  07 00 01 00 66 77 00 00  ; NFTA_CHAIN_TABLE "fw"
  0c 00 03 00 72 65 67 75 6c 61 72 00  ; NFTA_CHAIN_NAME "regular"
  0c 00 02 00 00 00 00 00 00 00 00 02  ; NFTA_CHAIN_HANDLE
  08 00 06 00 00 00 00 00  ; NFTA_CHAIN_USE
`);
const PASSING = {
  table: { family: NFPROTO_INET, name: 'fw' },
  name: 'passing',
  hook: { type: 'filter', number: NF_INET_FORWARD, priority: 10, policy: NF_DROP },
};

test('decodeBaseChain() reads where a chain hangs and what it does with the rest', () => {
  assert.equal(decodeBaseChain(received(BASE)), PASSING);
});

test('decodeBaseChain() leaves out a chain that hangs on no hook', () => {
  assert.is(decodeBaseChain(received(REGULAR)), undefined);
});

test('listBaseChains() asks for the chains of all families', () => {
  const transport = new FakeTransport(() => [
    { type: 0x0a03, flags: 2, payload: BASE },
    { type: 0x0a03, flags: 2, payload: REGULAR },
    done(),
  ]);
  assert.equal(listBaseChains(new NftablesConnection(transport)), [PASSING]);
  const [request, ...others] = transport.requests;
  assert.equal([others.length, request?.type, request?.flags], [0, 0x0a04, 0x301]);
  assertBytes(request?.payload ?? new Uint8Array(), bytes('00 00 00 00'));
});

test.run();
