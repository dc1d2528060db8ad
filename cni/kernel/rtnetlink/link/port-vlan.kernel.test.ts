import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkError } from '../../netlink/error.ts';
import { type TestNamespace, withHostAndSandbox } from '../../testing/namespaces.ts';
import { testUnless } from '../../testing/skip.ts';
import { thrownOf } from '../../testing/thrown.ts';
import { hasVlanFiltering, refereedVlans } from '../../testing/vlan-filtering.ts';
import { addBridge, defaultVlanOf, isVlanFiltering, turnOnVlanFiltering } from './bridge.ts';
import { findLink, type Link } from './link.ts';
import { listPortVlans, portVlanAddition, portVlanDeletion } from './port-vlan.ts';
import { addVethPair } from './veth.ts';

const test = suite('VLANs of a bridge port in the kernel');
const canFilter = await hasVlanFiltering();
const without = canFilter ? undefined : 'the kernel has no bridge VLAN filtering';

function find(ns: TestNamespace, name: string): Link {
  const link = findLink(ns.route, name);
  if (!link) throw new Error(`Cannot find link "${name}"`);
  return link;
}

function addPort(host: TestNamespace, sandbox: TestNamespace, ...words: string[]): Link {
  host.ip('link', 'add', 'br0', 'up', 'type', 'bridge', ...words);
  const masterIndex = find(host, 'br0').index;
  addVethPair(host.route, { name: 'v0', isUp: true, masterIndex }, { name: 'eth0' }, sandbox.netns.fd);
  return find(host, 'v0');
}

const UNTAGGED = { isPvid: true, isUntagged: true };
const TAGGED = { isPvid: false, isUntagged: false };

testUnless(
  test,
  canFilter ? 'the kernel has bridge VLAN filtering' : undefined,
  'VLANs of ports are refused with EOPNOTSUPP without VLAN filtering in the kernel, and a deletion finds nothing to do',
  () =>
    withHostAndSandbox((host, sandbox) => {
      const port = addPort(host, sandbox);
      const add = () => host.route.execute(portVlanAddition(port, [{ id: 5, ...UNTAGGED }]));
      assert.is(thrownOf(NetlinkError, add).message, 'Cannot add VLANs to bridge port "v0": EOPNOTSUPP');
      assert.is(thrownOf(NetlinkError, () => listPortVlans(host.route, port)).code, 'EOPNOTSUPP');
      host.route.execute(portVlanDeletion(port, [5]));
      assert.is(find(host, 'v0').masterIndex, find(host, 'br0').index, 'RTM_DELLINK did not take the link');
    }),
);

testUnless(test, without, 'VLANs that are added and deleted are those that bridge(8) shows, and that are listed', () =>
  withHostAndSandbox((host, sandbox) => {
    const port = addPort(host, sandbox, 'vlan_filtering', '1');
    assert.is(isVlanFiltering(find(host, 'br0')), true);
    host.route.execute(
      portVlanAddition(port, [
        { id: 5, ...UNTAGGED },
        { id: 7, ...TAGGED },
      ]),
    );
    assert.equal(refereedVlans(host, 'v0'), ['1 Egress Untagged', '5 PVID Egress Untagged', '7']);
    assert.equal(listPortVlans(host.route, port), [
      { id: 1, isPvid: false, isUntagged: true },
      { id: 5, ...UNTAGGED },
      { id: 7, ...TAGGED },
    ]);
    host.route.execute(portVlanDeletion(port, [1, 7, 4000]));
    assert.equal(refereedVlans(host, 'v0'), ['5 PVID Egress Untagged']);
  }),
);

testUnless(test, without, 'a VLAN that is added again changes what the port does with it', () =>
  withHostAndSandbox((host, sandbox) => {
    const port = addPort(host, sandbox, 'vlan_filtering', '1');
    host.route.execute(portVlanAddition(port, [{ id: 1, ...TAGGED }]));
    assert.equal(listPortVlans(host.route, port), [{ id: 1, ...TAGGED }]);
    host.route.execute(portVlanAddition(port, [{ id: 1, ...UNTAGGED }]));
    assert.equal(refereedVlans(host, 'v0'), ['1 PVID Egress Untagged']);
  }),
);

testUnless(test, without, 'all 4,094 VLANs of a port are added, listed and deleted at once', () =>
  withHostAndSandbox((host, sandbox) => {
    const port = addPort(host, sandbox, 'vlan_filtering', '1', 'vlan_default_pvid', '0');
    assert.equal(listPortVlans(host.route, port), []);
    const all = Array.from({ length: 4094 }, (_, i) => ({ id: i + 1, ...(i === 99 ? UNTAGGED : TAGGED) }));
    host.route.execute(portVlanAddition(port, all));
    assert.equal(listPortVlans(host.route, port), all);
    host.route.execute(
      portVlanDeletion(
        port,
        all.map(({ id }) => id),
      ),
    );
    assert.equal(listPortVlans(host.route, port), []);
  }),
);

testUnless(test, without, 'listPortVlans() lists the port that was asked for alone, and refuses what is no port', () =>
  withHostAndSandbox((host, sandbox) => {
    const port = addPort(host, sandbox, 'vlan_filtering', '1');
    host.ip('link', 'add', 'other0', 'master', 'br0', 'type', 'veth', 'peer', 'name', 'other1');
    host.route.execute(portVlanAddition(find(host, 'other0'), [{ id: 9, ...TAGGED }]));
    assert.equal(listPortVlans(host.route, port), [{ id: 1, ...UNTAGGED }]);
    const other = find(host, 'other1');
    assert.is(thrownOf(NetlinkError, () => listPortVlans(host.route, other)).code, 'EINVAL');
  }),
);

testUnless(test, without, 'defaultVlanOf() and turnOnVlanFiltering() are what ip(8) says of the bridge', () =>
  withHostAndSandbox((host, sandbox) => {
    addBridge(host.route, { name: 'br0', isUp: true });
    assert.equal([isVlanFiltering(find(host, 'br0')), defaultVlanOf(find(host, 'br0'))], [false, 1]);
    turnOnVlanFiltering(host.route, find(host, 'br0'));
    assert.is(host.link('br0').linkinfo?.info_data?.vlan_filtering, 1);
    assert.is(find(host, 'br0').isUp, true);
    host.ip('link', 'del', 'br0');
    for (const id of [0, 1, 100, 4094]) {
      const port = addPort(host, sandbox, 'vlan_filtering', '1', 'vlan_default_pvid', String(id));
      assert.is(defaultVlanOf(find(host, 'br0')), id);
      assert.is(defaultVlanOf(port), 0, 'no bridge');
      host.ip('link', 'del', 'br0');
      host.ip('link', 'del', 'v0');
    }
  }),
);

test.run();
