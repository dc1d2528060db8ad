import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkError } from '../../netlink/error.ts';
import { type TestNamespace, withNamespace } from '../../testing/namespaces.ts';
import { thrownOf } from '../../testing/thrown.ts';
import { deleteLink, findLink, IFF_ALLMULTI, type Link, listLinks, MAX_LINK_NAME_BYTES, setLink } from './link.ts';

const test = suite('link in the kernel');

function addVeth(ns: TestNamespace, name = 'v0'): Link {
  ns.ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'p0');
  return find(ns, name);
}

function find(ns: TestNamespace, which: string | number): Link {
  const link = findLink(ns.route, which);
  if (!link) throw new Error(`Cannot find link "${which}"`);
  return link;
}

test('findLink() finds by name and by index what ip(8) shows', () =>
  withNamespace((ns) => {
    const byName = addVeth(ns);
    const referee = ns.link('v0');
    assert.equal([byName.index, byName.name, byName.mac], [referee.ifindex, 'v0', referee.address]);
    assert.equal([byName.mtu, byName.kind, byName.isUp], [1500, 'veth', false]);
    assert.is(byName.operstate, referee.operstate.toLowerCase());
    const byIndex = find(ns, byName.index);
    assert.equal([byIndex.name, byIndex.mac], [byName.name, byName.mac]);
  }));

test('findLink() finds lo, which is of no kind', () =>
  withNamespace((ns) => {
    const { index, kind, mac, mtu } = find(ns, 'lo');
    assert.equal([index, kind, mac, mtu], [1, undefined, '00:00:00:00:00:00', 65536]);
  }));

test('findLink() finds a name of 15 bytes, of several bytes a letter too', () =>
  withNamespace((ns) => {
    for (const name of ['abcdefghijklmno', 'größe€12345']) {
      assert.is(new TextEncoder().encode(name).length, MAX_LINK_NAME_BYTES);
      addVeth(ns, name);
      assert.is(find(ns, name).name, name);
      assert.ok(deleteLink(ns.route, name));
    }
  }));

test('findLink() is undefined for what is not there', () =>
  withNamespace((ns) => {
    for (const which of ['gone', 'abcdefghijklmno', '', 4711, 2 ** 31 - 1]) {
      assert.is(findLink(ns.route, which), undefined, String(which));
    }
  }));

test('findLink() throws what the kernel has against a name or an index', () =>
  withNamespace((ns) => {
    const error = thrownOf(NetlinkError, () => findLink(ns.route, 'abcdefghijklmnop'));
    assert.is(error.code, 'ERANGE');
    assert.is(error.kernelMessage, 'Attribute failed policy validation');
    assert.is(error.offset, 32, 'IFLA_IFNAME comes after struct nlmsghdr and struct ifinfomsg');
    assert.is(thrownOf(NetlinkError, () => findLink(ns.route, 0)).code, 'EINVAL');
    assert.is(thrownOf(NetlinkError, () => findLink(ns.route, -1)).code, 'EINVAL');
  }));

test('setLink() changes MTU, MAC address, name and state, one by one and together', () =>
  withNamespace((ns) => {
    const link = addVeth(ns);
    setLink(ns.route, link, { mtu: 1280 });
    setLink(ns.route, link, { mac: '02:00:00:00:00:07' });
    setLink(ns.route, link, { name: 'v7' });
    const changed = ns.link('v7');
    assert.equal([changed.ifindex, changed.mtu, changed.address], [link.index, 1280, '02:00:00:00:00:07']);
    assert.not(changed.flags.includes('UP'));
    setLink(ns.route, link, { name: 'v8', mtu: 1300, mac: '02:00:00:00:00:08', isUp: true });
    const again = ns.link('v8');
    assert.equal([again.ifindex, again.mtu, again.address], [link.index, 1300, '02:00:00:00:00:08']);
    assert.ok(again.flags.includes('UP'));
    setLink(ns.route, link, { isUp: false });
    assert.not(ns.link('v8').flags.includes('UP'));
  }));

test('setLink() turns promiscuous mode on and off, and leaves the other flags', () =>
  withNamespace((ns) => {
    const link = addVeth(ns);
    setLink(ns.route, link, { isUp: true });
    setLink(ns.route, link, { isPromiscuous: true });
    assert.is(ns.link('v0').promiscuity, 1);
    assert.equal([find(ns, 'v0').promiscuity, find(ns, 'v0').isUp], [1, true]);
    assert.ok(ns.link('v0').flags.includes('PROMISC'));
    setLink(ns.route, link, { isPromiscuous: false });
    assert.equal([find(ns, 'v0').promiscuity, find(ns, 'v0').isUp], [0, true]);
    assert.not(ns.link('v0').flags.includes('PROMISC'));
  }));

test('setLink() has the link take all multicast packets, and sets the length of its queue', () =>
  withNamespace((ns) => {
    const link = addVeth(ns);
    setLink(ns.route, link, { isAllMulticast: true, txQueueLength: 500 });
    assert.ok(ns.link('v0').flags.includes('ALLMULTI'));
    assert.is(find(ns, 'v0').flags & IFF_ALLMULTI, IFF_ALLMULTI);
    assert.match(ns.ip('link', 'show', 'v0'), / qlen 500\b/);
    assert.is(find(ns, 'v0').txQueueLength, 500);
    setLink(ns.route, link, { isAllMulticast: false });
    assert.not(ns.link('v0').flags.includes('ALLMULTI'));
    assert.is(find(ns, 'v0').txQueueLength, 500);
  }));

test('setLink() sets aliases of up to 255 bytes', () =>
  withNamespace((ns) => {
    const link = addVeth(ns);
    for (const alias of ['podlink:x', 'größe € "\\', 'x'.repeat(255)]) {
      setLink(ns.route, link, { alias });
      assert.is(ns.link('v0').ifalias, alias);
      assert.is(find(ns, 'v0').alias, alias);
    }
    const error = thrownOf(NetlinkError, () => setLink(ns.route, link, { alias: 'x'.repeat(256) }));
    assert.is(error.message, 'Cannot change link "v0" (Attribute failed policy validation): ERANGE');
    assert.is(find(ns, 'v0').alias, 'x'.repeat(255));
    setLink(ns.route, link, { alias: '' });
    assert.is(ns.link('v0').ifalias, undefined);
    assert.is(find(ns, 'v0').alias, undefined);
  }));

test('setLink() throws the words of the kernel, and changes nothing', () =>
  withNamespace((ns) => {
    const link = addVeth(ns);
    const error = thrownOf(NetlinkError, () => setLink(ns.route, link, { mtu: 70000 }));
    assert.is(error.message, 'Cannot change link "v0" (mtu greater than device maximum): EINVAL');
    assert.is(ns.link('v0').mtu, 1500);
    const taken = thrownOf(NetlinkError, () => setLink(ns.route, link, { name: 'p0' }));
    assert.is(taken.code, 'EEXIST');
  }));

test('setLink() throws ENODEV when the link is gone', () =>
  withNamespace((ns) => {
    const link = addVeth(ns);
    ns.ip('link', 'del', 'v0');
    const error = thrownOf(NetlinkError, () => setLink(ns.route, link, { isUp: true }));
    assert.is(error.message, 'Cannot change link "v0": ENODEV');
  }));

test('deleteLink() deletes by name and by index, once', () =>
  withNamespace((ns) => {
    addVeth(ns);
    assert.ok(deleteLink(ns.route, 'v0'));
    assert.not(deleteLink(ns.route, 'v0'));
    const { index } = addVeth(ns);
    assert.ok(deleteLink(ns.route, index));
    assert.not(deleteLink(ns.route, index));
    assert.equal([...ns.links().keys()], []);
  }));

test('deleteLink() throws for a link that cannot be deleted', () =>
  withNamespace((ns) => {
    assert.is(thrownOf(NetlinkError, () => deleteLink(ns.route, 'lo')).code, 'EOPNOTSUPP');
    assert.is(find(ns, 'lo').index, 1);
  }));

test('executeAll() carries out several requests of one datagram, past one that fails', () =>
  withNamespace((ns) => {
    const request = (name: string) => ({
      operation: `delete link "${name}"`,
      type: 17, // RTM_DELLINK
      flags: 0,
      payload: Buffer.concat([Buffer.alloc(16), Buffer.from([4 + name.length + 1, 0, 3, 0]), Buffer.from(`${name}\0`)]),
    });
    for (const name of ['x1', 'x2', 'x3']) ns.ip('link', 'add', name, 'type', 'bridge');
    ns.route.executeAll([request('x1'), request('x2')]);
    assert.equal([...ns.links().keys()], ['x3']);
    const error = thrownOf(NetlinkError, () => ns.route.executeAll([request('x2'), request('x3')]));
    assert.is(error.message, 'Cannot delete link "x2": ENODEV');
    assert.equal([...ns.links().keys()], []);
  }));

test('listLinks() lists what ip(8) lists', () =>
  withNamespace((ns) => {
    addVeth(ns);
    ns.ip('link', 'add', 'br0', 'type', 'bridge');
    assert.equal(
      listLinks(ns.route).map(({ index, name }) => [index, name]),
      [[1, 'lo'], ...[...ns.links().values()].map(({ ifindex, ifname }) => [ifindex, ifname])],
    );
  }));

test('dump() throws the words of the kernel when strict checking refuses the request', () =>
  withNamespace((ns) => {
    const payload = new Uint8Array(16);
    payload[8] = 1; // ifi_flags
    const error = thrownOf(NetlinkError, () => ns.route.dump({ operation: 'list links', type: 18, flags: 0, payload }));
    assert.is(error.message, 'Cannot list links (Invalid values in header for link dump request): EINVAL');
  }));

test.run();
