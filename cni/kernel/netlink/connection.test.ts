import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ErrnoError } from '../errno.ts';
import { assertBytes, attribute, bytes, join, message, s32, u32 } from '../testing/bytes.ts';
import { ScriptedTransport } from '../testing/scripted-transport.ts';
import { thrownOf } from '../testing/thrown.ts';
import { NetlinkConnection, type Operation, understand } from './connection.ts';
import { NetlinkError } from './error.ts';
import { acknowledge, FakeTransport } from './fake-transport.ts';
import { NLM_F_ACK, NLMSG_NOOP, NLMSG_OVERRUN } from './message.ts';
import { MalformedMessageError } from './reader.ts';

const test = suite('netlink connection: requests');

const ADD: Operation = { operation: 'add x', type: 16, flags: 0x600, payload: bytes('01 02 03') };
const GET: Operation = { operation: 'get y', type: 18, flags: 0, payload: new Uint8Array() };

/** The kernel's answer, byte by byte: capped, without words. */
function answer(sequence: number, error = 0): Uint8Array {
  return message({ type: 2, flags: 0x100, sequence }, s32(error), new Uint8Array(16));
}

const failure = (work: () => unknown): NetlinkError => thrownOf(NetlinkError, work);

test('execute() asks for an acknowledgement, and numbers its requests', () => {
  const transport = new FakeTransport();
  const connection = new NetlinkConnection(transport);
  assert.equal(connection.execute(ADD), []);
  connection.execute(GET);
  assert.equal(
    transport.requests.map(({ type, flags, sequence, portId }) => ({ type, flags, sequence, portId })),
    [
      { type: 16, flags: 0x605, sequence: 1, portId: 0 },
      { type: 18, flags: 0x5, sequence: 2, portId: 0 },
    ],
  );
  assertBytes(transport.requests[0]?.payload ?? bytes(''), ADD.payload);
});

test('execute() returns the messages before the acknowledgement', () => {
  const transport = new FakeTransport(() => [{ type: 16, payload: bytes('aa') }, { type: 17 }, acknowledge()]);
  const replies = new NetlinkConnection(transport).execute(GET);
  assert.equal(
    replies.map(({ type, payload }) => [type, ...payload]),
    [[16, 0xaa], [17]],
  );
});

test('execute() throws what the kernel said, in its words', () => {
  const words = join(attribute(1, Buffer.from('mtu too small\0')), attribute(2, u32(32)), attribute(5, u32(3)));
  const transport = new FakeTransport(() => [acknowledge(22, words)]);
  const error = failure(() => new NetlinkConnection(transport).execute(ADD));
  assert.is(error.message, 'Cannot add x (mtu too small, attribute 3 is missing): EINVAL');
  assert.is(error.name, 'NetlinkError');
  assert.ok(error instanceof ErrnoError);
  assert.equal(
    [error.operation, error.errno, error.code, error.syscall, error.kernelMessage, error.offset],
    ['add x', 22, 'EINVAL', 'netlink', 'mtu too small, attribute 3 is missing', 32],
  );
});

test('execute() throws the bare error when the kernel has no words', () => {
  const error = failure(() => new NetlinkConnection(new FakeTransport(() => [acknowledge(17)])).execute(ADD));
  assert.is(error.message, 'Cannot add x: EEXIST');
  assert.equal([error.kernelMessage, error.offset], [undefined, undefined]);
});

test('execute() ignores late replies to earlier requests', () => {
  let requests = 0;
  const transport = new ScriptedTransport((sequence) => {
    requests++;
    if (requests === 1) return [];
    return [answer(sequence - 1, -17), message({ type: 16, sequence: sequence - 1 }), answer(sequence)];
  });
  const connection = new NetlinkConnection(transport);
  assert.is(failure(() => connection.execute(ADD)).code, 'ETIMEDOUT');
  assert.equal(connection.execute(GET), []);
  assert.is(transport.left, 0);
});

test('execute() ignores replies to requests that were never made', () => {
  const transport = new ScriptedTransport((sequence) => [answer(sequence + 1, -1), answer(0, -1), answer(sequence)]);
  assert.equal(new NetlinkConnection(transport).execute(ADD), []);
});

test('execute() can be used again after an answer it did not understand', () => {
  const transport = new ScriptedTransport((sequence) =>
    sequence === 1 ? [bytes('ff ff ff'), answer(1, -17)] : [answer(sequence)],
  );
  const connection = new NetlinkConnection(transport);
  assert.is(failure(() => connection.execute(ADD)).code, 'EBADMSG');
  assert.equal(connection.execute(GET), []);
});

test('execute() skips NLMSG_NOOP', () => {
  const transport = new FakeTransport(() => [{ type: NLMSG_NOOP }, acknowledge()]);
  assert.equal(new NetlinkConnection(transport).execute(GET), []);
});

test('executeAll() sends one datagram and sorts the replies by request', () => {
  const transport = new ScriptedTransport((_, sent) => {
    assert.is(sent.length, 20 + 16 + 20, 'padded one after the other');
    return [
      join(message({ type: 50, sequence: 2 }), answer(1)),
      join(message({ type: 51, sequence: 2 }), answer(2), message({ type: 52, sequence: 3 })),
      answer(3),
    ];
  });
  const replies = new NetlinkConnection(transport).executeAll([ADD, GET, ADD]);
  assert.equal(
    replies.map((list) => list.map(({ type }) => type)),
    [[], [50, 51], [52]],
  );
  assert.is(transport.sent.length, 1);
  assert.is(transport.left, 0);
});

test('executeAll() throws the first failure when all have been answered', () => {
  const transport = new ScriptedTransport(() => [answer(1), answer(2, -17), answer(3, -19), answer(4)]);
  const connection = new NetlinkConnection(transport);
  const operations = ['a', 'b', 'c', 'd'].map((operation) => ({ ...ADD, operation }));
  assert.is(failure(() => connection.executeAll(operations)).message, 'Cannot b: EEXIST');
  assert.is(transport.left, 0, 'the socket is clean');
});

test('executeAll() sends no more at once than the answers that fit', () => {
  const lengths: number[] = [];
  const transport = new ScriptedTransport((sequence, sent) => {
    lengths.push(sent.length / 20);
    return Array.from({ length: sent.length / 20 }, (_, i) => answer(sequence + i));
  });
  const replies = new NetlinkConnection(transport).executeAll(Array.from({ length: 70 }, () => ADD));
  assert.equal([replies.length, lengths], [70, [32, 32, 6]]);
});

test('executeAll() asks for no acknowledgement of a query, and takes its object or a refusal for the answer', () => {
  const query = { ...GET, isQuery: true };
  const transport = new ScriptedTransport((_, sent) => {
    const flags = [6, 6 + 20, 6 + 20 + 16].map((at) => new DataView(sent.buffer, sent.byteOffset).getUint16(at, true));
    assert.equal(
      flags.map((each) => each & NLM_F_ACK),
      [NLM_F_ACK, 0, 0],
    );
    return [answer(1), message({ type: 50, sequence: 2 }), answer(3, -19)];
  });
  const connection = new NetlinkConnection(transport);
  assert.is(
    failure(() => connection.executeAll([ADD, query, { ...query, operation: 'get z' }])).message,
    'Cannot get z: ENODEV',
  );
  assert.is(transport.left, 0);
});

test('executeAll() counts an acknowledgement that comes twice once', () => {
  const transport = new ScriptedTransport(() => [answer(1), answer(1, -17), answer(2, -19)]);
  const error = failure(() => new NetlinkConnection(transport).executeAll([ADD, GET]));
  assert.is(error.message, 'Cannot get y: ENODEV');
});

test('executeAll() names the request whose answer is missing', () => {
  const transport = new ScriptedTransport(() => [answer(1)]);
  const error = failure(() => new NetlinkConnection(transport).executeAll([ADD, GET]));
  assert.is(error.message, 'Cannot get y (the kernel did not answer): ETIMEDOUT');
});

test('executeAll() takes the same request twice', () => {
  const transport = new FakeTransport();
  assert.equal(new NetlinkConnection(transport).executeAll([ADD, ADD]), [[], []]);
  assert.is(transport.requests.length, 2);
});

test('executeAll() of nothing sends nothing', () => {
  const transport = new FakeTransport();
  assert.equal(new NetlinkConnection(transport).executeAll([]), []);
  assert.is(transport.requests.length, 0);
});

const MALFORMED: readonly (readonly [string, Uint8Array])[] = [
  ['a truncated header', bytes('24 00 00 00 02 00')],
  ['a length past the end', answer(1).subarray(0, 30)],
  ['an acknowledgement without payload', message({ type: 2, sequence: 1 })],
  ['a positive error', answer(1, 17)],
  ['broken words', message({ type: 2, flags: 0x300, sequence: 1 }, s32(-1), new Uint8Array(16), bytes('ff 00 01 00'))],
];

for (const [title, datagram] of MALFORMED) {
  test(`execute() throws EBADMSG that names the operation for ${title}`, () => {
    const error = failure(() => new NetlinkConnection(new ScriptedTransport(() => [datagram])).execute(ADD));
    assert.is(error.code, 'EBADMSG');
    assert.match(error.message, /^Cannot add x \(.+\): EBADMSG$/);
  });
}

test('execute() throws when the kernel lost messages', () => {
  const transport = new FakeTransport(() => [{ type: NLMSG_OVERRUN }, acknowledge()]);
  const error = failure(() => new NetlinkConnection(transport).execute(ADD));
  assert.is(error.message, 'Cannot add x (the kernel lost messages): EBADMSG');
});

test('execute() throws ETIMEDOUT when no answer comes', () => {
  const error = failure(() => new NetlinkConnection(new ScriptedTransport(() => [])).execute(ADD));
  assert.is(error.message, 'Cannot add x (the kernel did not answer): ETIMEDOUT');
});

test('execute() passes other errors of the socket on', () => {
  const broken = new ErrnoError('Cannot send to the kernel', { syscall: 'sendto', errno: 105 });
  const transport = new ScriptedTransport(() => {
    throw broken;
  });
  assert.throws(
    () => new NetlinkConnection(transport).execute(ADD),
    (error: unknown) => error === broken,
  );
});

test('close() closes the transport', () => {
  const transport = new FakeTransport();
  new NetlinkConnection(transport).close();
  assert.ok(transport.isClosed);
});

test('understand() names the operation in errors about bytes, and lets others through', () => {
  assert.is(
    understand(ADD, () => 5),
    5,
  );
  const error = failure(() =>
    understand(ADD, () => {
      throw new MalformedMessageError('Link 3 has no name');
    }),
  );
  assert.is(error.message, 'Cannot add x (Link 3 has no name): EBADMSG');
  const other = new TypeError('x');
  assert.throws(
    () =>
      understand(ADD, () => {
        throw other;
      }),
    (thrown: unknown) => thrown === other,
  );
});

test.run();
