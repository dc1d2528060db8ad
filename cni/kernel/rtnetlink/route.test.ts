import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../netlink/connection.ts';
import { NetlinkError } from '../netlink/error.ts';
import { acknowledge, done, FakeTransport } from '../netlink/fake-transport.ts';
import { MalformedMessageError } from '../netlink/reader.ts';
import { assertBytes, attribute, bytes, join, received } from '../testing/bytes.ts';
import { thrown, thrownOf } from '../testing/thrown.ts';
import { addRoute, decodeRoute, deleteRoute, describeRoute, encodeRoute, listRoutes, type Route } from './route.ts';

const test = suite('rtnetlink route');

const NOT_CLONED = { isCloned: false };

// Captured, if nothing else is said: ip route add …, strace -e trace=sendmsg -e write=all, kernel 6.18; the header left
// out. ip(8) writes RTA_PRIORITY or RTA_TABLE before RTA_OIF, and no NLA_F_NESTED; the kernel accepted these bytes.
const ROUTES: readonly (readonly [string, Route, string])[] = [
  [
    'default via 10.1.2.1 dev v1 metric 50 mtu 1300 advmss 1260',
    {
      dst: '0.0.0.0/0',
      gateway: '10.1.2.1',
      linkIndex: 2,
      priority: 50,
      mtu: 1300,
      advmss: 1260,
      table: 254,
      scope: 0,
    },
    `
      02 00 00 00  ; rtm_family AF_INET, rtm_dst_len 0, rtm_src_len, rtm_tos
      fe 03 00 01  ; rtm_table main, rtm_protocol boot, rtm_scope universe, rtm_type unicast
      00 00 00 00  ; rtm_flags
      08 00 05 00 0a 01 02 01  ; RTA_GATEWAY 10.1.2.1
      08 00 04 00 02 00 00 00  ; RTA_OIF 2
      08 00 06 00 32 00 00 00  ; RTA_PRIORITY 50
      14 00 08 80  ; RTA_METRICS nested (20 bytes)
      08 00 02 00 14 05 00 00  ; RTAX_MTU 1300
      08 00 08 00 ec 04 00 00  ; RTAX_ADVMSS 1260
    `,
  ],
  [
    '10.9.0.0/16 dev v1 table 1000',
    { dst: '10.9.0.0/16', linkIndex: 2, table: 1000, scope: 253 },
    `
      02 10 00 00  ; rtm_family AF_INET, rtm_dst_len 16, rtm_src_len, rtm_tos
      00 03 fd 01  ; rtm_table: see RTA_TABLE, rtm_protocol boot, rtm_scope link, rtm_type unicast
      00 00 00 00  ; rtm_flags
      08 00 01 00 0a 09 00 00  ; RTA_DST 10.9.0.0
      08 00 04 00 02 00 00 00  ; RTA_OIF 2
      08 00 0f 00 e8 03 00 00  ; RTA_TABLE 1000
    `,
  ],
  [
    'fd01::/48 via fd00::1 dev v1',
    { dst: 'fd01::/48', gateway: 'fd00::1', linkIndex: 2, table: 254, scope: 0 },
    `
      0a 30 00 00  ; rtm_family AF_INET6, rtm_dst_len 48, rtm_src_len, rtm_tos
      fe 03 00 01  ; rtm_table main, rtm_protocol boot, rtm_scope universe, rtm_type unicast
      00 00 00 00  ; rtm_flags
      14 00 01 00 fd 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ; RTA_DST fd01::
      14 00 05 00 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01  ; RTA_GATEWAY fd00::1
      08 00 04 00 02 00 00 00  ; RTA_OIF 2
    `,
  ],
];

for (const [title, route, annotated] of ROUTES) {
  test(`encodeRoute() and decodeRoute() agree on ${title}`, () => {
    assertBytes(encodeRoute(route), bytes(annotated));
    assert.equal(decodeRoute(received(bytes(annotated))), { ...route, ...NOT_CLONED });
  });
}

test('encodeRoute() fills in main table and scope', () => {
  const header = (route: Route) => encodeRoute(route).subarray(4, 8);
  assertBytes(header({ dst: '10.9.0.0/16', linkIndex: 2 }), bytes('fe 03 fd 01'), 'link without a gateway');
  assertBytes(header({ dst: '10.9.0.0/16', gateway: '10.1.2.1' }), bytes('fe 03 00 01'), 'universe with one');
  assertBytes(header({ dst: '10.9.0.0/16', gateway: '10.1.2.1', scope: 253 }), bytes('fe 03 fd 01'), 'the scope given');
  assertBytes(header({ dst: '10.9.0.0/16', linkIndex: 2, table: 255 }), bytes('ff 03 fd 01'), 'the table given');
});

test('encodeRoute() writes the table in one place only', () => {
  assert.is(encodeRoute({ dst: '10.9.0.0/16', table: 255 }).length, 12 + 8);
  assertBytes(encodeRoute({ dst: '10.9.0.0/16', table: 256 }).subarray(20), bytes('08 00 0f 00 00 01 00 00'));
});

test('encodeRoute() writes one metric alone', () => {
  assertBytes(encodeRoute({ dst: '::/0', mtu: 1280 }).subarray(12), bytes('0c 00 08 80 08 00 02 00 00 05 00 00'));
  assertBytes(encodeRoute({ dst: '::/0', advmss: 1220 }).subarray(12), bytes('0c 00 08 80 08 00 08 00 c4 04 00 00'));
});

test('encodeRoute() refuses what is no route', () => {
  for (const route of [
    { dst: 'default' },
    { dst: '10.9.0.0/33' },
    { dst: '10.9.0.0/16', gateway: '10.1.2.1/24' },
    { dst: '10.9.0.0/16', gateway: '' },
    { dst: '10.9.0.0/16', table: -1 },
    { dst: '10.9.0.0/16', priority: 2 ** 32 },
  ]) {
    thrown(() => encodeRoute(route));
  }
});

// Captured: the answers to listRoutes(), recvfrom in strace -e read=all, kernel 6.18.
const LISTED_DEFAULT = bytes(`
  02 00 00 00  ; rtm_family, rtm_dst_len, rtm_src_len, rtm_tos
  fe 03 00 01  ; rtm_table, rtm_protocol, rtm_scope, rtm_type
  00 00 00 00  ; rtm_flags
  08 00 0f 00 fe 00 00 00  ; RTA_TABLE 254
  08 00 06 00 32 00 00 00  ; RTA_PRIORITY 50
  14 00 08 00  ; RTA_METRICS (20 bytes)
  08 00 02 00 14 05 00 00  ; RTAX_MTU 1300
  08 00 08 00 ec 04 00 00  ; RTAX_ADVMSS 1260
  08 00 05 00 0a 01 02 01  ; RTA_GATEWAY
  08 00 04 00 02 00 00 00  ; RTA_OIF 2
`);
const LISTED_TABLE = bytes(`
  02 10 00 00  ; rtm_family, rtm_dst_len, rtm_src_len, rtm_tos
  fc 03 fd 01  ; rtm_table RT_TABLE_COMPAT, rtm_protocol, rtm_scope, rtm_type
  00 00 00 00  ; rtm_flags
  08 00 0f 00 e8 03 00 00  ; RTA_TABLE 1000
  08 00 01 00 0a 09 00 00  ; RTA_DST
  08 00 04 00 02 00 00 00  ; RTA_OIF 2
`);
const LISTED_IPV6 = bytes(`
  0a 30 00 00  ; rtm_family, rtm_dst_len, rtm_src_len, rtm_tos
  fe 03 00 01  ; rtm_table, rtm_protocol, rtm_scope, rtm_type
  00 00 00 00  ; rtm_flags
  08 00 0f 00 fe 00 00 00  ; RTA_TABLE 254
  14 00 01 00 fd 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ; RTA_DST
  08 00 06 00 00 04 00 00  ; RTA_PRIORITY 1024
  14 00 05 00 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01  ; RTA_GATEWAY
  08 00 04 00 02 00 00 00  ; RTA_OIF 2
  24 00 0c 00 00 00 00 00 00 00 00 00 00 00 00 00  ; RTA_CACHEINFO
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
  00 00 00 00
  05 00 14 00 00 00 00 00  ; RTA_PREF 0
`);

test('decodeRoute() reads what the kernel lists', () => {
  assert.equal(decodeRoute(received(LISTED_DEFAULT)), {
    ...NOT_CLONED,
    ...{ dst: '0.0.0.0/0', gateway: '10.1.2.1', linkIndex: 2, priority: 50, table: 254, scope: 0 },
    ...{ mtu: 1300, advmss: 1260 },
  });
  assert.equal(decodeRoute(received(LISTED_TABLE)), {
    ...NOT_CLONED,
    ...{ dst: '10.9.0.0/16', linkIndex: 2, table: 1000, scope: 253 },
  });
  assert.equal(decodeRoute(received(LISTED_IPV6)), {
    ...NOT_CLONED,
    ...{ dst: 'fd01::/48', gateway: 'fd00::1', linkIndex: 2, priority: 1024, table: 254, scope: 0 },
  });
});

test('decodeRoute() writes the default destination of either family', () => {
  assert.is(decodeRoute(received(bytes('02 00 00 00 fe 03 00 01 00 00 00 00'))).dst, '0.0.0.0/0');
  assert.is(decodeRoute(received(bytes('0a 00 00 00 fe 03 00 01 00 00 00 00'))).dst, '::/0');
});

test('decodeRoute() sees that a route is only cached', () => {
  assert.ok(decodeRoute(received(bytes('0a 00 00 00 fe 03 00 01 00 02 00 00'))).isCloned);
});

const MALFORMED: readonly (readonly [string, Uint8Array])[] = [
  ['half a struct rtmsg', new Uint8Array(11)],
  ['a destination of three bytes', join(new Uint8Array(12), attribute(1, bytes('0a 09 00')))],
  ['a link of two bytes', join(new Uint8Array(12), attribute(4, bytes('02 00')))],
  ['broken metrics', join(new Uint8Array(12), attribute(8, bytes('00 00 00 00')))],
];

for (const [title, payload] of MALFORMED) {
  test(`decodeRoute() refuses ${title}`, () => {
    assert.ok(thrown(() => decodeRoute(received(payload))) instanceof MalformedMessageError);
  });
}

test('describeRoute() names destination and gateway', () => {
  assert.is(describeRoute({ dst: '0.0.0.0/0', gateway: '10.1.2.1' }), 'route 0.0.0.0/0 via 10.1.2.1');
  assert.is(describeRoute({ dst: '10.9.0.0/16', linkIndex: 2 }), 'route 10.9.0.0/16');
});

test('addRoute() and deleteRoute() send the same route', () => {
  const route: Route = { dst: 'fd01::/48', gateway: 'fd00::1', linkIndex: 2 };
  const transport = new FakeTransport();
  const connection = new NetlinkConnection(transport);
  addRoute(connection, route);
  assert.ok(deleteRoute(connection, route));
  assert.equal(
    transport.requests.map(({ type }) => type),
    [24, 25],
  );
  assert.ok(((transport.requests[0]?.flags ?? 0) & 0x400) !== 0, 'NLM_F_CREATE');
  assert.is(transport.requests[1]?.flags, 0x5);
  for (const { payload } of transport.requests) assertBytes(payload, encodeRoute(route));
});

test('deleteRoute() says that there was none when route or link are gone', () => {
  for (const errno of [3, 19]) {
    const connection = new NetlinkConnection(new FakeTransport(() => [acknowledge(errno)]));
    assert.not(deleteRoute(connection, { dst: '10.9.0.0/16' }));
  }
  const connection = new NetlinkConnection(new FakeTransport(() => [acknowledge(1)]));
  assert.is(
    thrown(() => deleteRoute(connection, { dst: '10.9.0.0/16' })).message,
    'Cannot delete route 10.9.0.0/16: EPERM',
  );
});

test('listRoutes() asks for one family and leaves cached routes out', () => {
  const cached = LISTED_IPV6.slice();
  cached[9] = 2; // RTM_F_CLONED
  const transport = new FakeTransport(() => [
    { type: 24, flags: 2, payload: LISTED_IPV6 },
    { type: 24, flags: 2, payload: cached },
    done(),
  ]);
  assert.equal(listRoutes(new NetlinkConnection(transport), 6), [
    { dst: 'fd01::/48', gateway: 'fd00::1', linkIndex: 2, priority: 1024, table: 254, scope: 0 },
  ]);
  const [request] = transport.requests;
  assert.equal([request?.type, request?.flags], [26, 0x301]);
  assertBytes(request?.payload ?? bytes(''), bytes('0a 00 00 00 00 00 00 00 00 00 00 00'));
});

test('listRoutes() names the operation for a route it cannot read', () => {
  const transport = new FakeTransport(() => [{ type: 24, payload: new Uint8Array(4) }, done()]);
  const error = thrownOf(NetlinkError, () => listRoutes(new NetlinkConnection(transport), 4));
  assert.match(error.message, /^Cannot list routes \(Truncated message: .+\): EBADMSG$/);
});

test.run();
