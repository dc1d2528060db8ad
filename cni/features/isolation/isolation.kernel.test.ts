// Isolation with real packets, each hole tried from the wrong side, with bridged packets going through the IP hooks of
// the host and without.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { testUnless } from '../../kernel/testing/skip.ts';
import type { NftablesState } from '../feature.ts';
import { isolationElements } from './isolation.ts';
import { ISOLATION_RULESET } from './isolation-ruleset.ts';
import { macspoofElements } from './macspoof.ts';
import { MACSPOOF_RULESET } from './macspoof-ruleset.ts';
import { applyElements, checkElements, ownedBy, removeElements } from '../elements/owned-elements.ts';
import { addressesOf, OUTSIDE, withWorld, type World } from '../testing/bridged-world.ts';

const test = suite('isolation in the kernel');

type PodName = 'a' | 'b' | 'c';

function stateOf(world: World, name: PodName, option: 'icc' | 'internal'): NftablesState {
  const attachment = world.attachment(name);
  const isolation = { withoutIcc: option === 'icc', internal: option === 'internal' };
  const elements = isolationElements(attachment, isolation);
  return option === 'icc'
    ? { rulesets: [ISOLATION_RULESET], elements }
    : { rulesets: [ISOLATION_RULESET, MACSPOOF_RULESET], elements: [...elements, ...macspoofElements(attachment)] };
}

/** `icc: false` for containers a and b: what bridge mode does, and what the feature does. */
function isolateFromEachOther(world: World): void {
  for (const name of ['a', 'b'] as const) {
    world.host.ip(`link set veth${name} type bridge_slave isolated on`);
    applyElements(world.nft, world.attachment(name).key, stateOf(world, name, 'icc'));
  }
}

function makeInternal(world: World): void {
  for (const name of ['a', 'b'] as const) {
    applyElements(world.nft, world.attachment(name).key, stateOf(world, name, 'internal'));
  }
}

function release(world: World, option: 'icc' | 'internal'): void {
  for (const name of ['a', 'b'] as const) {
    const { elements } = stateOf(world, name, option);
    removeElements(world.nft, ownedBy(world.attachment(name).key, elements));
    world.host.ip(`link set veth${name} type bridge_slave isolated off`);
  }
}

/** Publish a container's UDP port 80 as 8080 of the host's, as any port mapper does, and masquerade for the hairpin. */
function publish(world: World, name: PodName): void {
  const [v4, v6] = addressesOf(name);
  world.host.nft(`table inet ports {
    chain pre { type nat hook prerouting priority dstnat;
      fib daddr type local meta nfproto ipv4 udp dport 8080 dnat ip to ${v4}:80
      fib daddr type local meta nfproto ipv6 udp dport 8080 dnat ip6 to [${v6}]:80
    }
    chain post { type nat hook postrouting priority srcnat;
      ip saddr ${v4} ip daddr ${v4} masquerade
      ip6 saddr ${v6} ip6 daddr ${v6} masquerade
    }
  }`);
}

/** Send to an address of one's own bridge by way of the host: its MAC stands for every address. */
function throughHost(world: World, name: 'a' | 'b'): void {
  world[name].ip(
    'route replace 10.22.0.0/16 via 10.22.0.1 dev eth0 onlink',
    'route replace 10.22.0.1 dev eth0',
    'route replace fd00:22::1 dev eth0',
    'route replace fd00:22::/64 via fd00:22::1 dev eth0 metric 1',
    'route del fd00:22::/64 dev eth0 proto kernel',
  );
}

/** The host's bridge netfilter: whether bridged packets go through the IP hooks. Per namespace since Linux 5.3. */
const BRIDGE_NETFILTER = ['net.bridge.bridge-nf-call-iptables', 'net.bridge.bridge-nf-call-ip6tables'];

let lacksBridgeNetfilter = false;
await withWorld(({ host, a }) => {
  lacksBridgeNetfilter = !host.sysctl(...BRIDGE_NETFILTER.map((key) => `${key}=0`));
  if (lacksBridgeNetfilter) return;
  a.sysctl(...BRIDGE_NETFILTER.map((key) => `${key}=1`));
  assert.is(host.run(`sysctl -n ${BRIDGE_NETFILTER.join(' ')}`), '0\n0\n', 'each namespace has its own');
});

for (const isOn of [false, true]) {
  const mode = `bridge-nf-call ${isOn ? 'on' : 'off'}`;
  const reason = isOn && lacksBridgeNetfilter ? 'the kernel has no br_netfilter' : undefined;

  function testInWorld(title: string, work: (world: World) => void): void {
    testUnless(test, reason, `${title} (${mode})`, () =>
      withWorld((world) => {
        if (!lacksBridgeNetfilter) world.host.sysctl(...BRIDGE_NETFILTER.map((key) => `${key}=${Number(isOn)}`));
        work(world);
      }),
    );
  }

  testInWorld('icc: false keeps containers of a bridge apart, and nobody else from them', (world) => {
    const { host, a, b, c, outside } = world;
    const [bAddresses, aAddresses] = [addressesOf('b'), addressesOf('a')];
    for (const address of bAddresses) assert.ok(a.reaches(address), `before: ${address}`);
    isolateFromEachOther(world);
    for (const address of bAddresses) assert.ok(a.isCutOffFrom(address), address);
    for (const address of aAddresses) {
      assert.ok(b.isCutOffFrom(address), address);
      for (const machine of [host, c, outside]) assert.ok(machine.reaches(address), `${machine.name} to ${address}`);
    }
    for (const address of [...OUTSIDE, ...addressesOf('c'), '10.22.0.1', 'fd00:22::1', '10.23.0.1', 'fd00:23::1']) {
      assert.ok(a.reaches(address), address);
    }
    assert.equal(checkElements(world.nft, world.attachment('a').key, stateOf(world, 'a', 'icc')), []);
    release(world, 'icc');
    for (const address of bAddresses) assert.ok(a.reaches(address), `after: ${address}`);
  });

  testInWorld('icc: false stops what a container has the host route back, with any source', (world) => {
    const { host, a, b } = world;
    throughHost(world, 'a');
    host.ip('link set vetha type bridge_slave isolated on', 'link set vethb type bridge_slave isolated on');
    a.ip('address add 10.99.0.1/32 dev lo', 'address add fd00:99::1/128 dev lo');
    a.ip('address add 10.22.0.77/32 dev eth0');
    const seen = b.watch('ip daddr 10.22.0.6 icmp type echo-request');
    const seenV6 = b.watch('ip6 daddr fd00:22::6 icmpv6 type echo-request');
    const send = () => {
      for (const from of ['10.22.0.5', '10.22.0.77', '10.99.0.1']) a.sendPing('10.22.0.6', { from });
      a.sendPing('10.22.0.6', { from: '10.99.0.1', bytes: 4000 });
      for (const from of ['fd00:22::5', 'fd00:99::1']) a.sendPing('fd00:22::6', { from });
    };
    send();
    // The isolation of the ports alone does not stop it: the big one is at least one packet, or its fragments.
    assert.ok(seen() >= 4, `${seen()} came through`);
    assert.is(seenV6(), 2);
    isolateFromEachOther(world);
    const [before, beforeV6] = [seen(), seenV6()];
    send();
    assert.equal([seen() - before, seenV6() - beforeV6], [0, 0]);
    release(world, 'icc');
    assert.ok(a.reaches('10.22.0.6'));
  });

  testInWorld('icc: false stops the way through a published port, except to oneself', (world) => {
    const { host, a, b, c, outside } = world;
    publish(world, 'b');
    isolateFromEachOther(world);
    for (const [gateway, hostAddress] of [
      ['10.22.0.1', '192.0.2.1'],
      ['fd00:22::1', '2001:db8::1'],
    ] as const) {
      const seen = b.watch(`meta nfproto ${gateway.includes(':') ? 'ipv6' : 'ipv4'} udp dport 80`);
      a.sendUdp(gateway, 8080);
      a.sendUdp(hostAddress, 8080);
      assert.is(seen(), 0, `a by ${gateway}`);
      outside.sendUdp(hostAddress, 8080);
      assert.is(seen(), 1, 'outside');
      c.sendUdp(hostAddress, 8080);
      assert.is(seen(), 2, 'c');
      b.sendUdp(gateway, 8080);
      if (isOn) {
        // With its destination changed the packet is bridged back then, and the kernel's isolation of ports does not
        // except a port from itself (br_skb_isolated() in net/bridge/br_private.h).
        assert.is(seen(), 2, 'itself, isolated');
        host.ip('link set vethb type bridge_slave isolated off');
        b.sendUdp(gateway, 8080);
        host.ip('link set vethb type bridge_slave isolated on');
      }
      assert.is(seen(), 3, 'itself');
    }
    // A neighbour in the name of the container: by its IP address alone he is not taken for it.
    a.ip('address add 10.22.0.6/32 dev lo', 'route replace 10.22.0.1 dev eth0 src 10.22.0.6');
    host.ip('neighbour replace 10.22.0.6 lladdr 02:00:00:00:00:06 dev br0 nud permanent');
    const [sent, seen] = [host.watch('iifname br0 ip saddr 10.22.0.6 udp dport 8080'), b.watch('udp dport 80')];
    a.sendUdp('10.22.0.1', 8080);
    assert.equal([sent(), seen()], [1, 0]);
    release(world, 'icc');
    a.ip('address del 10.22.0.6/32 dev lo', 'route replace 10.22.0.1 dev eth0 src 10.22.0.5');
    a.sendUdp('10.22.0.1', 8080);
    assert.is(seen(), 1);
  });

  testInWorld(
    'icc: false stops a neighbour who writes IP and MAC of the container, but to no published port',
    (world) => {
      const { a, b, host } = world;
      isolateFromEachOther(world);
      host.ip('neighbour replace 10.22.0.6 lladdr 02:00:00:00:00:06 dev br0 nud permanent');
      // Or else the bridge would send to a what is for b's MAC.
      host.run('bridge fdb replace 02:00:00:00:00:06 dev vethb master sticky static');
      throughHost(world, 'a');
      a.ip('link set eth0 down', 'link set eth0 address 02:00:00:00:00:06', 'link set eth0 up');
      a.ip('route replace 10.22.0.1 dev eth0', 'route replace 10.22.0.0/16 via 10.22.0.1 dev eth0 onlink');
      a.ip('neighbour replace 10.22.0.1 lladdr 02:00:00:00:01:00 dev eth0 nud permanent');
      a.nft(`table ip liar {
      chain out { type filter hook postrouting priority filter; udp dport 81 ip saddr set 10.22.0.6; }
    }`);
      const sent = host.watch('iifname br0 ip saddr 10.22.0.6 ip daddr 10.22.0.6 ether saddr 02:00:00:00:00:06');
      const seen = b.watch('udp dport 81');
      a.sendUdp('10.22.0.6', 81);
      assert.equal([sent(), seen()], [1, 0]);
      release(world, 'icc');
      a.sendUdp('10.22.0.6', 81);
      assert.is(seen(), 1);
    },
  );

  testInWorld('icc: false leaves a machine alone that is a port of the bridge itself', (world) => {
    const { host, b, outside } = world;
    isolateFromEachOther(world);
    host.ip('link set out0 master br0');
    outside.ip('address add 10.22.0.99/16 dev eth0', 'address add fd00:22::99/64 dev eth0 nodad');
    for (const address of addressesOf('b')) assert.ok(outside.reaches(address), address);
    for (const address of ['10.22.0.99', 'fd00:22::99']) assert.ok(b.reaches(address), address);
  });

  testInWorld('internal leaves the bridge to its containers and the host', (world) => {
    const { host, a, b, c, outside } = world;
    const addresses = addressesOf('a');
    for (const address of [...OUTSIDE, ...addressesOf('c')]) assert.ok(a.reaches(address), `before: ${address}`);
    makeInternal(world);
    for (const address of [...OUTSIDE, ...addressesOf('c')]) assert.ok(a.isCutOffFrom(address), address);
    for (const address of addresses) {
      assert.ok(outside.isCutOffFrom(address), `outside to ${address}`);
      assert.ok(c.isCutOffFrom(address), `c to ${address}`);
      assert.ok(b.reaches(address), `b to ${address}`);
      assert.ok(host.reaches(address), `host to ${address}`);
    }
    for (const address of ['10.22.0.1', 'fd00:22::1']) assert.ok(a.reaches(address), address);
    assert.equal(checkElements(world.nft, world.attachment('a').key, stateOf(world, 'a', 'internal')), []);
    release(world, 'internal');
    for (const address of [...OUTSIDE, ...addressesOf('c')]) assert.ok(a.reaches(address), `after: ${address}`);
  });

  testInWorld('internal lets nothing out, whatever the source, the size or the MAC', (world) => {
    const { host, a, outside, c } = world;
    a.ip('address add 10.99.0.1/32 dev lo', 'address add fd00:99::1/128 dev lo', 'address add 10.22.0.77/32 dev lo');
    const watches = [outside, c].map((machine) => machine.watch('meta l4proto { udp, icmp }'));
    const watchesV6 = [outside, c].map((machine) => machine.watch('icmpv6 type echo-request'));
    const counts = () => [...watches, ...watchesV6].map((seen) => seen());
    const send = () => {
      for (const [v4, v6] of [OUTSIDE, addressesOf('c')] as [string, string][]) {
        for (const from of ['10.22.0.5', '10.22.0.77', '10.99.0.1']) a.sendPing(v4, { from });
        for (const from of ['fd00:22::5', 'fd00:99::1']) a.sendPing(v6, { from });
        a.sendPing(v4, { bytes: 4000 });
        a.sendPing(v6, { bytes: 4000 });
        a.sendUdp(v4, 53);
      }
    };
    send();
    const open = counts();
    for (const count of open) assert.ok(count >= 3, `before: ${open}`);
    makeInternal(world);
    const before = counts();
    send();
    // The published port of a container on the other bridge, by the host's address on this one.
    publish(world, 'c');
    a.sendUdp('10.22.0.1', 8080);
    a.sendUdp('fd00:22::1', 8080);
    assert.equal(counts(), before);
    // With another MAC not even the host is reached.
    a.ip('link set eth0 down', 'link set eth0 address 02:00:00:00:00:99', 'link set eth0 up');
    a.ip('route replace default via 10.22.0.1', 'neighbour replace 10.22.0.1 lladdr 02:00:00:00:01:00 dev eth0');
    const came = host.watch('iifname br0 ip protocol icmp');
    send();
    assert.equal(counts(), before);
    a.sendPing('10.22.0.1');
    assert.is(came(), 0);
  });

  testInWorld('internal lets nothing in, not to a published port either, except from host and bridge', (world) => {
    const { host, a, b, c, outside } = world;
    publish(world, 'b');
    makeInternal(world);
    const seen = b.watch('udp dport 80');
    outside.sendUdp('192.0.2.1', 8080);
    outside.sendUdp('2001:db8::1', 8080);
    for (const address of addressesOf('b')) outside.sendUdp(address, 80);
    c.sendUdp('192.0.2.1', 8080);
    for (const address of addressesOf('b')) c.sendUdp(address, 80);
    assert.is(seen(), 0);
    a.sendUdp('10.22.0.1', 8080);
    a.sendUdp('fd00:22::1', 8080);
    assert.is(seen(), 2);
    host.sendUdp('10.22.0.6', 80);
    assert.is(seen(), 3);
  });
}

/** The chains of a table as nft lists them, line by line, without comments and empty lines. */
function listedRules({ host }: World, table: string): string[] {
  const list = host.run(`nft -s list table ${table}`);
  const chains = list.slice(list.indexOf('\tchain')).replace(/ comment "[^"]*"/g, '');
  return chains.split('\n').flatMap((line) => line.trim() || []);
}

test('nft shows the rules as this project does', () =>
  withWorld((world) => {
    isolateFromEachOther(world);
    const families = (line: string) => [line, line.replaceAll('_v4', '_v6').replaceAll('ip ', 'ip6 ')];
    const icc = (i: 0 | 1) => [
      families('chain isolation_icc_v4 {')[i],
      families('ip saddr . ether saddr . ip daddr @isolation_self_v4 ct status dnat return')[i],
      families('ip daddr . ether daddr @isolation_direct_v4 return')[i],
      'drop',
      '}',
      families('chain isolation_into_v4 {')[i],
      families('iifname . ip daddr @isolation_internal_v4 return')[i],
      'drop',
      '}',
    ];
    assert.equal(listedRules(world, 'inet podlink'), [
      ...icc(0),
      ...icc(1),
      'chain isolation_out {',
      'oifname . ether saddr @isolation_internal_macs return',
      'drop',
      '}',
      'chain forward_isolation {',
      'type filter hook forward priority filter; policy accept;',
      ...families('iifname . ip daddr @isolation_icc_v4 jump isolation_icc_v4'),
      'iifname . ether saddr @isolation_internal_macs jump isolation_out',
      ...families('oifname . ip daddr @isolation_internal_v4 jump isolation_into_v4'),
      '}',
      '}',
    ]);
  }));

test.run();
