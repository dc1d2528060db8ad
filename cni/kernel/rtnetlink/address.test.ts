import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../netlink/connection.ts';
import { NetlinkError } from '../netlink/error.ts';
import { acknowledge, done, FakeTransport } from '../netlink/fake-transport.ts';
import { MalformedMessageError } from '../netlink/reader.ts';
import { assertBytes, attribute, bytes, join, received } from '../testing/bytes.ts';
import { thrown, thrownOf } from '../testing/thrown.ts';
import {
  addAddress,
  decodeLinkAddress,
  deleteAddress,
  encodeLinkAddress,
  IFA_F_NODAD,
  listAddresses,
} from './address.ts';

const test = suite('rtnetlink address');

// Captured: ip addr add 10.1.2.3/24 brd + dev v1, strace -e trace=sendmsg -e write=all, kernel 6.18; the header left out.
const IPV4 = bytes(`
  02 18 00 00  ; ifa_family AF_INET, ifa_prefixlen 24, ifa_flags, ifa_scope
  02 00 00 00  ; ifa_index
  08 00 02 00 0a 01 02 03  ; IFA_LOCAL 10.1.2.3
  08 00 01 00 0a 01 02 03  ; IFA_ADDRESS 10.1.2.3
  08 00 04 00 0a 01 02 ff  ; IFA_BROADCAST 10.1.2.255
`);

test('encodeLinkAddress() and decodeLinkAddress() agree on ip addr add 10.1.2.3/24 brd +', () => {
  assertBytes(encodeLinkAddress(2, '10.1.2.3/24', 0), IPV4);
  assert.equal(decodeLinkAddress(received(IPV4)), { cidr: '10.1.2.3/24', linkIndex: 2, flags: 0, scope: 0 });
});

// As ip addr add fd00::3/64 nodad dev v1, which says IFA_F_NODAD in ifa_flags and has no IFA_FLAGS.
const IPV6 = bytes(`
  0a 40 00 00  ; ifa_family AF_INET6, ifa_prefixlen 64, ifa_flags, ifa_scope
  02 00 00 00  ; ifa_index
  14 00 02 00 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 03  ; IFA_LOCAL fd00::3
  14 00 01 00 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 03  ; IFA_ADDRESS fd00::3
  08 00 08 00 02 00 00 00  ; IFA_FLAGS IFA_F_NODAD
`);

test('encodeLinkAddress() and decodeLinkAddress() agree on ip addr add fd00::3/64 nodad', () => {
  assertBytes(encodeLinkAddress(2, 'fd00::3/64', IFA_F_NODAD), IPV6);
  assert.equal(decodeLinkAddress(received(IPV6)), {
    cidr: 'fd00::3/64',
    linkIndex: 2,
    flags: IFA_F_NODAD,
    scope: 0,
  });
});

test('encodeLinkAddress() gives networks without room for it no broadcast address', () => {
  for (const length of [31, 32]) {
    const payload = encodeLinkAddress(2, `10.1.2.3/${length}`, 0);
    assertBytes(payload.subarray(8), bytes('08 00 02 00 0a 01 02 03 08 00 01 00 0a 01 02 03'));
    assert.is(payload[1], length);
  }
  assertBytes(encodeLinkAddress(2, '10.1.2.1/30', 0).subarray(24), bytes('08 00 04 00 0a 01 02 03'));
});

// Captured: the answers to listAddresses(), recvfrom in strace -e read=all, kernel 6.18.
const LISTED_IPV4 = bytes(`
  02 18 80 00  ; ifa_family, ifa_prefixlen, ifa_flags IFA_F_PERMANENT, ifa_scope
  02 00 00 00  ; ifa_index
  08 00 01 00 0a 01 02 03  ; IFA_ADDRESS
  08 00 02 00 0a 01 02 03  ; IFA_LOCAL
  08 00 04 00 0a 01 02 ff  ; IFA_BROADCAST
  07 00 03 00 76 31 00 00  ; IFA_LABEL "v1"
  08 00 08 00 80 00 00 00  ; IFA_FLAGS IFA_F_PERMANENT
  14 00 06 00 ff ff ff ff ff ff ff ff 93 a0 04 00 93 a0 04 00  ; IFA_CACHEINFO
`);
const LISTED_LINK_LOCAL = bytes(`
  0a 40 c0 fd  ; ifa_family, ifa_prefixlen, ifa_flags, ifa_scope RT_SCOPE_LINK
  02 00 00 00  ; ifa_index
  14 00 01 00 fe 80 00 00 00 00 00 00 00 00 00 ff fe 00 00 05  ; IFA_ADDRESS
  14 00 06 00 ff ff ff ff ff ff ff ff 93 a0 04 00 93 a0 04 00  ; IFA_CACHEINFO
  08 00 08 00 c0 00 00 00  ; IFA_FLAGS IFA_F_PERMANENT | IFA_F_TENTATIVE
  05 00 0b 00 03 00 00 00  ; IFA_PROTO IFAPROT_KERNEL_LL
`);

test('decodeLinkAddress() reads what the kernel lists', () => {
  assert.equal(decodeLinkAddress(received(LISTED_IPV4)), { cidr: '10.1.2.3/24', linkIndex: 2, flags: 0x80, scope: 0 });
  assert.equal(decodeLinkAddress(received(LISTED_LINK_LOCAL)), {
    cidr: 'fe80::ff:fe00:5/64',
    linkIndex: 2,
    flags: 0xc0,
    scope: 253,
  });
});

test('decodeLinkAddress() takes the local address of a point-to-point link', () => {
  const payload = join(
    bytes('02 20 00 00 02 00 00 00'),
    attribute(1, bytes('0a 00 00 02')),
    attribute(2, bytes('0a 00 00 01')),
  );
  assert.is(decodeLinkAddress(received(payload)).cidr, '10.0.0.1/32');
});

test('decodeLinkAddress() takes the flags of the header where IFA_FLAGS is missing', () => {
  const payload = join(bytes('02 20 c0 00 02 00 00 00'), attribute(1, bytes('0a 00 00 02')));
  assert.is(decodeLinkAddress(received(payload)).flags, 0xc0);
});

const MALFORMED: readonly (readonly [string, Uint8Array])[] = [
  ['half a struct ifaddrmsg', bytes('02 18 00 00 02 00')],
  ['no address', bytes('02 18 00 00 02 00 00 00')],
  ['an address of five bytes', join(bytes('02 18 00 00 02 00 00 00'), attribute(2, new Uint8Array(5)))],
  ['flags of one byte', join(IPV4, attribute(8, bytes('02')))],
];

for (const [title, payload] of MALFORMED) {
  test(`decodeLinkAddress() refuses ${title}`, () => {
    assert.ok(thrown(() => decodeLinkAddress(received(payload))) instanceof MalformedMessageError);
  });
}

test('addAddress() and deleteAddress() send the same address', () => {
  const transport = new FakeTransport();
  const route = new NetlinkConnection(transport);
  addAddress(route, 2, '10.1.2.3/24');
  // ip addr del leaves out IFA_BROADCAST, at which the kernel does not look.
  assert.ok(deleteAddress(route, 2, '10.1.2.3/24'));
  assert.equal(
    transport.requests.map(({ type, flags }) => [type, flags]),
    [
      [20, 0x605], // RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
      [21, 0x5],
    ],
  );
  for (const { payload } of transport.requests) assertBytes(payload, IPV4);
});

test('deleteAddress() says that there was none when the address, the link or its IPv6 is gone', () => {
  for (const errno of [99, 19, 6]) {
    const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(errno)]));
    assert.not(deleteAddress(route, 2, 'fd00::3/64'));
  }
  const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(1)]));
  assert.is(thrown(() => deleteAddress(route, 2, 'fd00::3/64')).message, 'Cannot delete address fd00::3/64: EPERM');
});

test('addAddress() sends nothing for text that is no address', () => {
  const transport = new FakeTransport();
  for (const cidr of ['10.1.2/24', '10.1.2.3/33', 'eth0', '']) {
    thrown(() => addAddress(new NetlinkConnection(transport), 2, cidr));
  }
  assert.is(transport.requests.length, 0);
});

test('listAddresses() asks for one link, and drops what an older kernel sends of others', () => {
  const other = LISTED_IPV4.slice();
  other[4] = 3;
  const transport = new FakeTransport(() => [
    { type: 20, flags: 2, payload: LISTED_IPV4 },
    { type: 20, flags: 2, payload: other },
    { type: 20, flags: 2, payload: LISTED_LINK_LOCAL },
    done(),
  ]);
  assert.equal(
    listAddresses(new NetlinkConnection(transport), 2).map(({ cidr }) => cidr),
    ['10.1.2.3/24', 'fe80::ff:fe00:5/64'],
  );
  const [request] = transport.requests;
  assert.equal([request?.type, request?.flags], [22, 0x301]);
  assertBytes(request?.payload ?? bytes(''), bytes('00 00 00 00 02 00 00 00'));
});

test('listAddresses() names the operation for an address it cannot read', () => {
  const transport = new FakeTransport(() => [{ type: 20, payload: new Uint8Array(8) }, done()]);
  const error = thrownOf(NetlinkError, () => listAddresses(new NetlinkConnection(transport), 2));
  assert.is(error.message, 'Cannot list addresses of link 2 (An address of link 0 has no address): EBADMSG');
});

test.run();
