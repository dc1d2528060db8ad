import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeMessages } from '../netlink/message.ts';
import { assertBytes, bytes } from '../testing/bytes.ts';
import { encodeBatch } from './batch.ts';
import { NFPROTO_INET } from './constants.ts';
import { addTable } from './table.ts';

const test = suite('nftables batch');
const operation = addTable({ family: NFPROTO_INET, name: 'podlink' });

// Captured: strace -e trace=sendmsg -e write=all nft add table inet podlink (nftables 1.0.6), whose sequence numbers
// start with 0; and NLM_F_ACK (04) for the operation, which nft does not ask for.
const BATCH = bytes(`
  14 00 00 00 10 00 01 00  ; nlmsg_len, NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST
  00 00 00 00 00 00 00 00  ; nlmsg_seq, nlmsg_pid
  00 00 00 0a  ; nfgen_family AF_UNSPEC, version, res_id NFNL_SUBSYS_NFTABLES in network order
  28 00 00 00 00 0a 05 00  ; nlmsg_len, NFT_MSG_NEWTABLE, NLM_F_REQUEST | NLM_F_ACK
  01 00 00 00 00 00 00 00
  01 00 00 00 0c 00 01 00 70 6f 64 6c 69 6e 6b 00 08 00 02 00 00 00 00 00
  14 00 00 00 11 00 01 00  ; nlmsg_len, NFNL_MSG_BATCH_END, NLM_F_REQUEST
  02 00 00 00 00 00 00 00
  00 00 00 0a
`);

test('encodeBatch() sends what nft sends', () => {
  const { datagram, firstSequence, lastSequence } = encodeBatch([operation], 0);
  assertBytes(datagram, BATCH);
  assert.equal([firstSequence, lastSequence], [0, 2]);
});

test('encodeBatch() asks for an acknowledgement of the last operation only', () => {
  const { datagram } = encodeBatch([operation, operation, operation], 7);
  const messages = decodeMessages(datagram).map(({ sequence, flags }) => [sequence, flags]);
  assert.equal(messages, [
    [7, 1],
    [8, 1],
    [9, 1],
    [10, 5],
    [11, 1],
  ]);
});

test('encodeBatch() names the generation in the begin message', () => {
  const [begin] = decodeMessages(encodeBatch([operation], 0, 0x01020304).datagram);
  assertBytes(begin?.payload ?? bytes(''), bytes('00 00 00 0a 08 00 01 00 01 02 03 04'));
});

test.run();
