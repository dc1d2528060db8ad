import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { attribute, bytes, join, message, s32 } from '../testing/bytes.ts';
import { type DatagramScript, ScriptedTransport } from '../testing/scripted-transport.ts';
import { thrown, thrownOf } from '../testing/thrown.ts';
import { NetlinkConnection, type Operation } from './connection.ts';
import { NetlinkError } from './error.ts';
import { acknowledge, done, FakeTransport } from './fake-transport.ts';
import { NLM_F_DUMP_INTR, NLMSG_NOOP, NLMSG_OVERRUN } from './message.ts';

const test = suite('netlink connection: dumps');

const LIST: Operation = { operation: 'list links', type: 18, flags: 0, payload: bytes('00 00 00 00') };
const EINTR = 4;
const EBUSY = 16;

/** An object of a dump: `id` is its type, so that tests can tell them apart. */
const object = (sequence: number, id: number, flags = 2) => message({ type: id, flags, sequence }, s32(id));
const end = (sequence: number, error = 0, flags = 2) => message({ type: 3, flags, sequence }, s32(error));

function dump(script: DatagramScript): { ids: number[]; attempts: number; left: number } {
  const transport = new ScriptedTransport(script);
  const ids = new NetlinkConnection(transport).dump(LIST).map(({ type }) => type);
  return { ids, attempts: transport.sent.length, left: transport.left };
}

function failure(script: DatagramScript): NetlinkError {
  return thrownOf(NetlinkError, () => dump(script));
}

test('dump() asks with NLM_F_DUMP and without NLM_F_ACK', () => {
  const transport = new FakeTransport(() => [done()]);
  assert.equal(new NetlinkConnection(transport).dump(LIST), []);
  assert.equal(
    transport.requests.map(({ type, flags }) => [type, flags]),
    [[18, 0x301]],
  );
});

test('dump() collects objects over several datagrams, in order', () => {
  assert.equal(
    dump((n) => [join(object(n, 50), object(n, 51)), object(n, 52), join(object(n, 53), end(n))]),
    { ids: [50, 51, 52, 53], attempts: 1, left: 0 },
  );
});

test('dump() skips NLMSG_NOOP and what belongs to other requests', () => {
  assert.equal(
    dump((n) => [end(n - 1, -5), object(n + 1, 60), message({ type: NLMSG_NOOP, sequence: n }), object(n, 50), end(n)]),
    { ids: [50], attempts: 1, left: 0 },
  );
});

test('dump() repeats itself when a message says that it was interrupted', () => {
  assert.equal(
    dump((n) => (n === 1 ? [object(n, 50), object(n, 51, 2 | NLM_F_DUMP_INTR), end(n)] : [object(n, 60), end(n)])),
    { ids: [60], attempts: 2, left: 0 },
  );
});

test('dump() repeats itself when only NLMSG_DONE says that it was interrupted', () => {
  assert.equal(
    dump((n) => [object(n, 50 + n), end(n, 0, n < 4 ? 2 | NLM_F_DUMP_INTR : 2)]),
    { ids: [54], attempts: 4, left: 0 },
  );
});

test('dump() repeats itself when it ends with EINTR', () => {
  assert.equal(
    dump((n) => [object(n, 50 + n), end(n, n < 3 ? -EINTR : 0)]),
    { ids: [53], attempts: 3, left: 0 },
  );
});

test('dump() reads an interrupted dump to its end before it asks again', () => {
  const transport = new ScriptedTransport((n) => {
    if (n === 1) return [object(n, 50, 2 | NLM_F_DUMP_INTR), object(n, 51), object(n, 52), end(n)];
    return [object(n, 60), end(n)];
  });
  const send = transport.send.bind(transport);
  transport.send = (datagram) => {
    assert.is(transport.left, 0, 'the socket is clean when a request goes out');
    send(datagram);
  };
  assert.is(new NetlinkConnection(transport).dump(LIST).length, 1);
});

test('dump() gives up with EBUSY when the objects keep changing', () => {
  for (const script of [
    (n: number) => [object(n, 50, 2 | NLM_F_DUMP_INTR), end(n)],
    (n: number) => [end(n, -EINTR)],
  ] satisfies DatagramScript[]) {
    let attempts = 0;
    const error = failure((n) => {
      attempts++;
      return script(n);
    });
    assert.is(error.errno, EBUSY);
    assert.is(error.message, 'Cannot list links (interrupted by changes 30 times in a row): EBUSY');
    assert.is(attempts, 30);
  }
});

test('dump() throws what the kernel has against the request', () => {
  const transport = new FakeTransport(() => [acknowledge(95, attribute(1, Buffer.from('not here\0')))]);
  const error = thrown(() => new NetlinkConnection(transport).dump(LIST));
  assert.is(error.message, 'Cannot list links (not here): EOPNOTSUPP');
});

test('dump() throws the error and the words in NLMSG_DONE', () => {
  const words = attribute(1, Buffer.from('Invalid values in header\0'));
  const error = failure((n) => [object(n, 50), message({ type: 3, flags: 0x202, sequence: n }, s32(-22), words)]);
  assert.is(error.message, 'Cannot list links (Invalid values in header): EINVAL');
});

test('dump() can be repeated after one that failed in the middle', () => {
  const transport = new ScriptedTransport((n) =>
    n === 1 ? [bytes('01 02'), object(1, 50), end(1)] : [object(n, 60), end(n)],
  );
  const connection = new NetlinkConnection(transport);
  assert.throws(() => connection.dump(LIST), /EBADMSG/);
  assert.equal(
    connection.dump(LIST).map(({ type }) => type),
    [60],
  );
});

test('dump() throws ETIMEDOUT when the end does not come', () => {
  const error = failure((n) => [object(n, 50)]);
  assert.is(error.message, 'Cannot list links (the kernel did not answer): ETIMEDOUT');
});

const MALFORMED: readonly (readonly [string, DatagramScript])[] = [
  ['a truncated object', (n) => [object(n, 50).subarray(0, 18)]],
  ['an end without its error', (n) => [message({ type: 3, sequence: n })]],
  ['an end with a positive error', (n) => [end(n, 4)]],
  ['an end with broken words', (n) => [message({ type: 3, flags: 0x202, sequence: n }, s32(-1), bytes('07'))]],
  ['an acknowledgement instead of objects', (n) => [message({ type: 2, sequence: n }, new Uint8Array(20))]],
  ['a refusal that is cut off', (n) => [message({ type: 2, sequence: n }, s32(-1))]],
  ['messages that the kernel lost', (n) => [message({ type: NLMSG_OVERRUN, sequence: n }), end(n)]],
];

for (const [title, script] of MALFORMED) {
  test(`dump() throws EBADMSG that names the operation for ${title}`, () => {
    const error = failure(script);
    assert.is(error.code, 'EBADMSG');
    assert.match(error.message, /^Cannot list links \(.+\): EBADMSG$/);
  });
}

test.run();
