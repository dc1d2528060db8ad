// Traffic over IPv4: between two pods of a bridge, with the host, with a machine outside, and between two bridges.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { addPod, delPod } from '../harness/pod.ts';
import { canPing, exchange, SILENCE_TIMEOUT_MS } from '../harness/traffic.ts';

const { test, run } = cases('traffic');

test('they ping each other', 'same', (host) => {
  const [one, other] = [addPod(host, host.config()), addPod(host, host.config())];
  assert.ok(canPing(one.namespace, other.ipv4));
  assert.ok(canPing(other.namespace, one.ipv4));
});

for (const protocol of ['tcp', 'udp'] as const) {
  test(`${protocol} directly after ADD, by their own addresses`, 'same', async (host) => {
    const [server, client] = [addPod(host, host.config()), addPod(host, host.config())];
    const reply = await exchange({ from: client.namespace, to: server.namespace, address: server.ipv4, protocol });
    assert.ok(reply.answered, reply.reason);
    assert.is(reply.seenFrom, client.ipv4);
  });
}

test('the host reaches a pod, and a pod the gateway', 'same', async (host) => {
  const pod = addPod(host, host.config({ isGateway: true }));
  const fromHost = await exchange({ from: host.namespace, to: pod.namespace, address: pod.ipv4 });
  assert.is(fromHost.seenFrom, '10.77.0.1', fromHost.reason);
  const toHost = await exchange({ from: pod.namespace, to: host.namespace, address: '10.77.0.1' });
  assert.is(toHost.seenFrom, pod.ipv4, toHost.reason);
});

test('pods of two bridges reach each other through the host', 'same', async (host) => {
  const red = host.config({ isDefaultGateway: true });
  const blue = host.config({
    name: 'blue',
    bridge: 'cni1',
    isDefaultGateway: true,
    ipam: host.hostLocal(['10.78.0.0/24']),
  });
  const [one, other] = [addPod(host, red), addPod(host, blue)];
  const reply = await exchange({ from: one.namespace, to: other.namespace, address: other.ipv4 });
  assert.is(reply.seenFrom, one.ipv4, reply.reason);
});

test('a pod with a default route reaches a machine outside that knows the way back', 'same', async (host) => {
  const outside = host.addOutside();
  outside.ip('route', 'add', '10.77.0.0/24', 'via', '203.0.113.1');
  const pod = addPod(host, host.config({ isDefaultGateway: true }));
  const reply = await exchange({ from: pod.namespace, to: outside, address: '203.0.113.2' });
  assert.is(reply.seenFrom, pod.ipv4, reply.reason);
});

test('without a gateway there is no way out of the bridge', 'same', (host) => {
  const pod = addPod(host, host.config());
  const elsewhere = addPod(host, host.config({ name: 'blue', bridge: 'cni1', ipam: host.hostLocal(['10.78.0.0/24']) }));
  assert.not(canPing(pod.namespace, elsewhere.ipv4, SILENCE_TIMEOUT_MS));
});

test('when one is gone, the others still talk', 'same', async (host) => {
  const config = host.config({ isGateway: true });
  const [one, other, goes] = [addPod(host, config), addPod(host, config), addPod(host, config)];
  delPod(host, goes);
  const reply = await exchange({ from: one.namespace, to: other.namespace, address: other.ipv4 });
  assert.is(reply.seenFrom, one.ipv4, reply.reason);
  assert.not(canPing(one.namespace, goes.ipv4, SILENCE_TIMEOUT_MS));
});

run();
