import { sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inNetns, type Netns, openNetns } from '../../kernel/netns.ts';
import { disableBridgePort } from '../../kernel/rtnetlink/link/bridge-port.ts';
import { findLink } from '../../kernel/rtnetlink/link/link.ts';
import { deleteLinks } from '../../kernel/rtnetlink/link/link-group.ts';
import { openRtnetlink } from '../../kernel/rtnetlink/socket.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import { CniError } from '../../protocol/errors.ts';
import { NO_UNDO, UndoStack } from '../../attachment/undo-stack.ts';
import { bridgeMode } from './bridge.ts';
import { hostInterfaceName } from '../../attachment/marks.ts';
import type { ModePlan } from '../mode.ts';
import type { Addressing, Attached, Attachment, Host, Sandbox } from '../../attachment/attachment.ts';

interface World {
  names: string[];
  runDir: string;
  hostNetns: Netns;
  host: Host;
  sandboxes: Sandbox[];
}

const test = suite<World>('bridge mode');
const ADDRESSING: Addressing = {
  ips: [{ address: '10.22.0.5/16' }, { address: 'fd00:22::5/64' }],
  routes: [{ dst: '0.0.0.0/0' }],
  dns: {},
};

test.before.each((world) => {
  world.names = ['h', 'a', 'b'].map((suffix) => `plm-${process.pid}-${suffix}`);
  for (const name of world.names) execFileSync('ip', ['netns', 'add', name]);
  world.runDir = mkdtempSync(join(tmpdir(), 'podlink-mode-'));
  const [hostNetns, ...rest] = world.names.map((name) => openNetns(`/run/netns/${name}`));
  if (!hostNetns) throw new Error('no namespace');
  world.hostNetns = hostNetns;
  world.host = { route: openRtnetlink(hostNetns), runDir: world.runDir, warn: () => undefined, mark: () => undefined };
  world.sandboxes = rest.map((netns) => ({ path: netns.path, netns }));
});

test.after.each((world) => {
  world.host.route.close();
  world.hostNetns.close();
  for (const { netns } of world.sandboxes) netns.close();
  for (const name of world.names) execFileSync('ip', ['netns', 'del', name]);
  rmSync(world.runDir, { recursive: true });
});

function keyOf(containerId: string) {
  return { network: 'pods', containerId, ifname: 'eth0' };
}

function planOf(containerId: string, config: object, hasIpam = true): ModePlan {
  const parsed = parseNetworkConfig(JSON.stringify({ cniVersion: '1.1.0', name: 'pods', type: 'podlink', ...config }));
  const selected = { mode: 'bridge', target: undefined, isPodsChoice: false, allowed: [] } as const;
  return bridgeMode.plan({
    key: keyOf(containerId),
    config: parsed,
    cniArgs: new Map(),
    hasIpam,
    selected,
    findPeers: () => [],
  });
}

function attachmentOf(world: World, containerId: string, plan: ModePlan, i = 0): Attachment {
  const sandbox = world.sandboxes[i];
  if (!sandbox) throw new Error('no sandbox');
  return { key: keyOf(containerId), host: world.host, sandbox, objects: plan.objects(), undo: NO_UNDO };
}

/** What is wrong with an attachment, looked at from the host's namespace. */
function check(world: World, containerId: string, config: object, attached: Attached): string[] {
  const plan = planOf(containerId, config);
  return inNetns(world.hostNetns, () => sentencesOf(plan.check(attachmentOf(world, containerId, plan), attached)));
}

/** As the verbs do: first the links, then the rest. */
function detach(world: World, containerId: string): void {
  const { route } = world.host;
  const key = keyOf(containerId);
  const links = bridgeMode.links(key, {}).flatMap(({ name }) => findLink(route, name) ?? []);
  for (const link of links) disableBridgePort(route, link);
  deleteLinks(route, links);
  const hadLinks = links.length > 0;
  bridgeMode.detach(world.host, {
    key,
    objects: {},
    netnsPath: '',
    reported: [],
    sandbox: world.sandboxes[0],
    hadLinks,
  });
}

/** Addresses as `ip -j addr` shows them for one link. */
function addressesOf(world: World, i: number, link: string, family: '-4' | '-6'): string[] {
  const [shown] = ipJson(world, i, family, 'addr', 'show', 'dev', link);
  const entries = (shown?.addr_info ?? []) as { local?: string; scope?: string }[];
  return entries.filter(({ scope }) => scope === 'global').map(({ local }) => local ?? '');
}

/** Attach a container, with the calling thread in the host's namespace as it is in a real call. */
function attach(
  world: World,
  containerId: string,
  i: number,
  config: object,
  addressing = ADDRESSING,
  undo = new UndoStack(),
): Attached {
  const plan = planOf(containerId, config);
  return inNetns(world.hostNetns, () =>
    plan.attach({ ...attachmentOf(world, containerId, plan, i), undo }, addressing),
  );
}

function ipJson(world: World, i: number, ...args: string[]): Record<string, unknown>[] {
  return JSON.parse(
    execFileSync('ip', ['-n', world.names[i] ?? '', '-j', '-d', ...args], { encoding: 'utf8' }) || '[]',
  );
}

function linkNames(world: World, i: number): unknown[] {
  return ipJson(world, i, 'link').map(({ ifname }) => ifname);
}

test('attach() makes bridge, pair, addresses and routes, and says so', (world) => {
  const attached = attach(world, 'c1', 0, { isDefaultGateway: true, hairpinMode: true, mtu: 1400 });
  assert.equal(
    attached.interfaces.map(({ name, mtu }) => [name, mtu]),
    [
      ['cni0', 1400],
      [hostInterfaceName(keyOf('c1')), 1400],
      ['eth0', 1400],
    ],
  );
  assert.equal(attached.ips, [
    { address: '10.22.0.5/16', gateway: '10.22.0.1', interface: 2 },
    { address: 'fd00:22::5/64', gateway: 'fd00:22::1', interface: 2 },
  ]);
  assert.equal(attached.routes, [{ dst: '0.0.0.0/0' }, { dst: '::/0', gw: 'fd00:22::1' }]);
  assert.equal(
    [...addressesOf(world, 1, 'eth0', '-4'), ...addressesOf(world, 1, 'eth0', '-6')],
    ['10.22.0.5', 'fd00:22::5'],
  );
  assert.not.match(execFileSync('ip', ['-n', world.names[1] ?? '', 'addr'], { encoding: 'utf8' }), 'tentative');
  const [port] = ipJson(world, 0, 'link', 'show', 'dev', hostInterfaceName(keyOf('c1')));
  assert.is(port?.master, 'cni0');
  assert.is(port?.ifalias, 'podlink pods c1 eth0');
  assert.is(
    execFileSync(
      'ip',
      ['netns', 'exec', world.names[0] ?? '', 'sysctl', '-n', 'net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'],
      { encoding: 'utf8' },
    ),
    '1\n1\n',
  );
});

test('detach() removes both ends, and is fine with their being gone', (world) => {
  attach(world, 'c1', 0, {});
  detach(world, 'c1');
  assert.equal(linkNames(world, 0), ['lo', 'cni0']);
  assert.equal(linkNames(world, 1), ['lo']);
  detach(world, 'c1');
});

test('detach() finds the interface in the sandbox when the host end has another name', (world) => {
  attach(world, 'c1', 0, {});
  execFileSync('ip', [
    '-n',
    world.names[0] ?? '',
    'link',
    'set',
    hostInterfaceName(keyOf('c1')),
    'down',
    'name',
    'renamed',
  ]);
  detach(world, 'c1');
  assert.equal(linkNames(world, 0), ['lo', 'cni0']);
});

test('detach() leaves an interface alone that is no veth', (world) => {
  execFileSync('ip', ['-n', world.names[1] ?? '', 'link', 'add', 'eth0', 'type', 'bridge']);
  detach(world, 'c1');
  assert.equal(linkNames(world, 1), ['lo', 'eth0']);
});

test('undo takes back a bridge that was made, with its address', async (world) => {
  const undo = new UndoStack();
  attach(world, 'c1', 0, { isGateway: true }, ADDRESSING, undo);
  assert.equal(await undo.run(), []);
  assert.equal(linkNames(world, 0), ['lo']);
  assert.equal(linkNames(world, 1), ['lo']);
});

test('undo leaves a bridge that another container uses by now, with its gateway', async (world) => {
  const undo = new UndoStack();
  attach(world, 'c1', 0, { isGateway: true }, ADDRESSING, undo);
  attach(world, 'c2', 1, { isGateway: true }, { ...ADDRESSING, ips: [{ address: '10.22.0.6/16' }] });
  assert.equal(await undo.run(), []);
  assert.equal(linkNames(world, 0), ['lo', 'cni0', hostInterfaceName(keyOf('c2'))]);
  assert.ok(addressesOf(world, 0, 'cni0', '-4').includes('10.22.0.1'));
});

test('attach() refuses a gateway address that differs from the bridge, and takes everything back', async (world) => {
  const host = world.names[0] ?? '';
  execFileSync('ip', ['-n', host, 'link', 'add', 'cni0', 'type', 'bridge']);
  execFileSync('ip', ['-n', host, 'addr', 'add', '192.168.7.1/24', 'dev', 'cni0']);
  const undo = new UndoStack();
  assert.throws(
    () => attach(world, 'c1', 0, { isGateway: true }, ADDRESSING, undo),
    (error: unknown) =>
      error instanceof CniError &&
      error.code === 102 &&
      /already has an IP address different from 10.22.0.1\/16/.test(error.message),
  );
  await undo.run();
  assert.equal(addressesOf(world, 0, 'cni0', '-4'), ['192.168.7.1']);
  assert.equal(linkNames(world, 0), ['lo', 'cni0']);
  assert.equal(linkNames(world, 1), ['lo']);
});

test('attach() replaces the address with forceAddress, and undo puts it back', async (world) => {
  const host = world.names[0] ?? '';
  execFileSync('ip', ['-n', host, 'link', 'add', 'cni0', 'type', 'bridge']);
  execFileSync('ip', ['-n', host, 'addr', 'add', '192.168.7.1/24', 'dev', 'cni0']);
  const undo = new UndoStack();
  const v4 = () => addressesOf(world, 0, 'cni0', '-4');
  attach(world, 'c1', 0, { isGateway: true, forceAddress: true }, ADDRESSING, undo);
  assert.equal(v4(), ['10.22.0.1']);
  await undo.run();
  assert.equal(v4(), ['192.168.7.1']);
});

test('attach() refuses a name that another kind of link has, and touches nothing', async (world) => {
  const host = world.names[0] ?? '';
  execFileSync('ip', ['-n', host, 'link', 'add', 'cni0', 'type', 'veth', 'peer', 'name', 'other']);
  const before = JSON.stringify(ipJson(world, 0, 'addr'));
  const undo = new UndoStack();
  assert.throws(
    () => attach(world, 'c1', 0, {}, ADDRESSING, undo),
    /"cni0" as bridge: it already exists but is not a bridge, it is a veth/,
  );
  await undo.run();
  assert.is(JSON.stringify(ipJson(world, 0, 'addr')), before);
});

test('attach() keeps a default route that the host learnt from a router when it starts to forward', (world) => {
  const host = world.names[0] ?? '';
  execFileSync('ip', ['-n', host, 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'router']);
  const acceptRa = () =>
    execFileSync('ip', ['netns', 'exec', host, 'sysctl', '-n', 'net.ipv6.conf.uplink.accept_ra'], {
      encoding: 'utf8',
    }).trim();
  assert.is(acceptRa(), '1');
  attach(world, 'c1', 0, { isGateway: true });
  assert.is(acceptRa(), '2');
});

test('check() finds nothing wrong after attach(), and each damage after it', (world) => {
  const config = { isGateway: true, hairpinMode: true };
  const attached = attach(world, 'c1', 0, config);
  const [host = '', pod = ''] = world.names;
  const name = hostInterfaceName(keyOf('c1'));
  const checkNow = () => check(world, 'c1', config, attached);
  assert.equal(checkNow(), []);
  const damages: [damage: string[], repair: string[] | undefined, problem: RegExp][] = [
    [
      ['-n', host, 'link', 'set', name, 'nomaster'],
      ['-n', host, 'link', 'set', name, 'master', 'cni0'],
      /is not a port of bridge "cni0"/,
    ],
    [
      ['-n', host, 'link', 'set', name, 'type', 'bridge_slave', 'hairpin', 'off'],
      ['-n', host, 'link', 'set', name, 'type', 'bridge_slave', 'hairpin', 'on'],
      /hairpinMode false, the configuration says true/,
    ],
    [
      ['-n', host, 'addr', 'del', '10.22.0.1/16', 'dev', 'cni0'],
      ['-n', host, 'addr', 'add', '10.22.0.1/16', 'dev', 'cni0'],
      /gateway address 10.22.0.1 is gone/,
    ],
    [
      ['-n', pod, 'route', 'del', 'default'],
      ['-n', pod, 'route', 'add', 'default', 'via', '10.22.0.1'],
      /route 0.0.0.0\/0 via 10.22.0.1 is gone/,
    ],
    [
      ['-n', pod, 'route', 'replace', 'default', 'dev', 'eth0'],
      ['-n', pod, 'route', 'replace', 'default', 'via', '10.22.0.1'],
      /route 0.0.0.0\/0 via 10.22.0.1 is gone/,
    ],
    [
      ['-n', host, 'link', 'set', name, 'mtu', '1300'],
      ['-n', host, 'link', 'set', name, 'mtu', '1500'],
      /has MTU 1500, its other end ".*" only 1300/,
    ],
    [
      ['-n', pod, 'addr', 'del', 'fd00:22::5/64', 'dev', 'eth0'],
      ['-n', pod, 'addr', 'add', 'fd00:22::5/64', 'dev', 'eth0'],
      /address fd00:22::5\/64 is gone/,
    ],
    [
      ['-n', pod, 'link', 'set', 'eth0', 'address', '02:00:00:00:00:99'],
      undefined,
      /has MAC 02:00:00:00:00:99, prevResult says/,
    ],
    [['-n', pod, 'link', 'del', 'eth0'], undefined, /interface "eth0" is gone/],
  ];
  for (const [damage, repair, problem] of damages) {
    execFileSync('ip', damage);
    assert.match(checkNow().join('; '), problem);
    if (!repair) continue;
    execFileSync('ip', repair);
    // Bringing the port back resets its flags, as an operator who does it by hand would find.
    if (repair.includes('master'))
      execFileSync('ip', ['-n', host, 'link', 'set', name, 'type', 'bridge_slave', 'hairpin', 'on']);
    assert.equal(checkNow(), []);
  }
});

test('check() sees a port that is blocked', (world) => {
  const attached = attach(world, 'c1', 0, {});
  const name = hostInterfaceName(keyOf('c1'));
  execFileSync('bridge', ['-n', world.names[0] ?? '', 'link', 'set', 'dev', name, 'state', '0']);
  const problems = check(world, 'c1', {}, attached);
  assert.equal(problems, [`bridge port "${name}" does not forward`]);
});

test('attach() does not wait for the spanning tree of an adopted bridge, and check() does not mind it', (world) => {
  execFileSync('ip', ['-n', world.names[0] ?? '', 'link', 'add', 'cni0', 'type', 'bridge', 'stp_state', '1']);
  const started = performance.now();
  const attached = attach(world, 'c1', 0, {});
  assert.ok(performance.now() - started < 2000);
  assert.equal(check(world, 'c1', {}, attached), []);
});

test('detach() leaves the interface of another attachment alone, whatever its name', (world) => {
  attach(world, 'c1', 0, {});
  const [sandbox] = world.sandboxes;
  const key = { network: 'other', containerId: 'c1', ifname: 'eth0' };
  bridgeMode.detach(world.host, { key, objects: {}, netnsPath: '', reported: [], sandbox, hadLinks: false });
  assert.equal(linkNames(world, 1), ['lo', 'eth0']);
  // Reported by prevResult it is this attachment's, whoever made it.
  bridgeMode.detach(world.host, {
    key,
    objects: {},
    netnsPath: '',
    reported: [hostInterfaceName(keyOf('c1'))],
    sandbox,
    hadLinks: false,
  });
  assert.equal(linkNames(world, 1), ['lo']);
});

test('check() does not mind a packet capture, which makes the bridge promiscuous', (world) => {
  const attached = attach(world, 'c1', 0, {});
  execFileSync('ip', ['-n', world.names[0] ?? '', 'link', 'set', 'cni0', 'promisc', 'on']);
  assert.equal(check(world, 'c1', {}, attached), []);
});

test('attach() takes router advertisements from no container on an adopted bridge, and leaves an uplink’s alone', (world) => {
  const [host = ''] = world.names;
  const ip = (...args: string[]) => execFileSync('ip', ['-n', host, ...args]);
  const advertisements = (link: string): string =>
    execFileSync('ip', ['netns', 'exec', host, 'sysctl', '-n', `net.ipv6.conf.${link}.accept_ra`], {
      encoding: 'utf8',
    });
  for (const bridge of ['br-a', 'br-b']) ip('link', 'add', bridge, 'type', 'bridge');
  ip('link', 'add', 'uplink', 'type', 'ifb');
  ip('link', 'set', 'uplink', 'master', 'br-b');
  attach(world, 'c1', 0, { bridge: 'br-a', isGateway: true });
  assert.is(advertisements('br-a').trim(), '0');
  const other = { ips: [{ address: '10.23.0.5/16' }, { address: 'fd00:23::5/64' }], routes: [], dns: {} };
  attach(world, 'c2', 1, { bridge: 'br-b', isGateway: true }, other);
  assert.is.not(advertisements('br-b').trim(), '0');
});

test.run();
