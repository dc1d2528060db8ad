// A batch: operations that the kernel carries out together or not at all, in one datagram between two messages.
//
//   NFNL_MSG_BATCH_BEGIN   sequence n       res_id = NFNL_SUBSYS_NFTABLES, perhaps NFNL_BATCH_GENID
//   operation 1            sequence n + 1
//   …
//   operation k            sequence n + k   NLM_F_ACK
//   NFNL_MSG_BATCH_END     sequence n + k + 1
//
// What comes back (nfnetlink_rcv_batch(), net/netfilter/nfnetlink.c, v4.18 to v6.18), all of it before send() returns:
//   * an error for each operation that failed, in their order, for the kernel goes on to the end of the batch;
//   * for the last operation an error or an acknowledgement, in any case;
//   * before these an error for the begin message, if every operation was right and the batch as a whole was not;
//   * nothing but an error for the begin message, if no operation was looked at: ERESTART, EOPNOTSUPP, ENOMEM, EPERM.
// Acknowledgements for begin and end exist only since Linux 6.10, so they are not asked for.
//
// Without its end message a batch is a rehearsal: the kernel answers to each operation, and takes all of them back.

import type { Operation } from '../netlink/connection.ts';
import { encodeRequest, NLM_F_ACK } from '../netlink/message.ts';
import { NFNL_BATCH_GENID, NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES } from './constants.ts';
import { writeHeader } from './message.ts';

const AF_UNSPEC = 0;

export interface Batch {
  readonly datagram: Uint8Array;
  /** Sequence number of the begin message; the operations follow it one by one. */
  readonly firstSequence: number;
  readonly lastSequence: number;
}

/** Write a batch of at least one operation that the kernel looks at, and does not carry out. */
export function encodeRehearsal(operations: readonly Operation[], firstSequence: number): Batch {
  return encode(operations, { firstSequence, isRehearsal: true });
}

/**
 * Write a batch of at least one operation.
 *
 * With a generation the kernel refuses the batch with ERESTART when anyone, in any table, has changed anything since.
 */
export function encodeBatch(operations: readonly Operation[], firstSequence: number, generation?: number): Batch {
  return encode(operations, { firstSequence, generation });
}

interface Framing {
  readonly firstSequence: number;
  readonly generation?: number | undefined;
  readonly isRehearsal?: boolean;
}

function encode(operations: readonly Operation[], { firstSequence, generation, isRehearsal }: Framing): Batch {
  const begin = writeHeader(AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  if (generation !== undefined) begin.attributeBe32(NFNL_BATCH_GENID, generation);
  const end = writeHeader(AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  const last = operations.length - 1;
  const messages = [
    { type: NFNL_MSG_BATCH_BEGIN, flags: 0, payload: begin.finish() },
    ...operations.map(({ type, flags, payload }, i) => ({
      type,
      flags: i === last ? flags | NLM_F_ACK : flags,
      payload,
    })),
    ...(isRehearsal ? [] : [{ type: NFNL_MSG_BATCH_END, flags: 0, payload: end.finish() }]),
  ];
  return {
    datagram: Buffer.concat(messages.map((message, i) => encodeRequest(message, firstSequence + i))),
    firstSequence,
    lastSequence: firstSequence + messages.length - 1,
  };
}
