import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { acknowledge, FakeTransport } from '../../netlink/fake-transport.ts';
import { assertBytes, attribute, bytes, join, received } from '../../testing/bytes.ts';
import { thrown } from '../../testing/thrown.ts';
import { addHtbClass, decodeTrafficClass, findTrafficClass } from './traffic-class.ts';
import { handleOf } from './traffic-control.ts';

const test = suite('rtnetlink traffic class');

const LINK = { index: 4, name: 'ifb9' };
const [ROOT, CLASS] = [handleOf(1, 0), handleOf(1, 1)];
const TICK_NS = 64;

// Captured: tc class add dev ifb9 parent 1: classid 1:1 htb rate 8mbit burst 32kb cburst 32kb (and rate 40gbit quantum
// 65536), strace -e trace=sendmsg -e write=all, kernel 6.18, iproute2 6.1; the header left out. tc also sends tables of
// both rates with their cell_log and cell_align, which the kernel reads for no Ethernet.
const MBIT_8 = bytes(`
  00 00 00 00  ; tcm_family, pad
  04 00 00 00  ; tcm_ifindex
  01 00 01 00  ; tcm_handle 1:1
  00 00 01 00  ; tcm_parent 1:
  00 00 00 00  ; tcm_info
  08 00 01 00 68 74 62 00  ; TCA_KIND "htb"
  34 00 02 00  ; TCA_OPTIONS (52 bytes)
  30 00 01 00  ; TCA_HTB_PARMS
  00 01 00 00 00 00 00 00 40 42 0f 00  ; rate 1,000,000
  00 01 00 00 00 00 00 00 40 42 0f 00  ; ceil
  00 d0 07 00  ; buffer 512,000
  00 d0 07 00  ; cbuffer
  00 00 01 00  ; quantum 65,536
  00 00 00 00  ; level
  00 00 00 00  ; prio
`);

test('addHtbClass() writes a class as tc does, whose ceiling is its rate', () => {
  const htb = { bytesPerSecond: 1_000_000, burstBytes: 32_768 };
  const { operation, type, flags, payload } = addHtbClass(LINK, { parent: ROOT, handle: CLASS }, htb, TICK_NS);
  assert.equal([operation, type, flags], ['add htb class 1:1 of "ifb9"', 40, 0x600]);
  assertBytes(payload, MBIT_8);
});

test('decodeTrafficClass() reads the request back', () => {
  assert.equal(decodeTrafficClass(received(MBIT_8)), {
    handle: CLASS,
    kind: 'htb',
    bytesPerSecond: 1_000_000,
    ceilingBytesPerSecond: 1_000_000,
    burstTicks: 512_000,
  });
});

test('addHtbClass() tells a rate of more than 32 bits whole', () => {
  const htb = { bytesPerSecond: 5e9, burstBytes: 33_554_432 };
  assertBytes(
    addHtbClass(LINK, { parent: ROOT, handle: CLASS }, htb, TICK_NS).payload,
    bytes(`
      00 00 00 00 04 00 00 00 01 00 01 00 00 00 01 00 00 00 00 00  ; struct tcmsg
      08 00 01 00 68 74 62 00  ; TCA_KIND "htb"
      4c 00 02 00  ; TCA_OPTIONS (76 bytes)
      30 00 01 00  ; TCA_HTB_PARMS
      00 01 00 00 00 00 00 00 ff ff ff ff  ; rate, cut
      00 01 00 00 00 00 00 00 ff ff ff ff  ; ceil, cut
      99 99 01 00 99 99 01 00  ; buffer, cbuffer 104,857
      00 00 01 00 00 00 00 00 00 00 00 00  ; quantum, level, prio
      0c 00 06 00 00 f2 05 2a 01 00 00 00  ; TCA_HTB_RATE64 5,000,000,000
      0c 00 07 00 00 f2 05 2a 01 00 00 00  ; TCA_HTB_CEIL64
    `),
  );
});

// Captured: the answer to findTrafficClass() after tc class add … rate 40gbit burst 32mb cburst 32mb quantum 65536,
// kernel 6.18. Behind what is shown stand counters.
const ANSWER = bytes(`
  00 00 00 00 04 00 00 00 01 00 01 00  ; tcm_ifindex, tcm_handle
  ff ff ff ff  ; tcm_parent TC_H_ROOT
  00 00 10 00  ; tcm_info: its qdisc 10:
  08 00 01 00 68 74 62 00  ; TCA_KIND "htb"
  4c 00 02 00  ; TCA_OPTIONS (76 bytes)
  30 00 01 00 00 01 00 00 00 00 00 00 ff ff ff ff  ; TCA_HTB_PARMS, rate
  00 01 00 00 00 00 00 00 ff ff ff ff  ; ceil
  8b 99 01 00 8b 99 01 00  ; buffer, cbuffer
  00 00 01 00 00 00 00 00 00 00 00 00  ; quantum, level, prio
  0c 00 06 00 00 f2 05 2a 01 00 00 00  ; TCA_HTB_RATE64
  0c 00 07 00 00 f2 05 2a 01 00 00 00  ; TCA_HTB_CEIL64
`);

test('findTrafficClass() asks for one class', () => {
  const transport = new FakeTransport(() => [{ type: 40, payload: ANSWER }, acknowledge()]);
  assert.equal(findTrafficClass(new NetlinkConnection(transport), LINK, CLASS), {
    handle: CLASS,
    kind: 'htb',
    bytesPerSecond: 5e9,
    ceilingBytesPerSecond: 5e9,
    burstTicks: 104_843,
  });
  assert.equal([transport.requests[0]?.type, transport.requests[0]?.flags], [42, 0xd]);
  const expected = bytes('00 00 00 00 04 00 00 00 01 00 01 00 00 00 00 00 00 00 00 00');
  assertBytes(transport.requests[0]?.payload ?? bytes(''), expected);
});

test('findTrafficClass() is undefined without the class, and throws without a link', () => {
  for (const errno of [0, 2, 22, 95]) {
    const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(errno)]));
    assert.is(findTrafficClass(route, LINK, CLASS), undefined);
  }
  const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(19)]));
  assert.is(thrown(() => findTrafficClass(route, LINK, CLASS)).message, 'Cannot get class 1:1 of "ifb9": ENODEV');
});

test('decodeTrafficClass() knows no rate of another kind of class', () => {
  const payload = join(new Uint8Array(20), attribute(1, Buffer.from('tbf\0')));
  const { kind, bytesPerSecond, burstTicks } = decodeTrafficClass(received(payload));
  assert.equal([kind, bytesPerSecond, burstTicks], ['tbf', undefined, undefined]);
});

test.run();
