import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { acknowledge, type FakeReply, FakeTransport } from '../../netlink/fake-transport.ts';
import { assertBytes, bytes, received } from '../../testing/bytes.ts';
import { thrown } from '../../testing/thrown.ts';
import { addIfb, quietIfb } from './ifb.ts';
import { decodeLink } from './link.ts';

const test = suite('rtnetlink ifb');

const IFB = { name: 'ifbx', mtu: 1400, mac: '02:00:00:00:00:01' };

// ip link add ifbx address 02:00:00:00:00:01 mtu 1400 type ifb, and ip link set ifbx alias … and addrgenmode none
// (strace -e trace=sendmsg -e write=all, kernel 6.18) send the same, but for the order of attributes, the zero after
// "ifb", and the flag of nested attributes.
const NEW = bytes(`
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ; struct ifinfomsg
  09 00 03 00 69 66 62 78 00 00 00 00  ; IFLA_IFNAME "ifbx"
  0a 00 01 00 02 00 00 00 00 01 00 00  ; IFLA_ADDRESS 02:00:00:00:00:01
  08 00 04 00 78 05 00 00  ; IFLA_MTU 1400
  0c 00 12 80  ; IFLA_LINKINFO nested (12 bytes)
  08 00 01 00 69 66 62 00  ; IFLA_INFO_KIND "ifb"
`);
const ALIAS = `
  00 00 00 00 07 00 00 00 00 00 00 00 00 00 00 00  ; struct ifinfomsg, ifi_index 7
  18 00 14 00 70 6f 64 6c 69 6e 6b 2d 69 66 62 20 6e 20 63 20 65 74 68 30  ; IFLA_IFALIAS
`;
const SET = bytes(`
  ${ALIAS}
  10 00 1a 80  ; IFLA_AF_SPEC nested (16 bytes)
  0c 00 0a 80  ; AF_INET6 nested (12 bytes)
  05 00 08 00 01 00 00 00  ; IFLA_INET6_ADDR_GEN_MODE none
`);
/** struct ifinfomsg with ifi_index 7, and a name. */
const MADE = bytes('00 00 01 00 07 00 00 00 02 00 00 00 00 00 00 00 09 00 03 00 69 66 62 78 00 00 00 00');

test('addIfb() makes it down, and takes its index from the echo', () => {
  const transport = new FakeTransport(() => [{ type: 16, payload: MADE }, acknowledge()]);
  assert.is(addIfb(new NetlinkConnection(transport), IFB), 7);
  assert.equal(
    transport.requests.map(({ type, flags }) => [type, flags]),
    [[16, 0x60d]],
  );
  assertBytes(transport.requests[0]?.payload ?? bytes(''), NEW);
  const { kind, name, mtu, mac, isUp } = decodeLink(received(NEW));
  assert.equal([kind, name, mtu, mac, isUp], ['ifb', 'ifbx', 1400, '02:00:00:00:00:01', false]);
});

test('addIfb() asks for the index where the kernel does not echo, and finds none of what is gone again', () => {
  const answer = (found: FakeReply[]) => new FakeTransport(({ type }) => (type === 18 ? found : [acknowledge()]));
  const transport = answer([{ type: 16, payload: MADE }, acknowledge()]);
  assert.is(addIfb(new NetlinkConnection(transport), IFB), 7);
  assert.equal(
    transport.requests.map(({ type }) => type),
    [16, 18],
  );
  assert.is(addIfb(new NetlinkConnection(answer([acknowledge(19)])), IFB), undefined);
});

test('quietIfb() names its owner, and keeps IPv6 away if the kernel has it', () => {
  const link = { index: 7, name: 'ifbx' };
  const request = quietIfb(link, 'podlink-ifb n c eth0', true);
  assert.equal([request.operation, request.type], ['change link "ifbx"', 19]);
  assertBytes(request.payload, SET);
  assertBytes(quietIfb(link, 'podlink-ifb n c eth0', false).payload, bytes(ALIAS));
});

test('addIfb() says what the kernel has against it', () => {
  const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(95)]));
  assert.is(thrown(() => addIfb(route, IFB)).message, 'Cannot add ifb "ifbx": EOPNOTSUPP');
  const broken = new NetlinkConnection(new FakeTransport(() => [{ type: 16, payload: bytes('00 00') }, acknowledge()]));
  assert.match(thrown(() => addIfb(broken, IFB)).message, /^Cannot add ifb "ifbx" \(Truncated message.*EBADMSG$/);
});

test.run();
