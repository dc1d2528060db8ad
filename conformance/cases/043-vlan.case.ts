// VLANs on a kernel that filters by them: gateways, traffic within a VLAN and out of it, and features that work by way
// of the VLAN's gateway.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { addPod, checkPod, delPod, hostEndOf, type Pod } from '../harness/pod.ts';
import { addressesOf, findLink, getLink, isUp, portsOf, routeTextsOf } from '../harness/referee.ts';
import { canPing, exchange, SILENCE_TIMEOUT_MS } from '../harness/traffic.ts';
import { mustBeEmpty, mustRefuse, resultOf } from '../harness/verdict.ts';
import { addFilteringBridge, vlansOf, vlanTest } from '../harness/vlan.ts';

const group = cases('VLANs');

/** A dual-stack network in a VLAN with a gateway. Its subnets follow from the VLAN, so that each has its own. */
function network(host: Host, vlan: number, more: Config = {}): Config {
  const ipam = host.hostLocal([`10.${vlan}.0.0/24`, `fd00:${vlan}::/64`]);
  return host.config({ name: `vlan${vlan}`, vlan, isDefaultGateway: true, ipam, ...more });
}

function gatewaysOf(vlan: number): string[] {
  return [`10.${vlan}.0.1`, `fd00:${vlan}::1`];
}

function mustReach(pod: Pod, addresses: readonly string[]): void {
  for (const address of addresses) assert.ok(canPing(pod.namespace, address), `${pod.ipv4} does not reach ${address}`);
}

function mustNotReach(pod: Pod, addresses: readonly string[]): void {
  for (const address of addresses) {
    assert.not(canPing(pod.namespace, address, SILENCE_TIMEOUT_MS), `${pod.ipv4} reaches ${address}`);
  }
}

vlanTest(group, 'the gateway of a VLAN has addresses of both families, and is reported', 'same', (host) => {
  const pod = addPod(host, network(host, 100));
  mustReach(pod, gatewaysOf(100));
  assert.equal(addressesOf(host.namespace, 'cni0.100'), ['10.100.0.1/24', 'fd00:100::1/64']);
  assert.equal(addressesOf(host.namespace, 'cni0'), []);
  assert.ok(isUp(getLink(host.namespace, 'cni0.100')));
  const routes = routeTextsOf(pod.namespace, 'eth0').filter((route) => route.startsWith('default'));
  assert.equal(routes, ['default via 10.100.0.1', 'default via fd00:100::1']);
  const reported = pod.result.interfaces?.map(({ name }) => name);
  assert.equal(reported, ['cni0', hostEndOf(host, pod).ifname, 'eth0', 'cni0.100']);
  checkPod(host, pod);
});

const MOVED = { absent: 'ports taken out of the default VLAN, in 1.1.1' };

vlanTest(group, 'two VLANs on one bridge have a gateway each, and meet on the host alone', MOVED, (host) => {
  const [one, next] = [addPod(host, network(host, 100)), addPod(host, network(host, 100))];
  const other = addPod(host, network(host, 200));
  mustReach(one, [...gatewaysOf(100), next.ipv4, next.ipv6]);
  mustReach(other, gatewaysOf(200));
  // The host routes between them; nothing goes from one to the other through the bridge.
  mustReach(one, [other.ipv4, other.ipv6]);
  host.namespace.setSysctl('net/ipv4/ip_forward', '0');
  host.namespace.setSysctl('net/ipv6/conf/all/forwarding', '0');
  mustNotReach(one, [other.ipv4, other.ipv6]);
  mustReach(one, [next.ipv4, next.ipv6]);
  for (const port of portsOf(host.namespace, 'cni0')) {
    const vlans = vlansOf(host, port.ifname);
    assert.ok(['100 PVID Egress Untagged', '200 PVID Egress Untagged'].includes(vlans.join()), vlans.join());
  }
});

vlanTest(group, 'a VLAN without a gateway connects its pods, and has no interface on the host', 'same', (host) => {
  const config = network(host, 100, { isDefaultGateway: false });
  const [one, other] = [addPod(host, config), addPod(host, config)];
  mustReach(one, [other.ipv4, other.ipv6]);
  assert.is(findLink(host.namespace, 'cni0.100'), undefined);
  for (const pod of [one, other]) checkPod(host, pod);
});

vlanTest(group, 'the last pod of a VLAN leaves the gateway, as it leaves the bridge', 'same', (host) => {
  const pod = addPod(host, network(host, 100));
  delPod(host, pod);
  const ports = portsOf(host.namespace, 'cni0').map(({ ifname }) => ifname);
  assert.equal(ports, [getLink(host.namespace, 'cni0.100').link]);
  mustReach(addPod(host, network(host, 100)), gatewaysOf(100));
});

for (const defaultVlan of [0, 1, 20, 100]) {
  const untagged = ' Egress Untagged';
  const kept = defaultVlan === 0 || defaultVlan === 20 ? [] : [`${defaultVlan}${untagged}`];
  for (const [key, vlans] of [
    [{ vlan: 20 }, ['20 PVID Egress Untagged']],
    [{ vlan: 20, vlanTrunk: [{ id: 100 }] }, ['20 PVID Egress Untagged', '100']],
    [{ vlanTrunk: [{ minID: 20, maxID: 22 }] }, ['1 PVID Egress Untagged', '20', '21', '22']],
    [{ vlan: 20, preserveDefaultVlan: true }, ['20 PVID Egress Untagged', ...kept]],
  ] as const) {
    const title = `${JSON.stringify(key)} on a bridge whose default VLAN is ${defaultVlan}`;
    vlanTest(group, `${title}: the port is in its VLANs alone`, MOVED, (host) => {
      addFilteringBridge(host, defaultVlan);
      const pod = addPod(host, host.config(key));
      const sorted = (list: readonly string[]) => [...list].sort();
      assert.equal(sorted(vlansOf(host, hostEndOf(host, pod).ifname)), sorted(vlans));
      checkPod(host, pod);
    });
  }
}

vlanTest(group, 'the gateway of a VLAN is in it alone, whatever the default VLAN of the bridge', MOVED, (host) => {
  addFilteringBridge(host, 100);
  const [pod, stranger] = [addPod(host, network(host, 20)), addPod(host, host.config())];
  mustReach(pod, gatewaysOf(20));
  mustNotReach(stranger, [pod.ipv4]);
  checkPod(host, pod);
  for (const port of portsOf(host.namespace, 'cni0')) {
    const isStrangers = port.ifname === hostEndOf(host, stranger).ifname;
    assert.equal(vlansOf(host, port.ifname), [`${isStrangers ? 100 : 20} PVID Egress Untagged`]);
  }
});

/** Masquerading on the way to the gateway's port loses the packet: the bridge has no address. */
const NOT_BRIDGED = { differs: 'it masquerades frames that are bridged, and they are lost', seen: /no answer/ };
const OWN_KEYS = { absent: 'port mappings and isolation in the bridge plugin' };

/** Whether what goes from port to port of a bridge passes the hooks of IP as well. Needs br_netfilter for '1'. */
function passBridgedThroughHooks(host: Host, value: '0' | '1'): void {
  for (const key of ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables']) {
    host.namespace.setSysctl(`net/bridge/${key}`, value);
  }
}

for (const hooks of ['0', '1'] as const) {
  const title = `mapped ports lead into a VLAN by way of its gateway (bridge-nf-call-iptables ${hooks})`;
  vlanTest(group, title, OWN_KEYS, async (host) => {
    passBridgedThroughHooks(host, hooks);
    const outside = host.addOutside();
    const mapping = { hostPort: 8080, containerPort: 7777, protocol: 'tcp' };
    const config = network(host, 100);
    const pod = addPod(host, { ...config, runtimeConfig: { portMappings: [mapping] } });
    const [neighbour, other] = [addPod(host, config), addPod(host, network(host, 200))];
    for (const [address, hostAddress] of [
      [pod.ipv4, '203.0.113.1'],
      [pod.ipv6, '2001:db8:1::1'],
    ] as const) {
      for (const [from, name] of [
        [outside, 'outside'],
        [host.namespace, 'the host'],
        [neighbour.namespace, 'a neighbour'],
        [other.namespace, 'another VLAN'],
        [pod.namespace, 'itself'],
      ] as const) {
        const via = { address: hostAddress, port: 8080 };
        const reply = await exchange({ from, to: pod.namespace, address, via });
        assert.ok(reply.answered, `from ${name} to ${hostAddress}: ${reply.reason}`);
      }
    }
    const local = { address: '127.0.0.1', port: 8080 };
    const reply = await exchange({ from: host.namespace, to: pod.namespace, address: pod.ipv4, via: local });
    assert.ok(reply.answered, `from the host to 127.0.0.1: ${reply.reason}`);
    checkPod(host, pod);
  });
}

for (const hooks of ['0', '1'] as const) {
  const title = `pods of a VLAN leave as the host with ipMasq (bridge-nf-call-iptables ${hooks})`;
  vlanTest(group, title, hooks === '0' ? 'same' : NOT_BRIDGED, async (host) => {
    passBridgedThroughHooks(host, hooks);
    const outside = host.addOutside();
    const pod = addPod(host, network(host, 100, { ipMasq: true }));
    for (const [address, hostAddress] of [
      ['203.0.113.2', '203.0.113.1'],
      ['2001:db8:1::2', '2001:db8:1::1'],
    ] as const) {
      const reply = await exchange({ from: pod.namespace, to: outside, address });
      assert.equal([reply.answered, reply.seenFrom], [true, hostAddress], reply.reason);
    }
    checkPod(host, pod);
  });
}

vlanTest(group, 'icc false keeps the pods of a VLAN apart, and leaves them the gateway', OWN_KEYS, (host) => {
  const config = network(host, 100, { icc: false });
  const [one, other] = [addPod(host, config), addPod(host, config)];
  mustReach(one, gatewaysOf(100));
  mustNotReach(one, [other.ipv4, other.ipv6]);
  // Nor by way of the host, when the pod sends to the gateway what is for its neighbour.
  one.namespace.ip('route', 'add', `${other.ipv4}/32`, 'via', '10.100.0.1');
  one.namespace.ip('route', 'add', `${other.ipv6}/128`, 'via', 'fd00:100::1');
  mustNotReach(one, [other.ipv4, other.ipv6]);
  checkPod(host, one);
});

vlanTest(group, 'internal keeps the pods of a VLAN in it', OWN_KEYS, (host) => {
  const outside = host.addOutside();
  for (const vlan of [100, 200]) {
    for (const [i, family] of ['-4', '-6'].entries()) {
      const subnet = [`10.${vlan}.0.0/24`, `fd00:${vlan}::/64`][i] ?? '';
      outside.ip(family, 'route', 'add', subnet, 'via', ['203.0.113.1', '2001:db8:1::1'][i] ?? '');
    }
  }
  const config = network(host, 100, { internal: true });
  const [one, other] = [addPod(host, { ...config, isDefaultGateway: false, isGateway: true }), addPod(host, config)];
  const open = addPod(host, network(host, 200));
  mustReach(open, ['203.0.113.2', '2001:db8:1::2']);
  mustReach(one, [...gatewaysOf(100), other.ipv4, other.ipv6]);
  mustNotReach(other, ['203.0.113.2', '2001:db8:1::2', open.ipv4, open.ipv6]);
});

vlanTest(group, 'ADDs at the same time on a VLAN that is new make one gateway', 'same', async (host) => {
  const config = network(host, 100);
  const containers = Array.from({ length: 6 }, () => host.addContainer());
  const outcomes = await Promise.all(containers.map((container) => host.start('ADD', { config, container })));
  for (const outcome of outcomes) resultOf(outcome, config);
  for (const container of containers) {
    for (const address of gatewaysOf(100)) assert.ok(canPing(container, address), `${container.name} to ${address}`);
  }
  assert.is(portsOf(host.namespace, 'cni0').length, containers.length + 1);
});

vlanTest(group, 'a bridge whose name leaves no room for the gateway is refused, others are not', OWN_KEYS, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const long = network(host, 100, { bridge: 'bridge-of-14-b' });
  mustRefuse(host, 'ADD', { config: long, container }, 7, /"bridge".*"bridge-of-14-b\.100" can have 15 bytes/);
  mustBeEmpty(host.changesSince(before), 'changed by the refused ADD');
  // Without a gateway nothing needs the name, and isolation does without it.
  const mapping = { hostPort: 8080, containerPort: 7777, protocol: 'tcp' };
  const keys = { isDefaultGateway: false, icc: false, internal: true, runtimeConfig: { portMappings: [mapping] } };
  checkPod(host, addPod(host, { ...long, ...keys }));
  mustReach(addPod(host, network(host, 100, { bridge: 'bridge-11-b' })), gatewaysOf(100));
});

group.run();
