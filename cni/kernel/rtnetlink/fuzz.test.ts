// Broken descriptions of kernel objects from a fixed seed: the decoders understand them or throw MalformedMessageError.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Message } from '../netlink/message.ts';
import { MalformedMessageError } from '../netlink/reader.ts';
import { MessageWriter } from '../netlink/writer.ts';
import { received } from '../testing/bytes.ts';
import { CAPTURED_BRIDGE, CAPTURED_BRIDGE_PORT, CAPTURED_VETH } from '../testing/captured-links.ts';
import { SeededRandom } from '../testing/random.ts';
import { decodeLinkAddress, encodeLinkAddress } from './address.ts';
import { decodeFilter, encodeFilter } from './traffic/filter.ts';
import { decodeLink, encodeLink } from './link/link.ts';
import { decodeNeighbour, encodeNeighbour } from './neighbour.ts';
import { decodeQdisc, encodeQdisc } from './traffic/qdisc.ts';
import { decodeRoute, encodeRoute } from './route.ts';
import { decodeTrafficClass, encodeHtbClass } from './traffic/traffic-class.ts';

const test = suite('rtnetlink fuzz');

const ROUNDS = 4000;

const LINK = encodeLink(new MessageWriter(), 2, { name: 'eth0', mac: '02:00:00:00:00:01', mtu: 1500, alias: 'x' });
const ROUTE = { linkIndex: 2, priority: 5, table: 1000, mtu: 1400, advmss: 1360 };

const CASES: readonly (readonly [string, (message: Message) => unknown, readonly Uint8Array[]])[] = [
  ['decodeLink', decodeLink, [LINK.finish(), CAPTURED_VETH, CAPTURED_BRIDGE_PORT, CAPTURED_BRIDGE]],
  [
    'decodeLinkAddress',
    decodeLinkAddress,
    [encodeLinkAddress(2, '10.1.2.3/24', 2), encodeLinkAddress(2, 'fd00::3/64', 2)],
  ],
  [
    'decodeRoute',
    decodeRoute,
    [
      encodeRoute({ dst: '10.9.0.0/16', gateway: '10.1.2.1', ...ROUTE }),
      encodeRoute({ dst: 'fd01::/48', gateway: 'fd00::1', ...ROUTE }),
    ],
  ],
  [
    'decodeNeighbour',
    decodeNeighbour,
    [
      encodeNeighbour(2, '10.1.2.9', '02:00:00:00:00:09', 0x80),
      encodeNeighbour(2, 'fd00::9', '02:00:00:00:00:09', 0x80),
    ],
  ],
  [
    'decodeQdisc',
    decodeQdisc,
    [
      encodeQdisc(2, 0xffffffff, 0x10000, { kind: 'htb', defaultClass: 1 }),
      encodeQdisc(2, 0x10001, 0x20000, { kind: 'bfifo', limitBytes: 65_536 }),
    ],
  ],
  [
    'decodeTrafficClass',
    decodeTrafficClass,
    [encodeHtbClass(2, { parent: 0x10000, handle: 0x10001 }, { bytesPerSecond: 1_000_000, burstBytes: 20_000 }, 64)],
  ],
  [
    'decodeFilter',
    decodeFilter,
    [
      encodeFilter(2, 0xffff0000, { protocol: 3, priority: 1, matches: [], verdict: { redirectIndex: 5 } }),
      encodeFilter(2, 0x10000, {
        protocol: 0x800,
        priority: 2,
        matches: [{ offset: 12, mask: 0xffffff00, value: 0x0a010200 }],
        verdict: { classId: 0x10001 },
      }),
    ],
  ],
];

CASES.forEach(([name, decode, healthy], i) => {
  test(`${name}() throws MalformedMessageError or nothing`, () => {
    const random = new SeededRandom(100 + i);
    let understood = 0;
    let refused = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const broken = round % 8 === 0 ? random.bytes(random.below(100)) : random.mutate(random.pick(healthy));
      try {
        decode(received(broken));
        understood++;
      } catch (error) {
        if (!(error instanceof MalformedMessageError)) throw error;
        refused++;
      }
    }
    assert.ok(understood > ROUNDS / 20 && refused > ROUNDS / 20, `${understood} understood, ${refused} refused`);
  });
});

test.run();
