// Firewalls that stand in the containers' way: what is told of them is what real packets meet, and the remedy helps.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  describeForwardDrops,
  describeObstacle,
  ForeignFirewall,
  type Obstacle,
  remedyOf,
} from './foreign-firewall.ts';
import type { BridgeTraffic, Family, TrafficKind } from './node-traffic.ts';
import { PODLINK_TABLE } from '../elements/podlink-table.ts';
import { type Machine, withWorld, type World } from '../testing/bridged-world.ts';

const test = suite('foreign firewalls in the kernel');

/** The traffic of bridge br0 of the world; `filtered`: whether bridged packets pass the rules of IP. */
function traffic(isBridgeFiltered = false, families: readonly Family[] = [4, 6]): BridgeTraffic {
  const nodes = {
    4: { family: 4, container: '10.22.0.5', gateway: '10.22.0.1', uplink: 'out0', node: '192.0.2.1', isBridgeFiltered },
    6: {
      family: 6,
      container: 'fd00:22::5',
      gateway: 'fd00:22::1',
      uplink: 'out0',
      node: '2001:db8::1',
      isBridgeFiltered,
    },
  } as const;
  return {
    bridge: 'br0',
    families: families.map((family) => nodes[family]),
    isRouted: true,
    isPublishing: true,
    hasNeighbours: true,
  };
}

function obstacles({ nft }: Pick<World, 'nft'>, of = traffic()): Obstacle[] {
  return new ForeignFirewall(nft).findObstacles(of);
}

function kindsOf(found: readonly Obstacle[]): TrafficKind[] {
  return [...new Set(found.flatMap(({ kinds }) => kinds))].sort();
}

function run(host: Machine, found: readonly Obstacle[]): void {
  const commands = new Set(found.flatMap((obstacle) => remedyOf(obstacle, 'br0').commands));
  assert.ok(commands.size > 0);
  for (const command of commands) host.run(command);
}

test('findObstacles() has nothing to say of chains that let pass, of dormant tables, and of our own', () =>
  withWorld((world) => {
    assert.equal(obstacles(world), []);
    world.host.nft(`table inet fw {
        chain regular { drop; }
        chain pass { type filter hook forward priority filter; policy accept; tcp dport 25 drop; ip daddr 198.51.100.0/24 reject; }
        chain guard { type filter hook forward priority 5; policy drop; iifname "br0" accept; oifname "br0" accept; }
      }
      table inet asleep { flags dormant; chain passing { type filter hook forward priority filter; policy drop; }; }
      table inet ${PODLINK_TABLE.name} { chain passing { type filter hook forward priority filter; policy drop; }; }`);
    assert.equal(obstacles(world), []);
    assert.equal(describeForwardDrops(world.nft, traffic()), []);
  }));

interface Firewall {
  readonly what: string;
  readonly setUp: (host: Machine) => void;
  readonly sentence: RegExp;
  readonly addresses: readonly string[];
}

/** Docker's own chains, as dockerd 28.5 makes them by iptables-nft when forwarding was off at its start. */
const DOCKER = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
COMMIT
`;

const FIREWALLS: readonly Firewall[] = [
  {
    what: 'iptables -P FORWARD DROP',
    setUp: (host) => void host.run('iptables-nft -P FORWARD DROP'),
    sentence: /^chain FORWARD of table ip filter has policy drop/,
    addresses: ['192.0.2.2'],
  },
  {
    what: 'ip6tables -P FORWARD DROP',
    setUp: (host) => void host.run('ip6tables-nft -P FORWARD DROP'),
    sentence: /^chain FORWARD of table ip6 filter has policy drop/,
    addresses: ['2001:db8::2'],
  },
  {
    what: "Docker's chains",
    setUp: (host) => void host.run(`iptables-nft-restore <<'END'\n${DOCKER}END`),
    sentence: /^chain FORWARD of table ip filter has policy drop/,
    addresses: ['192.0.2.2'],
  },
  {
    what: 'a last rule of iptables that rejects',
    setUp: (host) => {
      host.run('iptables-nft -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT');
      host.run('iptables-nft -A FORWARD -i lo -j ACCEPT && iptables-nft -A FORWARD -j REJECT');
    },
    sentence: /^chain FORWARD of table ip filter rejects what .* by rule \d+/,
    addresses: ['192.0.2.2'],
  },
  {
    what: 'a native table of both families',
    setUp: (host) =>
      host.nft('table inet fw { chain passing { type filter hook forward priority 10; policy drop; }; }'),
    sentence: /^chain passing of table inet fw has policy drop/,
    addresses: ['192.0.2.2', '2001:db8::2'],
  },
  {
    what: 'a native table whose last rule, in a chain that it jumps to, drops',
    setUp: (host) =>
      host.nft(`table inet fw {
        set lan { type ipv4_addr; flags interval; elements = { 10.99.0.0/16, 192.168.0.0/16 }; }
        map ways { type ifname : verdict; elements = { "lo" : accept, "wg0" : accept }; }
        chain rest { ct state { established, related } accept; ip saddr @lan accept; iifname vmap @ways; goto end; }
        chain end { counter; log; meta l4proto { icmp, ipv6-icmp, tcp, udp } drop; }
        chain passing { type filter hook forward priority 10; policy accept; jump rest; }
      }`),
    sentence: /^chain passing of table inet fw drops what .* by rule \d+ of chain end$/,
    addresses: ['192.0.2.2', '2001:db8::2'],
  },
  {
    what: 'a table that drops on the way in already',
    setUp: (host) =>
      host.nft(`table inet fw { chain early { type filter hook prerouting priority raw; policy accept;
        iifname != { "lo", "out0" } meta protocol { ip, ip6 } meta l4proto != ipv6-icmp drop; iifname "br0" drop; }; }`),
    sentence: /^chain early of table inet fw drops what/,
    addresses: ['192.0.2.2'],
  },
];

for (const { what, setUp, sentence, addresses } of FIREWALLS) {
  test(`findObstacles() sees ${what}, and its remedy opens the way for the containers, and for nobody else`, () =>
    withWorld((world) => {
      const { host, a, c, outside } = world;
      for (const address of addresses) assert.ok(a.reaches(address), `before: ${address}`);
      setUp(host);
      for (const address of addresses) assert.ok(a.isCutOffFrom(address), address);
      const found = obstacles(world);
      assert.is(found.length, 1, JSON.stringify(found.map((each) => describeObstacle(each, 'br0'))));
      assert.match(describeObstacle(found[0] as Obstacle, 'br0'), sentence);
      assert.ok(found[0]?.isCertain);
      assert.is(describeForwardDrops(world.nft, traffic()).length, 1);
      run(host, found);
      assert.equal(obstacles(world), [], 'after the remedy');
      for (const address of addresses) {
        assert.ok(a.reaches(address), `after: ${address}`);
        if (found[0]?.chain.hook.number === 0) continue;
        assert.ok(c.isCutOffFrom(address), `another bridge: ${address}`);
        assert.ok(outside.isCutOffFrom(address.includes(':') ? 'fd00:22::5' : '10.22.0.5'), 'the way in');
      }
      host.nft(`table ip ports { chain pre { type nat hook prerouting priority dstnat;
        ip daddr 192.0.2.1 udp dport 8080 dnat to 10.22.0.5:80; }; }`);
      const seen = a.watch('udp dport 80');
      outside.sendUdp('192.0.2.1', 8080);
      assert.is(seen(), 1, 'a published port');
    }));
}

test('findObstacles() sees a bridge table, and its remedy lets the containers reach each other', () =>
  withWorld((world) => {
    const { host, a } = world;
    host.nft('table bridge fw { chain passing { type filter hook forward priority filter; policy drop; }; }');
    assert.ok(a.isCutOffFrom('10.22.0.6'));
    const found = obstacles(world);
    assert.match(describeObstacle(found[0] as Obstacle, 'br0'), /^chain passing of table bridge fw has policy drop/);
    run(host, found);
    assert.equal(obstacles(world), []);
    assert.ok(a.reaches('10.22.0.6'));
  }));

test('findObstacles() names neighbours where bridged packets pass the rules of IP', () =>
  withWorld((world) => {
    const { host, a } = world;
    host.run('iptables-nft -P FORWARD DROP');
    assert.equal(kindsOf(obstacles(world, traffic(false))), ['outgoing', 'published', 'returning']);
    const filtered = obstacles(world, traffic(true));
    assert.equal(kindsOf(filtered), ['neighbours', 'outgoing', 'published', 'returning']);
    assert.match(describeObstacle(filtered[0] as Obstacle, 'br0'), /what they send to each other/);
    if (!host.sysctl('net.bridge.bridge-nf-call-iptables=1')) return;
    assert.ok(a.isCutOffFrom('10.22.0.6'));
    run(host, filtered);
    assert.equal(obstacles(world, traffic(true)), []);
    assert.ok(a.reaches('10.22.0.6'));
  }));

test('findObstacles() tells what does not reach the node itself', () =>
  withWorld((world) => {
    const { host, a } = world;
    host.nft(`table inet fw { chain in { type filter hook input priority filter; policy drop; iifname "lo" accept;
      ct state established,related accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }; }`);
    assert.ok(a.isCutOffFrom('10.22.0.1'));
    const found = obstacles(world);
    assert.equal(kindsOf(found), ['to-node']);
    assert.equal(describeForwardDrops(world.nft, traffic()), [], 'no fault of an attachment');
    run(host, found);
    assert.equal(obstacles(world), []);
    assert.ok(a.reaches('10.22.0.1'));
  }));

test('findObstacles() does not claim to know what only a packet will tell', () =>
  withWorld((world) => {
    const rules = [
      'limit rate 10/second accept',
      'meta skuid 0 accept',
      'meta cgroup 5 accept',
      'ip ttl 1-63 ip id 77 accept',
      'meta hour "08:00"-"20:00" accept',
    ];
    for (const rule of rules) {
      world.host.nft(`table inet fw { chain passing { type filter hook forward priority 0; policy drop; ${rule}; }; }`);
      const found = obstacles(world, traffic(false, [4]));
      assert.equal(
        found.filter(({ kinds }) => kinds.includes('outgoing')).map(({ isCertain }) => isCertain),
        [false],
        rule,
      );
      assert.match(
        describeObstacle(found.find(({ isCertain }) => !isCertain) as Obstacle, 'br0'),
        /^it cannot be told/,
      );
      world.host.run('nft delete table inet fw');
    }
  }));

test('findRedirect() sees who sends a published port elsewhere before podlink', () =>
  withWorld(({ host, nft }) => {
    const [node] = traffic().families;
    assert.ok(node);
    const redirect = (port: number) => new ForeignFirewall(nft).findRedirect(node, 6, port);
    host.nft(`table ip proxy {
        chain late { type nat hook prerouting priority 0; tcp dport 8080 redirect to :3128; }
        chain same { type nat hook prerouting priority dstnat; tcp dport 8081 dnat to 10.9.9.9; }
        chain early { type nat hook prerouting priority -110; ip daddr 192.0.2.1 tcp dport { 8082, 8083 } redirect to :3128; }
      }`);
    host.run(
      'iptables-nft -t nat -A PREROUTING -p tcp --dport 8084 -m addrtype --dst-type LOCAL -j REDIRECT --to-ports 99',
    );
    host.run('iptables-nft -t nat -A PREROUTING -p tcp -m multiport --dports 8085,8090:8095 -j DNAT --to 10.9.9.9');
    assert.is(redirect(8080), undefined, 'behind podlink');
    assert.is(redirect(8081)?.isCertain, false, 'of the same priority');
    assert.is(redirect(8082)?.isCertain, true);
    assert.is(redirect(8083)?.chain.name, 'early');
    assert.is(redirect(8084)?.chain.name, 'PREROUTING');
    assert.is(redirect(8092)?.chain.name, 'PREROUTING');
    assert.is(redirect(8086), undefined);
  }));

test.run();
