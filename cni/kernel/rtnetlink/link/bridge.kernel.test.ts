import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkError } from '../../netlink/error.ts';
import { withNamespace } from '../../testing/namespaces.ts';
import { thrownOf } from '../../testing/thrown.ts';
import { addBridge, isVlanFiltering } from './bridge.ts';
import { findLink, setLink } from './link.ts';

const test = suite('bridge in the kernel');

test('addBridge() makes a bridge as it was asked for', () =>
  withNamespace((ns) => {
    addBridge(ns.route, { name: 'br0', isUp: true, mac: '02:00:00:00:00:01', mtu: 1400 });
    const bridge = ns.link('br0');
    assert.equal([bridge.linkinfo?.info_kind, bridge.address, bridge.mtu], ['bridge', '02:00:00:00:00:01', 1400]);
    assert.ok(bridge.flags.includes('UP'));
    assert.is(bridge.linkinfo?.info_data?.vlan_filtering, 0);
  }));

test('addBridge() makes it down and with an address of its own unless told', () =>
  withNamespace((ns) => {
    addBridge(ns.route, { name: 'br0' });
    const bridge = ns.link('br0');
    assert.not(bridge.flags.includes('UP'));
    assert.match(bridge.address, /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
    assert.is.not(bridge.address, '00:00:00:00:00:00');
  }));

test('findLink() describes a bridge that somebody else made', () =>
  withNamespace((ns) => {
    ns.ip('link', 'add', 'br0', 'mtu', '1380', 'up', 'type', 'bridge', 'ageing_time', '12300');
    const bridge = findLink(ns.route, 'br0');
    const referee = ns.link('br0');
    assert.equal([bridge?.kind, bridge?.isUp, bridge?.mtu], ['bridge', true, 1380]);
    assert.equal([bridge?.index, bridge?.mac], [referee.ifindex, referee.address]);
    assert.is(bridge?.driverAttributes?.u32(4), 12300, 'IFLA_BR_AGEING_TIME');
  }));

test('addBridge() throws EEXIST for a bridge that is there, and leaves it as it is', () =>
  withNamespace((ns) => {
    ns.ip('link', 'add', 'br0', 'mtu', '1380', 'type', 'bridge');
    const error = thrownOf(NetlinkError, () => addBridge(ns.route, { name: 'br0', mtu: 1400, isUp: true }));
    assert.is(error.message, 'Cannot add bridge "br0": EEXIST');
    assert.is(ns.link('br0').mtu, 1380);
    assert.not(ns.link('br0').flags.includes('UP'));
  }));

test('addBridge() throws EEXIST for another kind of link, which findLink() tells apart', () =>
  withNamespace((ns) => {
    ns.ip('link', 'add', 'br0', 'type', 'veth', 'peer', 'name', 'br1');
    assert.is(thrownOf(NetlinkError, () => addBridge(ns.route, { name: 'br0' })).code, 'EEXIST');
    const found = findLink(ns.route, 'br0');
    assert.is(found?.kind, 'veth');
    assert.is(found && isVlanFiltering(found), undefined);
  }));

test('setLink() puts a link on a bridge and takes it off', () =>
  withNamespace((ns) => {
    ns.ip('link', 'add', 'br0', 'type', 'bridge');
    ns.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
    const bridge = findLink(ns.route, 'br0');
    const port = { index: ns.link('v0').ifindex, name: 'v0' };
    setLink(ns.route, port, { masterIndex: bridge?.index ?? 0 });
    assert.is(ns.link('v0').master, 'br0');
    assert.is(findLink(ns.route, 'v0')?.masterIndex, bridge?.index);
    setLink(ns.route, port, { masterIndex: 0 });
    assert.is(ns.link('v0').master, undefined);
    assert.is(findLink(ns.route, 'v0')?.masterIndex, undefined);
  }));

test('addBridge() with VLAN filtering turns it on, or is refused with EOPNOTSUPP and makes nothing', () =>
  withNamespace((ns) => {
    // The answer of ip(8) to the same wish says which of the two this kernel owes us.
    let isSupported = true;
    try {
      ns.ip('link', 'add', 'br9', 'type', 'bridge', 'vlan_filtering', '1');
    } catch {
      isSupported = false;
    }
    ns.ip('link', 'add', 'br0', 'type', 'bridge');
    const plain = findLink(ns.route, 'br0');
    if (!plain) throw new Error('Cannot find br0');
    if (isSupported) {
      assert.is(isVlanFiltering(plain), false);
      addBridge(ns.route, { name: 'br1', vlanFiltering: true });
      assert.is(ns.link('br1').linkinfo?.info_data?.vlan_filtering, 1);
      const filtering = findLink(ns.route, 'br1');
      assert.is(filtering && isVlanFiltering(filtering), true);
      return;
    }
    assert.is(isVlanFiltering(plain), undefined);
    const error = thrownOf(NetlinkError, () => addBridge(ns.route, { name: 'br1', vlanFiltering: true }));
    assert.is(error.message, 'Cannot add bridge "br1": EOPNOTSUPP');
    assert.not(ns.links().has('br1'));
  }));

test.run();
