import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { acknowledge, FakeTransport } from '../../netlink/fake-transport.ts';
import { MalformedMessageError } from '../../netlink/reader.ts';
import { assertBytes, attribute, bytes, join, received } from '../../testing/bytes.ts';
import { thrown } from '../../testing/thrown.ts';
import { addQdisc, decodeQdisc, encodeQdisc, findQdisc, type QdiscOptions } from './qdisc.ts';
import { formatHandle, handleOf, INGRESS_HANDLE, TC_H_INGRESS, TC_H_ROOT } from './traffic-control.ts';

const test = suite('rtnetlink qdisc');

const ROOT = handleOf(1, 0);
const MBIT_8: QdiscOptions = { kind: 'tbf', bytesPerSecond: 1_000_000, burstBytes: 32_768, limitBytes: 58_368 };
const GBIT_40: QdiscOptions = { kind: 'tbf', bytesPerSecond: 5e9, burstBytes: 33_554_432, limitBytes: 158_554_432 };

// Captured: tc qdisc add dev v0 root handle 1: tbf rate 8mbit burst 32kb limit 57kb (and rate 40gbit burst 32mb latency
// 25ms), strace -e trace=sendmsg -e write=all, kernel 6.18, iproute2 6.1; the header left out. tc also sends a table of
// the rate with its cell_log and cell_align, which the kernel reads for no Ethernet, and the burst in ticks a second
// time; and the 64-bit rate behind the burst in bytes, as we do.
const TBF_8MBIT = bytes(`
  00 00 00 00  ; tcm_family, pad
  03 00 00 00  ; tcm_ifindex
  00 00 01 00  ; tcm_handle 1:
  ff ff ff ff  ; tcm_parent TC_H_ROOT
  00 00 00 00  ; tcm_info
  08 00 01 00 74 62 66 00  ; TCA_KIND "tbf"
  34 00 02 00  ; TCA_OPTIONS (52 bytes)
  28 00 01 00  ; TCA_TBF_PARMS
  00 01 00 00  ; rate: cell_log, linklayer Ethernet, overhead
  00 00 00 00  ; cell_align, mpu
  40 42 0f 00  ; rate 1,000,000
  00 00 00 00 00 00 00 00 00 00 00 00  ; peakrate
  00 e4 00 00  ; limit 58,368
  00 00 00 00  ; buffer
  00 00 00 00  ; mtu
  08 00 06 00 00 80 00 00  ; TCA_TBF_BURST 32,768
`);
const TBF_40GBIT = bytes(`
  00 00 00 00 03 00 00 00 00 00 01 00 ff ff ff ff 00 00 00 00  ; struct tcmsg
  08 00 01 00 74 62 66 00  ; TCA_KIND "tbf"
  40 00 02 00  ; TCA_OPTIONS (64 bytes)
  28 00 01 00  ; TCA_TBF_PARMS
  00 01 00 00 00 00 00 00 ff ff ff ff  ; rate, cut
  00 00 00 00 00 00 00 00 00 00 00 00  ; peakrate
  40 59 73 09 00 00 00 00 00 00 00 00  ; limit 158,554,432, buffer, mtu
  08 00 06 00 00 00 00 02  ; TCA_TBF_BURST 33,554,432
  0c 00 04 00 00 f2 05 2a 01 00 00 00  ; TCA_TBF_RATE64 5,000,000,000
`);

test('encodeQdisc() writes a tbf as tc does', () => {
  assertBytes(encodeQdisc(3, TC_H_ROOT, ROOT, MBIT_8), TBF_8MBIT);
});

test('encodeQdisc() tells a rate of more than 32 bits whole', () => {
  assertBytes(encodeQdisc(3, TC_H_ROOT, ROOT, GBIT_40), TBF_40GBIT);
  assert.is(decodeQdisc(received(TBF_40GBIT)).bytesPerSecond, 5e9);
});

test('decodeQdisc() reads the request back, but for the burst that stands there in bytes', () => {
  const { bytesPerSecond, limitBytes, kind, handle, parent, linkIndex } = decodeQdisc(received(TBF_8MBIT));
  assert.equal([kind, bytesPerSecond, limitBytes], ['tbf', 1_000_000, 58_368]);
  assert.equal([linkIndex, handle, parent], [3, ROOT, TC_H_ROOT]);
});

// Captured: tc qdisc add dev v0 ingress; … dev ifb9 root handle 1: htb default 1; … dev ifb9 parent 1:1 handle 10:
// bfifo limit 57kb. As above; htb's rate2quantum is tc's.
const OTHERS: readonly (readonly [string, Uint8Array, Parameters<typeof encodeQdisc>, object])[] = [
  [
    'ingress',
    bytes(`
      00 00 00 00  ; tcm_family, pad
      03 00 00 00  ; tcm_ifindex
      00 00 ff ff  ; tcm_handle ffff:
      f1 ff ff ff  ; tcm_parent TC_H_INGRESS
      00 00 00 00  ; tcm_info
      0c 00 01 00 69 6e 67 72 65 73 73 00  ; TCA_KIND "ingress"
    `),
    [3, TC_H_INGRESS, INGRESS_HANDLE, { kind: 'ingress' }],
    { linkIndex: 3, handle: INGRESS_HANDLE, parent: TC_H_INGRESS, kind: 'ingress' },
  ],
  // Captured: strace -f -e trace=sendmsg -e write=all tc qdisc add dev v0 clsact, kernel 6.18, iproute2 6.1.
  [
    'clsact',
    bytes(`
      00 00 00 00 03 00 00 00  ; tcm_family, pad, tcm_ifindex
      00 00 ff ff f1 ff ff ff 00 00 00 00  ; tcm_handle ffff:, tcm_parent TC_H_CLSACT, tcm_info
      0b 00 01 00 63 6c 73 61 63 74 00 00  ; TCA_KIND "clsact"
    `),
    [3, TC_H_INGRESS, INGRESS_HANDLE, { kind: 'clsact' }],
    { linkIndex: 3, handle: INGRESS_HANDLE, parent: TC_H_INGRESS, kind: 'clsact' },
  ],
  [
    'htb',
    bytes(`
      00 00 00 00 04 00 00 00 00 00 01 00 ff ff ff ff 00 00 00 00  ; struct tcmsg
      08 00 01 00 68 74 62 00  ; TCA_KIND "htb"
      1c 00 02 00  ; TCA_OPTIONS (28 bytes)
      18 00 02 00  ; TCA_HTB_INIT
      03 00 00 00  ; version
      0a 00 00 00  ; rate2quantum
      01 00 00 00  ; defcls
      00 00 00 00  ; debug
      00 00 00 00  ; direct_pkts
    `),
    [4, TC_H_ROOT, ROOT, { kind: 'htb', defaultClass: 1 }],
    { linkIndex: 4, handle: ROOT, parent: TC_H_ROOT, kind: 'htb', defaultClass: 1 },
  ],
  [
    'bfifo',
    bytes(`
      00 00 00 00 04 00 00 00  ; tcm_family, pad, tcm_ifindex
      00 00 10 00  ; tcm_handle 10:
      01 00 01 00  ; tcm_parent 1:1
      00 00 00 00  ; tcm_info
      0a 00 01 00 62 66 69 66 6f 00 00 00  ; TCA_KIND "bfifo"
      08 00 02 00 00 e4 00 00  ; TCA_OPTIONS: limit 58,368
    `),
    [4, handleOf(1, 1), handleOf(0x10, 0), { kind: 'bfifo', limitBytes: 58_368 }],
    { linkIndex: 4, handle: handleOf(0x10, 0), parent: handleOf(1, 1), kind: 'bfifo', limitBytes: 58_368 },
  ],
];

for (const [kind, captured, request, read] of OTHERS) {
  test(`encodeQdisc() and decodeQdisc() agree with tc on ${kind}`, () => {
    assertBytes(encodeQdisc(...request), captured);
    assert.equal(decodeQdisc(received(captured)), read);
  });
}

// Captured: answers to findQdisc() after tc qdisc add … tbf rate 40gbit burst 32mb latency 25ms, kernel 6.18. Behind
// what is shown stand counters.
const ANSWER_TBF = bytes(`
  00 00 00 00 03 00 00 00 00 00 01 00 ff ff ff ff  ; struct tcmsg
  03 00 00 00  ; tcm_info: references
  08 00 01 00 74 62 66 00  ; TCA_KIND
  38 00 02 00  ; TCA_OPTIONS (56 bytes)
  28 00 01 00 00 01 00 00 00 00 00 00 ff ff ff ff  ; TCA_TBF_PARMS, rate
  00 00 00 00 00 00 00 00 00 00 00 00  ; peakrate
  40 59 73 09  ; limit
  99 99 01 00  ; buffer
  00 00 00 00  ; mtu
  0c 00 04 00 00 f2 05 2a 01 00 00 00  ; TCA_TBF_RATE64
  05 00 0c 00 00 00 00 00  ; TCA_HW_OFFLOAD
`);

test('decodeQdisc() reads what the kernel answers', () => {
  assert.equal(decodeQdisc(received(ANSWER_TBF)), {
    linkIndex: 3,
    handle: ROOT,
    parent: TC_H_ROOT,
    kind: 'tbf',
    bytesPerSecond: 5e9,
    burstTicks: 104_857,
    limitBytes: 158_554_432,
  });
});

test('decodeQdisc() leaves the options of a kind it does not know', () => {
  // struct tc_prio_qopt, which is not made of attributes.
  const payload = join(new Uint8Array(20), attribute(1, Buffer.from('pfifo_fast\0')), attribute(2, new Uint8Array(20)));
  assert.equal(decodeQdisc(received(payload)), { linkIndex: 0, handle: 0, parent: 0, kind: 'pfifo_fast' });
});

test('decodeQdisc() refuses half a struct tcmsg and half of the parameters', () => {
  const cut = join(
    new Uint8Array(20),
    attribute(1, Buffer.from('tbf\0')),
    attribute(2, attribute(1, new Uint8Array(9))),
  );
  for (const payload of [new Uint8Array(19), cut]) {
    assert.ok(thrown(() => decodeQdisc(received(payload))) instanceof MalformedMessageError);
  }
});

test('addQdisc() adds and never replaces', () => {
  const { operation, type, flags, payload } = addQdisc({ index: 3, name: 'v0' }, TC_H_ROOT, ROOT, MBIT_8);
  assert.equal([operation, type, flags], ['add tbf qdisc root of "v0"', 36, 0x600]);
  assertBytes(payload, TBF_8MBIT);
});

test('findQdisc() asks for the one below a parent, and for an echo', () => {
  const transport = new FakeTransport(() => [{ type: 36, payload: ANSWER_TBF }, acknowledge()]);
  const found = findQdisc(new NetlinkConnection(transport), { index: 3, name: 'v0' }, TC_H_ROOT);
  assert.is(found?.kind, 'tbf');
  assert.equal([transport.requests[0]?.type, transport.requests[0]?.flags], [38, 0xd]);
  const expected = bytes('00 00 00 00 03 00 00 00 00 00 00 00 ff ff ff ff 00 00 00 00');
  assertBytes(transport.requests[0]?.payload ?? bytes(''), expected);
});

test('findQdisc() is undefined without a qdisc, and throws without a link', () => {
  const link = { index: 3, name: 'v0' };
  for (const errno of [0, 2, 22]) {
    const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(errno)]));
    assert.is(findQdisc(route, link, TC_H_INGRESS), undefined);
  }
  const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(19)]));
  assert.is(thrown(() => findQdisc(route, link, TC_H_INGRESS)).message, 'Cannot get qdisc ingress of "v0": ENODEV');
});

test('findQdisc() is undefined for the one that a link has by itself', () => {
  const payload = join(new Uint8Array(20), attribute(1, Buffer.from('noqueue\0')));
  const transport = new FakeTransport(() => [{ type: 36, payload }, acknowledge()]);
  assert.is(findQdisc(new NetlinkConnection(transport), { index: 3, name: 'v0' }, TC_H_ROOT), undefined);
});

test('formatHandle() writes handles as tc does', () => {
  const handles = [TC_H_ROOT, TC_H_INGRESS, INGRESS_HANDLE, ROOT, handleOf(0x10, 0), handleOf(1, 0xa)];
  assert.equal(handles.map(formatHandle), ['root', 'ingress', 'ffff:', '1:', '10:', '1:a']);
});

test.run();
