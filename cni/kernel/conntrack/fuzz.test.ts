// Broken answers of connection tracking from a fixed seed: NetlinkError comes out or nothing, and never a request that
// would delete more than one flow.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../netlink/connection.ts';
import { NetlinkError } from '../netlink/error.ts';
import { decodeMessages } from '../netlink/message.ts';
import { attribute, bytes, join, message, s32 } from '../testing/bytes.ts';
import { SeededRandom } from '../testing/random.ts';
import { ScriptedTransport } from '../testing/scripted-transport.ts';
import { deleteFlows } from './connection.ts';
import { CTA_TUPLE_ORIG } from './flow.ts';

const test = suite('conntrack fuzz');

const ROUNDS = 5000;
const CT_DELETE = 0x102;
const NESTED = 0x8000;

function tuple(type: number, source: string, destination: string, ports: string): Uint8Array {
  const ip = attribute(NESTED | 1, join(attribute(1, bytes(source)), attribute(2, bytes(destination))));
  const [from = '', to = ''] = ports.split(',');
  const proto = attribute(
    NESTED | 2,
    join(attribute(1, bytes('11')), attribute(2, bytes(from)), attribute(3, bytes(to))),
  );
  return attribute(NESTED | type, join(ip, proto));
}

const FLOW = join(
  bytes('02 00 00 00'),
  tuple(1, '0a 01 02 03', '0a 01 02 04', '03 e8, 00 35'),
  tuple(2, '0a 09 09 09', '0a 01 02 03', '14 e9, 03 e8'),
  attribute(12, bytes('9f af 8f ff')),
  attribute(18, bytes('00 07')),
);

test('deleteFlows() throws NetlinkError or nothing, and names a flow in each request', () => {
  const random = new SeededRandom(500);
  let deleted = 0;
  let refused = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const transport = new ScriptedTransport((sequence, sent) => {
      const [request] = decodeMessages(sent);
      if (request?.type === CT_DELETE)
        return [message({ type: 2, flags: 0x100, sequence }, s32(0), new Uint8Array(16))];
      const flows = Array.from({ length: 1 + random.below(3) }, () =>
        message({ type: 0x100, flags: 2, sequence }, FLOW),
      );
      return [...flows, message({ type: 3, flags: 2, sequence }, s32(0))].map((datagram) =>
        random.below(2) === 0 ? random.mutate(datagram) : datagram,
      );
    });
    try {
      deleted += deleteFlows(new NetlinkConnection(transport), {
        family: 4,
        protocol: 17,
        originalDestinationPort: 53,
      });
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      refused++;
    }
    for (const request of transport.sent.flatMap((sent) => decodeMessages(sent))) {
      if (request.type !== CT_DELETE) continue;
      const first = new DataView(request.payload.buffer, request.payload.byteOffset + 4).getUint16(2, true);
      assert.is(first, CTA_TUPLE_ORIG | NESTED);
    }
  }
  assert.ok(deleted > ROUNDS / 20 && refused > ROUNDS / 20, `${deleted} deleted, ${refused} refused`);
  console.log(`\ninputs tried: ${ROUNDS} lists of flows`);
});

test.run();
