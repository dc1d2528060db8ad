// CHECK passes after ADD, changes nothing, and raises no alarm about what others may do.

import { attachBesideNeighbour } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('CHECK');

const SHAPES: readonly (readonly [string, Reference, (host: Host) => Config])[] = [
  ['IPv4', 'same', (host) => ({ ipMasq: false, ipam: host.hostLocal() })],
  ['both families', 'same', () => ({ ipMasq: false })],
  ['masquerading', 'same', () => ({})],
  ['hairpin mode', 'same', () => ({ hairpinMode: true, ipMasq: false })],
  [
    'no IPAM',
    { differs: 'its CHECK of an L2 network always fails', seen: /no plugin name provided/ },
    () => ({ ipam: undefined, isDefaultGateway: false, ipMasq: false }),
  ],
  [
    'no IPAM and the interface left down',
    { differs: 'it has no such key in 1.1.1, and no CHECK without IPAM', seen: /no plugin name provided/ },
    () => ({ ipam: undefined, isDefaultGateway: false, ipMasq: false, disableContainerInterface: true }),
  ],
];
for (const [what, reference, shape] of SHAPES) {
  test(`passes after an ADD with ${what}, and changes nothing`, reference, (host) => {
    const { pod, later } = attachBesideNeighbour(host, shape(host));
    const before = host.snapshot();
    mustPass(host, 'CHECK', { config: later, container: pod });
    mustBeEmpty(host.changesSince(before), 'changed by CHECK');
  });
}

test('raises no alarm about what others may do', { differs: 'promiscuity alarms it', seen: /promisc/i }, (host) => {
  const { pod, later, result } = attachBesideNeighbour(host);
  const hostEnd = result.interfaces?.[1]?.name ?? '';
  host.namespace.ip('link', 'set', 'cni0', 'promisc', 'on');
  host.namespace.ip('link', 'set', hostEnd, 'promisc', 'on');
  pod.ip('link', 'set', 'eth0', 'promisc', 'on');
  pod.ip('addr', 'add', '10.77.0.200/24', 'dev', 'eth0');
  pod.ip('addr', 'add', '192.0.2.1/32', 'dev', 'eth0');
  pod.ip('route', 'add', '198.51.100.0/24', 'via', '10.77.0.1');
  pod.ip('link', 'add', 'extra0', 'type', 'veth', 'peer', 'name', 'extra1');
  host.namespace.ip('addr', 'add', '10.88.0.1/24', 'dev', 'cni0');
  host.namespace.ip('link', 'set', 'cni0', 'mtu', '1400');
  host.namespace.mustRun('nft', ['add', 'table', 'inet', 'foreign']);
  mustPass(host, 'CHECK', { config: later, container: pod });
});

test('still passes for the one when another container comes and goes', 'same', (host) => {
  const { pod, config, later } = attachBesideNeighbour(host);
  const other = host.addContainer('other');
  const result = mustAdd(host, { config, container: other });
  mustPass(host, 'CHECK', { config: later, container: pod });
  mustPass(host, 'DEL', { config: withPrevResult(config, result), container: other });
  mustPass(host, 'CHECK', { config: later, container: pod });
});

test('without prevResult: code 7', 'same', (host) => {
  const { pod, config } = attachBesideNeighbour(host);
  mustRefuse(host, 'CHECK', { config, container: pod }, 7, /prevResult/);
});

test('without the namespace: code 4', 'same', (host) => {
  const { pod, later } = attachBesideNeighbour(host);
  mustRefuse(host, 'CHECK', { config: later, container: pod, netns: '/run/netns/nowhere' }, 4, /CNI_NETNS/);
});

run();
