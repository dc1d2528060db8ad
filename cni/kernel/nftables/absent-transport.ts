// In place of a socket where the kernel has no nfnetlink: it answers what nfnetlink answers when nf_tables is not there.

import { EINVAL, EOPNOTSUPP } from '../errno.ts';
import { decodeMessages, encodeRefusal } from '../netlink/message.ts';
import type { Transport } from '../netlink/transport.ts';
import { NFNL_MSG_BATCH_BEGIN } from './constants.ts';

/** Refuse whatever is sent: a batch with EOPNOTSUPP, a question with EINVAL. */
export function absentTransport(): Transport {
  const answers: Uint8Array[] = [];
  return {
    send(datagram) {
      const [first, ...others] = decodeMessages(datagram);
      if (!first) return;
      if (first.type === NFNL_MSG_BATCH_BEGIN) answers.push(encodeRefusal(first, EOPNOTSUPP));
      else answers.push(...[first, ...others].map((question) => encodeRefusal(question, EINVAL)));
    },
    receive: () => answers.shift() ?? new Uint8Array(),
    close: () => undefined,
  };
}
