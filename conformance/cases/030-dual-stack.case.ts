// IPv6 beside IPv4: usable the moment ADD returns, since nothing waits for duplicate address detection, unless asked.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { addPod, checkPod, delPod } from '../harness/pod.ts';
import { type AddressEntry, addressesOf, routeTextsOf } from '../harness/referee.ts';
import { canPing, exchange } from '../harness/traffic.ts';
import { mustBeEmpty, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('dual stack');

/** RFC 4862: one probe, then RetransTimer, which is a second. */
const DETECTION_MS = 1000;

function dualStack(host: Host, more: Config = {}): Config {
  return host.config({ isDefaultGateway: true, ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']), ...more });
}

/** All IPv6 addresses of a link, link-local ones too. */
function ipv6Of(namespace: Namespace, link: string): AddressEntry[] {
  return namespace.ipJson<{ addr_info?: AddressEntry[] }>('-6', 'addr', 'show', 'dev', link)[0]?.addr_info ?? [];
}

test('the container has an address and a default route of each family', 'same', (host) => {
  const pod = addPod(host, dualStack(host));
  assert.equal(pod.result.ips, [
    { interface: 2, address: '10.77.0.2/24', gateway: '10.77.0.1' },
    { interface: 2, address: 'fd00:77::2/64', gateway: 'fd00:77::1' },
  ]);
  assert.equal(addressesOf(pod.namespace, 'eth0'), ['10.77.0.2/24', 'fd00:77::2/64']);
  assert.equal(routeTextsOf(pod.namespace, 'eth0'), [
    'default via 10.77.0.1',
    '10.77.0.0/24',
    'fd00:77::/64',
    'default via fd00:77::1',
  ]);
  checkPod(host, pod);
});

test('TCP over IPv6 works directly after ADD', 'same', async (host) => {
  const [server, client] = [addPod(host, dualStack(host)), addPod(host, dualStack(host))];
  const reply = await exchange({ from: client.namespace, to: server.namespace, address: server.ipv6 });
  assert.is(reply.seenFrom, client.ipv6, reply.reason);
  assert.ok(reply.ms < DETECTION_MS, `the exchange took ${reply.ms} ms`);
});

test('no address of the container is tentative when ADD returns, the link-local one included', 'same', (host) => {
  const pod = addPod(host, dualStack(host));
  const addresses = ipv6Of(pod.namespace, 'eth0');
  assert.equal(
    addresses.filter(({ tentative, dadfailed }) => tentative || dadfailed),
    [],
  );
  assert.equal(addresses.map(({ scope }) => scope).sort(), ['global', 'link']);
});

test('link-local addresses work directly after ADD', 'same', (host) => {
  const [one, other] = [addPod(host, dualStack(host)), addPod(host, dualStack(host))];
  const address = ipv6Of(other.namespace, 'eth0').find(({ scope }) => scope === 'link')?.local;
  assert.ok(canPing(one.namespace, `${address}%eth0`, 1000));
});

test('ADD with IPv6 takes less than the detection would', 'same', (host) => {
  const container = host.addContainer();
  const outcome = host.invoke('ADD', { config: dualStack(host), container });
  assert.is(outcome.code, 0, outcome.stdout);
  assert.ok(outcome.ms < DETECTION_MS, `ADD took ${outcome.ms} ms`);
});

test('the gateway answers on IPv6 directly after the first ADD', {
  differs: "the bridge's own address is tentative until detection ends, so nothing can listen on it",
  seen: /Cannot listen on fd00:77::1|no answer/,
}, async (host) => {
  const pod = addPod(host, dualStack(host));
  const reply = await exchange({ from: pod.namespace, to: host.namespace, address: 'fd00:77::1' });
  assert.is(reply.seenFrom, pod.ipv6, reply.reason);
});

test('with disable_ipv6 set in the namespace, IPv6 is turned on for the interface', 'same', async (host) => {
  const container = host.addContainer();
  container.setSysctl('net/ipv6/conf/all/disable_ipv6', '1');
  container.setSysctl('net/ipv6/conf/default/disable_ipv6', '1');
  const pod = addPod(host, dualStack(host), { container });
  assert.is(container.sysctl('net/ipv6/conf/eth0/disable_ipv6'), '0');
  assert.is(container.sysctl('net/ipv6/conf/lo/disable_ipv6'), '0');
  assert.ok(canPing(container, 'fd00:77::1'));
  delPod(host, pod);
});

test('the IPv6 address stays when the link goes down and up', {
  differs: '1.1.1 does not set keep_addr_on_down, so the pod loses its address and all IPv6',
  seen: /fd00:77::2/,
}, (host) => {
  const pod = addPod(host, dualStack(host));
  pod.namespace.ip('link', 'set', 'eth0', 'down');
  pod.namespace.ip('link', 'set', 'eth0', 'up');
  assert.equal(addressesOf(pod.namespace, 'eth0'), ['10.77.0.2/24', 'fd00:77::2/64']);
});

test('enabledad waits until detection has ended', 'same', (host) => {
  const container = host.addContainer();
  const outcome = host.invoke('ADD', { config: dualStack(host, { enabledad: true }), container });
  assert.is(outcome.code, 0, outcome.stdout);
  assert.ok(outcome.ms > DETECTION_MS, `ADD took ${outcome.ms} ms`);
  const global = ipv6Of(container, 'eth0').filter(({ scope }) => scope === 'global');
  assert.is(global.length, 1);
  assert.not(global[0]?.tentative);
  assert.is(container.sysctl('net/ipv6/conf/eth0/accept_dad'), '1');
});

test('enabledad refuses an address that somebody on the bridge has, and leaves nothing', {
  differs: 'succeeds, with an address that the kernel does not use',
  seen: /ADD is not refused/,
}, (host) => {
  const config = dualStack(host, { enabledad: true });
  const squatter = addPod(host, {
    ...config,
    name: 'squatters',
    enabledad: false,
    isDefaultGateway: false,
    ipam: undefined,
  });
  squatter.namespace.ip('addr', 'add', 'fd00:77::2/64', 'dev', 'eth0', 'nodad');
  const container = host.addContainer();
  const before = host.snapshot();
  mustRefuse(host, 'ADD', { config, container }, 100, /fd00:77::2.*duplicate address detection/);
  mustBeEmpty(host.leftSince(before), 'left after the refused ADD');
});

run();
