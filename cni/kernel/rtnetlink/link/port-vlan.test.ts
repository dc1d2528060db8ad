import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { acknowledge, FakeTransport } from '../../netlink/fake-transport.ts';
import { assertBytes, bytes } from '../../testing/bytes.ts';
import { thrown } from '../../testing/thrown.ts';
import { listPortVlans, portVlanAddition, portVlanDeletion } from './port-vlan.ts';

const test = suite('rtnetlink port VLAN');

const PORT = { index: 4, name: 'v0' };

test('portVlanAddition() is what bridge vlan add sends', () => {
  // Captured: bridge vlan add dev v0 vid 5 pvid untagged (kernel 6.18), which has one VLAN and no NLA_F_NESTED.
  const { type, payload } = portVlanAddition(PORT, [
    { id: 5, isPvid: true, isUntagged: true },
    { id: 4094, isPvid: false, isUntagged: false },
  ]);
  assert.is(type, 19);
  assertBytes(
    payload,
    bytes(`
      07 00 00 00  ; ifi_family AF_BRIDGE, pad, ifi_type
      04 00 00 00  ; ifi_index
      00 00 00 00  ; ifi_flags
      00 00 00 00  ; ifi_change
      14 00 1a 80  ; IFLA_AF_SPEC nested (20 bytes)
      08 00 02 00 06 00 05 00  ; IFLA_BRIDGE_VLAN_INFO: PVID | UNTAGGED, 5
      08 00 02 00 00 00 fe 0f  ; IFLA_BRIDGE_VLAN_INFO: 4094
    `),
  );
});

test('portVlanDeletion() is what bridge vlan del sends', () => {
  // Captured: bridge vlan del dev v0 vid 5.
  const { type, payload } = portVlanDeletion(PORT, [5]);
  assert.is(type, 17);
  assertBytes(
    payload,
    bytes(`
      07 00 00 00 04 00 00 00 00 00 00 00 00 00 00 00  ; struct ifinfomsg
      0c 00 1a 80  ; IFLA_AF_SPEC nested (12 bytes)
      08 00 02 00 00 00 05 00  ; IFLA_BRIDGE_VLAN_INFO: 5
    `),
  );
});

test('every request names the port when the kernel refuses', () => {
  const route = new NetlinkConnection(new FakeTransport(() => [acknowledge(95)]));
  for (const [work, message] of [
    [() => route.execute(portVlanAddition(PORT, [])), 'Cannot add VLANs to bridge port "v0": EOPNOTSUPP'],
    [() => route.execute(portVlanDeletion(PORT, [1])), 'Cannot delete VLANs of bridge port "v0": EOPNOTSUPP'],
    [() => listPortVlans(route, PORT), 'Cannot list VLANs of bridge port "v0": EOPNOTSUPP'],
  ] as const) {
    assert.is(thrown(work).message, message);
  }
});

test.run();
