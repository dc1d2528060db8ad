// Everything in one entry: one process does what takes the reference five plugins and their iptables, and gives what
// they give.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config, Result } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import { mustBeOneProcess } from '../harness/one-process.ts';
import { withQuickIpv6 } from '../harness/quick-ipv6.ts';
import { getLink, linksOf } from '../harness/referee.ts';
import { askAll, whileServing } from '../harness/standing-server.ts';
import { mustAdd, resultOf, withPrevResult } from '../harness/verdict.ts';
import {
  addWholePod,
  checkWholePod,
  delWholePod,
  invokeReferenceChain,
  invokeWhole,
  podOf,
} from '../harness/whole-chain.ts';

const { test, run } = withQuickIpv6(cases('the whole chain in one entry'));

const DNS = { nameservers: ['192.0.2.53'], domain: 'pods.example', search: ['pods.example'], options: ['ndots:5'] };

/** All that a kubelet hands over. */
function network(host: Host, more: Config = {}): Config {
  return host.config({
    isDefaultGateway: true,
    ipMasq: true,
    hairpinMode: true,
    macspoofchk: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    sysctl: { 'net.core.somaxconn': '500' },
    txQLen: 2000,
    capabilities: { portMappings: true, bandwidth: true, dns: true },
    runtimeConfig: {
      portMappings: [
        { hostPort: 8080, containerPort: 7777, protocol: 'tcp' },
        { hostPort: 8080, containerPort: 7777, protocol: 'udp' },
      ],
      bandwidth: { ingressRate: 80e6, ingressBurst: 8e6, egressRate: 80e6, egressBurst: 8e6 },
    },
    ...more,
  });
}

test('ADD, CHECK and DEL with ports, limits, tuning, masquerading and macspoofchk are one process each', {
  differs: 'is a chain of plugins that execute more: bridge alone its IPAM plugin and iptables',
  seen: /executes/,
}, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const config = network(host);
  const result = resultOf(mustBeOneProcess(host, 'ADD', { config, container }), config);
  const later = withPrevResult(config, result);
  mustBeOneProcess(host, 'CHECK', { config: later, container });
  mustBeOneProcess(host, 'DEL', { config: later, container });
  mustLeaveNothing(host, before);
});

test('all of it works at the same time', 'same', async (host) => {
  const outside = host.addOutside();
  const pod = addWholePod(host, network(host));
  const question = { from: outside, port: 8080 };
  const seen = await whileServing(pod.namespace, [pod.ipv4, pod.ipv6], () =>
    askAll([
      { ...question, address: '203.0.113.1' },
      { ...question, address: '203.0.113.1', protocol: 'udp' },
      { ...question, address: '2001:db8:1::1' },
    ]).map(({ seenFrom, reason }) => seenFrom || reason),
  );
  assert.equal(seen, ['203.0.113.2', '203.0.113.2', '2001:db8:1::2']);
  const out = await whileServing(outside, ['203.0.113.2'], () =>
    askAll([{ from: pod.namespace, address: '203.0.113.2' }]).map(({ seenFrom, reason }) => seenFrom || reason),
  );
  assert.equal(out, ['203.0.113.1']);
  assert.is(pod.namespace.sysctl('net/core/somaxconn'), '500');
  assert.is(linksOf(host.namespace).filter(({ linkinfo }) => linkinfo?.info_kind === 'ifb').length, 1);
});

test('CHECK of all of it passes', {
  differs: '1.1.1 looks for the IPv4 rules of a dual-stack pod among those of IPv6',
  seen: /could not check ipv6 dnat/,
}, (host) => {
  checkWholePod(host, addWholePod(host, network(host)));
});

/** What of a result can be the same on two hosts. */
function comparable({ ips = [], routes = [], dns }: Result): object {
  const plain = ips.map(({ address, gateway }) => ({ address, gateway }));
  return { ips: plain, routes: routes.map(({ dst, gw }) => ({ dst, gw })), dns };
}

test("the result is that of the reference's chain: addresses, routes, dns, and the interface's MAC", 'same', (host) => {
  const config = network(host, {
    dns: DNS,
    runtimeConfig: { ...(network(host).runtimeConfig as object), mac: '02:00:00:00:00:45' },
  });
  const ours = addWholePod(host, config);
  delWholePod(host, ours);
  const container = host.addContainer('reference');
  const theirConfig = {
    ...config,
    bridge: 'cni1',
    ipam: { ...(config.ipam as object), dataDir: `${host.folder}/theirs` },
  };
  const invocation = { config: theirConfig, container };
  const theirs = podOf(invocation, container, resultOf(invokeReferenceChain(host, 'ADD', invocation), config));
  assert.equal(comparable(ours.result), comparable(theirs.result));
  const macs = [ours, theirs].map(({ result }) => result.interfaces?.find(({ name }) => name === 'eth0')?.mac);
  assert.equal(macs, ['02:00:00:00:00:45', '02:00:00:00:00:45']);
  const del = invokeReferenceChain(host, 'DEL', { ...invocation, config: withPrevResult(theirConfig, theirs.result) });
  assert.is(del.code, 0, del.stdout);
});

test('the dns capability is in the result, each field before that of the configuration', {
  absent: 'the dns capability, which is only for Windows',
}, (host) => {
  const runtimeConfig = { dns: { servers: ['198.51.100.53'], searches: ['svc.example'], options: ['ndots:2'] } };
  const result = mustAdd(host, { config: network(host, { dns: DNS, runtimeConfig }), container: host.addContainer() });
  assert.equal(result.dns, {
    nameservers: ['198.51.100.53'],
    domain: 'pods.example',
    search: ['svc.example'],
    options: ['ndots:2'],
  });
});

test('what one part of it refuses changes nothing of any other', {
  differs: 'a plugin looks at its part when those before it have done theirs',
  seen: /left of the refused ADDs|is taken/,
}, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const { runtimeConfig } = network(host);
  const bad: readonly Config[] = [
    { runtimeConfig: { ...(runtimeConfig as object), portMappings: [{ hostPort: 8080, containerPort: 0 }] } },
    { runtimeConfig: { ...(runtimeConfig as object), bandwidth: { ingressRate: -1 } } },
    { sysctl: { 'kernel.shmmax': '1' } },
  ];
  for (const keys of bad) {
    const outcome = invokeWhole(host, 'ADD', { config: network(host, keys), container });
    assert.is.not(outcome.code, 0, `${JSON.stringify(keys)} is taken`);
  }
  mustLeaveNothing(host, before, 'left of the refused ADDs');
  assert.equal(
    linksOf(container).map(({ ifname }) => ifname),
    ['lo'],
  );
});

test('the result names the interface with the MTU that all of it leaves', 'same', (host) => {
  const pod = addWholePod(host, network(host, { mtu: 1400 }));
  assert.is(getLink(pod.namespace, 'eth0').mtu, 1400);
  delWholePod(host, pod);
});

run();
