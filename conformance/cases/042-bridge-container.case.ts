// The keys of bridge mode that say what the container gets: its MAC address, DNS, a link without addresses; and how
// keys are spelled.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { addPod, checkPod, delPod, hostEndOf } from '../harness/pod.ts';
import { addressesOf, getLink, isUp, portFlag, portsOf } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';
import { mustBeEmpty, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('bridge keys: container');

const NO_CHECK = {
  differs: 'runs an IPAM plugin without a name, so that CHECK always fails',
  seen: /no plugin name provided/,
};
const DISABLING = { absent: 'disableContainerInterface in 1.1.1' };
/** https://github.com/containernetworking/plugins/pull/733 */
const NO_DNS = { differs: "1.1.1 drops IPAM's dns", seen: /198\.51\.100\.1/ };
const CAPABILITY_MAC = { capabilities: { mac: true }, runtimeConfig: { mac: '02:00:00:00:00:0a' } };
const CONFIG_MAC = { args: { cni: { mac: '02:00:00:00:00:0b' } } };
const ARGS_MAC = 'IgnoreUnknown=1;MAC=02:00:00:00:00:0c';

for (const [title, keys, args, mac] of [
  ['of CNI_ARGS', {}, ARGS_MAC, '02:00:00:00:00:0c'],
  ['of args.cni', CONFIG_MAC, '', '02:00:00:00:00:0b'],
  ['of the capability', CAPABILITY_MAC, '', '02:00:00:00:00:0a'],
  ['of args.cni rather than of CNI_ARGS', CONFIG_MAC, ARGS_MAC, '02:00:00:00:00:0b'],
  ['of the capability rather than any other', { ...CAPABILITY_MAC, ...CONFIG_MAC }, ARGS_MAC, '02:00:00:00:00:0a'],
  ['written in capitals', { args: { cni: { mac: '02:00:00:AB:CD:EF' } } }, '', '02:00:00:ab:cd:ef'],
] as const) {
  test(`the container has the MAC address ${title}`, 'same', (host) => {
    const pod = addPod(host, host.config(keys), { args });
    assert.is(getLink(pod.namespace, 'eth0').address, mac);
    assert.is(pod.result.interfaces?.[2]?.mac, mac);
    assert.is.not(hostEndOf(host, pod).address, mac, 'the host end has another');
    checkPod(host, pod);
  });
}

test('disableContainerInterface leaves the container end down, on the bridge all the same', DISABLING, (host) => {
  const pod = addPod(host, host.config({ ipam: undefined, disableContainerInterface: true }));
  assert.not(isUp(getLink(pod.namespace, 'eth0')));
  assert.equal(addressesOf(pod.namespace, 'eth0'), []);
  assert.ok(isUp(hostEndOf(host, pod)));
  assert.is(portsOf(host.namespace, 'cni0').length, 1);
  delPod(host, pod);
});

test('CHECK passes with disableContainerInterface', DISABLING, (host) => {
  checkPod(host, addPod(host, host.config({ ipam: undefined, disableContainerInterface: true })));
});

test('disableContainerInterface together with ipam is refused, and nothing changes', DISABLING, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const config = host.config({ disableContainerInterface: true });
  mustRefuse(host, 'ADD', { config, container }, 7, /disableContainerInterface.*ipam/i);
  mustBeEmpty(host.changesSince(before), 'changed by the refused ADD');
});

const DNS = {
  nameservers: ['192.0.2.53'],
  domain: 'pods.example',
  search: ['a.example', 'b.example'],
  options: ['ndots:5'],
};

/** An `ipam` section whose resolvConf names another server. */
function ipamWithDns(host: Host): object {
  const resolvConf = join(host.folder, 'resolv.conf');
  writeFileSync(resolvConf, '# of the node\nnameserver 198.51.100.1\nsearch node.example\noptions timeout:1\n');
  return host.hostLocal(undefined, { resolvConf });
}

test("IPAM's dns is in the result", NO_DNS, (host) => {
  const { result } = addPod(host, host.config({ ipam: ipamWithDns(host) }));
  assert.equal(result.dns, { nameservers: ['198.51.100.1'], search: ['node.example'], options: ['timeout:1'] });
});

test("the configuration's dns is in the result", 'same', (host) => {
  assert.equal(addPod(host, host.config({ dns: DNS })).result.dns, DNS);
});

test("the configuration's dns replaces IPAM's as a whole, even with one field", 'same', (host) => {
  const dns = { nameservers: ['192.0.2.53'] };
  assert.equal(addPod(host, host.config({ dns, ipam: ipamWithDns(host) })).result.dns, dns);
});

test("an empty dns does not replace IPAM's", NO_DNS, (host) => {
  const { result } = addPod(host, host.config({ dns: {}, ipam: ipamWithDns(host) }));
  assert.equal(result.dns?.nameservers, ['198.51.100.1']);
});

test('keys are taken in any letter case', 'same', (host) => {
  const pod = addPod(host, {
    cniVersion: '1.0.0',
    name: 'pods',
    type: 'podlink',
    Bridge: 'cni7',
    ISDEFAULTGATEWAY: true,
    hairpinmode: true,
    MTU: 1300,
    Ipam: { TYPE: 'host-local', DataDir: host.dataDir, Ranges: [[{ SUBNET: '10.77.0.0/24' }]] },
  });
  assert.equal(addressesOf(host.namespace, 'cni7'), ['10.77.0.1/24']);
  assert.is(getLink(pod.namespace, 'eth0').mtu, 1300);
  assert.ok(portFlag(host.namespace, hostEndOf(host, pod).ifname, 'hairpin'));
  assert.equal(addressesOf(pod.namespace, 'eth0'), ['10.77.0.2/24']);
});

test("unknown keys are nobody's business", 'same', (host) => {
  addPod(host, host.config({ 'x.example/colour': 'red', bridges: 'cni9', nested: { deep: [1, 2] } }));
  assert.is(portsOf(host.namespace, 'cni0').length, 1);
});

for (const [title, ipam] of [
  ['without ipam', undefined],
  ['with an empty ipam', {}],
] as const) {
  test(`a network ${title} gives a link that is up, without addresses, and takes it back`, 'same', (host) => {
    const config = host.config({ ipam });
    const container = host.addContainer();
    const before = host.snapshot();
    const pod = addPod(host, config, { container });
    assert.equal(pod.result.ips ?? [], []);
    assert.is(pod.result.interfaces?.length, 3);
    assert.ok(isUp(getLink(container, 'eth0')));
    assert.equal(addressesOf(container, 'eth0'), []);
    delPod(host, pod);
    mustBeEmpty(host.leftSince(before), 'left after DEL');
  });

  test(`CHECK of a network ${title} passes`, NO_CHECK, (host) => {
    checkPod(host, addPod(host, host.config({ ipam })));
  });
}

test('three hundred routes, more than the kernel answers for at once', 'same', (host) => {
  const routes = Array.from({ length: 300 }, (_, i) => ({ dst: `10.${100 + (i >> 8)}.${i & 255}.0/24` }));
  const pod = addPod(host, host.config({ isGateway: true, ipam: host.hostLocal(['10.77.0.0/24'], { routes }) }));
  const found = pod.namespace.ipJson<{ dst: string }>('-4', 'route', 'show').map(({ dst }) => dst);
  mustBeEmpty(
    routes.filter(({ dst }) => !found.includes(dst)).map(({ dst }) => dst),
    'missing routes',
  );
});

test('pods of a network without ipam talk once they have addresses', 'same', (host) => {
  const config = host.config({ ipam: undefined });
  const pods = [addPod(host, config), addPod(host, config)] as const;
  for (const [i, { namespace }] of pods.entries()) namespace.ip('addr', 'add', `192.0.2.${i + 1}/24`, 'dev', 'eth0');
  assert.ok(canPing(pods[0].namespace, '192.0.2.2'));
});

run();
