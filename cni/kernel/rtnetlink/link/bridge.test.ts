import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { FakeTransport } from '../../netlink/fake-transport.ts';
import { assertBytes, attribute, bytes, join, received } from '../../testing/bytes.ts';
import { CAPTURED_BRIDGE, CAPTURED_BRIDGE_PORT } from '../../testing/captured-links.ts';
import { addBridge, type BridgeProperties, forwardDelayOf, isVlanFiltering } from './bridge.ts';
import { decodeLink } from './link.ts';

const test = suite('rtnetlink bridge');

function requestOf(properties: BridgeProperties): Uint8Array {
  const transport = new FakeTransport();
  addBridge(new NetlinkConnection(transport), properties);
  const [request, ...others] = transport.requests;
  assert.is(others.length, 0);
  assert.equal([request?.type, request?.flags], [16, 0x605]);
  return request?.payload ?? bytes('');
}

// ip link add br0 address 02:00:00:00:00:01 mtu 1400 up type bridge (strace -e trace=sendmsg -e write=all, kernel 6.18)
// sends the same, but for the order of the first three attributes, the zero after "bridge" and NLA_F_NESTED.
const REQUEST = bytes(`
  00 00 00 00  ; ifi_family, pad, ifi_type
  00 00 00 00  ; ifi_index
  01 00 00 00  ; ifi_flags IFF_UP
  01 00 00 00  ; ifi_change IFF_UP
  08 00 03 00 62 72 30 00  ; IFLA_IFNAME "br0"
  0a 00 01 00 02 00 00 00 00 01 00 00  ; IFLA_ADDRESS 02:00:00:00:00:01
  08 00 04 00 78 05 00 00  ; IFLA_MTU 1400
  10 00 12 80  ; IFLA_LINKINFO nested (16 bytes)
  0b 00 01 00 62 72 69 64 67 65 00 00  ; IFLA_INFO_KIND "bridge"
`);

test('addBridge() and decodeLink() agree on the request', () => {
  const properties = { name: 'br0', isUp: true, mac: '02:00:00:00:00:01', mtu: 1400 };
  assertBytes(requestOf(properties), REQUEST);
  const { name, isUp, mac, mtu, kind } = decodeLink(received(REQUEST));
  assert.equal({ name, isUp, mac, mtu }, properties);
  assert.is(kind, 'bridge');
});

test('addBridge() asks for VLAN filtering only when it is named', () => {
  // As ip link add br1 type bridge vlan_filtering 1, with the differences above.
  const withFiltering = (value: string) =>
    bytes(`
      00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ; struct ifinfomsg
      08 00 03 00 62 72 31 00  ; IFLA_IFNAME "br1"
      1c 00 12 80  ; IFLA_LINKINFO nested (28 bytes)
      0b 00 01 00 62 72 69 64 67 65 00 00  ; IFLA_INFO_KIND "bridge"
      0c 00 02 80  ; IFLA_INFO_DATA nested (12 bytes)
      05 00 07 00 ${value} 00 00 00  ; IFLA_BR_VLAN_FILTERING
    `);
  assertBytes(requestOf({ name: 'br1', vlanFiltering: true }), withFiltering('01'));
  assertBytes(requestOf({ name: 'br1', vlanFiltering: false }), withFiltering('00'));
});

/** A bridge as a kernel with VLAN filtering describes it: IFLA_BR_VLAN_FILTERING and IFLA_BR_VLAN_PROTOCOL (802.1Q). */
function filteringBridge(value: number): Uint8Array {
  const driver = join(attribute(7, Uint8Array.of(value)), attribute(8, bytes('81 00')));
  const info = join(attribute(1, Buffer.from('bridge\0')), attribute(2, driver));
  return join(new Uint8Array(16), attribute(3, Buffer.from('br0\0')), attribute(18, info));
}

test('isVlanFiltering() reads the switch of a kernel that has it', () => {
  assert.is(isVlanFiltering(decodeLink(received(filteringBridge(1)))), true);
  assert.is(isVlanFiltering(decodeLink(received(filteringBridge(0)))), false);
});

test('isVlanFiltering() is undefined for a kernel without it, though that sends IFLA_BR_VLAN_FILTERING', () => {
  const bridge = decodeLink(received(CAPTURED_BRIDGE));
  assert.is(bridge.driverAttributes?.u8(7), 0);
  assert.is(isVlanFiltering(bridge), undefined);
});

test('forwardDelayOf() reads hundredths of a second', () => {
  assert.is(forwardDelayOf(decodeLink(received(CAPTURED_BRIDGE))), 15);
  assert.is(forwardDelayOf(decodeLink(received(CAPTURED_BRIDGE_PORT))), 0);
});

test('isVlanFiltering() is undefined for another kind of link', () => {
  assert.is(isVlanFiltering(decodeLink(received(CAPTURED_BRIDGE_PORT))), undefined);
});

test.run();
