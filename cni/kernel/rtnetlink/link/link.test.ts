import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { acknowledge, done, type FakeReply, FakeTransport, type Responder } from '../../netlink/fake-transport.ts';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { NetlinkError } from '../../netlink/error.ts';
import { MalformedMessageError } from '../../netlink/reader.ts';
import { MessageWriter } from '../../netlink/writer.ts';
import { assertBytes, attribute, bytes, join, received } from '../../testing/bytes.ts';
import { CAPTURED_BRIDGE, CAPTURED_BRIDGE_PORT, CAPTURED_VETH } from '../../testing/captured-links.ts';
import { thrown, thrownOf } from '../../testing/thrown.ts';
import { decodeLink, deleteLink, encodeLink, findLink, type LinkChange, listLinks, setLink } from './link.ts';

const test = suite('rtnetlink link');

function run(work: (route: NetlinkConnection) => void, respond?: Responder) {
  const transport = new FakeTransport(respond);
  work(new NetlinkConnection(transport));
  const [request] = transport.requests;
  if (!request) throw new Error('Cannot find the request');
  return { type: request.type, flags: request.flags, payload: request.payload };
}

test('decodeLink() reads the sandbox end of a veth pair', () => {
  const { driverAttributes, ...link } = decodeLink(received(CAPTURED_VETH));
  assert.equal(link, {
    index: 2,
    name: 'v1',
    flags: 0x1002,
    isUp: false,
    mac: '02:00:00:00:00:05',
    mtu: 1400,
    operstate: 'down',
    kind: 'veth',
    masterIndex: undefined,
    peerIndex: 4,
    peerNetnsId: 0,
    alias: undefined,
    promiscuity: 0,
    txQueueLength: 1000,
    qdisc: 'noop',
    portAttributes: undefined,
  });
  assert.is(driverAttributes, undefined);
});

test('decodeLink() reads a bridge port with its alias and keeps the attributes of its port', () => {
  const { portAttributes, ...link } = decodeLink(received(CAPTURED_BRIDGE_PORT));
  assert.equal(link, {
    index: 4,
    name: 'v0',
    flags: 0x11043,
    isUp: true,
    mac: '02:00:00:00:00:04',
    mtu: 1400,
    operstate: 'up',
    kind: 'veth',
    masterIndex: 2,
    peerIndex: 2,
    peerNetnsId: 0,
    alias: 'podlink:x',
    promiscuity: 1,
    txQueueLength: 1000,
    qdisc: 'noqueue',
    driverAttributes: undefined,
  });
  assert.is(portAttributes?.all.length, 39);
  assert.is(portAttributes?.u32(37), 512, 'IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT, which nothing here reads');
});

test('decodeLink() reads a bridge and keeps the attributes of its driver', () => {
  const { index, name, isUp, operstate, kind, driverAttributes } = decodeLink(received(CAPTURED_BRIDGE));
  assert.equal([index, name, isUp, operstate, kind], [2, 'br0', true, 'down', 'bridge']);
  assert.is(driverAttributes?.u32(4), 30000, 'IFLA_BR_AGEING_TIME');
});

test('decodeLink() takes a link with nothing but a name', () => {
  const payload = join(bytes('00 00 00 00 ff ff ff ff 00 00 00 00 00 00 00 00'), attribute(3, bytes('78 00')));
  const { index, name, mac, mtu, operstate, promiscuity, kind } = decodeLink(received(payload));
  assert.equal([index, name, mac, mtu, operstate, promiscuity, kind], [-1, 'x', '', 0, 'unknown', 0, undefined]);
});

test('decodeLink() takes a state it does not know for unknown', () => {
  const payload = join(new Uint8Array(16), attribute(3, bytes('78 00')), attribute(16, bytes('07')));
  assert.is(decodeLink(received(payload)).operstate, 'unknown');
});

test('decodeLink() does not take the port of a bond for one of a bridge', () => {
  // Not captured: no bonding in the kernel at hand. Kind "bond", IFLA_BOND_SLAVE_PERM_HWADDR = 4, where a bridge has
  // IFLA_BRPORT_MODE (include/uapi/linux/if_link.h, v6.12).
  const port = join(
    attribute(4, Buffer.from('bond\0')),
    attribute(5, join(attribute(1, bytes('01')), attribute(4, bytes('02 00 00 00 00 01')))),
  );
  const payload = join(new Uint8Array(16), attribute(3, bytes('78 00')), attribute(18, port));
  assert.is(decodeLink(received(payload)).portAttributes, undefined);
});

const MALFORMED: readonly (readonly [string, Uint8Array])[] = [
  ['half a struct ifinfomsg', new Uint8Array(12)],
  ['no name', new Uint8Array(16)],
  ['an MTU of two bytes', join(new Uint8Array(16), attribute(3, bytes('78 00')), attribute(4, bytes('78 05')))],
  ['broken link information', join(new Uint8Array(16), attribute(3, bytes('78 00')), attribute(18, bytes('ff')))],
];

for (const [title, payload] of MALFORMED) {
  test(`decodeLink() refuses ${title}`, () => {
    assert.throws(
      () => decodeLink(received(payload)),
      (error: unknown) => error instanceof MalformedMessageError,
    );
  });
}

// Captured: ip link set …, strace -e trace=sendmsg -e write=all, kernel 6.18, the header left out. ip(8) sends the same
// payload as RTM_NEWLINK where setLink() sends RTM_SETLINK.
const CHANGES: readonly (readonly [string, LinkChange, number, string])[] = [
  ['set v0 mtu 1300', { mtu: 1300 }, 4, '08 00 04 00 14 05 00 00 ; IFLA_MTU'],
  ['set v0 nomaster', { masterIndex: 0 }, 4, '08 00 0a 00 00 00 00 00 ; IFLA_MASTER'],
  [
    'set v0 alias podlink:x',
    { alias: 'podlink:x' },
    4,
    '0d 00 14 00 70 6f 64 6c 69 6e 6b 3a 78 00 00 00 ; IFLA_IFALIAS',
  ],
];

for (const [title, change, index, attributes] of CHANGES) {
  test(`setLink() sends what ip link ${title} sends`, () => {
    const { type, flags, payload } = run((route) => setLink(route, { index, name: 'v0' }, change));
    assert.equal([type, flags], [19, 0x5]);
    assertBytes(
      payload,
      bytes(`
        00 00 00 00  ; ifi_family, pad, ifi_type
        04 00 00 00  ; ifi_index
        00 00 00 00  ; ifi_flags
        00 00 00 00  ; ifi_change
        ${attributes}
      `),
    );
  });
}

// Captured: ip link set br0 promisc on; ip link set v0 down; ip link set v0 allmulticast on; the others follow from them.
const FLAGS: readonly (readonly [string, LinkChange, string])[] = [
  ['promisc on', { isPromiscuous: true }, '00 01 00 00 00 01 00 00'],
  ['promisc off', { isPromiscuous: false }, '00 00 00 00 00 01 00 00'],
  ['allmulticast on', { isAllMulticast: true }, '00 02 00 00 00 02 00 00'],
  ['down', { isUp: false }, '00 00 00 00 01 00 00 00'],
  ['up', { isUp: true }, '01 00 00 00 01 00 00 00'],
  ['up promisc on', { isUp: true, isPromiscuous: true }, '01 01 00 00 01 01 00 00'],
  ['', {}, '00 00 00 00 00 00 00 00'],
];

for (const [title, change, flags] of FLAGS) {
  test(`encodeLink() writes ifi_flags and ifi_change of "${title}"`, () => {
    const expected = bytes(`00 00 00 00 02 00 00 00 ${flags}`);
    assertBytes(encodeLink(new MessageWriter(), 2, change).finish(), expected);
  });
}

test('encodeLink() writes the length of the queue', () => {
  // Captured: ip link set v0 txqueuelen 500
  const expected = bytes(`
    00 00 00 00 02 00 00 00
    00 00 00 00 00 00 00 00
    08 00 0d 00 ; IFLA_TXQLEN
    f4 01 00 00
  `);
  assertBytes(encodeLink(new MessageWriter(), 2, { txQueueLength: 500 }).finish(), expected);
});

test('encodeLink() and decodeLink() agree', () => {
  const change = { name: 'eth0', mac: '02:42:0a:16:00:05', mtu: 9000, masterIndex: 3, alias: 'a b', isUp: true };
  const link = decodeLink(received(encodeLink(new MessageWriter(), 7, change).finish()));
  const { index, name, mac, mtu, masterIndex, alias, isUp } = link;
  assert.equal({ name, mac, mtu, masterIndex, alias, isUp }, change);
  assert.is(index, 7);
});

test('findLink() asks by name and without statistics', () => {
  // As ip link show v1 does, which also wants virtual functions (IFLA_EXT_MASK 9) and puts the mask first.
  const request = run((route) => findLink(route, 'v1'));
  assert.equal([request.type, request.flags], [18, 0x1]); // the link itself is the answer: no NLM_F_ACK
  assertBytes(
    request.payload,
    bytes(`
      00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ; struct ifinfomsg
      07 00 03 00 76 31 00 00  ; IFLA_IFNAME "v1"
      08 00 1d 00 08 00 00 00  ; IFLA_EXT_MASK RTEXT_FILTER_SKIP_STATS
    `),
  );
});

test('findLink() asks by index', () => {
  const { payload } = run((route) => findLink(route, 4));
  assertBytes(payload, bytes('00 00 00 00 04 00 00 00 00 00 00 00 00 00 00 00 08 00 1d 00 08 00 00 00'));
});

function answering(...replies: readonly FakeReply[]): NetlinkConnection {
  return new NetlinkConnection(new FakeTransport(() => replies));
}

test('findLink() returns the link, undefined when there is none, and throws anything else', () => {
  assert.is(findLink(answering({ type: 16, payload: CAPTURED_VETH }, acknowledge()), 'v1')?.name, 'v1');
  assert.is(findLink(answering(acknowledge(19)), 'v1'), undefined);
  assert.is(thrown(() => findLink(answering(acknowledge(1)), 'v1')).message, 'Cannot get link "v1": EPERM');
});

test('findLink() and listLinks() name the operation for a link they cannot read', () => {
  const nameless: FakeReply = { type: 16, payload: new Uint8Array(16) };
  for (const [work, message] of [
    [() => findLink(answering(nameless, acknowledge()), 'v1'), 'Cannot get link "v1" (Link 0 has no name): EBADMSG'],
    [() => listLinks(answering(nameless, done())), 'Cannot list links (Link 0 has no name): EBADMSG'],
  ] as const) {
    assert.is(thrownOf(NetlinkError, work).message, message);
  }
});

test('listLinks() asks for all links and reads them', () => {
  const transport = new FakeTransport(() => [
    { type: 16, flags: 2, payload: CAPTURED_BRIDGE },
    { type: 16, flags: 2, payload: CAPTURED_BRIDGE_PORT },
    done(),
  ]);
  const links = listLinks(new NetlinkConnection(transport));
  assert.equal(
    links.map(({ name }) => name),
    ['br0', 'v0'],
  );
  const [request] = transport.requests;
  assert.equal([request?.type, request?.flags], [18, 0x301]);
  // Strict checking refuses a dump request that has anything but the filter.
  assertBytes(request?.payload ?? bytes(''), join(new Uint8Array(16), bytes('08 00 1d 00 08 00 00 00')));
});

test('deleteLink() sends what ip link del v0 sends', () => {
  const { type, flags, payload } = run((route) => assert.ok(deleteLink(route, 4)));
  assert.equal([type, flags], [17, 0x5]);
  assertBytes(payload, bytes('00 00 00 00 04 00 00 00 00 00 00 00 00 00 00 00'));
});

test('deleteLink() deletes by name, and says whether there was one', () => {
  const { payload } = run((route) => assert.ok(deleteLink(route, 'v0')));
  assertBytes(payload, join(new Uint8Array(16), bytes('07 00 03 00 76 30 00 00')));
  assert.not(deleteLink(answering(acknowledge(19)), 'v0'));
  assert.is(thrown(() => deleteLink(answering(acknowledge(95)), 'lo')).message, 'Cannot delete link "lo": EOPNOTSUPP');
});

test.run();
