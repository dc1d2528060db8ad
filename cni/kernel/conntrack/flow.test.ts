import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EINVAL, ENOENT, EPERM } from '../errno.ts';
import { NetlinkConnection } from '../netlink/connection.ts';
import { acknowledge, done, FakeTransport, type Responder } from '../netlink/fake-transport.ts';
import { NetlinkError } from '../netlink/error.ts';
import { assertBytes, bytes, received } from '../testing/bytes.ts';
import { thrown, thrownOf } from '../testing/thrown.ts';
import { deleteFlows, listFlows } from './connection.ts';
import { decodeFlow, encodeFlowDump, encodeFlowIdentity, type Flow, type FlowFilter, isMeant } from './flow.ts';

const test = suite('conntrack flow');

const CT_NEW = 0x100;
const CT_GET = 0x101;
const CT_DELETE = 0x102;
const UDP = 17;

// Captured: strace of `conntrack -L -p udp` (conntrack-tools 1.4.7, Linux 6.18) after
// conntrack -I -p udp -s 10.1.2.3 -d 10.1.2.4 --sport 1000 --dport 53 -r 10.9.9.9 -q 10.1.2.3
//   --reply-port-src 5353 --reply-port-dst 1000 -t 100
const TUPLE_ORIG = `
  34 00 01 80 ; CTA_TUPLE_ORIG, 52 bytes, nested
  14 00 01 80 ;   CTA_TUPLE_IP, 20 bytes, nested
  08 00 01 00 ;     CTA_IP_V4_SRC
  0a 01 02 03
  08 00 02 00 ;     CTA_IP_V4_DST
  0a 01 02 04
  1c 00 02 80 ;   CTA_TUPLE_PROTO, 28 bytes, nested
  05 00 01 00 ;     CTA_PROTO_NUM
  11 00 00 00 ;     UDP
  06 00 02 00 ;     CTA_PROTO_SRC_PORT
  03 e8 00 00 ;     1000, padded
  06 00 03 00 ;     CTA_PROTO_DST_PORT
  00 35 00 00 ;     53, padded
`;
const CAPTURED = bytes(`
  02 00 00 00 ; AF_INET, NFNETLINK_V0, res_id 0
  ${TUPLE_ORIG}
  34 00 02 80 ; CTA_TUPLE_REPLY
  14 00 01 80
  08 00 01 00
  0a 09 09 09
  08 00 02 00
  0a 01 02 03
  1c 00 02 80
  05 00 01 00
  11 00 00 00
  06 00 02 00
  14 e9 00 00 ;     5353
  06 00 03 00
  03 e8 00 00
  08 00 03 00 ; CTA_STATUS
  00 00 00 08
  08 00 08 00 ; CTA_MARK
  00 00 00 00
  08 00 0c 00 ; CTA_ID
  9f af 8f ff
  08 00 0b 00 ; CTA_USE
  00 00 00 01
  08 00 07 00 ; CTA_TIMEOUT
  00 00 00 63
  1c 00 18 80 ; CTA_SYNPROXY
  08 00 01 00
  00 00 00 00
  08 00 02 00
  00 00 00 00
  08 00 03 00
  00 00 00 00
`);

function decoded(payload: Uint8Array): Flow {
  const flow = decodeFlow(received(payload, CT_NEW));
  if (!flow) throw new Error('Cannot find a flow in the message');
  return flow;
}

test('decodeFlow() reads both tuples of a captured flow', () => {
  const { identity: _, ...flow } = decoded(CAPTURED);
  assert.equal(flow, {
    family: 4,
    protocol: UDP,
    original: { source: '10.1.2.3', destination: '10.1.2.4', sourcePort: 1000, destinationPort: 53 },
    reply: { source: '10.9.9.9', destination: '10.1.2.3', sourcePort: 5353, destinationPort: 1000 },
    zone: 0,
  });
});

test('encodeFlowIdentity() names a flow by the tuple, the zone and the ID as they came', () => {
  assertBytes(
    encodeFlowIdentity(decoded(CAPTURED)),
    bytes(`
      02 00 00 00 ; AF_INET
      ${TUPLE_ORIG}
      08 00 0c 00 ; CTA_ID
      9f af 8f ff
    `),
  );
  const zoned = decoded(new Uint8Array([...CAPTURED, ...bytes('06 00 12 00 00 07 00 00')]));
  assert.is(zoned.zone, 7);
  assertBytes(
    encodeFlowIdentity(zoned),
    bytes(`
      02 00 00 00
      ${TUPLE_ORIG}
      06 00 12 00 ; CTA_ZONE
      00 07 00 00
      08 00 0c 00 ; CTA_ID
      9f af 8f ff
    `),
  );
});

test('decodeFlow() passes over families that are not IP, and throws for a flow without a tuple', () => {
  assert.is(decodeFlow(received(bytes('07 00 00 00'), CT_NEW)), undefined);
  assert.is(
    thrown(() => decodeFlow(received(bytes('02 00 00 00'), CT_NEW))).message,
    'A flow has no tuple or no protocol',
  );
});

test('encodeFlowDump() has the kernel compare what the filter gives, of IPv4', () => {
  const filter = {
    family: 4,
    protocol: UDP,
    originalDestination: '10.1.2.4',
    originalDestinationPort: 53,
  } as const;
  // From net/netfilter/nf_conntrack_netlink.c: conntrack(8) does not ask for it.
  assertBytes(
    encodeFlowDump({ ...filter, replySource: '10.9.9.9' }, true),
    bytes(`
      02 00 00 00
      24 00 01 80 ; CTA_TUPLE_ORIG
      0c 00 01 80 ;   CTA_TUPLE_IP
      08 00 02 00 ;     CTA_IP_V4_DST
      0a 01 02 04
      14 00 02 80 ;   CTA_TUPLE_PROTO
      05 00 01 00 ;     CTA_PROTO_NUM
      11 00 00 00
      06 00 03 00 ;     CTA_PROTO_DST_PORT
      00 35 00 00
      10 00 02 80 ; CTA_TUPLE_REPLY
      0c 00 01 80 ;   CTA_TUPLE_IP
      08 00 01 00 ;     CTA_IP_V4_SRC
      0a 09 09 09
      14 00 19 80 ; CTA_FILTER
      08 00 01 00 ;   CTA_FILTER_ORIG_FLAGS, host order
      2a 00 00 00 ;     IP_DST, PROTO_NUM, PROTO_DST_PORT
      08 00 02 00 ;   CTA_FILTER_REPLY_FLAGS
      01 00 00 00 ;     IP_SRC
    `),
  );
  assertBytes(encodeFlowDump(filter, false), bytes('02 00 00 00'));
});

test('encodeFlowDump() does not have the kernel compare addresses of IPv6', () => {
  assertBytes(
    encodeFlowDump({ family: 6, protocol: 132, replySourceOtherThan: 'fd00::2', replySource: 'fd00::3' }, true),
    bytes(`
      0a 00 00 00
      10 00 01 80 ; CTA_TUPLE_ORIG
      0c 00 02 80 ;   CTA_TUPLE_PROTO
      05 00 01 00
      84 00 00 00 ;     SCTP
      14 00 19 80 ; CTA_FILTER
      08 00 01 00
      08 00 00 00 ;     PROTO_NUM
      08 00 02 00
      00 00 00 00
    `),
  );
});

test('encodeFlowDump() refuses an address of another family', () => {
  for (const key of ['originalDestination', 'replySource', 'replySourceOtherThan'] as const) {
    const filter = { family: 4, protocol: UDP, [key]: 'fd00::2' } as const;
    assert.is(
      thrownOf(RangeError, () => encodeFlowDump(filter, true)).message,
      'Invalid address "fd00::2" in a filter of family 4',
    );
  }
});

const FILTERS: readonly [title: string, filter: Partial<FlowFilter>, expected: boolean][] = [
  ['nothing more', {}, true],
  ['another family', { family: 6 }, false],
  ['another protocol', { protocol: 6 }, false],
  ['the original destination', { originalDestination: '10.1.2.4' }, true],
  ['another original destination', { originalDestination: '10.9.9.9' }, false],
  ['the original port', { originalDestinationPort: 53 }, true],
  ['another original port', { originalDestinationPort: 5353 }, false],
  ['who answers', { replySource: '10.9.9.9' }, true],
  ['who does not answer', { replySource: '10.1.2.4' }, false],
  ['anybody but who answers', { replySourceOtherThan: '10.9.9.9' }, false],
  ['anybody but somebody else', { replySourceOtherThan: '10.1.2.4' }, true],
  ['all of it', { originalDestination: '10.1.2.4', originalDestinationPort: 53, replySource: '10.9.9.9' }, true],
  ['one of two', { originalDestinationPort: 53, replySourceOtherThan: '10.9.9.9' }, false],
];
for (const [title, filter, expected] of FILTERS) {
  test(`isMeant() is ${expected} for a filter with ${title}`, () => {
    assert.is(isMeant(decoded(CAPTURED), { family: 4, protocol: UDP, ...filter }), expected);
  });
}

const FILTER: FlowFilter = { family: 4, protocol: UDP, originalDestinationPort: 53 };
const FLOW = { type: CT_NEW, flags: 2, payload: CAPTURED };

function connected(respond: Responder): { conntrack: NetlinkConnection; transport: FakeTransport } {
  const transport = new FakeTransport(respond);
  return { conntrack: new NetlinkConnection(transport), transport };
}

test('listFlows() filters itself what a kernel before 5.8 sends', () => {
  const { conntrack } = connected(() => [FLOW, FLOW, done()]);
  assert.is(listFlows(conntrack, FILTER).length, 2);
  assert.equal(listFlows(conntrack, { ...FILTER, originalDestinationPort: 54 }), []);
});

test('listFlows() asks without a filter if the kernel refuses it', () => {
  const { conntrack, transport } = connected(({ payload }) =>
    payload.length > 4 ? [acknowledge(EINVAL)] : [FLOW, done()],
  );
  assert.is(listFlows(conntrack, FILTER).length, 1);
  assert.equal(
    transport.requests.map(({ type }) => type),
    [CT_GET, CT_GET],
  );
});

test('listFlows() and deleteFlows() find nothing in a kernel without connection tracking', () => {
  const { conntrack } = connected(() => [acknowledge(EINVAL)]);
  assert.equal(listFlows(conntrack, FILTER), []);
  assert.is(deleteFlows(conntrack, FILTER), 0);
});

test('listFlows() throws when it is not allowed to look', () => {
  const { conntrack } = connected(() => [acknowledge(EPERM)]);
  assert.is(thrownOf(NetlinkError, () => listFlows(conntrack, FILTER)).message, 'Cannot list connections: EPERM');
});

test('deleteFlows() counts what it deleted, and takes a flow that has ended for no error', () => {
  let deletions = 0;
  const { conntrack, transport } = connected(({ type }) => {
    if (type === CT_GET) return [FLOW, FLOW, FLOW, done()];
    return [acknowledge(deletions++ === 1 ? ENOENT : 0)];
  });
  assert.is(deleteFlows(conntrack, FILTER), 2);
  assert.equal(
    transport.requests.map(({ type }) => type),
    [CT_GET, CT_DELETE, CT_DELETE, CT_DELETE],
  );
});

test('deleteFlows() names the flow that it could not delete', () => {
  const { conntrack } = connected(({ type }) => (type === CT_GET ? [FLOW, done()] : [acknowledge(EPERM)]));
  assert.is(
    thrownOf(NetlinkError, () => deleteFlows(conntrack, FILTER)).message,
    'Cannot delete the connection from 10.1.2.3 to 10.1.2.4 port 53: EPERM',
  );
});

test.run();
