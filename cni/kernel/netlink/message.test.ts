import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertBytes, attribute, bytes, join, message, s32, u32 } from '../testing/bytes.ts';
import {
  decodeAcknowledgement,
  decodeDone,
  decodeMessages,
  encodeRequest,
  type Message,
  NLM_F_ACK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_CREATE,
  NLM_F_EXCL,
} from './message.ts';
import { MalformedMessageError } from './reader.ts';

const test = suite('netlink message');

const isMalformed = (error: unknown): boolean => error instanceof MalformedMessageError;

function only(datagram: Uint8Array): Message {
  const [first, ...others] = decodeMessages(datagram);
  assert.is(others.length, 0);
  if (!first) throw new Error('Cannot find a message in the datagram');
  return first;
}

// Captured: ip link add br0 type bridge, answered with EEXIST; strace -e trace=sendmsg,recvmsg -e write=all -e read=all,
// kernel 6.18. The sequence number is ip's clock.
const REQUEST = bytes(`
  38 00 00 00              ; nlmsg_len 56
  10 00 05 06              ; RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
  c9 26 01 6b              ; nlmsg_seq
  00 00 00 00              ; nlmsg_pid: the kernel fills in ours
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ; struct ifinfomsg
  08 00 03 00 62 72 30 00  ; IFLA_IFNAME "br0"
  10 00 12 00              ; IFLA_LINKINFO
  0a 00 01 00 62 72 69 64 67 65 00 00 ; IFLA_INFO_KIND "bridge"
`);

test('encodeRequest() and decodeMessages() agree on a captured request', () => {
  const payload = REQUEST.subarray(16);
  const request = { type: 16, flags: NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE, payload };
  assertBytes(encodeRequest(request, 0x6b0126c9), REQUEST);
  assert.equal(decodeMessages(REQUEST), [{ type: 16, flags: 0x605, sequence: 0x6b0126c9, portId: 0, payload }]);
});

test('encodeRequest() pads so that another request can follow in the datagram', () => {
  const encoded = encodeRequest({ type: 16, flags: 0, payload: bytes('01 02 03 04 05') }, 1);
  assertBytes(
    encoded,
    bytes('15 00 00 00 10 00 01 00 01 00 00 00 00 00 00 00 01 02 03 04 05 00 00 00'),
    'nlmsg_len does not count the padding',
  );
  const two = decodeMessages(join(encoded, encodeRequest({ type: 17, flags: 0, payload: s32(-1) }, 2)));
  assert.equal(
    two.map(({ type, sequence, payload }) => [type, sequence, [...payload]]),
    [
      [16, 1, [1, 2, 3, 4, 5]],
      [17, 2, [255, 255, 255, 255]],
    ],
  );
});

test('encodeRequest() refuses a type and a sequence number that do not fit', () => {
  assert.throws(
    () => encodeRequest({ type: 0x10000, flags: 0, payload: new Uint8Array() }, 1),
    (error: unknown) => error instanceof RangeError,
  );
  assert.throws(
    () => encodeRequest({ type: 1, flags: 0, payload: new Uint8Array() }, 2 ** 32),
    (error: unknown) => error instanceof RangeError,
  );
});

test('decodeMessages() forgives missing padding after the last message', () => {
  assertBytes(only(message({ type: 3 }, bytes('01'))).payload, bytes('01'));
});

test('decodeMessages() of an empty datagram is no message', () => {
  assert.equal(decodeMessages(new Uint8Array()), []);
});

const MALFORMED: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ['half a header', bytes('14 00 00 00 02 00'), /Truncated message/],
  ['stray bytes', join(message({ type: 3 }, s32(0)), bytes('00 00')), /Truncated message/],
  ['a length of zero', bytes(`00 00 00 00 ${'00 '.repeat(12)}`), /Invalid message length 0/],
  ['a length below the header', bytes(`0f 00 00 00 ${'00 '.repeat(12)}`), /Invalid message length 15/],
  ['a length past the end', bytes(`11 00 00 00 ${'00 '.repeat(12)}`), /1 bytes wanted, 0 left/],
  ['the longest length', bytes(`ff ff ff ff ${'00 '.repeat(12)}`), /4294967279 bytes wanted, 0 left/],
];

for (const [title, datagram, text] of MALFORMED) {
  test(`decodeMessages() refuses ${title}`, () => {
    assert.throws(
      () => decodeMessages(datagram),
      (error: unknown) => isMalformed(error) && text.test(String(error)),
    );
  });
}

test('decodeAcknowledgement() reads success', () => {
  // Captured: the kernel's answer to ip link add br0 type bridge, kernel 6.18. Only success is always capped.
  const acknowledgement = only(
    bytes(`
      24 00 00 00              ; nlmsg_len 36
      02 00 00 01              ; NLMSG_ERROR, NLM_F_CAPPED
      c8 26 01 6b 3f 1b 00 00  ; nlmsg_seq, nlmsg_pid
      00 00 00 00              ; error
      4c 00 00 00 10 00 05 06 c8 26 01 6b 00 00 00 00 ; nlmsghdr of the request
    `),
  );
  const { errno, ...words } = decodeAcknowledgement(acknowledgement);
  assert.ok(Object.is(errno, 0), 'not -0');
  assert.equal(words, { text: undefined, offset: undefined, missingType: undefined });
});

test('decodeAcknowledgement() reads a capped refusal with the words of the kernel', () => {
  // Captured: setLink(br0, { mtu: 70000 }) over a socket with NETLINK_CAP_ACK and NETLINK_EXT_ACK, recvfrom in strace,
  // kernel 6.18.
  const refusal = only(
    bytes(`
      48 00 00 00              ; nlmsg_len 72
      02 00 00 03              ; NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS
      0d 00 00 00 94 1d 00 00  ; nlmsg_seq, nlmsg_pid
      ea ff ff ff              ; error -EINVAL
      28 00 00 00 13 00 05 00 0d 00 00 00 00 00 00 00 ; nlmsghdr of the request
      24 00 01 00              ; NLMSGERR_ATTR_MSG
      6d 74 75 20 67 72 65 61 74 65 72 20 74 68 61 6e ; "mtu greater than
      20 64 65 76 69 63 65 20 6d 61 78 69 6d 75 6d 00 ;  device maximum"
    `),
  );
  assert.equal(decodeAcknowledgement(refusal), {
    errno: 22,
    text: 'mtu greater than device maximum',
    offset: undefined,
    missingType: undefined,
  });
});

test('decodeAcknowledgement() skips the request that an uncapped refusal repeats', () => {
  // 17 bytes of request: the attributes start at the next multiple of four.
  const request = message({ type: 16, flags: 5, sequence: 1 }, bytes('aa'));
  const words = join(attribute(1, Buffer.from('no\0')), attribute(2, u32(36)), attribute(5, u32(18)));
  const refusal = message({ type: 2, flags: NLM_F_ACK_TLVS }, s32(-95), request, new Uint8Array(3), words);
  assert.equal(decodeAcknowledgement(only(refusal)), { errno: 95, text: 'no', offset: 36, missingType: 18 });
});

test('decodeAcknowledgement() reads an uncapped refusal without words', () => {
  const refusal = message({ type: 2 }, s32(-19), REQUEST);
  assert.is(decodeAcknowledgement(only(refusal)).errno, 19);
});

test('decodeAcknowledgement() keeps clear of attributes that no flag announces', () => {
  const header = REQUEST.subarray(0, 16);
  const refusal = message({ type: 2, flags: NLM_F_CAPPED }, s32(-19), header, attribute(1, Buffer.from('no\0')));
  assert.is(decodeAcknowledgement(only(refusal)).text, undefined);
});

test('decodeAcknowledgement() ignores attributes it does not know', () => {
  const flags = NLM_F_CAPPED | NLM_F_ACK_TLVS;
  const refusal = message({ type: 2, flags }, s32(-1), REQUEST.subarray(0, 16), attribute(99, bytes('01')));
  assert.equal(decodeAcknowledgement(only(refusal)), {
    errno: 1,
    text: undefined,
    offset: undefined,
    missingType: undefined,
  });
});

const requestOfLength = (length: number) => join(u32(length), new Uint8Array(12));
const BAD_ACKNOWLEDGEMENTS: readonly (readonly [string, Uint8Array])[] = [
  ['no payload', message({ type: 2 })],
  ['an error alone', message({ type: 2 }, s32(-1))],
  ['half a request header', message({ type: 2 }, s32(-1), new Uint8Array(15))],
  ['a positive error', message({ type: 2 }, s32(1), REQUEST)],
  ['a request of length 0', message({ type: 2 }, s32(-1), requestOfLength(0))],
  ['a request longer than what follows', message({ type: 2 }, s32(-1), requestOfLength(17))],
  // Rounded up in 32 bits these lengths become 0 and a negative number.
  ['a request of 2 ** 32 - 1 bytes', message({ type: 2, flags: 0x200 }, s32(-1), requestOfLength(0xffffffff))],
  ['a request of 2 ** 31 bytes', message({ type: 2, flags: 0x200 }, s32(-1), requestOfLength(0x80000000))],
  ['broken attributes', message({ type: 2, flags: 0x300 }, s32(-1), requestOfLength(16), bytes('ff 00 01 00'))],
  [
    'an offset of two bytes',
    message({ type: 2, flags: 0x300 }, s32(-1), requestOfLength(16), attribute(2, bytes('01 00'))),
  ],
];

for (const [title, datagram] of BAD_ACKNOWLEDGEMENTS) {
  test(`decodeAcknowledgement() refuses ${title}`, () => {
    assert.throws(() => decodeAcknowledgement(only(datagram)), isMalformed);
  });
}

test('decodeDone() reads the end of a dump', () => {
  assert.is(decodeDone(only(message({ type: 3, flags: 2 }, s32(0)))).errno, 0);
  assert.is(decodeDone(only(message({ type: 3, flags: 2 }, s32(-4)))).errno, 4);
  assert.throws(() => decodeDone(only(message({ type: 3 }, bytes('00 00')))), isMalformed);
  assert.throws(() => decodeDone(only(message({ type: 3 }, s32(5)))), isMalformed);
});

test('decodeDone() reads why a dump was refused', () => {
  // Captured: RTM_GETLINK with NLM_F_DUMP and ifi_flags 1 over a socket with strict checking, kernel 6.18.
  const done = only(
    bytes(`
      48 00 00 00              ; nlmsg_len 72
      03 00 02 02              ; NLMSG_DONE, NLM_F_MULTI | NLM_F_ACK_TLVS
      1d 00 00 00 94 1d 00 00  ; nlmsg_seq, nlmsg_pid
      ea ff ff ff              ; error -EINVAL
      33 00 01 00              ; NLMSGERR_ATTR_MSG
      49 6e 76 61 6c 69 64 20 76 61 6c 75 65 73 20 69 ; "Invalid values i
      6e 20 68 65 61 64 65 72 20 66 6f 72 20 6c 69 6e ; n header for lin
      6b 20 64 75 6d 70 20 72 65 71 75 65 73 74 00 00 ; k dump request"
    `),
  );
  const { errno, text } = decodeDone(done);
  assert.equal({ errno, text }, { errno: 22, text: 'Invalid values in header for link dump request' });
});

test.run();
