import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkError } from '../netlink/error.ts';
import { type TestNamespace, withNamespace } from '../testing/namespaces.ts';
import { thrownOf } from '../testing/thrown.ts';
import { addAddress, deleteAddress, IFA_F_NODAD, IFA_F_TENTATIVE, listAddresses } from './address.ts';

const test = suite('address in the kernel');

interface RefereedAddress {
  readonly family: string;
  readonly local: string;
  readonly prefixlen: number;
  readonly broadcast?: string;
  readonly scope: string;
  readonly nodad?: boolean;
  readonly tentative?: boolean;
}

/** A veth pair with one end up, without link-local addresses of its own. Returns the index of that end. */
function addVeth(ns: TestNamespace): number {
  ns.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'p0');
  for (const name of ['v0', 'p0']) ns.ip('link', 'set', name, 'addrgenmode', 'none');
  for (const name of ['v0', 'p0']) ns.ip('link', 'set', name, 'up');
  return ns.link('v0').ifindex;
}

function refereed(ns: TestNamespace): RefereedAddress[] {
  const [link] = ns.ipJson<{ addr_info: RefereedAddress[] }>('address', 'show', 'dev', 'v0');
  return link?.addr_info ?? [];
}

test('addAddress() gives an IPv4 address with its broadcast address', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    addAddress(ns.route, index, '10.1.2.3/24');
    const [address, ...others] = refereed(ns);
    assert.is(others.length, 0);
    assert.equal(
      [address?.family, address?.local, address?.prefixlen, address?.broadcast, address?.scope],
      ['inet', '10.1.2.3', 24, '10.1.2.255', 'global'],
    );
  }));

test('addAddress() gives IPv4 networks of one and two addresses no broadcast address', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    addAddress(ns.route, index, '10.1.2.3/32');
    addAddress(ns.route, index, '10.1.3.2/31');
    assert.equal(
      refereed(ns).map(({ local, prefixlen, broadcast }) => [local, prefixlen, broadcast]),
      [
        ['10.1.2.3', 32, undefined],
        ['10.1.3.2', 31, undefined],
      ],
    );
  }));

test('addAddress() with IFA_F_NODAD gives an IPv6 address that can be used at once', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    addAddress(ns.route, index, 'fd00::3/64', IFA_F_NODAD);
    addAddress(ns.route, index, 'fd00::4/64');
    const [first, second] = [
      refereed(ns).find(({ local }) => local === 'fd00::3'),
      refereed(ns).find(({ local }) => local === 'fd00::4'),
    ];
    assert.equal([first?.prefixlen, first?.nodad, first?.tentative], [64, true, undefined]);
    assert.equal([second?.prefixlen, second?.nodad, second?.tentative], [64, undefined, true]);
    const flags = new Map(listAddresses(ns.route, index).map(({ cidr, flags }) => [cidr, flags]));
    assert.is((flags.get('fd00::3/64') ?? 0) & (IFA_F_NODAD | IFA_F_TENTATIVE), IFA_F_NODAD);
    assert.is((flags.get('fd00::4/64') ?? 0) & (IFA_F_NODAD | IFA_F_TENTATIVE), IFA_F_TENTATIVE);
  }));

test('listAddresses() lists the addresses of one link, of both families', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    ns.ip('address', 'add', '10.1.2.3/24', 'dev', 'v0');
    ns.ip('address', 'add', '10.7.7.1', 'peer', '10.7.7.2/32', 'dev', 'v0');
    ns.ip('address', 'add', 'fd00::3/64', 'nodad', 'dev', 'v0');
    ns.ip('address', 'add', 'fe80::7/64', 'nodad', 'dev', 'v0');
    ns.ip('address', 'add', '10.1.2.4/24', 'dev', 'p0');
    assert.equal(
      listAddresses(ns.route, index).map(({ cidr, linkIndex, scope }) => [cidr, linkIndex, scope]),
      [
        ['10.1.2.3/24', index, 0],
        ['10.7.7.1/32', index, 0],
        ['fd00::3/64', index, 0],
        ['fe80::7/64', index, 253],
      ],
    );
    assert.equal(
      listAddresses(ns.route, 1).map(({ cidr }) => cidr),
      [],
    );
  }));

test('listAddresses() throws ENODEV when the link is gone', () =>
  withNamespace((ns) => {
    const error = thrownOf(NetlinkError, () => listAddresses(ns.route, 4711));
    assert.is(error.message, 'Cannot list addresses of link 4711: ENODEV');
  }));

test('addAddress() throws EEXIST for an address that is there, and another prefix length is another address', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    for (const cidr of ['10.1.2.3/24', 'fd00::3/64']) {
      addAddress(ns.route, index, cidr, IFA_F_NODAD);
      const error = thrownOf(NetlinkError, () => addAddress(ns.route, index, cidr, IFA_F_NODAD));
      assert.is(error.code, 'EEXIST');
      assert.ok(error.message.startsWith(`Cannot add address ${cidr}`), error.message);
    }
    addAddress(ns.route, index, '10.1.2.3/16');
    assert.is(refereed(ns).length, 3);
  }));

test('addAddress() throws ENODEV when the link is gone', () =>
  withNamespace((ns) => {
    for (const cidr of ['10.1.2.3/24', 'fd00::3/64']) {
      assert.is(thrownOf(NetlinkError, () => addAddress(ns.route, 4711, cidr)).code, 'ENODEV');
    }
  }));

test('deleteAddress() deletes exactly one address', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    for (const cidr of ['10.1.2.3/24', '10.1.2.3/16', '10.9.0.1/24', 'fd00::3/64', 'fd00::4/64']) {
      addAddress(ns.route, index, cidr, IFA_F_NODAD);
    }
    assert.ok(deleteAddress(ns.route, index, '10.1.2.3/24'));
    assert.ok(deleteAddress(ns.route, index, 'fd00::3/64'));
    assert.equal(
      refereed(ns)
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`)
        .sort(),
      ['10.1.2.3/16', '10.9.0.1/24', 'fd00::4/64'],
    );
  }));

test('deleteAddress() is false for an address that is not there', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    addAddress(ns.route, index, '10.1.2.3/24');
    for (const cidr of ['10.1.2.4/24', '10.1.2.3/25', 'fd00::3/64']) {
      assert.is(deleteAddress(ns.route, index, cidr), false, cidr);
      assert.is(deleteAddress(ns.route, 4711, cidr), false, `${cidr} of a link that is gone`);
    }
    assert.is(refereed(ns).length, 1);
  }));

test('deleteAddress() is false for an IPv6 address of a link that has no IPv6', () =>
  withNamespace((ns) => {
    const index = addVeth(ns);
    ns.ip('link', 'set', 'v0', 'mtu', '1000');
    assert.is(deleteAddress(ns.route, index, 'fd00::3/64'), false);
  }));

test.run();
