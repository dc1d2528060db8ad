import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertBytes, bytes } from '../testing/bytes.ts';
import { NFPROTO_INET } from './constants.ts';
import { addTable, deleteTable, describeTable, getTable } from './table.ts';

const test = suite('nftables table');
const TABLE = { family: NFPROTO_INET, name: 'podlink' };

// Captured: strace -e trace=sendmsg -e write=all nft add table inet podlink (nftables 1.0.6)
const NEWTABLE = bytes(`
  01 00 00 00  ; nfgen_family NFPROTO_INET, version, res_id
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_TABLE_NAME "podlink"
  08 00 02 00 00 00 00 00  ; NFTA_TABLE_FLAGS
`);

test('addTable() sends what nft sends', () => {
  const { type, flags, payload, operation } = addTable(TABLE);
  assert.equal([type, flags, operation], [0x0a00, 0, 'add table inet podlink']);
  assertBytes(payload, NEWTABLE);
});

test('getTable() and deleteTable() name the table and nothing else', () => {
  const name = NEWTABLE.subarray(0, 16);
  assert.equal([getTable(TABLE).type, deleteTable(TABLE).type], [0x0a01, 0x0a02]);
  assertBytes(getTable(TABLE).payload, name);
  assertBytes(deleteTable(TABLE).payload, name);
});

test('describeTable() shows the number of a family it has no name for', () => {
  assert.is(describeTable({ family: 3, name: 'x' }), 'table family 3 x');
});

test.run();
