// The keys of bridge mode that set up the bridge and the container's port on it.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import { addPod, checkPod, delPod, hostEndOf } from '../harness/pod.ts';
import { getLink, portFlag, portsOf } from '../harness/referee.ts';
import { canPing, exchange, SILENCE_TIMEOUT_MS } from '../harness/traffic.ts';
import { mustBeEmpty, mustRefuse } from '../harness/verdict.ts';
import { canFilterVlans, vlansOf, vlanTest } from '../harness/vlan.ts';

const group = cases('bridge keys: port');
const { test, run } = group;

for (const [key, flag] of [
  ['hairpinMode', 'hairpin'],
  ['portIsolation', 'isolated'],
] as const) {
  // Debian's 1.1.1 does not know portIsolation yet.
  const reference = key === 'hairpinMode' ? 'same' : { absent: 'portIsolation in 1.1.1' };
  test(`${key} is the flag of the port, off unless asked for`, reference, (host) => {
    const [plain, flagged] = [addPod(host, host.config()), addPod(host, host.config({ [key]: true }))];
    assert.not(portFlag(host.namespace, hostEndOf(host, plain).ifname, flag));
    assert.ok(portFlag(host.namespace, hostEndOf(host, flagged).ifname, flag));
    checkPod(host, flagged);
  });
}

test('isolated pods do not reach each other, but the gateway and those that are not isolated', {
  absent: 'portIsolation in 1.1.1',
}, async (host) => {
  const config = host.config({ isGateway: true, ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']) });
  const isolated = { ...config, portIsolation: true };
  const [one, other, open] = [addPod(host, isolated), addPod(host, isolated), addPod(host, config)];
  for (const address of [other.ipv4, other.ipv6]) {
    assert.not(canPing(one.namespace, address, SILENCE_TIMEOUT_MS), `one reaches ${address}`);
  }
  const silence = { from: one.namespace, to: other.namespace, timeoutMs: SILENCE_TIMEOUT_MS };
  assert.not((await exchange({ ...silence, address: other.ipv4 })).answered);
  for (const pod of [one, other]) {
    for (const address of ['10.77.0.1', 'fd00:77::1', open.ipv4, open.ipv6]) {
      assert.ok(canPing(pod.namespace, address), `${pod.ipv4} does not reach ${address}`);
    }
  }
});

test('promiscMode is of the bridge, and stays when a network without it comes', 'same', (host) => {
  const isPromiscuous = (): boolean => getLink(host.namespace, 'cni0').flags.includes('PROMISC');
  addPod(host, host.config());
  assert.not(isPromiscuous());
  const pod = addPod(host, host.config({ promiscMode: true }));
  assert.ok(isPromiscuous());
  checkPod(host, pod);
  addPod(host, host.config());
  assert.ok(isPromiscuous());
});

test('hairpinMode and promiscMode together are refused, and nothing changes', 'same', (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const config = host.config({ hairpinMode: true, promiscMode: true });
  mustRefuse(host, 'ADD', { config, container }, 7, /promiscMode.*hairpinMode/);
  mustBeEmpty(host.changesSince(before), 'changed by the refused ADD');
});

test('a bridge that was made keeps its MAC address whatever ports come', {
  differs: 'the kernel gives it that of the lowest port, so that pods lose their gateway',
  seen: /02:00:00:00:00:01/,
}, (host) => {
  const pod = addPod(host, host.config());
  const { address } = getLink(host.namespace, 'cni0');
  host.namespace.ip('link', 'add', 'p0', 'address', '02:00:00:00:00:01', 'type', 'veth', 'peer', 'name', 'p1');
  host.namespace.ip('link', 'set', 'p0', 'master', 'cni0', 'up');
  assert.is(getLink(host.namespace, 'cni0').address, address);
  checkPod(host, pod);
});

test('mtu is of both ends, and of the bridge when that is made', 'same', (host) => {
  const pod = addPod(host, host.config({ mtu: 1400 }));
  assert.is(getLink(pod.namespace, 'eth0').mtu, 1400);
  assert.is(hostEndOf(host, pod).mtu, 1400);
  assert.is(getLink(host.namespace, 'cni0').mtu, 1400);
  checkPod(host, pod);
});

test('mtu 9000 passes frames of that size', 'same', (host) => {
  const config = host.config({ mtu: 9000, isGateway: true });
  const [one, other] = [addPod(host, config), addPod(host, config)];
  const ping = (address: string): number =>
    one.namespace.run('ping', ['-n', '-c', '1', '-W', '3', '-M', 'do', '-s', '8972', address]).code;
  assert.is(ping(other.ipv4), 0);
  assert.is(ping('10.77.0.1'), 0);
});

/** A reservation that was given back leaves where the next is looked for; locks leave the empty file that is locked. */
function isChange(line: string): boolean {
  return !/^\+ (folder|file \S+\/(lock ""|locks\/|last_reserved_ip\.\d+ ))/.test(line);
}

const LATER_VLANS = { absent: 'vlanTrunk, and ports taken out of the default VLAN, in 1.1.1' };

for (const [key, vlans] of [
  [{ vlan: 100 }, ['100 PVID Egress Untagged']],
  [{ vlanTrunk: [{ id: 5 }, { minID: 7, maxID: 8 }] }, ['1 PVID Egress Untagged', '5', '7', '8']],
] as const) {
  const asked = JSON.stringify(key);

  test(`${asked} puts the port in these VLANs, or is refused where the kernel cannot filter`, LATER_VLANS, (host) => {
    const container = host.addContainer();
    const config = host.config(key);
    if (canFilterVlans(host)) {
      const pod = addPod(host, config, { container });
      assert.equal(vlansOf(host, hostEndOf(host, pod).ifname), vlans);
      delPod(host, pod);
      return;
    }
    const before = host.snapshot();
    mustRefuse(host, 'ADD', { config, container }, 100, /VLAN filtering/);
    mustBeEmpty(host.changesSince(before).filter(isChange), 'left by the refused ADD');
  });

  test(
    `${asked} on a bridge that does not filter is refused, and nothing changes`,
    'vlanTrunk' in key
      ? LATER_VLANS
      : { differs: 'has no effect, silently, or leaves half', seen: /not refused|changed by/ },
    (host) => {
      host.namespace.ip('link', 'add', 'cni0', 'type', 'bridge');
      host.namespace.ip('link', 'set', 'cni0', 'up');
      const container = host.addContainer();
      const before = host.snapshot();
      mustRefuse(host, 'ADD', { config: host.config(key), container }, 100, /VLANs on bridge "cni0".*does not filter/);
      mustBeEmpty(host.changesSince(before).filter(isChange), 'changed by the refused ADD');
    },
  );
}

vlanTest(
  group,
  'the gateway of a VLAN is a link of its own on the host, reached by the pods of that VLAN alone',
  'same',
  (host) => {
    const config = (vlan: number): Config => host.config({ vlan, isGateway: true });
    const [inside, outside] = [addPod(host, config(100)), addPod(host, { ...config(200), isGateway: false })];
    assert.ok(canPing(inside.namespace, '10.77.0.1'));
    assert.not(canPing(outside.namespace, '10.77.0.1', SILENCE_TIMEOUT_MS));
    assert.not(canPing(outside.namespace, inside.ipv4, SILENCE_TIMEOUT_MS));
  },
);

test('vlan 0 is none', 'same', (host) => {
  addPod(host, host.config({ vlan: 0 }));
  assert.is(getLink(host.namespace, 'cni0').linkinfo?.info_data?.vlan_filtering, 0);
  assert.is(portsOf(host.namespace, 'cni0').length, 1);
});

run();
