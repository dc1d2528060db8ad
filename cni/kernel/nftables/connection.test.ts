import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EINVAL, EMSGSIZE, ENOBUFS, ENOENT, ErrnoError } from '../errno.ts';
import { acknowledge, type FakeReply, FakeTransport } from '../netlink/fake-transport.ts';
import { type Message, NLM_F_ACK, NLM_F_REQUEST } from '../netlink/message.ts';
import { bytes, message, s32 } from '../testing/bytes.ts';
import { ScriptedTransport } from '../testing/scripted-transport.ts';
import { isOutdated, NftablesConnection } from './connection.ts';
import { ERESTART, NFNL_MSG_BATCH_BEGIN, NFPROTO_INET } from './constants.ts';
import { addTable, getTable } from './table.ts';

const test = suite('nftables connection');
/** include/uapi/asm-generic/errno.h */
const ELOOP = 40;
const OPERATIONS = ['a', 'b', 'c'].map((name) => addTable({ family: NFPROTO_INET, name }));

/** A kernel that answers the messages of a batch: number 0 is the begin message, 1 the first operation. */
function answering(script: Record<number, FakeReply[]>): FakeTransport {
  let begin = 0;
  return new FakeTransport((request: Message) => {
    if (request.type === NFNL_MSG_BATCH_BEGIN) begin = request.sequence;
    return script[request.sequence - begin] ?? [];
  });
}

function failureOf(work: () => unknown): { message: string; errno: number } {
  try {
    work();
  } catch (error) {
    if (error instanceof ErrnoError) return { message: error.message, errno: error.errno };
    throw error;
  }
  throw new Error('nothing was thrown');
}

test('commit() succeeds with the acknowledgement of the last operation', () => {
  const transport = answering({ 3: [acknowledge()] });
  new NftablesConnection(transport).commit(OPERATIONS);
  assert.is(transport.requests.length, 5);
});

test('commit() sends nothing for no operations', () => {
  const transport = answering({});
  new NftablesConnection(transport).commit([]);
  assert.equal(transport.requests, []);
});

test('commit() names the operation that was refused', () => {
  const nft = new NftablesConnection(answering({ 2: [acknowledge(ENOENT)], 3: [acknowledge()] }));
  assert.equal(
    failureOf(() => nft.commit(OPERATIONS)),
    { message: 'Cannot add table inet b: ENOENT', errno: ENOENT },
  );
});

test('commit() names the first of several, and reads all answers', () => {
  const transport = answering({ 1: [acknowledge(EINVAL)], 2: [acknowledge(ENOENT)], 3: [acknowledge(ENOENT)] });
  const nft = new NftablesConnection(transport);
  assert.equal(
    failureOf(() => nft.commit(OPERATIONS)),
    { message: 'Cannot add table inet a: EINVAL', errno: EINVAL },
  );
  assert.throws(() => transport.receive(), /no further reply/);
});

test('commit() reports a batch that as a whole is refused, and the next one passes over what is left of it', () => {
  // A chain that leads to itself: every operation is right, the error comes before the acknowledgement of the last.
  const script: Record<number, FakeReply[]> = { 0: [acknowledge(ELOOP)], 3: [acknowledge()] };
  const nft = new NftablesConnection(answering(script));
  const { message: text, errno } = failureOf(() => nft.commit(OPERATIONS));
  assert.is(text, 'Cannot commit a batch of 3 operations (first: add table inet a): ELOOP');
  assert.is(errno, ELOOP);
  script[0] = [];
  script[2] = [acknowledge(ENOENT)];
  assert.match(failureOf(() => nft.commit(OPERATIONS)).message, 'Cannot add table inet b');
});

test('commit() does not wait for more when the batch was not looked at', () => {
  const nft = new NftablesConnection(answering({ 0: [acknowledge(ERESTART)] }));
  let caught: unknown;
  try {
    nft.commit(OPERATIONS, 7);
  } catch (error) {
    caught = error;
  }
  assert.ok(isOutdated(caught));
});

test('commit() and execute() pass over answers to each other', () => {
  // The batch leaves the acknowledgement of its last operation unread; the question must not take it for its own.
  const nft = new NftablesConnection(answering({ 0: [acknowledge(ELOOP)], 3: [acknowledge()] }));
  assert.throws(() => nft.commit(OPERATIONS));
  const asking = new FakeTransport((request) => [
    { ...acknowledge(), sequence: 0x8000_0003 },
    { type: 0x0a00, payload: bytes('01 00 00 00') },
    { ...acknowledge(), sequence: request.sequence },
  ]);
  const [answer] = new NftablesConnection(asking).execute(getTable({ family: NFPROTO_INET, name: 'a' }));
  assert.is(answer?.type, 0x0a00);
});

test('commit() finds the first error when the receive buffer was too small for all', () => {
  const errorOf = (sequence: number, errno: number) =>
    message({ type: 2, sequence }, s32(-errno), message({ type: 0, sequence }));
  const left = [errorOf(0x8000_0001, ENOENT)];
  let hasOverrun = false;
  const nft = new NftablesConnection({
    send: () => undefined,
    receive() {
      if (!hasOverrun) {
        hasOverrun = true;
        throw new ErrnoError('Cannot receive from the kernel', { syscall: 'recvfrom', errno: ENOBUFS });
      }
      const answer = left.shift();
      if (!answer) throw new Error('it waits for an answer that was lost');
      return answer;
    },
    close: () => undefined,
  });
  assert.is(failureOf(() => nft.commit(OPERATIONS)).message, 'Cannot add table inet a: ENOENT');
  const afterwards = failureOf(() => nft.getGeneration());
  assert.match(afterwards.message, /get the generation.*full of errors of an earlier batch.*ENOBUFS/);
  assert.is(failureOf(() => nft.commit(OPERATIONS)).errno, ENOBUFS);
});

test('commit() says how large a batch is that the socket does not take', () => {
  const nft = new NftablesConnection({
    send() {
      throw new ErrnoError('Cannot send to the kernel', { syscall: 'sendto', errno: EMSGSIZE });
    },
    receive() {
      throw new Error('it waits for an answer to what was not sent');
    },
    close: () => undefined,
  });
  assert.match(failureOf(() => nft.commit(OPERATIONS)).message, /its 148 bytes are more than .*: EMSGSIZE/);
});

test('commit() fails when the kernel says nothing, or nonsense', () => {
  const silent = new NftablesConnection(new ScriptedTransport(() => []));
  assert.match(failureOf(() => silent.commit(OPERATIONS)).message, /did not answer.*ETIMEDOUT/);
  const broken = new NftablesConnection(new ScriptedTransport(() => [bytes('03 00 00 00 02 00')]));
  assert.match(failureOf(() => broken.commit(OPERATIONS)).message, /EBADMSG/);
});

test('askAll() asks without acknowledgements, and gives undefined for what is not there', () => {
  const sent: number[] = [];
  const transport = new FakeTransport(({ payload }) =>
    payload.includes('b'.charCodeAt(0)) ? [acknowledge(ENOENT)] : [{ type: 0x0a00, payload }],
  );
  const send = transport.send.bind(transport);
  transport.send = (datagram) => {
    const before = transport.requests.length;
    send(datagram);
    sent.push(transport.requests.length - before);
  };
  const queries = ['a', 'b', 'c'].map((name) => getTable({ family: NFPROTO_INET, name }));
  const [a, b, c] = new NftablesConnection(transport).askAll(queries);
  assert.equal([a?.payload, b, c?.payload], [queries[0]?.payload, undefined, queries[2]?.payload]);
  assert.equal(sent, [3]);
  assert.ok(transport.requests.every(({ flags }) => flags === NLM_F_REQUEST));
  sent.length = 0;
  assert.is(
    new NftablesConnection(transport).askAll(Array.from({ length: 40 }, () => getTable({ family: 1, name: 'a' })))
      .length,
    40,
  );
  assert.equal(sent, [16, 16, 8]);
  assert.equal(new NftablesConnection(transport).askAll([]), []);
});

test('askAll() throws the first error that is more than an absence, when all have been answered', () => {
  const errnos = [ENOENT, EINVAL, ELOOP];
  const transport = new FakeTransport(() => [acknowledge(errnos.shift())]);
  const nft = new NftablesConnection(transport);
  const queries = ['a', 'b', 'c'].map((name) => getTable({ family: NFPROTO_INET, name }));
  assert.equal(
    failureOf(() => nft.askAll(queries)),
    { message: 'Cannot get table inet b: EINVAL', errno: EINVAL },
  );
  assert.throws(() => transport.receive(), /no further reply/);
  errnos.push(ENOENT, EINVAL, ENOENT);
  assert.equal(nft.askAll(queries, [ENOENT, EINVAL]), [undefined, undefined, undefined]);
  // An acknowledgement is no answer to a question.
  assert.match(failureOf(() => nft.askAll(queries)).message, /acknowledged instead of answered.*EBADMSG/);
});

test('commit() enlarges the buffers of the socket once, for a large batch', () => {
  let enlarged = 0;
  const transport = Object.assign(new FakeTransport(({ flags }) => (flags & NLM_F_ACK ? [acknowledge()] : [])), {
    enlarge: () => void enlarged++,
  });
  const nft = new NftablesConnection(transport);
  nft.commit(OPERATIONS);
  assert.is(enlarged, 0);
  for (let i = 0; i < 2; i++) nft.commit(Array.from({ length: 65 }, () => OPERATIONS).flat());
  assert.is(enlarged, 1);
});

test('getGeneration() reads the number of the ruleset', () => {
  // Captured: strace -e trace=recvmsg -e read=all nft list ruleset: NFTA_GEN_ID 18, then who made it
  const answer = bytes('00 00 00 12 08 00 01 00 00 00 00 12 08 00 02 00 00 00 22 82 08 00 03 00 6e 66 74 00');
  const nft = new NftablesConnection(new FakeTransport(() => [{ type: 0x0a0f, payload: answer }, acknowledge()]));
  assert.is(nft.getGeneration(), 18);
});

test.run();
