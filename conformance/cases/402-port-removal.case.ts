// The end of a port mapping: all of it goes, whatever the DEL is told, and so do the connections that would go on to
// lead to a container that is gone. Those of others stay.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { askFromPort, udpFlowsFrom } from '../harness/conntrack.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import { whileServing } from '../harness/standing-server.ts';
import { addWholePod, delWholePod, mustPassWhole } from '../harness/whole-chain.ts';

const { test, run } = cases('the end of port mappings');

const PORTS = [
  { hostPort: 8080, containerPort: 7777, protocol: 'tcp' },
  { hostPort: 8053, containerPort: 7777, protocol: 'udp' },
  { hostPort: 8054, containerPort: 7777, protocol: 'udp', hostIP: '203.0.113.1' },
  { hostPort: 9000, containerPort: 9000, protocol: 'tcp' },
  { hostPort: 9001, containerPort: 9001, protocol: 'tcp' },
];

function network(host: Host, more: Config = {}): Config {
  return host.config({
    isDefaultGateway: true,
    ipMasq: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    runtimeConfig: { portMappings: PORTS },
    ...more,
  });
}

test('DEL without runtimeConfig, prevResult and namespace takes all away', {
  differs: 'does nothing without runtimeConfig',
  seen: /left after DEL:[\s\S]*CNI-DN-/,
}, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  addWholePod(host, network(host), { container });
  const { runtimeConfig: _, ...config } = network(host);
  mustPassWhole(host, 'DEL', { config, container, netns: '' });
  mustLeaveNothing(host, before);
});

test('DEL with a port mapping that cannot be read takes all away', {
  differs: 'refuses it',
  seen: /DEL fails/,
}, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  addWholePod(host, network(host), { container });
  const config = network(host, { runtimeConfig: { portMappings: [{ hostPort: -1, containerPort: 'x' }] } });
  mustPassWhole(host, 'DEL', { config, container });
  mustLeaveNothing(host, before);
});

test('DEL of one of two networks of a container leaves the ports of the other', 'same', async (host) => {
  const outside = host.addOutside();
  const pod = addWholePod(host, network(host));
  const other = addWholePod(
    host,
    network(host, {
      name: 'others',
      bridge: 'cni1',
      isDefaultGateway: false,
      isGateway: true,
      ipam: host.hostLocal(['10.78.0.0/24']),
      runtimeConfig: { portMappings: [{ hostPort: 8090, containerPort: 7777, protocol: 'udp' }] },
    }),
    { container: pod.namespace, ifname: 'net1' },
  );
  delWholePod(host, other);
  await whileServing(pod.namespace, [pod.ipv4], () => {
    const question = { from: outside, fromPort: 5555, address: '203.0.113.1', timeoutMs: 3000 };
    assert.is(askFromPort({ ...question, port: 8053 }), '203.0.113.2');
    assert.is(askFromPort({ ...question, port: 8090, timeoutMs: 300 }), '');
  });
});

test('a UDP client that sent before the pod was there reaches it, and its successor after it', {
  differs: '1.1.1 forgets the connections at ADD; at DEL they are left leading to the old pod',
  seen: /the flow of the old pod|''/,
}, async (host) => {
  const outside = host.addOutside();
  // Connections are followed from the first pod on.
  const first = addWholePod(host, network(host, { runtimeConfig: {} }));
  const client = { from: outside, fromPort: 5555, address: '203.0.113.1', port: 8053 };
  assert.is(askFromPort({ ...client, timeoutMs: 200 }), '');
  assert.is(udpFlowsFrom(host.namespace, 5555).length, 1, 'the flow to the host itself');

  for (const round of ['the pod', 'its successor']) {
    const pod = addWholePod(host, network(host));
    assert.is.not(pod.ipv4, first.ipv4);
    await whileServing(pod.namespace, [pod.ipv4], () =>
      assert.is(askFromPort({ ...client, timeoutMs: 2000 }), '203.0.113.2', round),
    );
    delWholePod(host, pod);
    assert.equal(udpFlowsFrom(host.namespace, 5555), [], 'the flow of the old pod');
  }
});

test('connections of others stay: to other ports, to the same port elsewhere, of other pods', {
  differs: '1.1.1 forgets every connection to that port number, wherever it goes',
  seen: /elsewhere/,
}, async (host) => {
  const outside = host.addOutside();
  const resolver = addWholePod(host, network(host, { runtimeConfig: {} }));
  const toHost = { address: '203.0.113.1', timeoutMs: 100 };
  askFromPort({ ...toHost, from: outside, fromPort: 5001, port: 9999 });
  // A pod's query of a server outside, on the port number that another pod is about to map.
  askFromPort({ from: resolver.namespace, fromPort: 5002, address: '203.0.113.2', port: 8053, timeoutMs: 100 });
  const mustBeThere = (when: string): void => {
    assert.is(udpFlowsFrom(host.namespace, 5001).length, 1, `to another port, ${when}`);
    assert.is(udpFlowsFrom(host.namespace, 5002).length, 1, `to the same port elsewhere, ${when}`);
  };
  mustBeThere('before');
  const pod = addWholePod(host, network(host));
  mustBeThere('after ADD');
  delWholePod(host, pod);
  mustBeThere('after DEL');
});

run();
