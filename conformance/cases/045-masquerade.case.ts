// ipMasq: who a machine outside sees. Traffic that stays in the container's own network keeps its source.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { addPod, delPod } from '../harness/pod.ts';
import { exchange, SILENCE_TIMEOUT_MS } from '../harness/traffic.ts';
import { mustBeEmpty, mustPass } from '../harness/verdict.ts';

const { test, run } = cases('masquerading');

const OUTSIDE_4 = '203.0.113.2';
const OUTSIDE_6 = '2001:db8:1::2';

function network(host: Host, more: Config = {}): Config {
  return host.config({
    isDefaultGateway: true,
    ipMasq: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    ...more,
  });
}

/** Whom the machine outside sees. Fails when it sees nobody. */
async function seenFrom(from: Namespace, to: Namespace, address: string, protocol?: 'udp'): Promise<string> {
  const reply = await exchange({ from, to, address, ...(protocol && { protocol }) });
  assert.ok(reply.answered, `${address}: ${reply.reason}`);
  return reply.seenFrom;
}

function addRoutesBack(outside: Namespace): void {
  outside.ip('route', 'add', '10.77.0.0/24', 'via', '203.0.113.1');
  outside.ip('route', 'add', 'fd00:77::/64', 'via', '2001:db8:1::1');
}

test("with ipMasq a machine outside sees the host's address, in both families", 'same', async (host) => {
  const outside = host.addOutside();
  const pod = addPod(host, network(host));
  assert.is(await seenFrom(pod.namespace, outside, OUTSIDE_4), '203.0.113.1');
  assert.is(await seenFrom(pod.namespace, outside, OUTSIDE_4, 'udp'), '203.0.113.1');
  assert.is(await seenFrom(pod.namespace, outside, OUTSIDE_6), '2001:db8:1::1');
  assert.is(await seenFrom(pod.namespace, outside, OUTSIDE_6, 'udp'), '2001:db8:1::1');
});

test("without ipMasq it sees the pod's own", 'same', async (host) => {
  const outside = host.addOutside();
  addRoutesBack(outside);
  const pod = addPod(host, network(host, { ipMasq: false }));
  assert.is(await seenFrom(pod.namespace, outside, OUTSIDE_4), pod.ipv4);
  assert.is(await seenFrom(pod.namespace, outside, OUTSIDE_6), pod.ipv6);
});

test('a pod without ipMasq beside one with it keeps its address', 'same', async (host) => {
  const outside = host.addOutside();
  addRoutesBack(outside);
  const masqueraded = addPod(host, network(host));
  const plain = addPod(host, network(host, { ipMasq: false }));
  assert.is(await seenFrom(plain.namespace, outside, OUTSIDE_4), plain.ipv4);
  assert.is(await seenFrom(masqueraded.namespace, outside, OUTSIDE_4), '203.0.113.1');
});

test("pods of the network and the host see the pod's own address", 'same', async (host) => {
  const [server, client] = [addPod(host, network(host)), addPod(host, network(host))];
  assert.is(await seenFrom(client.namespace, server.namespace, server.ipv4), client.ipv4);
  assert.is(await seenFrom(client.namespace, server.namespace, server.ipv6), client.ipv6);
  assert.is(await seenFrom(client.namespace, host.namespace, '10.77.0.1'), client.ipv4);
});

test('what stays in the own network keeps its source even when the host routes it', 'same', async (host) => {
  // A machine beyond the host has an address of the pods' network; the host stands in for it on the bridge.
  const outside = host.addOutside();
  addRoutesBack(outside);
  outside.ip('addr', 'add', '10.77.0.200/32', 'dev', 'lo');
  outside.ip('addr', 'add', 'fd00:77::200/128', 'dev', 'lo', 'nodad');
  host.namespace.ip('route', 'add', '10.77.0.200/32', 'via', OUTSIDE_4);
  host.namespace.ip('route', 'add', 'fd00:77::200/128', 'via', OUTSIDE_6);
  const pod = addPod(host, network(host));
  host.namespace.setSysctl('net/ipv4/conf/cni0/proxy_arp', '1');
  host.namespace.setSysctl('net/ipv6/conf/cni0/proxy_ndp', '1');
  host.namespace.ip('neigh', 'add', 'proxy', 'fd00:77::200', 'dev', 'cni0');
  assert.is(await seenFrom(pod.namespace, outside, '10.77.0.200'), pod.ipv4);
  assert.is(await seenFrom(pod.namespace, outside, 'fd00:77::200'), pod.ipv6);
});

test('another network of the same host is outside', 'same', async (host) => {
  const other = network(host, { name: 'others', bridge: 'cni1', ipam: host.hostLocal(['10.78.0.0/24']) });
  const [pod, server] = [addPod(host, network(host)), addPod(host, other)];
  assert.is(await seenFrom(pod.namespace, server.namespace, server.ipv4), '10.78.0.1');
});

test('after DEL the address is not masqueraded any more, and nothing is left', 'same', async (host) => {
  const outside = host.addOutside();
  addRoutesBack(outside);
  const container = host.addContainer();
  const before = host.snapshot();
  const pod = addPod(host, network(host), { container });
  delPod(host, pod);
  mustBeEmpty(host.leftSince(before), 'left after DEL');
  // The same address, now without.
  const ipam = { type: 'static', addresses: [{ address: `${pod.ipv4}/24`, gateway: '10.77.0.1' }] };
  const heir = addPod(host, network(host, { name: 'heirs', ipMasq: false, ipam }));
  assert.is(heir.ipv4, pod.ipv4);
  assert.is(await seenFrom(heir.namespace, outside, OUTSIDE_4), heir.ipv4);
});

test('of two interfaces in one network, DEL of one leaves the other masqueraded', {
  differs: 'both share a chain, which the DEL of one takes away',
  seen: /DEL fails|no answer/,
}, async (host) => {
  const outside = host.addOutside();
  const first = addPod(host, network(host, { ipam: host.hostLocal() }));
  const second = addPod(host, network(host, { isDefaultGateway: false, ipam: host.hostLocal() }), {
    container: first.namespace,
    ifname: 'net1',
  });
  delPod(host, second);
  assert.is(await seenFrom(first.namespace, outside, OUTSIDE_4), '203.0.113.1');
});

test('DEL with the namespace gone takes the masquerading away', {
  differs: 'its rules stay when it cannot ask the link for the addresses',
  seen: /left after DEL:[\s\S]*MASQUERADE/,
}, (host) => {
  const container = host.addContainer();
  const config = network(host);
  const before = host.snapshot();
  addPod(host, config, { container });
  container.remove();
  mustPass(host, 'DEL', { config, container });
  mustBeEmpty(
    host.leftSince(before).filter((line) => !line.includes(' pod1 ')),
    'left after DEL',
  );
});

test('what comes from outside without being asked for is not let in by masquerading', 'same', async (host) => {
  const outside = host.addOutside();
  const pod = addPod(host, network(host));
  const reply = await exchange({
    from: outside,
    to: pod.namespace,
    address: pod.ipv4,
    timeoutMs: SILENCE_TIMEOUT_MS,
  });
  assert.not(reply.answered);
});

for (const ipMasqBackend of ['iptables', 'nftables']) {
  test(`ipMasqBackend ${ipMasqBackend} makes no difference`, { absent: 'ipMasqBackend in 1.1.1' }, async (host) => {
    const outside = host.addOutside();
    const pod = addPod(host, network(host, { ipMasqBackend }));
    assert.is(await seenFrom(pod.namespace, outside, OUTSIDE_4), '203.0.113.1');
  });
}

run();
