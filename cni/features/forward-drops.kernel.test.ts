// Firewalls that stand in the containers' way, and whether what the operator is told to do helps.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { describeForwardDrops } from './forward-drops.ts';
import { PODLINK_TABLE } from './podlink-table.ts';
import { type Machine, withWorld } from './testing/bridged-world.ts';

const test = suite('forward drops in the kernel');

function runRemedies(host: Machine, sentence: string | undefined): void {
  const commands = [...(sentence ?? '').matchAll(/`([^`]+)`/g)].map(([, command]) => command ?? '');
  assert.ok(commands.length > 0);
  for (const command of commands) host.run(command);
}

test('describeForwardDrops() has nothing to say of chains that let pass, of other hooks, and of our own table', () =>
  withWorld(({ host, nft }) => {
    assert.equal(describeForwardDrops(nft, 'br0'), []);
    host.nft(`table ip filter { chain FORWARD { type filter hook forward priority filter; policy accept; drop; }; }
      table inet fw {
        chain in { type filter hook input priority filter; policy drop; iifname "lo" accept; }
        chain regular { drop; }
      }
      table inet ${PODLINK_TABLE.name} { chain passing { type filter hook forward priority filter; policy drop; }; }`);
    assert.equal(describeForwardDrops(nft, 'br0'), []);
  }));

const FIREWALLS: readonly { what: string; setUp: (host: Machine) => void; chain: string; addresses: string[] }[] = [
  {
    what: 'iptables -P FORWARD DROP',
    setUp: (host) => void host.run('iptables-nft -P FORWARD DROP'),
    chain: 'chain FORWARD of table ip filter',
    addresses: ['192.0.2.2'],
  },
  {
    what: 'ip6tables -P FORWARD DROP',
    setUp: (host) => void host.run('ip6tables-nft -P FORWARD DROP'),
    chain: 'chain FORWARD of table ip6 filter',
    addresses: ['2001:db8::2'],
  },
  {
    what: 'a native table of both families',
    setUp: (host) =>
      host.nft('table inet fw { chain passing { type filter hook forward priority 10; policy drop; }; }'),
    chain: 'chain passing of table inet fw',
    addresses: ['192.0.2.2', '2001:db8::2'],
  },
];

for (const { what, setUp, chain, addresses } of FIREWALLS) {
  test(`what describeForwardDrops() says of ${what} opens the way for the containers, and for nobody else`, () =>
    withWorld(({ host, a, c, outside, nft }) => {
      for (const address of addresses) assert.ok(a.reaches(address), `before: ${address}`);
      setUp(host);
      for (const address of addresses) assert.ok(a.isCutOffFrom(address), address);
      const [sentence, ...others] = describeForwardDrops(nft, 'br0');
      assert.equal(others, []);
      assert.ok(sentence?.startsWith(`${chain} has policy drop, which rules of table inet podlink cannot overrule`));
      runRemedies(host, sentence);
      for (const address of addresses) {
        assert.ok(a.reaches(address), `after: ${address}`);
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

test('what describeForwardDrops() says of a bridge table lets the containers reach each other', () =>
  withWorld(({ host, a, nft }) => {
    host.nft('table bridge fw { chain passing { type filter hook forward priority filter; policy drop; }; }');
    assert.ok(a.isCutOffFrom('10.22.0.6'));
    const [sentence] = describeForwardDrops(nft, 'br0');
    assert.match(sentence ?? '', /^chain passing of table bridge fw has policy drop/);
    runRemedies(host, sentence);
    assert.ok(a.reaches('10.22.0.6'));
  }));

test.run();
