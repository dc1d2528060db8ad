import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkError } from '../netlink/error.ts';
import { type TestNamespace, withNamespace } from '../testing/namespaces.ts';
import { thrownOf } from '../testing/thrown.ts';
import { addRoute, deleteRoute, listRoutes, type Route } from './route.ts';

const test = suite('route in the kernel');

interface RefereedRoute {
  readonly type: string;
  readonly dst: string;
  readonly gateway?: string;
  readonly dev: string;
  readonly protocol: string;
  readonly scope?: string;
  readonly metric?: number;
  readonly metrics?: readonly Readonly<Record<string, number>>[];
}

/** A veth pair, both ends up, one with addresses. Returns the index of that one. */
function addVeth(ns: TestNamespace): number {
  ns.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'p0');
  ns.ip('link', 'set', 'v0', 'up');
  ns.ip('link', 'set', 'p0', 'up');
  ns.ip('address', 'add', '10.1.2.3/24', 'dev', 'v0');
  ns.ip('address', 'add', 'fd00::3/64', 'nodad', 'dev', 'v0');
  return ns.link('v0').ifindex;
}

function refereed(ns: TestNamespace, family: '-4' | '-6', dst: string, table = 'main'): RefereedRoute[] {
  return ns
    .ipJson<RefereedRoute>(family, 'route', 'show', 'table', table)
    .filter((route) => route.dst === dst && route.protocol === 'boot');
}

test('addRoute() adds a default route with priority, MTU and advertised segment size', () =>
  withNamespace((ns) => {
    const linkIndex = addVeth(ns);
    const sizes = { priority: 50, mtu: 1300, advmss: 1260 };
    addRoute(ns.route, { dst: '0.0.0.0/0', gateway: '10.1.2.1', linkIndex, ...sizes });
    const [route, ...others] = refereed(ns, '-4', 'default');
    assert.is(others.length, 0);
    assert.equal(
      [route?.type, route?.gateway, route?.dev, route?.metric, route?.scope],
      ['unicast', '10.1.2.1', 'v0', 50, 'global'],
    );
    assert.equal(route?.metrics, [{ mtu: 1300, advmss: 1260 }]);
    assert.equal(
      listRoutes(ns.route, 4).find(({ dst }) => dst === '0.0.0.0/0'),
      { dst: '0.0.0.0/0', gateway: '10.1.2.1', linkIndex, table: 254, scope: 0, ...sizes },
    );
  }));

test('addRoute() takes a gateway without a link', () =>
  withNamespace((ns) => {
    addVeth(ns);
    addRoute(ns.route, { dst: '10.9.0.0/16', gateway: '10.1.2.1' });
    addRoute(ns.route, { dst: 'fd01::/48', gateway: 'fd00::1' });
    assert.is(refereed(ns, '-4', '10.9.0.0/16')[0]?.dev, 'v0');
    assert.is(refereed(ns, '-6', 'fd01::/48')[0]?.dev, 'v0');
  }));

test('addRoute() takes a link without a gateway, and any scope', () =>
  withNamespace((ns) => {
    const linkIndex = addVeth(ns);
    addRoute(ns.route, { dst: '10.9.0.0/16', linkIndex });
    addRoute(ns.route, { dst: '10.10.0.0/16', linkIndex, scope: 0 });
    assert.is(refereed(ns, '-4', '10.9.0.0/16')[0]?.scope, 'link');
    assert.is(refereed(ns, '-4', '10.10.0.0/16')[0]?.scope, 'global');
  }));

test('addRoute() reaches tables under and over 255', () =>
  withNamespace((ns) => {
    const linkIndex = addVeth(ns);
    for (const table of [100, 1000, 0xfffffffe]) {
      addRoute(ns.route, { dst: '10.9.0.0/16', linkIndex, table });
      addRoute(ns.route, { dst: 'fd01::/48', linkIndex, table });
      assert.is(refereed(ns, '-4', '10.9.0.0/16', String(table)).length, 1, `IPv4, table ${table}`);
      assert.is(refereed(ns, '-6', 'fd01::/48', String(table)).length, 1, `IPv6, table ${table}`);
    }
    assert.is(refereed(ns, '-4', '10.9.0.0/16').length, 0, 'and not the main table');
    assert.equal(
      listRoutes(ns.route, 4)
        .filter(({ dst }) => dst === '10.9.0.0/16')
        .map(({ table }) => table)
        .sort(),
      [100, 1000, 0xfffffffe],
    );
  }));

test('addRoute() adds IPv6 routes with priority and sizes', () =>
  withNamespace((ns) => {
    const linkIndex = addVeth(ns);
    addRoute(ns.route, { dst: '::/0', gateway: 'fd00::1', linkIndex, priority: 70, mtu: 1290, advmss: 1230 });
    const [route] = refereed(ns, '-6', 'default');
    assert.equal([route?.gateway, route?.dev, route?.metric], ['fd00::1', 'v0', 70]);
    assert.equal(route?.metrics, [{ mtu: 1290, advmss: 1230 }]);
    addRoute(ns.route, { dst: 'fd01::/48', linkIndex });
    assert.equal(
      listRoutes(ns.route, 6).filter(({ dst }) => dst === '::/0' || dst === 'fd01::/48'),
      [
        { dst: 'fd01::/48', linkIndex, priority: 1024, table: 254, scope: 0 },
        { dst: '::/0', gateway: 'fd00::1', linkIndex, priority: 70, table: 254, scope: 0, mtu: 1290, advmss: 1230 },
      ],
    );
  }));

test('addRoute() throws EEXIST for the very same route', () =>
  withNamespace((ns) => {
    const linkIndex = addVeth(ns);
    for (const route of [
      { dst: '10.9.0.0/16', gateway: '10.1.2.1', linkIndex },
      { dst: 'fd01::/48', gateway: 'fd00::1', linkIndex },
    ]) {
      addRoute(ns.route, route);
      const error = thrownOf(NetlinkError, () => addRoute(ns.route, route));
      assert.is(error.message, `Cannot add route ${route.dst} via ${route.gateway}: EEXIST`);
    }
    assert.is(refereed(ns, '-4', '10.9.0.0/16').length, 1);
    assert.is(refereed(ns, '-6', 'fd01::/48').length, 1);
  }));

test('addRoute() adds another route to the same destination after the first', () =>
  withNamespace((ns) => {
    const linkIndex = addVeth(ns);
    addRoute(ns.route, { dst: '10.9.0.0/16', gateway: '10.1.2.1', linkIndex });
    addRoute(ns.route, { dst: '10.9.0.0/16', gateway: '10.1.2.2', linkIndex });
    assert.equal(
      refereed(ns, '-4', '10.9.0.0/16').map(({ gateway }) => gateway),
      ['10.1.2.1', '10.1.2.2'],
    );
  }));

test('addRoute() of a second IPv6 gateway makes one multipath route, which deleteRoute() takes apart', () =>
  withNamespace((ns) => {
    const linkIndex = addVeth(ns);
    const [first, second] = [1, 2].map((n): Route => ({ dst: 'fd01::/48', gateway: `fd00::${n}`, linkIndex }));
    if (!first || !second) throw new Error('Cannot happen');
    addRoute(ns.route, first);
    addRoute(ns.route, second);
    const listed = () => listRoutes(ns.route, 6).filter(({ dst }) => dst === 'fd01::/48');
    assert.equal(
      listed().map(({ gateway }) => gateway),
      [undefined],
      'a multipath route has neither gateway nor link here',
    );
    assert.is(deleteRoute(ns.route, first), true);
    assert.equal(
      listed().map(({ gateway }) => gateway),
      ['fd00::2'],
    );
  }));

test('addRoute() throws the words of the kernel', () =>
  withNamespace((ns) => {
    const linkIndex = addVeth(ns);
    for (const [route, message] of [
      [
        { dst: '10.9.0.0/16', gateway: '10.99.0.1', linkIndex },
        'Cannot add route 10.9.0.0/16 via 10.99.0.1 (Nexthop has invalid gateway): ENETUNREACH',
      ],
      [
        { dst: '10.9.0.1/16', linkIndex },
        'Cannot add route 10.9.0.1/16 (Invalid prefix for given prefix length): EINVAL',
      ],
    ] as const) {
      assert.is(thrownOf(NetlinkError, () => addRoute(ns.route, route)).message, message);
    }
    assert.is(thrownOf(NetlinkError, () => addRoute(ns.route, { dst: '10.9.0.0/16', linkIndex: 4711 })).code, 'ENODEV');
  }));

test('deleteRoute() deletes exactly the route that was added', () =>
  withNamespace((ns) => {
    const linkIndex = addVeth(ns);
    const routes: Route[] = [
      { dst: '0.0.0.0/0', gateway: '10.1.2.1', linkIndex, priority: 50, mtu: 1300 },
      { dst: '0.0.0.0/0', gateway: '10.1.2.1', linkIndex, priority: 60 },
      { dst: '10.9.0.0/16', linkIndex },
      { dst: '10.9.0.0/16', linkIndex, table: 1000 },
      { dst: '::/0', gateway: 'fd00::1', linkIndex },
      { dst: 'fd01::/48', linkIndex, table: 1000, priority: 7 },
    ];
    const before = [...listRoutes(ns.route, 4), ...listRoutes(ns.route, 6)];
    for (const route of routes) addRoute(ns.route, route);
    const count = () => listRoutes(ns.route, 4).length + listRoutes(ns.route, 6).length;
    assert.is(count(), before.length + routes.length);
    for (const [i, route] of routes.entries()) {
      assert.is(deleteRoute(ns.route, route), true);
      assert.is(count(), before.length + routes.length - i - 1);
      assert.is(deleteRoute(ns.route, route), false, 'the second time');
    }
    assert.equal([...listRoutes(ns.route, 4), ...listRoutes(ns.route, 6)], before);
  }));

test('deleteRoute() is false for a route that is not there, or whose link is gone', () =>
  withNamespace((ns) => {
    const linkIndex = addVeth(ns);
    addRoute(ns.route, { dst: '10.9.0.0/16', gateway: '10.1.2.1', linkIndex });
    for (const route of [
      { dst: '10.9.0.0/17', linkIndex },
      { dst: '10.9.0.0/16', gateway: '10.1.2.2', linkIndex },
      { dst: '10.9.0.0/16', linkIndex: 4711 },
      { dst: '10.9.0.0/16', linkIndex, table: 4711 },
      { dst: 'fd01::/48', linkIndex },
      { dst: 'fd01::/48', linkIndex: 4711 },
    ]) {
      assert.is(deleteRoute(ns.route, route), false, JSON.stringify(route));
    }
    assert.is(refereed(ns, '-4', '10.9.0.0/16').length, 1);
  }));

test('deleteRoute() leaves the routes of the kernel and of routing daemons', () =>
  withNamespace((ns) => {
    const linkIndex = addVeth(ns);
    ns.ip('route', 'add', '10.9.0.0/16', 'dev', 'v0', 'proto', 'bird');
    assert.is(deleteRoute(ns.route, { dst: '10.9.0.0/16', linkIndex }), false);
    assert.is(deleteRoute(ns.route, { dst: '10.1.2.0/24', linkIndex }), false);
    assert.is(deleteRoute(ns.route, { dst: 'fd00::/64', linkIndex }), false);
  }));

test('listRoutes() lists what ip(8) lists of all tables, one family at a time', () =>
  withNamespace((ns) => {
    addVeth(ns);
    ns.ip('link', 'set', 'lo', 'up');
    ns.ip('route', 'add', '10.9.0.0/16', 'via', '10.1.2.1', 'table', '1000');
    ns.ip('route', 'add', 'blackhole', '10.10.0.0/16');
    ns.ip('route', 'add', '10.11.0.0/16', 'nexthop', 'via', '10.1.2.1', 'nexthop', 'via', '10.1.2.2');
    for (const [family, flag] of [
      [4, '-4'],
      [6, '-6'],
    ] as const) {
      const referee = ns.ipJson<RefereedRoute>(flag, 'route', 'show', 'table', 'all');
      assert.is(listRoutes(ns.route, family).length, referee.length);
    }
    const [blackhole, multipath] = ['10.10.0.0/16', '10.11.0.0/16'].map((wanted) =>
      listRoutes(ns.route, 4).find(({ dst }) => dst === wanted),
    );
    assert.equal([blackhole?.linkIndex, blackhole?.gateway, blackhole?.type], [undefined, undefined, 6]);
    assert.equal([multipath?.linkIndex, multipath?.gateway], [undefined, undefined]);
    assert.is(multipath?.nextHopLinks?.length, 2);
  }));

test.run();
