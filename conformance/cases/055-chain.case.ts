// In a chain: what earlier plugins did is passed on with ours added, and later plugins work on what we report.

import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config, Result } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { REFERENCE_FOLDER } from '../harness/plugin.ts';
import { addPod, checkPod, delPod, type Pod } from '../harness/pod.ts';
import { addressesOf, getLink } from '../harness/referee.ts';
import { exchange } from '../harness/traffic.ts';
import { mustAdd, mustBeEmpty, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('chains');

const OWN_RESULT_ONLY = {
  differs: 'takes itself for the first of the chain and drops what came before',
  seen: /net1|192\.0\.2\.9|192\.0\.2\.53/,
};

/** What an earlier plugin says it made in the container. */
function earlierResult(sandbox: string): Result {
  return {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'dummy9' }, { name: 'net1', mac: '02:00:00:00:00:09', sandbox }],
    ips: [
      { address: '192.0.2.9/24', gateway: '192.0.2.1', interface: 1 },
      { address: 'fd00:99::9/64', interface: 1 },
    ],
    routes: [{ dst: '198.51.100.0/24', gw: '192.0.2.1' }],
    dns: { nameservers: ['192.0.2.53'] },
  };
}

function network(host: Host, more: Config = {}): Config {
  return host.config({ isDefaultGateway: true, ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']), ...more });
}

test('prevResult is passed on with ours behind it, and our interfaces counted on', OWN_RESULT_ONLY, (host) => {
  const container = host.addContainer();
  const earlier = earlierResult(container.path);
  const result = mustAdd(host, { config: network(host, { prevResult: earlier }), container });
  assert.equal(result.interfaces?.slice(0, 2), earlier.interfaces);
  assert.equal(
    result.interfaces?.slice(2).map(({ name, sandbox = '' }) => [name.slice(0, 4), sandbox]),
    [
      ['cni0', ''],
      ['veth', ''],
      ['eth0', container.path],
    ],
  );
  assert.equal(result.ips, [
    ...(earlier.ips ?? []),
    { address: '10.77.0.2/24', gateway: '10.77.0.1', interface: 4 },
    { address: 'fd00:77::2/64', gateway: 'fd00:77::1', interface: 4 },
  ]);
  assert.equal(result.routes, [
    ...(earlier.routes ?? []),
    { dst: '0.0.0.0/0', gw: '10.77.0.1' },
    { dst: '::/0', gw: 'fd00:77::1' },
  ]);
});

test("an earlier plugin's dns stays unless ours is set", OWN_RESULT_ONLY, (host) => {
  const [one, other] = [host.addContainer(), host.addContainer()];
  const config = (sandbox: string): Config => network(host, { prevResult: earlierResult(sandbox) });
  assert.equal(mustAdd(host, { config: config(one.path), container: one }).dns, { nameservers: ['192.0.2.53'] });
  const dns = { nameservers: ['198.51.100.1'] };
  assert.equal(mustAdd(host, { config: { ...config(other.path), dns }, container: other }).dns, dns);
});

test("an earlier plugin's interface in the container is left alone", 'same', (host) => {
  const container = host.addContainer();
  container.ip('link', 'add', 'net1', 'address', '02:00:00:00:00:09', 'type', 'veth', 'peer', 'name', 'net2');
  container.ip('addr', 'add', '192.0.2.9/24', 'dev', 'net1');
  const before = host.snapshot();
  const pod = addPod(host, network(host, { prevResult: earlierResult(container.path) }), { container });
  assert.equal(addressesOf(container, 'net1'), ['192.0.2.9/24']);
  delPod(host, pod);
  mustBeEmpty(host.leftSince(before), 'different after DEL');
});

test('CHECK and DEL take the result of the whole chain', {
  differs: '1.1.1 looks for every address of the result on its own interface',
  seen: /Failed to match addr 192\.0\.2\.9/,
}, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const ours = addPod(host, network(host, { ipMasq: true }), { container });
  const { interfaces = [], ips = [], ...rest } = ours.result;
  const chained: Pod = {
    ...ours,
    // A later plugin added an interface with an address of its own.
    result: {
      ...rest,
      interfaces: [...interfaces, { name: 'tap0', sandbox: container.path }],
      ips: [...ips, { address: '192.0.2.9/24', interface: interfaces.length }],
    },
  };
  checkPod(host, chained);
  delPod(host, chained);
  mustBeEmpty(host.leftSince(before), 'left after DEL');
});

test('an interface of the result that is there already is refused as everywhere', 'same', (host) => {
  const container = host.addContainer();
  container.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'net2');
  const config = network(host, { prevResult: earlierResult(container.path) });
  mustRefuse(host, 'ADD', { config, container }, 102, /"eth0" already exists/);
});

test('a prevResult that is none is refused, and nothing changes', {
  differs: OWN_RESULT_ONLY.differs,
  seen: /ADD is not refused/,
}, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  for (const prevResult of ['x', [], { cniVersion: '1.0.0', ips: [{ address: 'nowhere' }] }]) {
    mustRefuse(host, 'ADD', { config: network(host, { prevResult }), container }, 7, /prevResult/);
  }
  mustBeEmpty(host.changesSince(before), 'changed by the refused ADD');
});

/** Run a plugin of the reference behind ours, with our result, and give what it makes of it. */
function chain(host: Host, command: 'ADD' | 'DEL', plugin: string, pod: Pod, keys: Config): Pod {
  const config = { cniVersion: '1.0.0', name: 'pods', type: plugin, ...keys, prevResult: pod.result };
  const output = host.namespace.run(join(REFERENCE_FOLDER, plugin), [], {
    input: JSON.stringify(config),
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: pod.namespace.name,
      CNI_NETNS: pod.namespace.path,
      CNI_IFNAME: 'eth0',
      CNI_PATH: REFERENCE_FOLDER,
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    },
  });
  assert.is(output.code, 0, `${command} of ${plugin} fails: ${output.stdout}`);
  return command === 'ADD' ? { ...pod, result: JSON.parse(output.stdout) as Result } : pod;
}

test("the reference's tuning works behind it", 'same', (host) => {
  const pod = addPod(host, network(host));
  const keys = { mtu: 1280, sysctl: { 'net.core.somaxconn': '500' }, dataDir: join(host.folder, 'tuning') };
  const tuned = chain(host, 'ADD', 'tuning', pod, keys);
  assert.is(getLink(pod.namespace, 'eth0').mtu, 1280);
  assert.is(pod.namespace.sysctl('net/core/somaxconn'), '500');
  assert.equal(tuned.result.ips, pod.result.ips);
  checkPod(host, tuned);
  chain(host, 'DEL', 'tuning', tuned, keys);
  delPod(host, tuned);
});

test("the reference's portmap and bandwidth work behind it", 'same', async (host) => {
  const outside = host.addOutside();
  const pod = addPod(host, network(host, { ipMasq: true }));
  const ports = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 7777, protocol: 'tcp' }] } };
  const rates = { ingressRate: 80_000_000, ingressBurst: 8_000_000, egressRate: 80_000_000, egressBurst: 8_000_000 };
  const whole = chain(host, 'ADD', 'bandwidth', chain(host, 'ADD', 'portmap', pod, ports), rates);
  const via = { address: '203.0.113.1', port: 8080 };
  const reply = await exchange({ from: outside, to: pod.namespace, address: pod.ipv4, via });
  assert.is(reply.seenFrom, '203.0.113.2', reply.reason);
  checkPod(host, whole);
  chain(host, 'DEL', 'bandwidth', whole, rates);
  chain(host, 'DEL', 'portmap', whole, ports);
  delPod(host, whole);
});

run();
