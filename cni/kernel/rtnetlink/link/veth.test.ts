import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { acknowledge, FakeTransport } from '../../netlink/fake-transport.ts';
import { Attributes } from '../../netlink/reader.ts';
import { assertBytes, bytes, received } from '../../testing/bytes.ts';
import { thrown } from '../../testing/thrown.ts';
import { decodeLink } from './link.ts';
import { addVethPair } from './veth.ts';

const test = suite('rtnetlink veth');

// What ip link add v0 mtu 1400 master br0 up type veth peer name v1 address 02:00:00:00:00:05 mtu 1400 netns b sends
// (strace -e trace=sendmsg -e write=all, kernel 6.18), but for: the order of the attributes, the MAC of v0, the zero
// after "veth", and NLA_F_NESTED, which rtnetlink ignores. The kernel accepted these bytes.
const REQUEST = bytes(`
  00 00 00 00  ; ifi_family, pad, ifi_type
  00 00 00 00  ; ifi_index
  01 00 00 00  ; ifi_flags IFF_UP
  01 00 00 00  ; ifi_change IFF_UP
  07 00 03 00 76 30 00 00  ; IFLA_IFNAME "v0"
  0a 00 01 00 02 00 00 00 00 04 00 00  ; IFLA_ADDRESS 02:00:00:00:00:04
  08 00 04 00 78 05 00 00  ; IFLA_MTU 1400
  08 00 0a 00 02 00 00 00  ; IFLA_MASTER 2
  4c 00 12 80  ; IFLA_LINKINFO nested (76 bytes)
  09 00 01 00 76 65 74 68 00 00 00 00  ; IFLA_INFO_KIND "veth"
  3c 00 02 80  ; IFLA_INFO_DATA nested (60 bytes)
  38 00 01 80  ; VETH_INFO_PEER nested (56 bytes)
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ; struct ifinfomsg
  07 00 03 00 76 31 00 00  ; IFLA_IFNAME "v1"
  0a 00 01 00 02 00 00 00 00 05 00 00  ; IFLA_ADDRESS 02:00:00:00:00:05
  08 00 04 00 78 05 00 00  ; IFLA_MTU 1400
  08 00 1c 00 16 00 00 00  ; IFLA_NET_NS_FD 22
`);

const NEAR = { name: 'v0', isUp: true, mac: '02:00:00:00:00:04', mtu: 1400, masterIndex: 2 };
const FAR = { name: 'v1', mac: '02:00:00:00:00:05', mtu: 1400 };

test('addVethPair() makes both ends with one request', () => {
  const transport = new FakeTransport();
  addVethPair(new NetlinkConnection(transport), NEAR, FAR, 22);
  assert.equal(
    transport.requests.map(({ type, flags }) => [type, flags]),
    [[16, 0x605]], // NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
  );
  assertBytes(transport.requests[0]?.payload ?? bytes(''), REQUEST);
});

test('decodeLink() reads both ends in the request', () => {
  const near = decodeLink(received(REQUEST));
  const { name, isUp, mac, mtu, masterIndex } = near;
  assert.equal({ name, isUp, mac, mtu, masterIndex }, NEAR);
  const peer = near.driverAttributes?.bytes(1) ?? bytes('');
  const far = decodeLink(received(peer));
  assert.equal({ name: far.name, mac: far.mac, mtu: far.mtu }, FAR);
  assert.is(new Attributes(peer.subarray(16)).u32(28), 22);
});

test('addVethPair() names the near end when the kernel refuses', () => {
  const connection = new NetlinkConnection(new FakeTransport(() => [acknowledge(17)]));
  assert.is(thrown(() => addVethPair(connection, NEAR, FAR, 22)).message, 'Cannot add veth "v0": EEXIST');
});

test('addVethPair() sends nothing for a MAC address that is none', () => {
  const transport = new FakeTransport();
  const connection = new NetlinkConnection(transport);
  assert.throws(() => addVethPair(connection, NEAR, { ...FAR, mac: '02:00' }, 22), /Invalid MAC address "02:00"/);
  assert.is(transport.requests.length, 0);
});

test.run();
