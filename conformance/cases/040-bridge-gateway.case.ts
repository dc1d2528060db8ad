// The keys of bridge mode that make the bridge a gateway: its addresses, the default routes, forwarding.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { addPod, checkPod, delPod } from '../harness/pod.ts';
import { addressesOf, routeTextsOf } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';
import { mustBeEmpty } from '../harness/verdict.ts';

const { test, run } = cases('bridge keys: gateway');

const FORWARDING_4 = 'net/ipv4/ip_forward';
const FORWARDING_6 = 'net/ipv6/conf/all/forwarding';
const TWO_FAMILIES = ['10.77.0.0/24', 'fd00:77::/64'];
/** A router advertisement (RFC 4861, 4.2) through eth0: 64 hops, router for 1800 s. It counts with hop limit 255 only. */
const ADVERTISE = `
  my ($index) = qx(ip -o link show dev eth0) =~ /^(\\d+)/;
  socket(my $socket, AF_INET6, SOCK_RAW, 58) or die "socket: $!";
  setsockopt($socket, 41, 18, pack("i", 255)) or die "IPV6_MULTICAST_HOPS: $!";
  my $to = pack("S n N a16 L", AF_INET6, 0, 0, inet_pton(AF_INET6, "ff02::1"), $index);
  send($socket, pack("C C n C C n N N", 134, 0, 0, 64, 0, 1800, 0, 0), 0, $to) or die "send: $!";
`;

test('without isGateway the bridge has no address and the host does not forward', 'same', (host) => {
  host.namespace.setSysctl(FORWARDING_4, '0');
  const pod = addPod(host, host.config({ ipam: host.hostLocal(TWO_FAMILIES) }));
  assert.equal(addressesOf(host.namespace, 'cni0'), []);
  assert.is(host.namespace.sysctl(FORWARDING_4), '0');
  assert.is(host.namespace.sysctl(FORWARDING_6), '0');
  assert.equal(routeTextsOf(pod.namespace, 'eth0'), ['10.77.0.0/24', 'fd00:77::/64']);
  assert.is(pod.result.ips?.[0]?.gateway, '10.77.0.1', "the result keeps IPAM's gateway");
});

test(
  'isGateway puts the gateways on the bridge, with the prefix of the network, and gives no route',
  'same',
  (host) => {
    const pod = addPod(host, host.config({ isGateway: true, ipam: host.hostLocal(TWO_FAMILIES) }));
    assert.equal(addressesOf(host.namespace, 'cni0'), ['10.77.0.1/24', 'fd00:77::1/64']);
    assert.equal(routeTextsOf(pod.namespace, 'eth0'), ['10.77.0.0/24', 'fd00:77::/64']);
    assert.equal(pod.result.routes ?? [], []);
  },
);

for (const [subnets, ipv4, ipv6] of [
  [['10.77.0.0/24'], '1', '0'],
  [['fd00:77::/64'], '0', '1'],
  [TWO_FAMILIES, '1', '1'],
] as const) {
  test(`a gateway for ${subnets.join(' and ')} turns on forwarding for these families alone`, 'same', (host) => {
    host.namespace.setSysctl(FORWARDING_4, '0');
    const pod = addPod(host, host.config({ isGateway: true, ipam: host.hostLocal(subnets) }));
    assert.is(host.namespace.sysctl(FORWARDING_4), ipv4);
    assert.is(host.namespace.sysctl(FORWARDING_6), ipv6);
    delPod(host, pod);
    assert.is(host.namespace.sysctl(FORWARDING_4), ipv4, 'forwarding after DEL');
    assert.is(host.namespace.sysctl(FORWARDING_6), ipv6, 'forwarding after DEL');
  });
}

test('isDefaultGateway alone makes a gateway, and a default route for each family', 'same', (host) => {
  const pod = addPod(host, host.config({ isDefaultGateway: true, ipam: host.hostLocal(TWO_FAMILIES) }));
  assert.equal(pod.result.routes, [
    { dst: '0.0.0.0/0', gw: '10.77.0.1' },
    { dst: '::/0', gw: 'fd00:77::1' },
  ]);
  assert.equal(routeTextsOf(pod.namespace, 'eth0'), [
    'default via 10.77.0.1',
    '10.77.0.0/24',
    'fd00:77::/64',
    'default via fd00:77::1',
  ]);
  assert.equal(addressesOf(host.namespace, 'cni0'), ['10.77.0.1/24', 'fd00:77::1/64']);
});

for (const subnet of TWO_FAMILIES) {
  const dst = subnet.includes(':') ? '::/0' : '0.0.0.0/0';
  const gw = subnet.includes(':') ? 'fd00:77::1' : '10.77.0.1';
  test(`isDefaultGateway beside a route ${dst} of IPAM makes one default route`, {
    differs: 'adds the route a second time and fails',
    seen: /file exists/,
  }, (host) => {
    const pod = addPod(
      host,
      host.config({ isDefaultGateway: true, ipam: host.hostLocal([subnet], { routes: [{ dst }] }) }),
    );
    assert.equal(
      routeTextsOf(pod.namespace, 'eth0').filter((text) => text.startsWith('default')),
      [`default via ${gw}`],
    );
    assert.is(pod.result.routes?.length, 1);
    checkPod(host, pod);
    delPod(host, pod);
  });

  test(`isDefaultGateway beside a route ${dst} with its own gateway leaves that one alone`, 'same', (host) => {
    const other = gw.replace(/1$/, '9');
    const routes = [{ dst, gw: other }];
    const pod = addPod(host, host.config({ isDefaultGateway: true, ipam: host.hostLocal([subnet], { routes }) }));
    assert.equal(
      routeTextsOf(pod.namespace, 'eth0').filter((text) => text.startsWith('default')),
      [`default via ${other}`],
    );
    assert.equal(pod.result.routes, routes);
  });
}

test("a default route of IPAM in another table does not take the main table's place", {
  absent: 'routes with a table, which came with cniVersion 1.1.0',
}, (host) => {
  const ipam = host.hostLocal(undefined, { routes: [{ dst: '0.0.0.0/0', table: 100 }] });
  const pod = addPod(host, host.config({ cniVersion: '1.1.0', isDefaultGateway: true, ipam }));
  assert.equal(routeTextsOf(pod.namespace, 'eth0'), ['default via 10.77.0.1', '10.77.0.0/24']);
  assert.match(pod.namespace.ip('route', 'show', 'table', '100'), /^default via 10\.77\.0\.1 dev eth0/);
  assert.equal(pod.result.routes, [
    { dst: '0.0.0.0/0', table: 100 },
    { dst: '0.0.0.0/0', gw: '10.77.0.1' },
  ]);
  checkPod(host, pod);
  delPod(host, pod);
});

test('the gateway may be another address than the first', 'same', (host) => {
  const ipam = host.hostLocal([], {
    ranges: [
      [{ subnet: '10.77.0.0/24', gateway: '10.77.0.254' }],
      [{ subnet: 'fd00:77::/64', gateway: 'fd00:77::ff' }],
    ],
  });
  const pod = addPod(host, host.config({ isDefaultGateway: true, ipam }));
  assert.equal(addressesOf(host.namespace, 'cni0'), ['10.77.0.254/24', 'fd00:77::ff/64']);
  assert.is(pod.ipv4, '10.77.0.1', 'the first address is free then');
  assert.ok(canPing(pod.namespace, '10.77.0.254'));
  assert.ok(routeTextsOf(pod.namespace, 'eth0').includes('default via fd00:77::ff'));
});

test('an address that comes without a gateway gets the first of its network', 'same', (host) => {
  const ipam = { type: 'static', addresses: [{ address: '10.77.0.5/24' }] };
  const pod = addPod(host, host.config({ isDefaultGateway: true, ipam }));
  assert.equal(addressesOf(host.namespace, 'cni0'), ['10.77.0.1/24']);
  assert.is(pod.result.ips?.[0]?.gateway, '10.77.0.1');
});

test('several IPv6 networks have a gateway each', 'same', (host) => {
  const pod = addPod(host, host.config({ isGateway: true, ipam: host.hostLocal(['fd00:77::/64', 'fd00:78::/64']) }));
  assert.equal(addressesOf(host.namespace, 'cni0').sort(), ['fd00:77::1/64', 'fd00:78::1/64']);
  assert.equal(addressesOf(pod.namespace, 'eth0').sort(), ['fd00:77::2/64', 'fd00:78::2/64']);
  assert.ok(canPing(pod.namespace, 'fd00:78::1'));
});

test('several IPv4 networks have a gateway each too', {
  differs: 'takes the gateway that it has just added for a foreign address',
  seen: /already has an IP address different/,
}, (host) => {
  const config = host.config({ isDefaultGateway: true, ipam: host.hostLocal(['10.77.0.0/24', '10.78.0.0/24']) });
  const pods = [addPod(host, config), addPod(host, config)];
  assert.equal(addressesOf(host.namespace, 'cni0'), ['10.77.0.1/24', '10.78.0.1/24']);
  for (const pod of pods) {
    assert.ok(canPing(pod.namespace, '10.77.0.1'));
    assert.ok(canPing(pod.namespace, '10.78.0.1'));
    checkPod(host, pod);
  }
});

test('forceAddress replaces the IPv4 address in the way, and no other', 'same', (host) => {
  const { namespace } = host;
  namespace.ip('link', 'add', 'cni0', 'type', 'bridge');
  namespace.ip('link', 'set', 'cni0', 'up');
  for (const address of ['10.99.0.1/16', 'fd00:99::1/64']) namespace.ip('addr', 'add', address, 'dev', 'cni0');
  const pod = addPod(host, host.config({ isGateway: true, forceAddress: true }));
  assert.equal(addressesOf(namespace, 'cni0'), ['10.77.0.1/24', 'fd00:99::1/64']);
  assert.ok(canPing(pod.namespace, '10.77.0.1'));
});

test('forceAddress replaces an IPv6 address whose network overlaps, and leaves one that does not', 'same', (host) => {
  const { namespace } = host;
  namespace.ip('link', 'add', 'cni0', 'type', 'bridge');
  namespace.ip('link', 'set', 'cni0', 'up');
  for (const address of ['fd00:77::9/48', 'fd00:99::1/64'])
    namespace.ip('addr', 'add', address, 'dev', 'cni0', 'nodad');
  addPod(host, host.config({ isGateway: true, forceAddress: true, ipam: host.hostLocal(['fd00:77::/64']) }));
  assert.equal(addressesOf(namespace, 'cni0').sort(), ['fd00:77::1/64', 'fd00:99::1/64']);
});

test('forwarding does not cost the host a default route learnt from router advertisements', {
  differs: 'the kernel drops the route when forwarding goes on',
  seen: /default route after ADD/,
}, async (host) => {
  const outside = host.addOutside();
  host.namespace.setSysctl(FORWARDING_6, '0');
  host.namespace.setSysctl('net/ipv6/conf/up0/accept_ra', '1');
  const learnt = (): string[] => routeTextsOf(host.namespace, 'up0').filter((text) => text.startsWith('default'));
  for (let tries = 0; learnt().length === 0; tries++) {
    assert.ok(tries < 60, 'the host learns a default route');
    outside.mustRun('perl', ['-MSocket=:all', '-e', ADVERTISE]);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const before = learnt();
  const pod = addPod(host, host.config({ isGateway: true, ipam: host.hostLocal(['fd00:77::/64']) }));
  assert.is(host.namespace.sysctl(FORWARDING_6), '1');
  assert.equal(learnt(), before, 'default route after ADD');
  delPod(host, pod);
  mustBeEmpty(
    before.filter((text) => !learnt().includes(text)),
    'default route after DEL',
  );
});

run();
