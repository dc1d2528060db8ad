// CHECK of what an old version's result cannot say: it is taken from the record, and without one it is not missed.

import { rmSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config, Result } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { addPod, type Pod } from '../harness/pod.ts';
import { mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('CHECK of an old result');
const OURS = {
  absent: 'a record: it checks what prevResult says alone, and knows no route attributes before 1.1.0',
} as const;
const GONE = /192\.0\.2\.0\/24.* is gone/;

const ROUTES = [
  { dst: '192.0.2.0/24', table: 100 },
  { dst: '198.51.100.0/24', scope: 253 },
  { dst: '203.0.113.0/24', gw: '10.77.0.9', priority: 50, mtu: 1400 },
  { dst: '203.0.113.0/24', gw: '10.77.0.9', priority: 60, advmss: 1300 },
  { dst: '2001:db8:9::/64', table: 300, priority: 7 },
];

function add(host: Host, cniVersion: string): Pod {
  const subnets = ['10.77.0.0/24', '10.78.0.0/24', 'fd00:77::/64'];
  const ipam = host.hostLocal(subnets, { routes: ROUTES });
  return addPod(host, host.config({ cniVersion, isDefaultGateway: true, macspoofchk: true, ipam }));
}

function later(pod: Pod, prevResult: Result): { config: Config; container: Pod['namespace'] } {
  return { config: withPrevResult(pod.config, prevResult), container: pod.namespace };
}

/** The result as 0.1.0 and 0.2.0 say it. */
function asOld({ result }: Pod, cniVersion: string): Result {
  const isIpv6 = ({ dst }: { dst: string }) => dst.includes(':');
  const routes = (result.routes ?? []).map(({ dst, gw }) => ({ dst, ...(gw !== undefined && { gw }) }));
  return {
    cniVersion,
    ip4: { ip: '10.77.0.2/24', gateway: '10.77.0.1', routes: routes.filter((route) => !isIpv6(route)) },
    ip6: { ip: 'fd00:77::2/64', gateway: 'fd00:77::1', routes: routes.filter(isIpv6) },
    dns: {},
  };
}

function wipeRecords(host: Host): void {
  rmSync(`${host.runDir}/attachments`, { recursive: true });
}

for (const version of ['0.4.0', '1.0.0', '1.1.0']) {
  test(`routes with table, scope and metric at ${version}: passes, and misses one that is gone`, OURS, (host) => {
    const pod = add(host, version);
    mustPass(host, 'CHECK', later(pod, pod.result));
    pod.namespace.ip('route', 'del', '192.0.2.0/24', 'table', '100');
    mustRefuse(host, 'CHECK', later(pod, pod.result), 101, GONE);
    pod.namespace.ip('route', 'add', '192.0.2.0/24', 'via', '10.77.0.1', 'table', '100');
    pod.namespace.ip('route', 'del', '203.0.113.0/24', 'metric', '60');
    mustRefuse(host, 'CHECK', later(pod, pod.result), 101, /203\.0\.113\.0\/24.* is gone/);
  });
}

for (const version of ['0.1.0', '0.2.0']) {
  test(`a prevResult of ${version} at 1.0.0: passes, and misses what only the record knows`, OURS, (host) => {
    const pod = add(host, '1.0.0');
    const call = later(pod, asOld(pod, version));
    mustPass(host, 'CHECK', call);
    pod.namespace.ip('addr', 'del', '10.78.0.2/24', 'dev', 'eth0');
    mustRefuse(host, 'CHECK', call, 101, /10\.78\.0\.2\/24 is gone/);
  });
}

for (const [version, of] of [
  ['0.2.0', (pod: Pod) => asOld(pod, '0.2.0')],
  ['0.3.1', (pod: Pod) => ({ ...pod.result, cniVersion: '0.3.1' })],
  ['1.0.0', (pod: Pod) => pod.result],
] as const) {
  test(`a prevResult of ${version} without a record: what it says is checked, and no more`, OURS, (host) => {
    const pod = add(host, '1.0.0');
    wipeRecords(host);
    const call = later(pod, of(pod));
    mustPass(host, 'CHECK', call);
    pod.namespace.ip('route', 'del', '192.0.2.0/24', 'table', '100');
    mustRefuse(host, 'CHECK', call, 101, GONE);
    pod.namespace.ip('route', 'add', '192.0.2.0/24', 'via', '10.77.0.1', 'table', '100');
    pod.namespace.ip('addr', 'del', '10.77.0.2/24', 'dev', 'eth0');
    mustRefuse(host, 'CHECK', call, 101, /10\.77\.0\.2\/24 is gone/);
  });
}

test('the address of another network in a prevResult of 0.2.0 is looked for on all interfaces', OURS, (host) => {
  const pod = add(host, '1.0.0');
  pod.namespace.ip('link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'other1');
  pod.namespace.ip('addr', 'add', '10.99.0.2/24', 'dev', 'other0');
  const old = asOld(pod, '0.2.0');
  const call = later(pod, { ...old, ip4: { ip: '10.99.0.2/24' } });
  mustPass(host, 'CHECK', call);
  pod.namespace.ip('link', 'del', 'other0');
  const error = mustRefuse(host, 'CHECK', call, 101, /10\.99\.0\.2\/24 is gone/);
  assert.ok(error.msg);
});

run();
