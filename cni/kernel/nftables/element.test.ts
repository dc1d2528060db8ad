import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ENOENT, EPERM } from '../errno.ts';
import { acknowledge, FakeTransport } from '../netlink/fake-transport.ts';
import type { Message } from '../netlink/message.ts';
import { MalformedMessageError } from '../netlink/reader.ts';
import { assertBytes, bytes, received } from '../testing/bytes.ts';
import { NftablesConnection } from './connection.ts';
import { NFPROTO_INET } from './constants.ts';
import {
  addElement,
  decodeElement,
  deleteElement,
  describeElement,
  type Element,
  encodeElement,
  findElement,
  isSameElement,
} from './element.ts';
import { INET_PROTOCOL, INET_SERVICE, IPV4_ADDR, IPV6_ADDR } from './key.ts';
import type { NamedSet } from './set.ts';

const test = suite('nftables element');
const table = { family: NFPROTO_INET, name: 'podlink' };
const comment = 'c';
const SOURCES: NamedSet = { table, name: 'masquerade_v4', key: [IPV4_ADDR], interval: false, comment };
const EXCEPTIONS: NamedSet = { table, name: 'except_v4', key: [IPV4_ADDR, IPV4_ADDR], interval: true, comment };
const EXCEPTIONS_V6: NamedSet = { table, name: 'except_v6', key: [IPV6_ADDR, IPV6_ADDR], interval: true, comment };

const SOURCE: Element = { set: SOURCES, key: bytes('0a 00 00 05'), comment: 'abc' };
const EXCEPTION: Element = {
  set: EXCEPTIONS,
  key: bytes('0a 00 00 05 0a 00 00 00'),
  keyEnd: bytes('0a 00 00 05 0a 00 ff ff'),
  comment: 'abc',
};
const EXCEPTION_V6: Element = {
  set: EXCEPTIONS_V6,
  key: bytes('fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 05 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00'),
  keyEnd: bytes('fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 05 fd 00 00 00 00 00 00 00 ff ff ff ff ff ff ff ff'),
  comment: 'abc',
};

// Captured: strace -e trace=sendmsg -e write=all nft add element inet podlink masquerade_v4 '{ 10.0.0.5 comment "abc" }'
// (nftables 1.0.6), without the set's ID (NFTA_SET_ELEM_LIST_SET_ID), which is for sets made in the same batch that
// have no name yet.
const NEWSETELEM = bytes(`
  01 00 00 00  ; nfgen_family NFPROTO_INET, version, res_id
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_SET_ELEM_LIST_TABLE "podlink"
  12 00 02 00 6d 61 73 71 75 65 72 61 64 65 5f 76 34 00 00 00  ; NFTA_SET_ELEM_LIST_SET "masquerade_v4"
  20 00 03 80  ; NFTA_SET_ELEM_LIST_ELEMENTS nested
  1c 00 01 80  ; NFTA_LIST_ELEM nested
  0c 00 01 80 08 00 01 00 0a 00 00 05  ; NFTA_SET_ELEM_KEY nested, NFTA_DATA_VALUE 10.0.0.5
  0a 00 06 00 00 04 61 62 63 00 00 00  ; NFTA_SET_ELEM_USERDATA comment "abc"
`);

// Captured the same way: { 10.0.0.5 . 10.0.0.0/16 comment "abc" } and { fd00::5 . fd00::/64 comment "abc" }
const NEWSETELEM_RANGE = bytes(`
  01 00 00 00
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_SET_ELEM_LIST_TABLE "podlink"
  0e 00 02 00 65 78 63 65 70 74 5f 76 34 00 00 00  ; NFTA_SET_ELEM_LIST_SET "except_v4"
  34 00 03 80  ; NFTA_SET_ELEM_LIST_ELEMENTS nested
  30 00 01 80  ; NFTA_LIST_ELEM nested
  10 00 01 80 0c 00 01 00 0a 00 00 05 0a 00 00 00  ; NFTA_SET_ELEM_KEY nested, NFTA_DATA_VALUE 10.0.0.5 . 10.0.0.0
  10 00 0a 80 0c 00 01 00 0a 00 00 05 0a 00 ff ff  ; NFTA_SET_ELEM_KEY_END nested, 10.0.0.5 . 10.0.255.255
  0a 00 06 00 00 04 61 62 63 00 00 00  ; NFTA_SET_ELEM_USERDATA comment "abc"
`);
const NEWSETELEM_RANGE_V6 = bytes(`
  01 00 00 00
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_SET_ELEM_LIST_TABLE "podlink"
  0e 00 02 00 65 78 63 65 70 74 5f 76 36 00 00 00  ; NFTA_SET_ELEM_LIST_SET "except_v6"
  64 00 03 80  ; NFTA_SET_ELEM_LIST_ELEMENTS nested
  60 00 01 80  ; NFTA_LIST_ELEM nested
  28 00 01 80 24 00 01 00  ; NFTA_SET_ELEM_KEY nested, NFTA_DATA_VALUE
  fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 05  ; fd00::5
  fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ; fd00::
  28 00 0a 80 24 00 01 00  ; NFTA_SET_ELEM_KEY_END nested, NFTA_DATA_VALUE
  fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 05  ; fd00::5
  fd 00 00 00 00 00 00 00 ff ff ff ff ff ff ff ff  ; fd00::ffff:ffff:ffff:ffff
  0a 00 06 00 00 04 61 62 63 00 00 00  ; NFTA_SET_ELEM_USERDATA comment "abc"
`);

// Captured the same way: nft delete element inet podlink masquerade_v4 '{ 10.0.0.5 }'
const DELSETELEM = bytes(`
  01 00 00 00
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_SET_ELEM_LIST_TABLE "podlink"
  12 00 02 00 6d 61 73 71 75 65 72 61 64 65 5f 76 34 00 00 00  ; NFTA_SET_ELEM_LIST_SET "masquerade_v4"
  14 00 03 80  ; NFTA_SET_ELEM_LIST_ELEMENTS nested
  10 00 01 80  ; NFTA_LIST_ELEM nested
  0c 00 01 80 08 00 01 00 0a 00 00 05  ; NFTA_SET_ELEM_KEY nested, NFTA_DATA_VALUE 10.0.0.5
`);

// Captured: strace -e trace=recvmsg -e read=all nft get element …, kernel 6.18: no NLA_F_NESTED in what the kernel sends
const ANSWER = bytes(`
  01 00 00 03  ; nfgen_family NFPROTO_INET, version, res_id: the generation's last 16 bits
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_SET_ELEM_LIST_TABLE "podlink"
  0e 00 02 00 65 78 63 65 70 74 5f 76 34 00 00 00  ; NFTA_SET_ELEM_LIST_SET "except_v4"
  34 00 03 00  ; NFTA_SET_ELEM_LIST_ELEMENTS
  30 00 01 00  ; NFTA_LIST_ELEM
  10 00 01 00 0c 00 01 00 0a 00 00 05 0a 00 00 00  ; NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE 10.0.0.5 . 10.0.0.0
  10 00 0a 00 0c 00 01 00 0a 00 00 05 0a 00 ff ff  ; NFTA_SET_ELEM_KEY_END, 10.0.0.5 . 10.0.255.255
  0a 00 06 00 00 04 61 62 63 00 00 00  ; NFTA_SET_ELEM_USERDATA comment "abc"
`);

const PORTS: NamedSet = {
  table,
  name: 'portmap_any_v4',
  key: [INET_PROTOCOL, INET_SERVICE],
  interval: false,
  data: [IPV4_ADDR, INET_SERVICE],
  comment,
};
const RANGES: NamedSet = {
  table,
  name: 'portmap_range_v4',
  key: [IPV4_ADDR, INET_PROTOCOL, INET_SERVICE],
  interval: true,
  data: [IPV4_ADDR],
  comment,
};
const PORT: Element = {
  set: PORTS,
  key: bytes('06 00 00 00 1f 90 00 00'),
  data: bytes('0a 00 00 05 00 50 00 00'),
  comment: 'abc',
};
const PORT_RANGE: Element = {
  set: RANGES,
  key: bytes('c0 00 02 01 06 00 00 00 1f 40 00 00'),
  keyEnd: bytes('c0 00 02 01 06 00 00 00 1f 4a 00 00'),
  data: bytes('0a 00 00 05'),
  comment: 'abc',
};

// Captured the same way: { tcp . 8080 comment "abc" : 10.0.0.5 . 80 }, and
// { 192.0.2.1 . tcp . 8000-8010 comment "abc" : 10.0.0.5 }
const NEWSETELEM_MAP = bytes(`
  01 00 00 00
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_SET_ELEM_LIST_TABLE "podlink"
  13 00 02 00 70 6f 72 74 6d 61 70 5f 61 6e 79 5f 76 34 00 00  ; NFTA_SET_ELEM_LIST_SET "portmap_any_v4"
  34 00 03 80 30 00 01 80  ; NFTA_SET_ELEM_LIST_ELEMENTS nested, NFTA_LIST_ELEM nested
  10 00 01 80 0c 00 01 00 06 00 00 00 1f 90 00 00  ; NFTA_SET_ELEM_KEY nested, NFTA_DATA_VALUE tcp . 8080
  10 00 02 80 0c 00 01 00 0a 00 00 05 00 50 00 00  ; NFTA_SET_ELEM_DATA nested, NFTA_DATA_VALUE 10.0.0.5 . 80
  0a 00 06 00 00 04 61 62 63 00 00 00  ; NFTA_SET_ELEM_USERDATA comment "abc"
`);
const NEWSETELEM_MAP_RANGE = bytes(`
  01 00 00 00
  0c 00 01 00 70 6f 64 6c 69 6e 6b 00  ; NFTA_SET_ELEM_LIST_TABLE "podlink"
  15 00 02 00 70 6f 72 74 6d 61 70 5f 72 61 6e 67 65 5f 76 34 00 00 00 00  ; NFTA_SET_ELEM_LIST_SET
  48 00 03 80 44 00 01 80  ; NFTA_SET_ELEM_LIST_ELEMENTS nested, NFTA_LIST_ELEM nested
  14 00 01 80 10 00 01 00 c0 00 02 01 06 00 00 00 1f 40 00 00  ; NFTA_SET_ELEM_KEY nested, 192.0.2.1 . tcp . 8000
  14 00 0a 80 10 00 01 00 c0 00 02 01 06 00 00 00 1f 4a 00 00  ; NFTA_SET_ELEM_KEY_END nested, 192.0.2.1 . tcp . 8010
  0c 00 02 80 08 00 01 00 0a 00 00 05  ; NFTA_SET_ELEM_DATA nested, NFTA_DATA_VALUE 10.0.0.5
  0a 00 06 00 00 04 61 62 63 00 00 00  ; NFTA_SET_ELEM_USERDATA comment "abc"
`);

test('addElement() sends what nft sends for elements of maps', () => {
  assertBytes(addElement(PORT).payload, NEWSETELEM_MAP);
  assertBytes(addElement(PORT_RANGE).payload, NEWSETELEM_MAP_RANGE);
  assert.is(addElement(PORT).operation, 'add element tcp . 8080 : 10.0.0.5 . 80 to set portmap_any_v4');
  assert.is(describeElement(PORT_RANGE), '192.0.2.1 . tcp . 8000-8010 : 10.0.0.5');
});

test('deleteElement() finds an element of a map by its key alone', () => {
  const { operation, payload } = deleteElement(PORT);
  assert.is(operation, 'delete element tcp . 8080 from set portmap_any_v4');
  assert.equal(decodeElement(PORTS, received(payload)), { set: PORTS, key: PORT.key });
});

test('isSameElement() looks at the value, and not at the comment', () => {
  assert.ok(isSameElement(PORT, { ...PORT, comment: 'other' }));
  assert.not.ok(isSameElement(PORT, { ...PORT, data: bytes('0a 00 00 06 00 50 00 00') }));
});

test('encodeElement() wants a value in a map, and in no other set', () => {
  const { data: _, ...withoutValue } = PORT;
  assert.throws(() => encodeElement(withoutValue), /set portmap_any_v4: it must have a value/);
  assert.throws(() => encodeElement({ ...SOURCE, data: bytes('0a') }), /masquerade_v4: it must not have a value/);
});

test('addElement() sends what nft sends, for a key that must be new', () => {
  const { type, flags, payload, operation } = addElement(SOURCE);
  assert.equal([type, flags, operation], [0x0a0c, 0x600, 'add element 10.0.0.5 to set masquerade_v4']);
  assertBytes(payload, NEWSETELEM);
});

test('addElement() sends what nft sends for ranges', () => {
  assertBytes(addElement(EXCEPTION).payload, NEWSETELEM_RANGE);
  assertBytes(addElement(EXCEPTION_V6).payload, NEWSETELEM_RANGE_V6);
  assert.is(addElement(EXCEPTION).operation, 'add element 10.0.0.5 . 10.0.0.0-10.0.255.255 to set except_v4');
});

test('deleteElement() sends what nft sends', () => {
  const { type, flags, payload, operation } = deleteElement(SOURCE);
  assert.equal([type, flags, operation], [0x0a0e, 0, 'delete element 10.0.0.5 from set masquerade_v4']);
  assertBytes(payload, DELSETELEM);
});

test('decodeElement() reads what encodeElement() writes', () => {
  for (const element of [SOURCE, EXCEPTION, EXCEPTION_V6, PORT, PORT_RANGE]) {
    assert.equal(decodeElement(element.set, received(encodeElement(element))), element);
  }
});

test('decodeElement() reads an answer of the kernel', () => {
  assert.equal(decodeElement(EXCEPTIONS, received(ANSWER)), EXCEPTION);
});

test('decodeElement() refuses an answer without a key', () => {
  assert.throws(
    () => decodeElement(SOURCES, received(NEWSETELEM.subarray(0, 36))),
    (error: unknown) => error instanceof MalformedMessageError,
  );
});

test('encodeElement() wants an end for a set with ranges, and for no other', () => {
  assert.throws(() => encodeElement({ set: EXCEPTIONS, key: EXCEPTION.key }), /set except_v4: it must have an end/);
  assert.throws(() => encodeElement({ ...SOURCE, keyEnd: SOURCE.key }), /masquerade_v4: it must not have an end/);
});

function connectionThatAnswers(respond: (request: Message) => ReturnType<typeof acknowledge>[]) {
  const transport = new FakeTransport(respond);
  return { nft: new NftablesConnection(transport), transport };
}

test('findElement() asks for the point that an interval must contain', () => {
  const { nft, transport } = connectionThatAnswers(() => [{ type: 0x0a0c, payload: ANSWER }, acknowledge()]);
  const point = bytes('0a 00 00 05 0a 00 00 05');
  assert.equal(findElement(nft, EXCEPTIONS, point), EXCEPTION);
  const [request] = transport.requests;
  assert.equal([request?.type, request?.flags], [0x0a0d, 0x1]);
  assertBytes(request?.payload ?? bytes(''), encodeElement({ set: EXCEPTIONS, key: point, keyEnd: point }));
});

test('findElement() gives nothing for ENOENT, and throws any other error', () => {
  const absent = connectionThatAnswers(() => [acknowledge(ENOENT)]);
  assert.is(findElement(absent.nft, SOURCES, SOURCE.key), undefined);
  const refused = connectionThatAnswers(() => [acknowledge(EPERM)]);
  assert.throws(
    () => findElement(refused.nft, SOURCES, SOURCE.key),
    /Cannot get element 10\.0\.0\.5 of set masquerade_v4: EPERM/,
  );
});

test.run();
