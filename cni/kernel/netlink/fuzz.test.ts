// Broken bytes from a fixed seed: whatever comes in, only the errors meant for it come out, and soon.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { attribute, bytes, join, message, s32, u32 } from '../testing/bytes.ts';
import { SeededRandom } from '../testing/random.ts';
import { ScriptedTransport } from '../testing/scripted-transport.ts';
import { thrownOf } from '../testing/thrown.ts';
import { NetlinkConnection } from './connection.ts';
import { NetlinkError } from './error.ts';
import { decodeAcknowledgement, decodeDone, decodeMessages } from './message.ts';
import { Attributes, MalformedMessageError } from './reader.ts';

const test = suite('netlink fuzz');

const ROUNDS = 5000;

/** Datagrams as the kernel sends them, to be broken. */
function healthyDatagrams(sequence: number): Uint8Array[] {
  const words = join(attribute(1, Buffer.from('no such thing\0')), attribute(2, u32(36)), attribute(5, u32(3)));
  const request = message({ type: 16, flags: 5, sequence }, bytes('01 02 03 04 05 06 07 08'));
  const object = message({ type: 16, flags: 2, sequence }, new Uint8Array(16), attribute(3, bytes('62 72 30 00')));
  return [
    message({ type: 2, flags: 0x100, sequence }, s32(0), request.subarray(0, 16)),
    message({ type: 2, flags: 0x300, sequence }, s32(-22), request.subarray(0, 16), words),
    message({ type: 2, flags: 0x200, sequence }, s32(-22), request, words),
    join(object, object, message({ type: 3, flags: 2, sequence }, s32(0))),
    message({ type: 3, flags: 0x202, sequence }, s32(-22), words),
    message({ type: 3, flags: 0x12, sequence }, s32(0)),
    message({ type: 3, flags: 2, sequence }, s32(-4)),
    message({ type: 4, sequence }),
    join(message({ type: 1, sequence }), object),
  ];
}

/** Run a decoder; true if it understood, false for the error meant for broken bytes. Any other error is thrown on. */
function understands(decode: () => unknown): boolean {
  try {
    decode();
    return true;
  } catch (error) {
    if (error instanceof MalformedMessageError) return false;
    throw error;
  }
}

test('decodeMessages(), decodeAcknowledgement() and decodeDone() throw MalformedMessageError or nothing', () => {
  const random = new SeededRandom(1);
  let understood = 0;
  let refused = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const datagram = round % 4 === 0 ? random.bytes(random.below(80)) : random.mutate(random.pick(healthyDatagrams(1)));
    const isUnderstood = understands(() => {
      for (const received of decodeMessages(datagram)) {
        understands(() => decodeAcknowledgement(received));
        understands(() => decodeDone(received));
        understands(() => new Attributes(received.payload));
      }
    });
    if (isUnderstood) understood++;
    else refused++;
  }
  assert.ok(understood > ROUNDS / 20 && refused > ROUNDS / 20, `${understood} understood, ${refused} refused`);
});

test('Attributes throws MalformedMessageError or nothing, however it is read', () => {
  const random = new SeededRandom(2);
  const healthy = join(
    attribute(1, bytes('02')),
    attribute(0x8002, join(attribute(1, u32(5)), attribute(2, bytes('61 62 00')))),
    attribute(3, bytes('01 02 03 04 05 06 07 08')),
  );
  let understood = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const broken = round % 4 === 0 ? random.bytes(random.below(40)) : random.mutate(healthy);
    understands(() => {
      const attributes = new Attributes(broken);
      understood++;
      const total = attributes.all.reduce((sum, { payload }) => sum + 4 + payload.length, 0);
      assert.ok(total <= broken.length, 'no attribute reads bytes twice');
      for (const { type } of attributes.all) {
        attributes.string(type);
        for (const read of ['u8', 'u16', 'u32', 's32', 'u64', 'be32', 'be64', 'nested'] as const) {
          understands(() => attributes[read](type));
        }
      }
    });
  }
  assert.ok(understood > ROUNDS / 20 && understood < ROUNDS, `${understood} understood`);
});

for (const [method, seed] of [
  ['execute', 3],
  ['dump', 4],
] as const) {
  test(`${method}() throws NetlinkError or nothing, whatever the replies`, () => {
    const random = new SeededRandom(seed);
    let succeeded = 0;
    let refused = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const transport = new ScriptedTransport((sequence) =>
        Array.from({ length: 1 + random.below(4) }, () => {
          const datagram = random.pick(healthyDatagrams(sequence));
          return random.below(3) === 0 ? datagram : random.mutate(datagram);
        }),
      );
      try {
        new NetlinkConnection(transport)[method]({ operation: 'x', type: 18, flags: 0, payload: new Uint8Array() });
        succeeded++;
      } catch (error) {
        if (!(error instanceof NetlinkError)) throw error;
        assert.match(error.message, /^Cannot x/);
        assert.ok(error.errno > 0);
        refused++;
      }
    }
    assert.ok(succeeded > ROUNDS / 20 && refused > ROUNDS / 20, `${succeeded} succeeded, ${refused} refused`);
  });
}

test('execute() and dump() take datagrams in any order, cut in two or doubled, for an answer, a refusal or silence', () => {
  const random = new SeededRandom(5);
  const outcomes = { succeeded: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const transport = new ScriptedTransport((sequence) => {
      const datagrams = Array.from({ length: 2 + random.below(4) }, () =>
        random.pick(healthyDatagrams(random.pick([sequence, sequence, sequence - 1, sequence + 1, 0]) >>> 0)),
      );
      return datagrams.flatMap((datagram) => {
        const cut = random.below(datagram.length);
        return random.pick([[datagram], [datagram, datagram], [datagram.slice(0, cut), datagram.slice(cut)], []]);
      });
    });
    const connection = new NetlinkConnection(transport);
    // The connection goes on being used, with what is left of the first answer before the next one's.
    for (const method of ['execute', 'dump', 'execute'] as const) {
      try {
        connection[method]({ operation: 'x', type: 18, flags: 0, payload: new Uint8Array() });
        outcomes.succeeded++;
      } catch (error) {
        if (!(error instanceof NetlinkError)) throw error;
        outcomes.refused++;
      }
    }
  }
  assert.ok(outcomes.succeeded > ROUNDS / 20 && outcomes.refused > ROUNDS / 20, JSON.stringify(outcomes));
  console.log(`\ninputs tried: ${3 * ROUNDS} answers out of order`);
});

test('dump() that is interrupted each time ends with EBUSY', () => {
  const transport = new ScriptedTransport((sequence) => [message({ type: 3, flags: 0x12, sequence }, s32(0))]);
  const connection = new NetlinkConnection(transport);
  const error = thrownOf(NetlinkError, () =>
    connection.dump({ operation: 'x', type: 18, flags: 0, payload: new Uint8Array() }),
  );
  assert.is(error.code, 'EBUSY');
  assert.ok(transport.sent.length <= 100, `asked ${transport.sent.length} times`);
});

test('dump() of an answer that breaks off ends with ETIMEDOUT, however long it was', () => {
  const transport = new ScriptedTransport((sequence) =>
    Array.from({ length: 20_000 }, () => message({ type: 16, flags: 2, sequence }, new Uint8Array(16))),
  );
  const error = thrownOf(NetlinkError, () =>
    new NetlinkConnection(transport).dump({ operation: 'x', type: 18, flags: 0, payload: new Uint8Array() }),
  );
  assert.is(error.code, 'ETIMEDOUT');
  assert.is(transport.left, 0);
});

test.run();
