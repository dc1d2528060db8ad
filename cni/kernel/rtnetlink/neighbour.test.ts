import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../netlink/connection.ts';
import { acknowledge, done, FakeTransport } from '../netlink/fake-transport.ts';
import { MalformedMessageError } from '../netlink/reader.ts';
import { assertBytes, attribute, bytes, join, received } from '../testing/bytes.ts';
import { thrown } from '../testing/thrown.ts';
import {
  decodeNeighbour,
  deleteNeighbour,
  encodeNeighbour,
  listNeighbours,
  NUD_PERMANENT,
  setNeighbour,
} from './neighbour.ts';

const test = suite('rtnetlink neighbour');

// Captured: ip neigh replace 10.1.2.9 (fd00::9) lladdr 02:00:00:00:00:09 nud permanent dev v1,
// strace -e trace=sendmsg -e write=all, kernel 6.18; the header left out.
const NEIGHBOURS: readonly (readonly [string, string])[] = [
  [
    '10.1.2.9',
    `
      02 00 00 00  ; ndm_family AF_INET, pad
      02 00 00 00  ; ndm_ifindex
      80 00 00 00  ; ndm_state NUD_PERMANENT, ndm_flags, ndm_type
      08 00 01 00 0a 01 02 09  ; NDA_DST 10.1.2.9
      0a 00 02 00 02 00 00 00 00 09 00 00  ; NDA_LLADDR 02:00:00:00:00:09
    `,
  ],
  [
    'fd00::9',
    `
      0a 00 00 00  ; ndm_family AF_INET6, pad
      02 00 00 00  ; ndm_ifindex
      80 00 00 00  ; ndm_state NUD_PERMANENT, ndm_flags, ndm_type
      14 00 01 00 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 09  ; NDA_DST fd00::9
      0a 00 02 00 02 00 00 00 00 09 00 00  ; NDA_LLADDR 02:00:00:00:00:09
    `,
  ],
];

for (const [address, annotated] of NEIGHBOURS) {
  test(`encodeNeighbour() and decodeNeighbour() agree on ip neigh replace ${address}`, () => {
    const mac = '02:00:00:00:00:09';
    assertBytes(encodeNeighbour(2, address, mac, NUD_PERMANENT), bytes(annotated));
    assert.equal(decodeNeighbour(received(bytes(annotated))), { address, mac, linkIndex: 2, state: NUD_PERMANENT });
  });
}

// Captured: an answer to listNeighbours(), recvfrom in strace -e read=all, kernel 6.18.
const LISTED = bytes(`
  02 00 00 00  ; ndm_family, pad
  02 00 00 00  ; ndm_ifindex
  80 00 00 01  ; ndm_state, ndm_flags, ndm_type
  08 00 01 00 0a 01 02 09  ; NDA_DST
  0a 00 02 00 02 00 00 00 00 09 00 00  ; NDA_LLADDR
  08 00 04 00 00 00 00 00  ; NDA_PROBES 0
  14 00 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ; NDA_CACHEINFO
`);

test('decodeNeighbour() reads what the kernel lists', () => {
  assert.equal(decodeNeighbour(received(LISTED)), {
    address: '10.1.2.9',
    mac: '02:00:00:00:00:09',
    linkIndex: 2,
    state: NUD_PERMANENT,
  });
});

test('decodeNeighbour() has no MAC address while nobody has answered', () => {
  const payload = join(bytes('02 00 00 00 02 00 00 00 20 00 00 01'), attribute(1, bytes('0a 01 02 09')));
  assert.equal(decodeNeighbour(received(payload)), { address: '10.1.2.9', mac: undefined, linkIndex: 2, state: 0x20 });
});

test('decodeNeighbour() is undefined for an entry without an IP address', () => {
  const payload = join(bytes('07 00 00 00 02 00 00 00 80 00 00 00'), attribute(2, bytes('02 00 00 00 00 09')));
  assert.is(decodeNeighbour(received(payload)), undefined);
});

test('decodeNeighbour() refuses half a struct ndmsg and an address of seven bytes', () => {
  for (const payload of [new Uint8Array(11), join(new Uint8Array(12), attribute(1, new Uint8Array(7)))]) {
    assert.ok(thrown(() => decodeNeighbour(received(payload))) instanceof MalformedMessageError);
  }
});

test('setNeighbour() and deleteNeighbour() send the address', () => {
  const transport = new FakeTransport();
  const route = new NetlinkConnection(transport);
  setNeighbour(route, 2, '10.1.2.9', '02:00:00:00:00:09');
  assert.ok(deleteNeighbour(route, 2, '10.1.2.9'));
  assert.equal(
    transport.requests.map(({ type, flags }) => [type, flags]),
    [
      [28, 0x505], // RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_ACK | NLM_F_REPLACE | NLM_F_CREATE
      [29, 0x5],
    ],
  );
  assertBytes(transport.requests[0]?.payload ?? bytes(''), bytes(NEIGHBOURS[0]?.[1] ?? ''));
  // ip neigh del repeats ndm_state, at which the kernel does not look.
  const expected = bytes('02 00 00 00 02 00 00 00 00 00 00 00 08 00 01 00 0a 01 02 09');
  assertBytes(transport.requests[1]?.payload ?? bytes(''), expected);
});

test('deleteNeighbour() says that there was none when neighbour or link are gone', () => {
  for (const errno of [2, 6, 19]) {
    const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(errno)]));
    assert.not(deleteNeighbour(route, 2, '10.1.2.9'));
  }
  const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(1)]));
  assert.is(thrown(() => deleteNeighbour(route, 2, '10.1.2.9')).message, 'Cannot delete neighbour 10.1.2.9: EPERM');
});

test('listNeighbours() asks for one link and leaves out entries without an IP address', () => {
  const forwarding = join(bytes('07 00 00 00 02 00 00 00 80 00 00 00'), attribute(2, bytes('02 00 00 00 00 09')));
  const transport = new FakeTransport(() => [
    { type: 28, flags: 2, payload: forwarding },
    { type: 28, flags: 2, payload: LISTED },
    done(),
  ]);
  assert.equal(
    listNeighbours(new NetlinkConnection(transport), 2).map(({ address }) => address),
    ['10.1.2.9'],
  );
  const [request] = transport.requests;
  assert.equal([request?.type, request?.flags], [30, 0x301]);
  // The link is an attribute: strict checking refuses it in ndm_ifindex.
  assertBytes(request?.payload ?? bytes(''), join(new Uint8Array(12), bytes('08 00 08 00 02 00 00 00')));
});

test.run();
