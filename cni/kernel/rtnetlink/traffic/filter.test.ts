import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { done, FakeTransport } from '../../netlink/fake-transport.ts';
import { MalformedMessageError } from '../../netlink/reader.ts';
import { assertBytes, attribute, bytes, join, received } from '../../testing/bytes.ts';
import { thrown } from '../../testing/thrown.ts';
import {
  addFilter,
  decodeFilter,
  encodeFilter,
  ETH_P_ALL,
  ETH_P_IP,
  ETH_P_IPV6,
  type Filter,
  listFilters,
} from './filter.ts';
import { handleOf, INGRESS_HANDLE } from './traffic-control.ts';

const test = suite('rtnetlink filter');

// Captured: tc filter add dev … strace -e trace=sendmsg -e write=all, kernel 6.18, iproute2 6.1; the header left out.
const FILTERS: readonly (readonly [string, number, number, Filter, Uint8Array])[] = [
  [
    'parent ffff: protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev ifbx',
    3,
    INGRESS_HANDLE,
    { protocol: ETH_P_ALL, priority: 1, matches: [], verdict: { redirectIndex: 4 } },
    bytes(`
      00 00 00 00  ; tcm_family, pad
      03 00 00 00  ; tcm_ifindex
      00 00 00 00  ; tcm_handle
      00 00 ff ff  ; tcm_parent ffff:
      00 03 01 00  ; tcm_info: ETH_P_ALL in network order, priority 1
      08 00 01 00 75 33 32 00  ; TCA_KIND "u32"
      60 00 02 00  ; TCA_OPTIONS (96 bytes)
      38 00 07 00  ; TCA_U32_ACT (56 bytes)
      34 00 01 00  ; the first action (52 bytes)
      0b 00 01 00 6d 69 72 72 65 64 00 00  ; TCA_ACT_KIND "mirred"
      24 00 02 80  ; TCA_ACT_OPTIONS nested (36 bytes)
      20 00 02 00  ; TCA_MIRRED_PARMS
      00 00 00 00  ; index
      00 00 00 00  ; capab
      04 00 00 00  ; action TC_ACT_STOLEN
      00 00 00 00  ; refcnt
      00 00 00 00  ; bindcnt
      01 00 00 00  ; eaction TCA_EGRESS_REDIR
      04 00 00 00  ; ifindex
      24 00 05 00  ; TCA_U32_SEL
      01 00 01 00  ; flags TC_U32_TERMINAL, offshift, nkeys 1, pad
      00 00 00 00  ; offmask, off
      00 00 00 00  ; offoff, hoff
      00 00 00 00  ; hmask
      00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ; mask, val, off, offmask
    `),
  ],
  [
    'parent 1: protocol ip prio 16 u32 match ip dst 10.1.2.0/23 flowid 1:2',
    4,
    handleOf(1, 0),
    {
      protocol: ETH_P_IP,
      priority: 16,
      matches: [{ offset: 16, mask: 0xfffffe00, value: 0x0a010200 }],
      verdict: { classId: handleOf(1, 2) },
    },
    bytes(`
      00 00 00 00 04 00 00 00 00 00 00 00 00 00 01 00  ; tcm_ifindex, tcm_handle, tcm_parent 1:
      08 00 10 00  ; tcm_info: ETH_P_IP, priority 16
      08 00 01 00 75 33 32 00  ; TCA_KIND "u32"
      30 00 02 00  ; TCA_OPTIONS (48 bytes)
      08 00 01 00 02 00 01 00  ; TCA_U32_CLASSID 1:2
      24 00 05 00  ; TCA_U32_SEL
      01 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00  ; flags TC_U32_TERMINAL, nkeys 1
      ff ff fe 00  ; mask, network order
      0a 01 02 00  ; val, network order
      10 00 00 00  ; off 16, host order
      00 00 00 00  ; offmask
    `),
  ],
  [
    'parent 1: protocol ipv6 prio 17 u32 match ip6 src fd00:1::/40 flowid 1:2',
    4,
    handleOf(1, 0),
    {
      protocol: ETH_P_IPV6,
      priority: 17,
      matches: [
        { offset: 8, mask: 0xffffffff, value: 0xfd000001 },
        { offset: 12, mask: 0xff000000, value: 0 },
      ],
      verdict: { classId: handleOf(1, 2) },
    },
    bytes(`
      00 00 00 00 04 00 00 00 00 00 00 00 00 00 01 00  ; tcm_ifindex, tcm_handle, tcm_parent 1:
      86 dd 11 00  ; tcm_info: ETH_P_IPV6, priority 17
      08 00 01 00 75 33 32 00  ; TCA_KIND "u32"
      40 00 02 00  ; TCA_OPTIONS (64 bytes)
      08 00 01 00 02 00 01 00  ; TCA_U32_CLASSID 1:2
      34 00 05 00  ; TCA_U32_SEL
      01 00 02 00 00 00 00 00 00 00 00 00 00 00 00 00  ; flags TC_U32_TERMINAL, nkeys 2
      ff ff ff ff fd 00 00 01 08 00 00 00 00 00 00 00  ; mask, val, off 8, offmask
      ff 00 00 00 00 00 00 00 0c 00 00 00 00 00 00 00  ; mask, val, off 12, offmask
    `),
  ],
];

for (const [command, index, parent, filter, captured] of FILTERS) {
  test(`encodeFilter() and decodeFilter() agree with tc filter add ${command}`, () => {
    assertBytes(encodeFilter(index, parent, filter), captured);
    assert.equal(decodeFilter(received(captured)), filter);
  });
}

test('encodeFilter() writes neither class nor action for packets that just go on', () => {
  // As tc filter add dev v0 parent ffff: protocol ip prio 1 u32 match ip dst 10.1.2.0/23, but for TC_U32_TERMINAL:
  // without it the filters behind this one would be asked, too.
  const filter: Filter = {
    protocol: ETH_P_IP,
    priority: 1,
    matches: [{ offset: 16, mask: 0xfffffe00, value: 0x0a010200 }],
    verdict: {},
  };
  const expected = bytes(`
    00 00 00 00 03 00 00 00 00 00 00 00 00 00 ff ff  ; tcm_ifindex, tcm_handle, tcm_parent ffff:
    08 00 01 00  ; tcm_info: ETH_P_IP, priority 1
    08 00 01 00 75 33 32 00  ; TCA_KIND "u32"
    28 00 02 00  ; TCA_OPTIONS (40 bytes)
    24 00 05 00  ; TCA_U32_SEL
    01 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00  ; flags TC_U32_TERMINAL, nkeys 1
    ff ff fe 00 0a 01 02 00 10 00 00 00 00 00 00 00  ; mask, val, off, offmask
  `);
  assertBytes(encodeFilter(3, INGRESS_HANDLE, filter), expected);
  assert.equal(decodeFilter(received(expected)), filter);
});

// Captured: the dump of listFilters() after the first command above, recvfrom, kernel 6.18.
const DUMP = [
  bytes(`
    00 00 00 00 03 00 00 00 00 00 00 00 00 00 ff ff 00 03 01 00  ; struct tcmsg: the filters of priority 1
    08 00 01 00 75 33 32 00 08 00 0b 00 00 00 00 00  ; TCA_KIND, TCA_CHAIN
  `),
  bytes(`
    00 00 00 00 03 00 00 00 00 00 00 80 00 00 ff ff 00 03 01 00  ; struct tcmsg: their hash table 800:
    08 00 01 00 75 33 32 00 08 00 0b 00 00 00 00 00  ; TCA_KIND, TCA_CHAIN
    0c 00 02 00 08 00 04 00 01 00 00 00  ; TCA_OPTIONS: TCA_U32_DIVISOR
  `),
  bytes(`
    00 00 00 00 03 00 00 00 00 08 00 80 00 00 ff ff 00 03 01 00  ; struct tcmsg: the filter 800::800
    08 00 01 00 75 33 32 00 08 00 0b 00 00 00 00 00  ; TCA_KIND, TCA_CHAIN
    e0 00 02 00  ; TCA_OPTIONS (224 bytes)
    24 00 05 00 01 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00  ; TCA_U32_SEL
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    08 00 02 00 00 00 00 80  ; TCA_U32_HASH
    08 00 0b 00 08 00 00 00  ; TCA_U32_FLAGS
    a8 00 07 00 a4 00 01 00  ; TCA_U32_ACT, the first action
    0b 00 01 00 6d 69 72 72 65 64 00 00  ; TCA_ACT_KIND "mirred"
    44 00 04 00  ; TCA_ACT_STATS
    14 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    14 00 07 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    18 00 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    08 00 0a 00 00 00 00 00  ; TCA_ACT_IN_HW_COUNT
    48 00 02 00  ; TCA_ACT_OPTIONS (72 bytes)
    20 00 02 00 01 00 00 00 00 00 00 00 04 00 00 00  ; TCA_MIRRED_PARMS
    01 00 00 00 01 00 00 00 01 00 00 00 04 00 00 00
    24 00 01 00 03 00 00 00 00 00 00 00 03 00 00 00  ; TCA_MIRRED_TM
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
  `),
];

test('listFilters() asks for those of one qdisc and leaves out what matches nothing', () => {
  const transport = new FakeTransport(() => [...DUMP.map((payload) => ({ type: 44, flags: 2, payload })), done()]);
  const filters = listFilters(new NetlinkConnection(transport), { index: 3, name: 'v0' }, INGRESS_HANDLE);
  assert.equal(filters, [FILTERS[0]?.[3]]);
  assert.equal([transport.requests[0]?.type, transport.requests[0]?.flags], [46, 0x301]);
  const expected = bytes('00 00 00 00 03 00 00 00 00 00 00 00 00 00 ff ff 00 00 00 00');
  assertBytes(transport.requests[0]?.payload ?? bytes(''), expected);
});

test('decodeFilter() is undefined for another kind of filter, whatever its options are', () => {
  const payload = join(new Uint8Array(20), attribute(1, Buffer.from('bpf\0')), attribute(2, new Uint8Array(5)));
  assert.is(decodeFilter(received(payload)), undefined);
});

test('decodeFilter() refuses a selector that promises more words than it has', () => {
  const selector = attribute(
    5,
    bytes('01 00 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00'),
  );
  const payload = join(new Uint8Array(20), attribute(1, Buffer.from('u32\0')), attribute(2, selector));
  assert.ok(thrown(() => decodeFilter(received(payload))) instanceof MalformedMessageError);
});

test('addFilter() adds and never replaces', () => {
  const filter: Filter = { protocol: ETH_P_IP, priority: 16, matches: [], verdict: {} };
  const { operation, type, flags, payload } = addFilter({ index: 4, name: 'ifbx' }, handleOf(1, 0), filter);
  assert.equal([operation, type, flags], ['add filter 16 to qdisc 1: of "ifbx"', 44, 0x600]);
  assertBytes(payload, encodeFilter(4, handleOf(1, 0), filter));
});

test.run();
