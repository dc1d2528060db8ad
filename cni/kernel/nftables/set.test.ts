import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertBytes, bytes, join } from '../testing/bytes.ts';
import { NFPROTO_INET } from './constants.ts';
import { INET_PROTOCOL, INET_SERVICE, IPV4_ADDR } from './key.ts';
import { addSet, encodeSet, expectSet, getSet, type NamedSet } from './set.ts';

const test = suite('nftables set');
const table = { family: NFPROTO_INET, name: 'podlink' };
const SOURCES: NamedSet = { table, name: 'masquerade_v4', key: [IPV4_ADDR], interval: false, comment: 'c' };
const EXCEPTIONS: NamedSet = {
  table,
  name: 'masquerade_except_v4',
  key: [IPV4_ADDR, IPV4_ADDR],
  interval: true,
  comment: 'c',
};

// Captured: strace -e trace=sendmsg -e write=all nft -f, with set masquerade_v4 { type ipv4_addr; comment "c"; }
// (nftables 1.0.6). nft begins the user data with the key's byte order (00 04 02 00 00 00), which only types need
// that have none of their own.
const NEWSET = bytes(`
  01 00 00 00  ; nfgen_family NFPROTO_INET, version, res_id
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_SET_TABLE "podlink"
  12 00 02 00 6d 61 73 71 75 65 72 61 64 65 5f 76 34 00 00 00  ; NFTA_SET_NAME "masquerade_v4"
  08 00 03 00 00 00 00 00  ; NFTA_SET_FLAGS
  08 00 04 00 00 00 00 07  ; NFTA_SET_KEY_TYPE ipv4_addr
  08 00 05 00 00 00 00 04  ; NFTA_SET_KEY_LEN
  08 00 0a 00 00 00 00 01  ; NFTA_SET_ID
  08 00 0d 00 07 02 63 00  ; NFTA_SET_USERDATA comment "c"
`);

// Captured the same way: set masquerade_except_v4 { type ipv4_addr . ipv4_addr; flags interval; }, without nft's user
// data (byte order, "typeof"), and with the comment as above.
const NEWSET_RANGES = bytes(`
  01 00 00 00
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_SET_TABLE "podlink"
  19 00 02 00 6d 61 73 71 75 65 72 61 64 65 5f 65 78 63 65 70 74 5f 76 34 00 00 00 00  ; NFTA_SET_NAME
  08 00 03 00 00 00 00 84  ; NFTA_SET_FLAGS NFT_SET_CONCAT | NFT_SET_INTERVAL
  08 00 04 00 00 00 01 c7  ; NFTA_SET_KEY_TYPE ipv4_addr . ipv4_addr
  08 00 05 00 00 00 00 08  ; NFTA_SET_KEY_LEN
  08 00 0a 00 00 00 00 03  ; NFTA_SET_ID
  20 00 09 80  ; NFTA_SET_DESC nested
  1c 00 02 80  ; NFTA_SET_DESC_CONCAT nested
  0c 00 01 80 08 00 01 00 00 00 00 04  ; NFTA_LIST_ELEM nested, NFTA_SET_FIELD_LEN
  0c 00 01 80 08 00 01 00 00 00 00 04  ; NFTA_LIST_ELEM nested, NFTA_SET_FIELD_LEN
  08 00 0d 00 07 02 63 00  ; NFTA_SET_USERDATA comment "c"
`);

test('addSet() sends what nft sends', () => {
  const { type, flags, payload, operation } = addSet(SOURCES, 1);
  assert.equal([type, flags, operation], [0x0a09, 0x400, 'add set masquerade_v4 of table inet podlink']);
  assertBytes(payload, NEWSET);
});

test('addSet() describes the fields of a key with ranges', () => {
  assertBytes(addSet(EXCEPTIONS, 3).payload, NEWSET_RANGES);
});

const PORTS: NamedSet = {
  table,
  name: 'portmap_any_v4',
  key: [INET_PROTOCOL, INET_SERVICE],
  interval: false,
  data: [IPV4_ADDR, INET_SERVICE],
  comment: 'c',
};

// Captured the same way: map portmap_any_v4 { type inet_proto . inet_service : ipv4_addr . inet_service; comment "c"; }
const NEWSET_MAP = bytes(`
  01 00 00 00
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_SET_TABLE "podlink"
  13 00 02 00 70 6f 72 74 6d 61 70 5f 61 6e 79 5f 76 34 00 00  ; NFTA_SET_NAME "portmap_any_v4"
  08 00 03 00 00 00 00 08  ; NFTA_SET_FLAGS NFT_SET_MAP
  08 00 04 00 00 00 03 0d  ; NFTA_SET_KEY_TYPE inet_proto . inet_service
  08 00 05 00 00 00 00 08  ; NFTA_SET_KEY_LEN
  08 00 06 00 00 00 01 cd  ; NFTA_SET_DATA_TYPE ipv4_addr . inet_service
  08 00 07 00 00 00 00 08  ; NFTA_SET_DATA_LEN
  08 00 0a 00 00 00 00 01  ; NFTA_SET_ID
  08 00 0d 00 07 02 63 00  ; NFTA_SET_USERDATA comment "c"
`);

// Captured the same way: map portmap_range_v4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval; }
const NEWSET_MAP_RANGES = bytes(`
  01 00 00 00
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_SET_TABLE "podlink"
  15 00 02 00 70 6f 72 74 6d 61 70 5f 72 61 6e 67 65 5f 76 34 00 00 00 00  ; NFTA_SET_NAME "portmap_range_v4"
  08 00 03 00 00 00 00 8c  ; NFTA_SET_FLAGS NFT_SET_CONCAT | NFT_SET_MAP | NFT_SET_INTERVAL
  08 00 04 00 00 00 73 0d  ; NFTA_SET_KEY_TYPE ipv4_addr . inet_proto . inet_service
  08 00 05 00 00 00 00 0c  ; NFTA_SET_KEY_LEN
  08 00 06 00 00 00 00 07  ; NFTA_SET_DATA_TYPE ipv4_addr
  08 00 07 00 00 00 00 04  ; NFTA_SET_DATA_LEN
  08 00 0a 00 00 00 00 02  ; NFTA_SET_ID
  2c 00 09 80 28 00 02 80  ; NFTA_SET_DESC nested, NFTA_SET_DESC_CONCAT nested
  0c 00 01 80 08 00 01 00 00 00 00 04  ; NFTA_LIST_ELEM nested, NFTA_SET_FIELD_LEN
  0c 00 01 80 08 00 01 00 00 00 00 01
  0c 00 01 80 08 00 01 00 00 00 00 02
  08 00 0d 00 07 02 63 00  ; NFTA_SET_USERDATA comment "c"
`);

test('addSet() sends what nft sends for maps', () => {
  assertBytes(addSet(PORTS, 1).payload, NEWSET_MAP);
  const key = [IPV4_ADDR, INET_PROTOCOL, INET_SERVICE];
  const ranges = { ...PORTS, name: 'portmap_range_v4', key, interval: true, data: [IPV4_ADDR] };
  assertBytes(addSet(ranges, 2).payload, NEWSET_MAP_RANGES);
});

test('addSet() refuses ranges of a single field', () => {
  assert.throws(() => addSet({ ...SOURCES, interval: true }, 1), /set masquerade_v4 .*ranges need two fields/);
});

test('expectSet() asks for the same without NLM_F_CREATE', () => {
  assert.is(expectSet(SOURCES, 1).flags, 0);
  assertBytes(expectSet(SOURCES, 1).payload, NEWSET);
});

test('encodeSet() leaves out the ID, which the kernel does not tell', () => {
  assertBytes(encodeSet(SOURCES), join(NEWSET.subarray(0, 60), NEWSET.subarray(68)));
});

test('getSet() names the set', () => {
  assert.is(getSet(SOURCES).type, 0x0a0a);
  assertBytes(getSet(SOURCES).payload, NEWSET.subarray(0, 36));
});

test.run();
