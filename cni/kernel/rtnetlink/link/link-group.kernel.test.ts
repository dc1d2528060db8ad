import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Netns, openNetns } from '../../netns.ts';
import type { NetlinkConnection } from '../../netlink/connection.ts';
import { bridgePortState, disableBridgePort } from './bridge-port.ts';
import { findLink, type Link } from './link.ts';
import { deleteLinks } from './link-group.ts';
import { openRtnetlink } from '../socket.ts';

interface World {
  name: string;
  netns: Netns;
  route: NetlinkConnection;
}

const test = suite<World>('deleting links together');

test.before.each((world) => {
  world.name = `pllg-${process.pid}`;
  execFileSync('ip', ['netns', 'add', world.name]);
  world.netns = openNetns(`/run/netns/${world.name}`);
  world.route = openRtnetlink(world.netns);
});

test.after.each((world) => {
  world.route.close();
  world.netns.close();
  execFileSync('ip', ['netns', 'del', world.name]);
});

function ip({ name }: World, ...commands: string[]): void {
  execFileSync('ip', ['-n', name, '-batch', '-'], { input: commands.join('\n') });
}

function names({ name }: World): string[] {
  const links: { ifname: string }[] = JSON.parse(
    execFileSync('ip', ['-n', name, '-j', 'link', 'show'], { encoding: 'utf8' }),
  );
  return links.map(({ ifname }) => ifname).sort();
}

function linkOf({ route }: World, name: string): Link {
  const link = findLink(route, name);
  if (!link) throw new Error(`no ${name}`);
  return link;
}

test('deleteLinks() deletes all of them with their other ends, and nothing else', (world) => {
  ip(
    world,
    ...[1, 2, 3].map((i) => `link add a${i} type veth peer name b${i}`),
    'link add i1 type ifb',
    'link add br0 type bridge',
    'link set b3 group 7',
  );
  deleteLinks(world.route, [linkOf(world, 'a1'), linkOf(world, 'a2'), linkOf(world, 'i1')]);
  assert.equal(names(world), ['a3', 'b3', 'br0', 'lo']);
});

test('deleteLinks() deletes more than fit into one datagram and its answers', (world) => {
  const ends = Array.from({ length: 300 }, (_, i) => `a${i}`);
  ip(world, ...ends.map((name, i) => `link add ${name} type veth peer name b${i}`));
  deleteLinks(
    world.route,
    ends.map((name) => linkOf(world, name)),
  );
  assert.equal(names(world), ['lo']);
});

test('deleteLinks() takes what is gone already for deleted, and does nothing for none', (world) => {
  ip(world, 'link add a1 type veth peer name b1', 'link add a2 type veth peer name b2');
  const links = [linkOf(world, 'a1'), linkOf(world, 'a2')];
  ip(world, 'link del a1');
  deleteLinks(world.route, links);
  assert.equal(names(world), ['lo']);
  deleteLinks(world.route, links);
  deleteLinks(world.route, links.slice(0, 1));
  deleteLinks(world.route, []);
});

test('disableBridgePort() stops a port at once, and says when it cannot', (world) => {
  ip(
    world,
    'link add br0 type bridge',
    'link add br1 type bridge stp_state 1',
    'link set br0 up',
    'link set br1 up',
    ...[0, 1].flatMap((i) => [
      `link add a${i} type veth peer name b${i}`,
      `link set a${i} master br${i}`,
      `link set a${i} up`,
      `link set b${i} up`,
    ]),
  );
  assert.is(bridgePortState(linkOf(world, 'a0')), 3);
  assert.ok(disableBridgePort(world.route, linkOf(world, 'a0')));
  assert.is(bridgePortState(linkOf(world, 'a0')), 0);
  assert.not(disableBridgePort(world.route, linkOf(world, 'a1')));
  assert.not(disableBridgePort(world.route, linkOf(world, 'b0')));
  assert.not(disableBridgePort(world.route, { index: 9999, name: 'gone' }));
});

test.run();
