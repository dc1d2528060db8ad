import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openNetns } from '../../kernel/netns.ts';
import { findOwnAddresses } from './shared-address.ts';

interface World {
  name: string;
  ip: (...args: string[]) => void;
  /** Add a link that is up, with these addresses. */
  addLink: (name: string, ...cidrs: string[]) => void;
  found: () => string[];
}

const test = suite<World>('addresses of a shared namespace');
let count = 0;

test.before.each((world) => {
  const name = `psa-${process.pid}-${++count}`;
  execFileSync('ip', ['netns', 'add', name]);
  const ip = (...args: string[]) => {
    execFileSync('ip', ['-n', name, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  };
  Object.assign(world, {
    name,
    ip,
    addLink: (link: string, ...cidrs: string[]) => {
      ip('link', 'add', link, 'type', 'bridge');
      // Without the link-local address that would come later by itself.
      ip('link', 'set', link, 'addrgenmode', 'none');
      ip('link', 'set', link, 'up');
      for (const cidr of cidrs) ip('addr', 'add', cidr, 'dev', link, ...(cidr.includes(':') ? ['nodad'] : []));
    },
    found: () => {
      const netns = openNetns(`/run/netns/${name}`);
      try {
        return findOwnAddresses(netns).map(({ address }) => address);
      } finally {
        netns.close();
      }
    },
  });
  ip('link', 'set', 'lo', 'up');
});

test.after.each(({ name }) => {
  execFileSync('ip', ['netns', 'del', name]);
});

test('a node with bridges: one address of each family, of the link with the default routes', (world) => {
  const { ip, addLink, found } = world;
  addLink('docker0', '172.17.0.1/16', 'fd00:17::1/64');
  addLink('uplink', '192.0.2.5/24', '192.0.2.6/24', '2001:db8::5/64');
  addLink('cni0', '10.22.0.1/16', 'fd00:22::1/64');
  ip('route', 'add', 'default', 'via', '192.0.2.1');
  ip('-6', 'route', 'add', 'default', 'via', '2001:db8::1');
  assert.equal(found(), ['192.0.2.5/24', '2001:db8::5/64']);
});

test('a family without a default route has the address of the other family’s link, or none', ({
  ip,
  addLink,
  found,
}) => {
  addLink('cni0', '10.22.0.1/16', 'fd00:22::1/64');
  addLink('uplink', '192.0.2.5/24', '2001:db8::5/64');
  ip('route', 'add', 'default', 'via', '192.0.2.1');
  assert.equal(found(), ['192.0.2.5/24', '2001:db8::5/64']);
  ip('addr', 'del', '2001:db8::5/64', 'dev', 'uplink');
  assert.equal(found(), ['192.0.2.5/24'], "cni0's is not the node's");
});

test('an IPv6-only node has no IPv4 address, although its bridge has', ({ ip, addLink, found }) => {
  addLink('cni0', '10.22.0.1/16', 'fd00:22::1/64');
  addLink('uplink', '2001:db8::5/64');
  ip('-6', 'route', 'add', 'default', 'via', '2001:db8::1');
  assert.equal(found(), ['2001:db8::5/64']);
});

test('of several default routes that with the lowest metric decides, whichever came first', ({
  ip,
  addLink,
  found,
}) => {
  addLink('slow', '192.0.2.5/24', '2001:db8:5::5/64');
  addLink('fast', '198.51.100.5/24', '2001:db8:6::5/64');
  ip('route', 'add', 'default', 'via', '192.0.2.1', 'metric', '600');
  ip('route', 'add', 'default', 'via', '198.51.100.1', 'metric', '100');
  ip('-6', 'route', 'add', 'default', 'via', '2001:db8:5::1');
  ip('-6', 'route', 'add', 'default', 'via', '2001:db8:6::1', 'metric', '100');
  assert.equal(found(), ['198.51.100.5/24', '2001:db8:6::5/64']);
  // One that leads nowhere is none, whatever its metric.
  ip('route', 'add', 'unreachable', 'default', 'metric', '1');
  ip('-6', 'route', 'add', 'unreachable', 'default', 'metric', '1');
  assert.equal(found(), ['198.51.100.5/24', '2001:db8:6::5/64']);
});

test('a default route with several next hops has the address of the first', ({ ip, addLink, found }) => {
  addLink('one', '192.0.2.5/24');
  addLink('two', '198.51.100.5/24');
  ip('route', 'add', 'default', 'nexthop', 'via', '198.51.100.1', 'nexthop', 'via', '192.0.2.1');
  assert.equal(found(), ['198.51.100.5/24']);
});

test('a route of another table is no default route', ({ ip, addLink, found }) => {
  addLink('one', '192.0.2.5/24');
  addLink('vpn', '198.51.100.5/24');
  ip('route', 'add', 'default', 'via', '198.51.100.1', 'table', '100');
  ip('route', 'add', 'default', 'via', '192.0.2.1', 'metric', '900');
  assert.equal(found(), ['192.0.2.5/24']);
});

test('the source address of the route is preferred, on lo too', ({ ip, addLink, found }) => {
  addLink('uplink', '192.0.2.5/24', '192.0.2.6/24');
  ip('route', 'add', 'default', 'via', '192.0.2.1', 'src', '192.0.2.6');
  assert.equal(found(), ['192.0.2.6/24']);
  ip('addr', 'add', '203.0.113.7/32', 'dev', 'lo');
  ip('route', 'replace', 'default', 'via', '192.0.2.1', 'src', '203.0.113.7');
  assert.equal(found(), ['203.0.113.7/32']);
});

test('links without addresses of their own: the one on lo', ({ ip, addLink, found }) => {
  addLink('uplink', '169.254.7.1/30', 'fe80::7/64');
  ip('addr', 'add', '203.0.113.7/32', 'dev', 'lo');
  ip('addr', 'add', '2001:db8::7/128', 'dev', 'lo', 'nodad');
  ip('route', 'add', 'default', 'via', '169.254.7.2');
  ip('-6', 'route', 'add', 'default', 'via', 'fe80::8', 'dev', 'uplink');
  assert.equal(found(), ['203.0.113.7/32', '2001:db8::7/128']);
});

test('without any default route: the first link that has an address, for both families', ({ ip, addLink, found }) => {
  addLink('empty');
  addLink('local', '169.254.9.9/16', 'fe80::9/64');
  addLink('off0', '192.0.2.9/24');
  ip('link', 'set', 'off0', 'down');
  addLink('eth0', '10.1.1.2/24');
  addLink('eth1', '10.2.2.2/24', 'fd00:2::2/64');
  assert.equal(found(), ['10.1.1.2/24']);
  ip('addr', 'add', 'fd00:1::2/64', 'dev', 'eth0', 'nodad');
  assert.equal(found(), ['10.1.1.2/24', 'fd00:1::2/64']);
});

test('loopback, link-local, multicast and unspecified addresses count for nothing, whatever their scope', ({
  ip,
  addLink,
  found,
}) => {
  assert.equal(found(), []);
  addLink('eth0', '169.254.1.1/16', 'fe80::1/64');
  ip('addr', 'add', '127.0.9.9/8', 'dev', 'eth0', 'scope', 'global');
  ip('addr', 'add', '0.1.2.3/8', 'dev', 'eth0', 'scope', 'global');
  assert.equal(found(), []);
  ip('addr', 'add', '10.9.9.9/24', 'dev', 'eth0', 'scope', 'link');
  assert.equal(found(), [], 'an address for the link alone');
});

test('an address that is not for new connections comes last', ({ ip, addLink, found }) => {
  addLink('uplink');
  ip('addr', 'add', '2001:db8::2/64', 'dev', 'uplink', 'nodad');
  // The kernel lists the one that came last first.
  ip('addr', 'add', '2001:db8::3/64', 'dev', 'uplink', 'nodad', 'preferred_lft', '0');
  assert.equal(found(), ['2001:db8::2/64']);
  ip('addr', 'del', '2001:db8::2/64', 'dev', 'uplink');
  assert.equal(found(), ['2001:db8::3/64']);
});

test.run();
