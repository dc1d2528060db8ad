import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../netlink/connection.ts';
import { acknowledge, FakeTransport } from '../netlink/fake-transport.ts';
import { assertBytes, bytes, received } from '../testing/bytes.ts';
import { thrown } from '../testing/thrown.ts';
import { addIfb } from './ifb.ts';
import { decodeLink } from './link.ts';

const test = suite('rtnetlink ifb');

const IFB = { name: 'ifbx', mtu: 1400, mac: '02:00:00:00:00:01', alias: 'podlink-ifb n c eth0' };

// ip link add ifbx address 02:00:00:00:00:01 mtu 1400 type ifb, and ip link set ifbx alias … and addrgenmode none
// (strace -e trace=sendmsg -e write=all, kernel 6.18) send the same, but for the order of attributes, the zero after
// "ifb", the flag of nested attributes, and the link by its index.
const NEW = bytes(`
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ; struct ifinfomsg
  09 00 03 00 69 66 62 78 00 00 00 00  ; IFLA_IFNAME "ifbx"
  0a 00 01 00 02 00 00 00 00 01 00 00  ; IFLA_ADDRESS 02:00:00:00:00:01
  08 00 04 00 78 05 00 00  ; IFLA_MTU 1400
  0c 00 12 80  ; IFLA_LINKINFO nested (12 bytes)
  08 00 01 00 69 66 62 00  ; IFLA_INFO_KIND "ifb"
`);
const NAME_AND_ALIAS = `
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ; struct ifinfomsg
  09 00 03 00 69 66 62 78 00 00 00 00  ; IFLA_IFNAME "ifbx"
  18 00 14 00 70 6f 64 6c 69 6e 6b 2d 69 66 62 20 6e 20 63 20 65 74 68 30  ; IFLA_IFALIAS
`;
const SET = bytes(`
  ${NAME_AND_ALIAS}
  10 00 1a 80  ; IFLA_AF_SPEC nested (16 bytes)
  0c 00 0a 80  ; AF_INET6 nested (12 bytes)
  05 00 08 00 01 00 00 00  ; IFLA_INET6_ADDR_GEN_MODE none
`);

test('addIfb() makes it down, then names its owner and keeps IPv6 away', () => {
  const transport = new FakeTransport();
  addIfb(new NetlinkConnection(transport), IFB);
  assert.equal(
    transport.requests.map(({ type, flags }) => [type, flags]),
    [
      [16, 0x605],
      [19, 0x5],
    ],
  );
  assertBytes(transport.requests[0]?.payload ?? bytes(''), NEW);
  assertBytes(transport.requests[1]?.payload ?? bytes(''), SET);
  const { kind, name, mtu, mac, isUp } = decodeLink(received(NEW));
  assert.equal([kind, name, mtu, mac, isUp], ['ifb', 'ifbx', 1400, '02:00:00:00:00:01', false]);
  assert.is(decodeLink(received(SET)).alias, 'podlink-ifb n c eth0');
});

test('addIfb() does without IPv6 where the kernel has none', () => {
  let answered = 0;
  const transport = new FakeTransport(() => [acknowledge(++answered === 2 ? 97 : 0)]);
  addIfb(new NetlinkConnection(transport), IFB);
  assert.is(transport.requests.length, 3);
  assertBytes(transport.requests[2]?.payload ?? bytes(''), bytes(NAME_AND_ALIAS));
});

test('addIfb() says what the kernel has against it', () => {
  const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(95)]));
  assert.is(thrown(() => addIfb(route, IFB)).message, 'Cannot add ifb "ifbx": EOPNOTSUPP');
  let answered = 0;
  const other = new NetlinkConnection(new FakeTransport(() => [acknowledge(++answered === 2 ? 1 : 0)]));
  assert.is(thrown(() => addIfb(other, IFB)).message, 'Cannot change link "ifbx": EPERM');
});

test.run();
