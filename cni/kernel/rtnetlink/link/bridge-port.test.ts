import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { acknowledge, FakeTransport } from '../../netlink/fake-transport.ts';
import { assertBytes, bytes, received } from '../../testing/bytes.ts';
import { CAPTURED_BRIDGE, CAPTURED_BRIDGE_PORT, CAPTURED_VETH } from '../../testing/captured-links.ts';
import { thrown } from '../../testing/thrown.ts';
import { BR_STATE_FORWARDING, bridgePortFlags, bridgePortState, setBridgePort } from './bridge-port.ts';
import { decodeLink } from './link.ts';

const test = suite('rtnetlink bridge port');

const PORT = { index: 4, name: 'v0' };

function requestOf(work: (route: NetlinkConnection) => void) {
  const transport = new FakeTransport();
  work(new NetlinkConnection(transport));
  const [request, ...others] = transport.requests;
  assert.is(others.length, 0);
  return { header: [request?.type, request?.flags], payload: request?.payload ?? bytes('') };
}

// ip link set v0 type bridge_slave hairpin on isolated on (strace -e trace=sendmsg -e write=all, kernel 6.18) names the
// kind as IFLA_INFO_KIND "bridge_slave", which rtnl_newlink() takes for the same, and sets no NLA_F_NESTED. The kernel
// accepted these bytes: CAPTURED_BRIDGE_PORT is how it described the port afterwards.
const REQUEST = bytes(`
  00 00 00 00  ; ifi_family, pad, ifi_type
  04 00 00 00  ; ifi_index
  00 00 00 00  ; ifi_flags
  00 00 00 00  ; ifi_change
  0d 00 14 00 70 6f 64 6c 69 6e 6b 3a 78 00 00 00  ; IFLA_IFALIAS "podlink:x"
  24 00 12 80  ; IFLA_LINKINFO nested (36 bytes)
  0b 00 04 00 62 72 69 64 67 65 00 00  ; IFLA_INFO_SLAVE_KIND "bridge"
  14 00 05 80  ; IFLA_INFO_SLAVE_DATA nested (20 bytes)
  05 00 04 00 01 00 00 00  ; IFLA_BRPORT_MODE 1
  05 00 21 00 01 00 00 00  ; IFLA_BRPORT_ISOLATED 1
`);

test('setBridgePort() sends flags and alias in one request', () => {
  const flags = { hairpin: true, isolated: true };
  const { header, payload } = requestOf((route) => setBridgePort(route, PORT, flags, 'podlink:x'));
  assert.equal(header, [16, 0x5], 'without NLM_F_CREATE');
  assertBytes(payload, REQUEST);
});

test('setBridgePort() clears flags that are false, and leaves the alias alone', () => {
  const { payload } = requestOf((route) => setBridgePort(route, PORT, { hairpin: false, isolated: false }));
  assertBytes(
    payload,
    bytes(`
      00 00 00 00 04 00 00 00 00 00 00 00 00 00 00 00  ; struct ifinfomsg
      24 00 12 80  ; IFLA_LINKINFO nested (36 bytes)
      0b 00 04 00 62 72 69 64 67 65 00 00  ; IFLA_INFO_SLAVE_KIND "bridge"
      14 00 05 80  ; IFLA_INFO_SLAVE_DATA nested (20 bytes)
      05 00 04 00 00 00 00 00  ; IFLA_BRPORT_MODE 0
      05 00 21 00 00 00 00 00  ; IFLA_BRPORT_ISOLATED 0
    `),
  );
});

test('bridgePortFlags() and bridgePortState() read a port', () => {
  const port = decodeLink(received(CAPTURED_BRIDGE_PORT));
  assert.equal(bridgePortFlags(port), { hairpin: true, isolated: true });
  assert.is(bridgePortState(port), BR_STATE_FORWARDING);
});

test('bridgePortFlags() reads the flags of the request back', () => {
  // The request has no name, which decodeLink() wants: call the alias one.
  const named = REQUEST.slice();
  named[18] = 3;
  assert.equal(bridgePortFlags(decodeLink(received(named))), { hairpin: true, isolated: true });
});

test('bridgePortFlags() is undefined for a link that is no port', () => {
  for (const captured of [CAPTURED_VETH, CAPTURED_BRIDGE]) {
    const link = decodeLink(received(captured));
    assert.is(bridgePortFlags(link), undefined);
    assert.is.not(bridgePortState(link), BR_STATE_FORWARDING);
  }
});

test('setBridgePort() names the port when the kernel refuses', () => {
  const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(95)]));
  const work = () => setBridgePort(route, PORT, { hairpin: true, isolated: false });
  assert.is(thrown(work).message, 'Cannot set bridge port "v0": EOPNOTSUPP');
});

test.run();
