// Strict reverse path filtering in a container with two networks: a port that is published on the second answers, though
// the way out is the first.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { addPod, checkPod } from '../harness/pod.ts';
import { exchange, SILENCE_TIMEOUT_MS } from '../harness/traffic.ts';

const { test, run } = cases('strict reverse path filtering');
const DROPS = { absent: 'this: the container drops what comes in by its second network' } as const;
const PORT = 7777;

function network(host: Host, number: number, more: Config = {}): Config {
  return host.config({
    name: `net${number}`,
    bridge: `cni${number}`,
    isDefaultGateway: true,
    ipMasq: true,
    ipam: host.hostLocal([`10.8${number}.0.0/24`, `fd00:8${number}::/64`]),
    ...more,
  });
}

const ports = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: PORT, protocol: 'tcp' }] } };

for (const [where, key] of [
  ['conf.default', 'net/ipv4/conf/default/rp_filter'],
  ['conf.all', 'net/ipv4/conf/all/rp_filter'],
] as const) {
  test(`by ${where} of the container: ports of the second network answer in both families`, DROPS, async (host) => {
    const outside = host.addOutside();
    const container = host.addContainer();
    container.setSysctl(key, '1');
    const first = addPod(host, network(host, 0), { container });
    const pod = addPod(host, network(host, 1, ports), { container, ifname: 'eth1' });
    assert.is(container.sysctl('net/ipv4/conf/eth1/rp_filter'), '2');
    for (const [address, asked] of [
      [pod.ipv4, '203.0.113.1'],
      [pod.ipv6, '2001:db8:1::1'],
    ] as const) {
      const reply = await exchange({ from: outside, to: container, address, via: { address: asked, port: 8080 } });
      assert.ok(reply.answered, `${asked}: ${reply.reason}`);
    }
    for (const each of [first, pod]) checkPod(host, each);
    const strict = where === 'conf.default' ? '1' : '0';
    assert.is(container.sysctl('net/ipv4/conf/eth0/rp_filter'), strict, 'the first interface is left as it is');
  });
}

test('what is loose or off already, and what the configuration sets itself, stays', DROPS, (host) => {
  const container = host.addContainer();
  container.setSysctl('net/ipv4/conf/default/rp_filter', '0');
  for (const number of [0, 1]) addPod(host, network(host, number), { container, ifname: `eth${number}` });
  assert.is(container.sysctl('net/ipv4/conf/eth1/rp_filter'), '0');
  container.setSysctl('net/ipv4/conf/default/rp_filter', '1');
  const sysctl = { 'net.ipv4.conf.IFNAME.rp_filter': '1' };
  addPod(host, network(host, 2, { sysctl }), { container, ifname: 'eth2' });
  assert.is(container.sysctl('net/ipv4/conf/eth2/rp_filter'), '1');
});

test('where the host filters strictly, too, ADD names it, and the remedy', DROPS, async (host) => {
  const outside = host.addOutside();
  const container = host.addContainer();
  const first = host.invoke('ADD', { config: network(host, 0, ports), container });
  assert.not.match(first.stderr, /The host drops/);
  host.namespace.setSysctl('net/ipv4/conf/all/rp_filter', '1');
  const other = { ...ports.runtimeConfig.portMappings[0], hostPort: 8081 };
  const config = network(host, 1, { runtimeConfig: { portMappings: [other] } });
  const second = host.invoke('ADD', { config, container, ifname: 'eth1' });
  assert.is(second.code, 0, second.stdout);
  assert.match(second.stderr, /The host drops .*net\.ipv4\.conf\.all\.rp_filter=2/);
  const via = { address: '203.0.113.1', port: 8081 };
  const ask = () =>
    exchange({ from: outside, to: container, address: '10.81.0.2', via, timeoutMs: SILENCE_TIMEOUT_MS });
  assert.not.ok((await ask()).answered, 'the warning is untrue');
  host.namespace.setSysctl('net/ipv4/conf/all/rp_filter', '2');
  const reply = await exchange({ from: outside, to: container, address: '10.81.0.2', via });
  assert.ok(reply.answered, reply.reason);
});

run();
