// macspoofchk: what a container sends with another MAC than its own goes nowhere, and nobody takes it for another.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import type { Namespace } from '../harness/namespace.ts';
import { watchArrivals } from '../harness/packet-watch.ts';
import { addPod, checkPod, delPod, hostEndOf, type Pod } from '../harness/pod.ts';
import { withQuickIpv6 } from '../harness/quick-ipv6.ts';
import { canPing } from '../harness/traffic.ts';

const { test, run } = withQuickIpv6(cases('MAC addresses that are not the own'));

function network(host: Host, more: Config = {}): Config {
  return host.config({
    isDefaultGateway: true,
    macspoofchk: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    ...more,
  });
}

function macOf({ namespace }: Pod): string {
  return namespace.ipJson<{ address: string }>('link', 'show', 'dev', 'eth0')[0]?.address ?? '';
}

function takeMac(namespace: Namespace, mac: string): void {
  namespace.ip('link', 'set', 'eth0', 'address', mac);
}

/** The port behind which the bridge believes a MAC to be. */
function learnedPort(host: Host, mac: string): string | undefined {
  const entries = host.namespace.bridgeJson<{ mac: string; ifname: string; state?: string }>(
    'fdb',
    'show',
    'br',
    'cni0',
  );
  return entries.find((entry) => entry.mac === mac && entry.state !== 'permanent')?.ifname;
}

test('with its own MAC a pod is not hindered, and its frames are checked', 'same', (host) => {
  const [pod, neighbour] = [addPod(host, network(host)), addPod(host, network(host))];
  for (const address of ['10.77.0.1', neighbour.ipv4, 'fd00:77::1', neighbour.ipv6]) {
    assert.ok(canPing(pod.namespace, address), address);
  }
});

test(
  "with a neighbour's MAC nothing arrives, and the bridge does not send it what is the neighbour's",
  'same',
  (host) => {
    const [pod, neighbour] = [addPod(host, network(host)), addPod(host, network(host, { macspoofchk: false }))];
    assert.ok(canPing(neighbour.namespace, '10.77.0.1'));
    const mac = macOf(neighbour);
    const port = hostEndOf(host, neighbour).ifname;
    assert.is(learnedPort(host, mac), port);
    const arrivals = [host.namespace, neighbour.namespace].flatMap((where) => [
      watchArrivals(where, `ip saddr ${pod.ipv4}`),
      watchArrivals(where, `ip6 saddr ${pod.ipv6}`),
    ]);
    takeMac(pod.namespace, mac);
    for (const address of ['10.77.0.1', neighbour.ipv4, 'fd00:77::1', neighbour.ipv6]) {
      assert.not(canPing(pod.namespace, address, 300), address);
    }
    assert.equal(
      arrivals.map((count) => count()),
      [0, 0, 0, 0],
    );
    assert.is(learnedPort(host, mac), port);
  },
);

test('ARP in the name of another MAC goes nowhere, though the frame has its own', {
  differs: "looks at the frame's source alone",
  seen: /what is believed/,
}, (host) => {
  const [pod, neighbour] = [addPod(host, network(host)), addPod(host, network(host, { macspoofchk: false }))];
  const believed = (): string => {
    pod.namespace.ip('neigh', 'flush', 'dev', 'eth0');
    neighbour.namespace.ip('neigh', 'flush', 'dev', 'eth0');
    canPing(pod.namespace, neighbour.ipv4, 300);
    return neighbour.namespace.ip('neigh', 'show', pod.ipv4);
  };
  assert.match(believed(), macOf(pod), 'before it lies');
  const liar =
    'table arp liar { chain out { type filter hook output priority 0; arp saddr ether set 02:00:00:00:00:77; }; }';
  pod.namespace.mustRun('nft', ['-f', '-'], { input: liar });
  assert.not.match(believed(), '02:00:00:00:00:77', 'what is believed');
});

test('a pod without macspoofchk beside it may do as it likes', 'same', (host) => {
  addPod(host, network(host));
  const free = addPod(host, network(host, { macspoofchk: false }));
  takeMac(free.namespace, '02:00:00:00:00:66');
  assert.ok(canPing(free.namespace, '10.77.0.1'));
});

test('CHECK passes, and DEL takes the check away with the pod', {
  differs: 'its DEL without the namespace leaves the rules',
  seen: /left after DEL/,
}, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const pod = addPod(host, network(host), { container });
  checkPod(host, pod);
  delPod(host, { ...pod, invocation: { ...pod.invocation, netns: '' } });
  mustLeaveNothing(host, before);
});

run();
