// Port mappings with real packets, in the world of testing/bridged-world.ts: the container a has the ports, whose server
// answers everybody with the address it sees him by.

import { sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inNetns, openNetns, type Netns } from '../../kernel/netns.ts';
import { openRtnetlink } from '../../kernel/rtnetlink/socket.ts';
import { testUnless } from '../../kernel/testing/skip.ts';
import { thrownOf } from '../../kernel/testing/thrown.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import { CniError } from '../../protocol/errors.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';
import type { FeatureHost, FeatureObjects, FeaturePlan } from '../feature.ts';
import { applyElements, checkElements, ownedBy, removeElements } from '../elements/owned-elements.ts';
import { portmapFeature } from './portmap.ts';
import { PORTMAP_RULESET } from './portmap-ruleset.ts';
import { guardOfLocalnet } from './route-localnet.ts';
import { type Machine, withWorld, type World } from '../testing/bridged-world.ts';
import { connected } from '../testing/connected.ts';

const test = suite('portmap in the kernel');

/** Listens on the port for TCP and UDP, and tells whoever comes from which address he came. */
const SERVER = `
  const [name, ...ports] = process.argv.slice(1);
  let missing = ports.length * 4;
  const ready = () => { if (--missing === 0) console.log('ready'); };
  for (const port of ports.map(Number)) for (const host of ['0.0.0.0', '::']) {
    const isV6 = host === '::';
    require('node:net').createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(name + ' ' + socket.remoteAddress + ' ' + port + '\\n');
    }).listen({ host, port, ipv6Only: isV6 }, ready);
    const udp = require('node:dgram').createSocket({ type: isV6 ? 'udp6' : 'udp4', ipv6Only: isV6 });
    udp.on('message', (_, { address, port: from }) => udp.send(name + ' ' + address + ' ' + port + '\\n', from, address));
    udp.bind(port, host, ready);
  }`;

async function serve(machine: Machine, name: string, ...ports: readonly number[]): Promise<ChildProcess> {
  const args = ['netns', 'exec', machine.name, process.execPath, '-e', SERVER, name, ...ports.map(String)];
  const server = spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  if (server.stdout) await once(server.stdout, 'data');
  return server;
}

/** Who answers, the client's address he saw and his port; `refused` or `nobody` when there is no answer. */
function ask(client: Machine, protocol: 'tcp' | 'udp', address: string, port: number): string {
  const open = `exec 3<>/dev/${protocol}/${address}/${port}`;
  const talk = protocol === 'udp' ? 'echo x >&3; head -n 1 <&3' : 'head -n 1 <&3';
  // A connection that nobody answers would be tried for minutes.
  const answer = client.run(`timeout 0.8 bash -c '${open} && ${talk}' 2>&1 || true`);
  return /refused/.test(answer) ? 'refused' : answer.trim() || 'nobody';
}

interface Attached {
  readonly plan: FeaturePlan;
  readonly warnings: readonly string[];
  problems(): string[];
  remove(): void;
}

interface Mapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol?: string;
  readonly hostIP?: string;
}

interface Node {
  /** Take an ADD's steps with the feature alone, as cni/verbs does. */
  attach(attachment: AttachedInterface, portMappings: readonly Mapping[], config?: object): Attached;
}

/** Run a test in a new world with the container's server on ports 80 and 8000 to 8003. */
async function withServer(work: (world: World, node: Node) => void | Promise<void>): Promise<void> {
  await withWorld(async (world) => {
    const server = await serve(world.a, 'a', 80, 8000, 8001, 8002, 8003);
    try {
      await withNode(world, (node) => work(world, node));
    } finally {
      server.kill();
    }
  });
}

async function withNode(world: World, work: (node: Node) => void | Promise<void>): Promise<void> {
  const hostNetns = openNetns(`/run/netns/${world.host.name}`);
  const route = openRtnetlink(hostNetns);
  const runDir = mkdtempSync(join(tmpdir(), 'podlink-portmap-'));
  const attach = (attachment: AttachedInterface, portMappings: readonly Mapping[], config: object = {}): Attached =>
    inNetns(hostNetns, () => {
      const warnings: string[] = [];
      const warn = (message: string) => warnings.push(message);
      const plan = planOf(attachment, { hairpinMode: true, ...config, runtimeConfig: { portMappings } }, warn);
      const host: FeatureHost = { route, runDir, warn };
      const made = connected(attachment, host, hostNetns);
      const objects = plan.objects?.(made) ?? {};
      plan.apply?.(made, objects);
      const state = plan.nftables?.(attachment);
      if (!state) throw new Error('Cannot find what the plan wants in nftables');
      plan.settle?.(made, applyElements(world.nft, attachment.key, state));
      return {
        plan,
        warnings,
        problems: () =>
          inNetns(hostNetns, () =>
            sentencesOf([...(plan.check?.(made) ?? []), ...checkElements(world.nft, attachment.key, state)]),
          ),
        remove: () => {
          removeElements(world.nft, ownedBy(attachment.key, state.elements));
          // From the record, as DEL has it.
          removeFromRecord(hostNetns, host, attachment, JSON.parse(JSON.stringify(objects)));
        },
      };
    });
  try {
    await work({ attach });
  } finally {
    rmSync(runDir, { recursive: true });
    route.close();
    hostNetns.close();
  }
}

function removeFromRecord(
  hostNetns: Netns,
  host: FeatureHost,
  { key }: AttachedInterface,
  objects: FeatureObjects,
): void {
  inNetns(hostNetns, () => portmapFeature.remove?.(host, { key, objects, sandbox: undefined }));
}

function planOf({ key }: AttachedInterface, config: object, warn: (message: string) => void): FeaturePlan {
  const text = JSON.stringify({ cniVersion: '1.1.0', name: key.network, type: 'podlink', ...config });
  const plan = portmapFeature.plan({
    key,
    config: parseNetworkConfig(text),
    cniArgs: new Map(),
    mode: 'bridge',
    isConfigured: true,
    hasOwnInterface: true,
    hasBridge: true,
    sharesNamespace: false,
    warn,
  });
  if (!plan) throw new Error('Cannot find a plan for the ports');
  return plan;
}

/** Set what bridged packets pass; false where the kernel does not know it. */
function filterBridged({ host }: World, value: 0 | 1): boolean {
  return host.sysctl(`net.bridge.bridge-nf-call-iptables=${value}`, `net.bridge.bridge-nf-call-ip6tables=${value}`);
}

const V4 = '192.0.2.1';
const V6 = '2001:db8::1';
const WEB: readonly Mapping[] = [
  { hostPort: 8080, containerPort: 80 },
  { hostPort: 8080, containerPort: 80, protocol: 'UDP' },
];

for (const protocol of ['tcp', 'udp'] as const) {
  for (const bridged of [0, 1] as const) {
    const sees = bridged === 1 ? 'see' : 'do not see';
    test(`${protocol} to a mapped port arrives from everywhere, where the hooks of IP ${sees} bridged packets`, () =>
      withServer((world, { attach }) => {
        const { a, b, c, host, outside } = world;
        if (!filterBridged(world, bridged) && bridged === 1) {
          console.log('\nSKIP the hooks of IP see bridged packets: the kernel has no br_netfilter');
          return;
        }
        assert.is(ask(outside, protocol, V4, 8080), 'refused');
        assert.equal(attach(world.attachment('a'), WEB).warnings, []);
        const seen = (client: Machine, ...addresses: readonly string[]) =>
          addresses.map((address) => ask(client, protocol, address, 8080));
        assert.equal(seen(outside, V4, V6, '10.22.0.1'), ['a 192.0.2.2 80', 'a 2001:db8::2 80', 'a 192.0.2.2 80']);
        assert.equal(seen(host, V4, V6, '10.22.0.1', 'fd00:22::1'), [
          'a 192.0.2.1 80',
          'a 2001:db8::1 80',
          'a 10.22.0.1 80',
          'a fd00:22::1 80',
        ]);
        assert.equal(seen(host, '127.0.0.1', '127.1.2.3'), ['a 10.22.0.1 80', 'a 10.22.0.1 80']);
        assert.equal(seen(c, V4, V6), ['a 10.23.0.7 80', 'a fd00:23::7 80']);
        const neighbour = bridged === 1 ? ['a 10.22.0.6 80', 'a fd00:22::6 80'] : ['a 10.22.0.1 80', 'a fd00:22::1 80'];
        assert.equal(seen(b, V4, V6), neighbour);
        assert.equal(seen(b, '10.22.0.1', 'fd00:22::1'), neighbour);
        assert.equal(seen(a, V4, V6, '10.22.0.1', 'fd00:22::1'), [
          'a 10.22.0.1 80',
          'a fd00:22::1 80',
          'a 10.22.0.1 80',
          'a fd00:22::1 80',
        ]);
        // Not a mapped port, and a mapped port of a machine that is not the host.
        assert.equal([ask(outside, protocol, V4, 80), ask(b, protocol, '192.0.2.2', 8080)], ['refused', 'refused']);
      }));
  }
}

test('a client that tries ::1 before 127.0.0.1 is refused by the first at once', () =>
  withServer((world, { attach }) => {
    attach(world.attachment('a'), WEB);
    assert.is(ask(world.host, 'tcp', '::1', 8080), 'refused');
    assert.is(ask(world.host, 'tcp', '127.0.0.1', 8080), 'a 10.22.0.1 80');
  }));

test('a port of one address is not there on any other', () =>
  withServer(({ attachment, host, outside }, { attach }) => {
    const mappings = [
      { hostPort: 8080, containerPort: 80, hostIP: V4 },
      { hostPort: 8081, containerPort: 80, hostIP: V6 },
      { hostPort: 8082, containerPort: 80, hostIP: '127.0.0.1' },
      { hostPort: 8083, containerPort: 80, hostIP: '0.0.0.0' },
      { hostPort: 8084, containerPort: 80, hostIP: '::' },
      { hostPort: 8085, containerPort: 80 },
    ];
    attach(attachment('a'), mappings, { hostBindingIPv4: '10.22.0.1' });
    const seen = (client: Machine, address: string) =>
      mappings.map(({ hostPort }) => ask(client, 'tcp', address, hostPort) !== 'refused');
    assert.equal(seen(outside, V4), [true, false, false, true, false, false]);
    assert.equal(seen(outside, V6), [false, true, false, false, true, false]);
    assert.equal(seen(outside, '10.22.0.1'), [false, false, false, true, false, true]);
    assert.equal(seen(host, '127.0.0.1'), [false, false, true, true, false, false]);
  }));

test('several ports that keep their number are one element, others one each', () =>
  withServer(({ attachment, host, outside }, { attach }) => {
    const numbers = [8000, 8001, 8002, 8003];
    const { remove } = attach(attachment('a'), [
      ...numbers.map((port) => ({ hostPort: port, containerPort: port, hostIP: '0.0.0.0' })),
      ...numbers.map((port) => ({ hostPort: port, containerPort: port, hostIP: V6, protocol: 'udp' })),
      ...numbers.map((port) => ({ hostPort: port + 1000, containerPort: port, hostIP: V4 })),
    ]);
    const { any_range_v4, address_range_v6, any_v4, address_v4 } = portElements(host);
    assert.equal(any_range_v4, [[['tcp', { range: [8000, 8003] }], '10.22.0.5', 'br0/a/eth0']]);
    assert.equal(address_range_v6, [[[V6, 'udp', { range: [8000, 8003] }], 'fd00:22::5', 'br0/a/eth0']]);
    assert.is(any_v4, undefined);
    assert.equal(
      address_v4,
      numbers.map((port) => [[V4, 'tcp', port + 1000], { concat: ['10.22.0.5', port] }, 'br0/a/eth0']),
    );
    for (const port of numbers) {
      assert.is(ask(outside, 'tcp', V4, port), `a 192.0.2.2 ${port}`);
      assert.is(ask(outside, 'udp', V6, port), `a 2001:db8::2 ${port}`);
      assert.is(ask(outside, 'tcp', V4, port + 1000), `a 192.0.2.2 ${port}`);
    }
    for (const port of [7999, 8004]) assert.is(ask(outside, 'tcp', V4, port), 'refused');
    remove();
    assert.equal(portElements(host), {});
  }));

/** Elements by the set's name without `portmap_`, as nft lists them: the key's fields, the value, the comment. */
function portElements(host: Machine): Record<string, unknown[]> {
  const { nftables } = JSON.parse(host.run('nft -j list table inet podlink'));
  const lists: Record<string, unknown[]> = {};
  for (const { set, map } of nftables) {
    const { name, elem } = set ?? map ?? {};
    if (elem && name.startsWith('portmap_')) lists[name.slice('portmap_'.length)] = elem.map(fieldsOf);
  }
  return lists;
}

interface ListedElement {
  readonly elem: { readonly val: unknown; readonly comment?: string };
}

function fieldsOf(listed: ListedElement | readonly [ListedElement, unknown]): unknown[] {
  const [{ elem }, value] = Array.isArray(listed) ? listed : [listed];
  const key = (elem.val as { concat?: unknown[] }).concat ?? [elem.val];
  return [key, ...(value === undefined ? [] : [value]), elem.comment];
}

test('nothing listens on 127.0.0.1 for anybody but the host, and nobody else is 127.0.0.1', () =>
  withServer(async (world, { attach }) => {
    const { attachment, a, host, outside } = world;
    const server = await serve(host, 'host', 9090);
    try {
      // What may be wrong with a machine: routes for 127.0.0.0/8 to the node, and the node takes in its own addresses.
      for (const machine of [a, outside]) {
        machine.sysctl('net.ipv4.conf.all.route_localnet=1');
        machine.ip('route del local 127.0.0.0/8 dev lo table local', 'route del local 127.0.0.1 dev lo table local');
        machine.ip(`route add 127.0.0.0/8 via ${machine === a ? '10.22.0.1' : V4}`);
      }
      host.sysctl('net.ipv4.conf.all.route_localnet=1');
      assert.equal(
        [a, outside].map((client) => ask(client, 'tcp', '127.0.0.1', 9090)),
        ['host 10.22.0.5 9090', 'host 192.0.2.2 9090'],
      );
      attach(attachment('a'), [...WEB, { hostPort: 8081, containerPort: 80, hostIP: '127.0.0.1' }]);
      for (const client of [a, outside]) {
        for (const port of [9090, 8080, 8081]) assert.is(ask(client, 'tcp', '127.0.0.1', port), 'nobody');
      }
      assert.is(ask(host, 'tcp', '127.0.0.1', 9090), 'host 127.0.0.1 9090');
      assert.is(ask(host, 'tcp', '127.0.0.1', 8081), 'a 10.22.0.1 80');
      // The other way round: a packet that says it comes from 127.0.0.2.
      const cameIn = watchUdp(host, 9090);
      a.ip('address add 127.0.0.2/32 dev eth0');
      a.run('exec 3<>/dev/udp/10.22.0.1/9090; echo x >&3');
      assert.is(cameIn(), 1);
      a.ip('route replace 10.22.0.1/32 dev eth0 src 127.0.0.2');
      a.run('exec 3<>/dev/udp/10.22.0.1/9090; echo x >&3');
      assert.is(cameIn(), 1);
    } finally {
      server.kill();
    }
  }));

/** Count the datagrams to a port that reach the host's sockets. */
function watchUdp(host: Machine, port: number): () => number {
  host.nft(`table inet sockets {
    chain in { type filter hook input priority 400; udp dport ${port} counter; }
  }`);
  return () => {
    host.run('sleep 0.05');
    return Number(/counter packets (\d+)/.exec(host.run('nft list table inet sockets'))?.[1]);
  };
}

test('CHECK and a second ADD see to route_localnet of the bridge', () =>
  withServer(({ attachment, host }, { attach }) => {
    const { problems } = attach(attachment('a'), WEB);
    assert.equal(problems(), []);
    host.sysctl('net.ipv4.conf.br0.route_localnet=0');
    assert.equal(problems(), [
      'net.ipv4.conf.br0.route_localnet is 0 instead of 1: ports are not reached from 127.0.0.1',
    ]);
    assert.equal(attach(attachment('a'), WEB).problems(), []);
    assert.equal(problems(), []);
  }));

for (const link of ['br0', 'all']) {
  test(`an attachment without ports brings the guard of 127.0.0.1 where route_localnet of ${link} is on`, () =>
    withWorld(({ attachment, host }) => {
      const netns = openNetns(`/run/netns/${host.name}`);
      try {
        const guard = () => inNetns(netns, () => guardOfLocalnet(attachment('a')));
        assert.is(guard(), undefined);
        host.sysctl(`net.ipv4.conf.${link}.route_localnet=1`);
        assert.equal(guard(), { rulesets: [PORTMAP_RULESET], elements: [] });
      } finally {
        netns.close();
      }
    }));
}

test('without snat nothing is masqueraded and route_localnet stays; with masqAll everything is', () =>
  withServer((world, { attach }) => {
    const { attachment, b, c, host, outside } = world;
    filterBridged(world, 0);
    attach(attachment('a'), WEB, { snat: false, masqAll: true });
    assert.is(host.run('cat /proc/sys/net/ipv4/conf/br0/route_localnet').trim(), '0');
    assert.equal(Object.keys(portElements(host)).sort(), ['any_v4', 'any_v6']);
    assert.is(ask(outside, 'tcp', V4, 8080), 'a 192.0.2.2 80');
    assert.is(ask(b, 'tcp', V4, 8080), 'nobody');
    attach(attachment('a'), WEB, { masqAll: true });
    assert.equal(
      [outside, b, c].map((client) => ask(client, 'tcp', V4, 8080)),
      ['a 10.22.0.1 80', 'a 10.22.0.1 80', 'a 10.22.0.1 80'],
    );
    assert.is(ask(outside, 'tcp', V6, 8080), 'a fd00:22::1 80');
    assert.is(ask(host, 'tcp', '127.0.0.1', 8080), 'a 10.22.0.1 80');
  }));

test('a container without hairpinMode is told that it does not reach itself, where the hooks of IP see bridged packets', () =>
  withServer((world, { attach }) => {
    const { attachment, a, host } = world;
    host.ip(`link set ${attachment('a').hostInterface} type bridge_slave hairpin off`);
    if (filterBridged(world, 1)) {
      const { warnings, remove } = attach(attachment('a'), WEB, { hairpinMode: false });
      assert.match(warnings.join(), /will not reach itself by its own mapped ports.*needs "hairpinMode"/);
      assert.is(ask(a, 'tcp', V4, 8080), 'nobody');
      remove();
    }
    filterBridged(world, 0);
    assert.equal(attach(attachment('a'), WEB, { hairpinMode: false }).warnings, []);
    assert.is(ask(a, 'tcp', V4, 8080), 'a 10.22.0.1 80');
  }));

test('a taken port is refused, its owner is for the operator alone, and nothing of the refused one is there', () =>
  withServer(({ attachment, host, outside }, { attach }) => {
    attach(attachment('a'), WEB);
    const before = host.run('nft -j list table inet podlink');
    const error = thrownOf(CniError, () => attach(attachment('b'), [{ hostPort: 9999, containerPort: 1 }, ...WEB]));
    assert.is(error.code, 11);
    assert.match(error.message, /^Cannot map host port 8080\/tcp: another container that is running has it/);
    assert.is(error.note, 'Host port 8080/tcp is mapped to container "a" (network "br0", interface "eth0")');
    assert.is(host.run('nft -j list table inet podlink'), before);
    assert.is(ask(outside, 'tcp', V4, 8080), 'a 192.0.2.2 80');
  }));

const IP = '192.0.2.1';
const port = (hostPort: number, hostIP?: string, containerPort = 1): Mapping => ({
  hostPort,
  containerPort,
  ...(hostIP && { hostIP }),
});
const range = (first: number, last: number, hostIP?: string): Mapping[] =>
  Array.from({ length: last - first + 1 }, (_, i) => port(first + i, hostIP, first + i));

const ANOTHER = 'another container that is running has';

const CONFLICTS: [what: string, first: Mapping[], second: Mapping[], taken: string | undefined][] = [
  ['the same address', [port(80, IP)], [port(80, IP)], '192.0.2.1:80/tcp: it'],
  ['one address after all', [port(80, '0.0.0.0')], [port(80, IP)], '192.0.2.1:80/tcp: 80/tcp'],
  ['all addresses after one', [port(80, IP)], [port(80, '0.0.0.0')], '80/tcp: 192.0.2.1:80/tcp'],
  ['both families after an address of IPv6', [port(80, 'fd00::1')], [port(80)], '80/tcp: [fd00::1]:80/tcp'],
  ['a range after one of its ports', [port(85)], range(80, 90), '80-90/tcp: 85/tcp'],
  ['a port after a range', range(80, 90), [port(85)], '85/tcp: 80-90/tcp'],
  ['a range after one that it begins in', range(80, 90), range(85, 95), '85-95/tcp: 80-90/tcp'],
  ['a range after one that it ends in', range(80, 90), range(75, 85), '75-85/tcp: 80-90/tcp'],
  ['a range after one within it', range(80, 90), range(70, 99), '70-99/tcp: 80-90/tcp'],
  ['a large range after a port', [port(85)], range(1, 200), '1-200/tcp: 85/tcp'],
  ['a range of an address after all', range(80, 90), range(85, 86, IP), '192.0.2.1:85-86/tcp: 80-90/tcp'],
  ['a range of all after an address', range(80, 90, IP), range(85, 86), '85-86/tcp: 192.0.2.1:80-90/tcp'],
  ['a port of all after a range of an address', range(80, 90, IP), [port(85)], '85/tcp: 192.0.2.1:80-90/tcp'],
  ['another address', [port(80, IP)], [port(80, '192.0.2.9')], undefined],
  ['another family', [port(80, '0.0.0.0')], [port(80, '::')], undefined],
  ['another protocol', [port(80)], [{ ...port(80), protocol: 'udp' }], undefined],
  ['another port', [port(80), ...range(90, 95)], [port(81), ...range(96, 99)], undefined],
];

test('whose a port is, for each pair of claims', () =>
  withWorld((world) =>
    withNode(world, ({ attach }) => {
      const [first, second] = [world.attachment('a'), world.attachment('b')];
      for (const [what, taken, wanted, message] of CONFLICTS) {
        const owner = attach(first, taken);
        if (message === undefined) {
          attach(second, wanted).remove();
        } else {
          const error = thrownOf(CniError, () => attach(second, wanted));
          assert.ok(
            error.message.startsWith(`Cannot map host port ${message.replace(': ', `: ${ANOTHER} `)};`),
            `${what}: ${error.message}`,
          );
        }
        attach(first, taken);
        owner.remove();
        attach(second, wanted).remove();
        assert.equal(portElements(world.host), {}, what);
      }
    }),
  ));

test('200 attachments with ports come and go, and leave nothing but the one that stays', () =>
  withServer((world, { attach }) => {
    const { attachment, host, outside } = world;
    attach(attachment('a'), WEB);
    const before = portElements(host);
    const others = Array.from({ length: 200 }, (_, i) => {
      const key = { network: 'br0', containerId: `c${i}`, ifname: 'eth0' };
      const addresses = [`10.22.1.${i}/16`, `fd00:22::1:${i.toString(16)}/64`];
      const mappings = [port(10_000 + i), ...range(20_000 + 10 * i, 20_005 + 10 * i), port(5000, `10.99.0.${i}`)];
      return attach({ ...attachment('b'), key, addresses }, [
        ...mappings,
        { ...port(53, `10.99.0.${i}`), protocol: 'udp' },
      ]);
    });
    assert.is(portElements(host).any_v4?.length, 200 + 2);
    assert.is(portElements(host).any_range_v6?.length, 200);
    assert.is(portElements(host).address_v4?.length, 400);
    assert.is(ask(outside, 'tcp', V4, 8080), 'a 192.0.2.2 80');
    for (const { remove } of others) remove();
    assert.equal(portElements(host), before);
    assert.is(ask(outside, 'tcp', V4, 8080), 'a 192.0.2.2 80');
  }));

test('nft reads back what it lists of the rules and elements', () =>
  withWorld((world) =>
    withNode(world, ({ attach }) => {
      const { attachment, host } = world;
      attach(attachment('a'), [...WEB, port(81, IP), ...range(90, 99), ...range(70, 79, 'fd00::1')]);
      attach(attachment('b'), [port(82)], { masqAll: true });
      const before = host.run('nft list table inet podlink');
      host.run('nft delete table inet podlink');
      host.nft(before);
      assert.is(host.run('nft list table inet podlink'), before);
    }),
  ));

test('the late DEL of one that had the port before does no harm to the one that has it now', () =>
  withServer(({ attachment, host }, { attach }) => {
    const before = attach(attachment('b'), WEB);
    before.remove();
    attach(attachment('a'), WEB);
    const now = portElements(host);
    before.remove();
    assert.equal(portElements(host), now);
  }));

/** A client that goes on sending from one port, so that the kernel remembers its way; what it was answered last. */
const UDP_CLIENT = `
  const [address, port] = process.argv.slice(1);
  const socket = require('node:dgram').createSocket(address.includes(':') ? { type: 'udp6', ipv6Only: true } : 'udp4');
  socket.on('message', (answer) => process.stdout.write(String(answer)));
  socket.bind(5555, () => setInterval(() => socket.send('x', port, address), 20));`;

test('who sends to a UDP port all the time arrives at whoever has it now', () =>
  withServer(async (world, { attach }) => {
    const { attachment, b, host, outside } = world;
    const server = await serve(b, 'b', 80, 8001);
    const clients = [V4, V6].map((address) =>
      spawn('ip', ['netns', 'exec', outside.name, process.execPath, '-e', UDP_CLIENT, address, '8001'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      }),
    );
    const answers = async (name: string) => {
      for (const { stdout } of clients) {
        const deadline = AbortSignal.timeout(3000);
        for (;;) {
          const [text] = await once(stdout, 'data', { signal: deadline });
          if (String(text).includes(`${name} `)) break;
        }
      }
    };
    try {
      // Connections that are none of ours must keep their way: to the port of another machine, to another port.
      for (const [to, dport, answered] of [
        ['198.51.100.1', 8001, '198.51.100.7'],
        [V4, 8019, '192.0.2.77'],
      ] as const) {
        const reply = `-r ${answered} -q 10.22.0.6 --reply-port-src ${dport} --reply-port-dst 7`;
        host.run(`conntrack -I -p udp -s 10.22.0.6 -d ${to} --sport 7 --dport ${dport} -t 100 ${reply}`);
      }
      const others = () => host.run('conntrack -L -p udp 2>/dev/null | grep -c "198.51.100.7\\|192.0.2.77"').trim();
      await new Promise((resolve) => setTimeout(resolve, 300));
      const udp = [
        { hostPort: 8001, containerPort: 80, protocol: 'udp' },
        { hostPort: 8009, containerPort: 80 },
      ];
      const first = attach(attachment('a'), udp);
      await answers('a');
      first.remove();
      assert.is(host.run('conntrack -L -p udp 2>/dev/null | grep -c 10.22.0.5 || true').trim(), '0');
      assert.is(host.run('conntrack -L -p udp -f ipv6 2>/dev/null | grep -c fd00:22::5 || true').trim(), '0');
      await new Promise((resolve) => setTimeout(resolve, 200));
      // Several ports that keep their number, without a DEL of those before them.
      const keeping = [8000, 8001, 8002].map((number) => ({
        hostPort: number,
        containerPort: number,
        protocol: 'udp',
      }));
      attach(attachment('b'), keeping);
      await answers('b');
      assert.is(others(), '2');
    } finally {
      for (const { kill } of [server, ...clients].map((child) => ({ kill: () => child.kill() }))) kill();
    }
  }));

/** An SCTP packet with an INIT chunk, which begins an association (RFC 9260 §3.3.2), from port 7. */
function sctpInit(port: number): Buffer {
  const packet = Buffer.alloc(12 + 20);
  packet.writeUInt16BE(7, 0);
  packet.writeUInt16BE(port, 2);
  packet.set([1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 1], 12);
  packet.writeUInt32LE(crc32c(packet), 8);
  return packet;
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f6_3b78 : 0);
  }
  return ~crc >>> 0;
}

// Neither bash nor node have raw sockets, and the kernel need not have SCTP's own for what only passes through it.
const SEND_RAW =
  'use Socket; socket(S, AF_INET, SOCK_RAW, 132) && send(S, pack("H*", $ARGV[0]), 0, sockaddr_in(0, inet_aton($ARGV[1]))) or die $!';
const withoutPerl = spawnSync('perl', ['-e', '1']).status === 0 ? undefined : 'there is no perl to send SCTP with';

testUnless(test, withoutPerl, 'SCTP to a mapped port arrives', () =>
  withWorld((world) =>
    withNode(world, ({ attach }) => {
      const { a, attachment, outside } = world;
      const send = (port: number) => outside.run(`perl -e '${SEND_RAW}' ${sctpInit(port).toString('hex')} ${V4}`);
      const arrived = a.watch('ip saddr 192.0.2.2 ip daddr 10.22.0.5 sctp dport 80');
      send(3868);
      assert.is(arrived(), 0);
      attach(attachment('a'), [{ hostPort: 3868, containerPort: 80, protocol: 'SCTP' }]);
      // Also with the kernel's memory of the packet before.
      send(3868);
      assert.is(arrived(), 1);
      send(3869);
      assert.is(arrived(), 1);
    }),
  ),
);

test.run();
