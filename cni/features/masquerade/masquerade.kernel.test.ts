// Masquerading with real packets: a container (pod), the node it is on (host) and a machine beyond (outside).
//
//   pod  10.22.0.5 ── eth0 ── pod0  10.22.0.1       host       192.0.2.1  out0 ── eth0 ── 192.0.2.2  outside
//        fd00:22::5                 fd00:22::1               2001:db8::1                2001:db8::2
//                                                                              10.22.9.9, fd00:22::9:9
//
// The last two are addresses of the container's own network that the host routes to the outside machine, as in a
// cluster whose nodes share one network.

import { sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type NftablesConnection, openNftables } from '../../kernel/nftables/connection.ts';
import { type Netns, openNetns } from '../../kernel/netns.ts';
import type { Element } from '../../kernel/nftables/element.ts';
import { masqueradeElements } from './masquerade-elements.ts';
import { MASQUERADE_RULESET } from './masquerade-ruleset.ts';
import { applyElements, checkElements, findElements, ownedBy, removeElements } from '../elements/owned-elements.ts';
import { ownerComment } from '../../attachment/marks.ts';

interface World {
  host: string;
  pod: string;
  outside: string;
  netns: Netns;
  nft: NftablesConnection;
  server: ChildProcess | undefined;
}

const test = suite<World>('masquerade in the kernel');
const OWNER = { network: 'pods', containerId: 'c1', ifname: 'eth0' };
const CIDRS = ['10.22.0.5/16', 'fd00:22::5/64'];
const PORT = 9999;

function applyMasquerade(nft: NftablesConnection, owner: AttachmentKey, cidrs: readonly string[]): void {
  applyElements(nft, owner, { rulesets: [MASQUERADE_RULESET], elements: masqueradeElements(cidrs) });
}

function removeMasquerade(nft: NftablesConnection, owner: AttachmentKey, cidrs: readonly string[]): void {
  removeElements(nft, ownedBy(owner, masqueradeElements(cidrs)));
}

function checkMasquerade(nft: NftablesConnection, owner: AttachmentKey, cidrs: readonly string[]): string[] {
  const state = { rulesets: [MASQUERADE_RULESET], elements: masqueradeElements(cidrs) };
  return sentencesOf(checkElements(nft, owner, state));
}

function findOwned(nft: NftablesConnection, owner: AttachmentKey): Element[] {
  return findElements(nft, [MASQUERADE_RULESET], ownerComment(owner));
}

/** Tells whoever sends it a datagram, to one of its addresses or to a multicast group, from which address it came. */
const SERVER = `
  const { createSocket } = require('node:dgram');
  const groups = { '224.1.2.3': ['192.0.2.2', '192.0.2.2'], 'ff15::7': ['::%eth0', '2001:db8::2'] };
  const sockets = {};
  let listening = 0;
  for (const name of ['192.0.2.2', '10.22.9.9', '2001:db8::2', 'fd00:22::9:9', ...Object.keys(groups)]) {
    const [link, replyFrom] = groups[name] ?? [undefined, name];
    const socket = sockets[name] = createSocket(name.includes(':') ? 'udp6' : 'udp4');
    socket.on('message', (_, { address, port }) => sockets[replyFrom].send(address, port, address));
    socket.bind(${PORT}, name, () => {
      if (link) socket.addMembership(name, link);
      if (++listening === 6) console.log('listening');
    });
  }`;

/** Sends datagrams until it is answered, and prints the answer. */
const CLIENT = `
  const { createSocket } = require('node:dgram');
  const [from, to, link] = process.argv.slice(1);
  const socket = createSocket(to.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (answer) => { console.log(String(answer)); process.exit(); });
  socket.bind(0, from, () => {
    if (link) socket.setMulticastInterface(link);
    setInterval(() => socket.send('?', ${PORT}, to), 100);
    setTimeout(() => process.exit(1), 5000);
  });
  socket.on('error', () => undefined);`;

/** The address a datagram to `to` arrives from. */
function sourceSeen(netns: string, from: string, to: string, ...link: string[]): string {
  const args = ['netns', 'exec', netns, process.execPath, '-e', CLIENT, from, to, ...link];
  return execFileSync('ip', args, { encoding: 'utf8' }).trim();
}

function ip(netns: string, ...commands: string[]): void {
  execFileSync('ip', ['-n', netns, '-batch', '-'], { input: commands.join('\n') });
}

test.before.each(async (world) => {
  const name = (suffix: string) => `plnft-${process.pid}-${suffix}`;
  [world.host, world.pod, world.outside] = [name('h'), name('p'), name('o')];
  for (const netns of [world.host, world.pod, world.outside]) execFileSync('ip', ['netns', 'add', netns]);
  ip(
    world.host,
    `link add pod0 type veth peer name eth0 netns ${world.pod}`,
    `link add out0 type veth peer name eth0 netns ${world.outside}`,
    'link set lo up',
    'link set pod0 up',
    'link set out0 up',
    'address add 10.22.0.1/16 dev pod0',
    'address add fd00:22::1/64 dev pod0 nodad',
    'address add 192.0.2.1/24 dev out0',
    'address add 2001:db8::1/64 dev out0 nodad',
    'route add 10.22.9.9/32 via 192.0.2.2',
    'route add fd00:22::9:9/128 via 2001:db8::2',
  );
  const forwarding = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];
  execFileSync('ip', ['netns', 'exec', world.host, 'sysctl', '-qw', ...forwarding]);
  // Single addresses and a route to the host, so that the way to the own network leads through the host, too.
  ip(
    world.pod,
    'link set eth0 up',
    'address add 10.22.0.5/32 dev eth0',
    'address add fd00:22::5/128 dev eth0 nodad',
    'route add 10.22.0.1 dev eth0',
    'route add default via 10.22.0.1',
    'route add fd00:22::1 dev eth0',
    'route add default via fd00:22::1',
  );
  ip(
    world.outside,
    'link set eth0 up',
    'address add 192.0.2.2/24 dev eth0',
    'address add 2001:db8::2/64 dev eth0 nodad',
    'address add 10.22.9.9/32 dev eth0',
    'address add fd00:22::9:9/128 dev eth0 nodad',
    'route add default via 192.0.2.1',
    'route add default via 2001:db8::1',
  );
  world.server = spawn('ip', ['netns', 'exec', world.outside, process.execPath, '-e', SERVER], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (world.server.stdout) await once(world.server.stdout, 'data');
  world.netns = openNetns(`/run/netns/${world.host}`);
  world.nft = openNftables(world.netns);
});

test.after.each((world) => {
  world.server?.kill();
  world.nft.close();
  world.netns.close();
  for (const netns of [world.host, world.pod, world.outside]) execFileSync('ip', ['netns', 'del', netns]);
});

interface Listing {
  readonly rules: Record<string, number>;
  readonly elements: readonly unknown[];
}

/** What nft lists of the host: how many rules every chain has, and all elements. */
function list({ host }: World): Listing {
  const text = execFileSync('ip', ['netns', 'exec', host, 'nft', '-j', 'list', 'ruleset'], { encoding: 'utf8' });
  const objects: Record<string, { chain: string; elem?: unknown[] }>[] = JSON.parse(text).nftables;
  const rules: Record<string, number> = {};
  for (const { rule } of objects) if (rule) rules[rule.chain] = (rules[rule.chain] ?? 0) + 1;
  return { rules, elements: objects.flatMap(({ set }) => set?.elem ?? []) };
}

const ONE_COPY = {
  masquerade_v4: 4,
  masquerade_v6: 4,
  postrouting_masquerade: 2,
  masquerade_invalid_v4: 3,
  masquerade_invalid_v6: 3,
  masquerade_invalid: 2,
  forward_masquerade: 1,
};

test('a container is seen with its own address without masquerading, with the host’s address with it', (world) => {
  const seen = () => [
    sourceSeen(world.pod, '10.22.0.5', '192.0.2.2'),
    sourceSeen(world.pod, 'fd00:22::5', '2001:db8::2'),
  ];
  assert.equal(seen(), ['10.22.0.5', 'fd00:22::5']);
  applyMasquerade(world.nft, OWNER, CIDRS);
  assert.equal(seen(), ['192.0.2.1', '2001:db8::1']);
  assert.equal(checkMasquerade(world.nft, OWNER, CIDRS), []);
  removeMasquerade(world.nft, OWNER, CIDRS);
  assert.equal(seen(), ['10.22.0.5', 'fd00:22::5']);
});

test('a container keeps its address towards its own network', (world) => {
  applyMasquerade(world.nft, OWNER, CIDRS);
  assert.is(sourceSeen(world.pod, '10.22.0.5', '10.22.9.9'), '10.22.0.5');
  assert.is(sourceSeen(world.pod, 'fd00:22::5', 'fd00:22::9:9'), 'fd00:22::5');
  // The same destinations when they are not in the own network, to see that it is this which decides.
  applyMasquerade(world.nft, OWNER, ['10.22.0.5/24', 'fd00:22::5/120']);
  assert.is(sourceSeen(world.pod, '10.22.0.5', '10.22.9.9'), '192.0.2.1');
  assert.is(sourceSeen(world.pod, 'fd00:22::5', 'fd00:22::9:9'), '2001:db8::1');
});

test('multicast keeps its source', (world) => {
  // From an address of the host, whose multicast goes through postrouting without a multicast router.
  applyMasquerade(world.nft, OWNER, ['10.22.0.1/16', 'fd00:22::1/64']);
  assert.is(sourceSeen(world.host, '10.22.0.1', '192.0.2.2'), '192.0.2.1');
  assert.is(sourceSeen(world.host, '10.22.0.1', '224.1.2.3', '192.0.2.1'), '10.22.0.1');
  assert.is(sourceSeen(world.host, 'fd00:22::1', '2001:db8::2'), '2001:db8::1');
  assert.is(sourceSeen(world.host, 'fd00:22::1', 'ff15::7', '::%out0'), 'fd00:22::1');
});

test('only the addresses of the attachment are masqueraded, and a second attachment goes its own way', (world) => {
  ip(world.pod, 'address add 10.22.0.6/32 dev eth0');
  const second = { ...OWNER, ifname: 'eth1' };
  applyMasquerade(world.nft, OWNER, CIDRS);
  assert.is(sourceSeen(world.pod, '10.22.0.6', '192.0.2.2'), '10.22.0.6');
  applyMasquerade(world.nft, second, ['10.22.0.6/16']);
  removeMasquerade(world.nft, OWNER, CIDRS);
  assert.is(sourceSeen(world.pod, '10.22.0.6', '192.0.2.2'), '192.0.2.1');
  assert.is(sourceSeen(world.pod, '10.22.0.5', '192.0.2.2'), '10.22.0.5');
});

test('adding and removing 500 attachments leaves no element', (world) => {
  const attachments = Array.from({ length: 500 }, (_, i) => ({
    owner: { ...OWNER, containerId: `c${i}` },
    cidrs: [`10.22.${1 + (i >> 8)}.${i & 255}/16`, `fd00:22::1:${i.toString(16)}/64`],
  }));
  for (const { owner, cidrs } of attachments) applyMasquerade(world.nft, owner, cidrs);
  assert.is(list(world).elements.length, 2000);
  for (const { owner, cidrs } of attachments) removeMasquerade(world.nft, owner, cidrs);
  assert.equal(list(world), { rules: ONE_COPY, elements: [] });
});

/** Does its work when its standard input ends. */
function contender(i: number): string {
  return `
    import { readFileSync } from 'node:fs';
    import { openNftables } from '${import.meta.resolve('../../kernel/nftables/connection.ts')}';
    import { masqueradeElements } from '${import.meta.resolve('./masquerade-elements.ts')}';
    import { MASQUERADE_RULESET } from '${import.meta.resolve('./masquerade-ruleset.ts')}';
    import { applyElements, ownedBy, removeElements } from '${import.meta.resolve('../elements/owned-elements.ts')}';
    const owner = { network: 'pods', containerId: 'c${i}', ifname: 'eth0' };
    const nft = openNftables();
    console.log('ready');
    readFileSync(0);
    const cidrs = Array.from({ length: 10 }, (_, k) => '10.22.${i}.' + k + '/16');
    for (const cidr of cidrs) {
      const elements = masqueradeElements([cidr, 'fd00::${i}/64']);
      applyElements(nft, owner, { rulesets: [MASQUERADE_RULESET], elements });
    }
    removeElements(nft, ownedBy(owner, masqueradeElements(cidrs.slice(1))));
    nft.close();`;
}

test('16 processes at once make one copy of every rule, and only their own elements', async (world) => {
  const children = Array.from({ length: 16 }, (_, i) => {
    const code = ['--input-type=module', '--disable-warning=ExperimentalWarning', '-e', contender(i)];
    return spawn('ip', ['netns', 'exec', world.host, process.execPath, ...code], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
  });
  const ended = children.map(async (child) => (await once(child, 'exit'))[0]);
  await Promise.all(children.map(({ stdout }) => once(stdout, 'data')));
  for (const { stdin } of children) stdin.end();
  assert.equal(await Promise.all(ended), Array(16).fill(0));
  const { rules, elements } = list(world);
  assert.equal(rules, ONE_COPY);
  assert.is(elements.length, 16 * 4);
  for (let i = 0; i < 16; i++) {
    const owner = { ...OWNER, containerId: `c${i}` };
    assert.equal(checkMasquerade(world.nft, owner, [`10.22.${i}.0/16`, `fd00::${i}/64`]), []);
  }
});

test('masquerading works again after somebody has flushed all rules of the node', (world) => {
  applyMasquerade(world.nft, OWNER, CIDRS);
  execFileSync('ip', ['netns', 'exec', world.host, 'nft', 'flush', 'ruleset']);
  assert.is(checkMasquerade(world.nft, OWNER, CIDRS)[0], 'table inet podlink is missing');
  applyMasquerade(world.nft, OWNER, CIDRS);
  assert.is(sourceSeen(world.pod, '10.22.0.5', '192.0.2.2'), '192.0.2.1');
});

test('foreign tables stay as they are', (world) => {
  const nftTool = (...args: string[]) =>
    execFileSync('ip', ['netns', 'exec', world.host, 'nft', ...args], { encoding: 'utf8' });
  nftTool('add table ip podlink; add chain ip podlink c; add rule ip podlink c counter; add table inet other');
  const before = nftTool('list', 'ruleset');
  applyMasquerade(world.nft, OWNER, CIDRS);
  nftTool('delete', 'table', 'inet', 'podlink');
  assert.is(nftTool('list', 'ruleset'), before);
});

test('findElements() knows the elements of the owner among many others, and none where there is no table', ({
  nft,
}) => {
  assert.equal(findOwned(nft, OWNER), []);
  applyMasquerade(nft, OWNER, CIDRS);
  const second = { ...OWNER, containerId: 'c2' };
  const others = Array.from({ length: 300 }, (_, i) => `10.22.${1 + (i >> 8)}.${i & 255}/16`);
  applyMasquerade(nft, second, others);
  assert.is(findOwned(nft, OWNER).length, 4);
  assert.is(findOwned(nft, second).length, others.length * 2);
  removeElements(nft, findOwned(nft, OWNER));
  assert.equal(findOwned(nft, OWNER), []);
  assert.equal(checkMasquerade(nft, second, others), []);
  assert.match(checkMasquerade(nft, OWNER, CIDRS).join('\n'), /missing(.|\n)*missing(.|\n)*missing(.|\n)*missing/);
});

test('an ADD brings back the rules of a chain that somebody has flushed', (world) => {
  applyMasquerade(world.nft, OWNER, CIDRS);
  execFileSync('ip', ['netns', 'exec', world.host, 'nft', 'flush', 'chain', 'inet', 'podlink', 'masquerade_v4']);
  assert.is(sourceSeen(world.pod, '10.22.0.5', '192.0.2.2'), '10.22.0.5');
  applyMasquerade(world.nft, { ...OWNER, containerId: 'c2' }, ['10.22.0.7/16']);
  assert.is(sourceSeen(world.pod, '10.22.0.5', '192.0.2.2'), '192.0.2.1');
});

test.run();
