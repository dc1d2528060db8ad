// CHECK fails with code 101 and names what is damaged: one damage each, and all at once.

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Attachment, attachBesideNeighbour, everyFeature } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { ownedElementsOf } from '../harness/owned-element.ts';
import { mustPass, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('CHECK of what is damaged');

const MISSED: Reference = { differs: 'it does not look at that', seen: /CHECK is not refused/ };
const SEEN: Reference = 'same';
const ABSENT: Reference = { absent: 'its own nftables table' };

interface Damage {
  readonly what: string;
  readonly reference: Reference;
  readonly pattern: RegExp;
  inflict(host: Host, attachment: Attachment & { readonly hostEnd: string }): void;
}

const DAMAGES: readonly Damage[] = [
  {
    what: 'the IPv4 address removed',
    reference: SEEN,
    pattern: /10\.77\.0\.3\/24/,
    inflict: (_, { pod }) => pod.ip('addr', 'del', '10.77.0.3/24', 'dev', 'eth0'),
  },
  {
    what: 'the IPv6 address removed',
    reference: SEEN,
    pattern: /fd00:77::3\/64/,
    inflict: (_, { pod }) => pod.ip('addr', 'del', 'fd00:77::3/64', 'dev', 'eth0'),
  },
  {
    what: "the container's end down",
    reference: SEEN,
    pattern: /interface "eth0" is down/,
    inflict: (_, { pod }) => pod.ip('link', 'set', 'eth0', 'down'),
  },
  {
    what: "the host's end down",
    reference: MISSED,
    pattern: /host interface "veth\w+" is down/,
    inflict: (host, { hostEnd }) => host.namespace.ip('link', 'set', hostEnd, 'down'),
  },
  {
    what: 'the pair removed',
    reference: SEEN,
    pattern: /interface "eth0" is gone/,
    inflict: (_, { pod }) => pod.ip('link', 'del', 'eth0'),
  },
  {
    what: 'another link in its place',
    reference: SEEN,
    pattern: /interface "eth0"/,
    inflict(_, { pod }) {
      pod.ip('link', 'del', 'eth0');
      pod.ip('link', 'add', 'eth0', 'type', 'bridge');
    },
  },
  {
    what: 'another MAC address',
    reference: SEEN,
    pattern: /"eth0" has MAC 02:00:00:00:00:99/,
    inflict: (_, { pod }) => pod.ip('link', 'set', 'eth0', 'address', '02:00:00:00:00:99'),
  },
  {
    what: 'the port off the bridge',
    reference: SEEN,
    pattern: /"veth\w+" is not a port of bridge "cni0"/,
    inflict: (host, { hostEnd }) => host.namespace.ip('link', 'set', hostEnd, 'nomaster'),
  },
  {
    what: 'the default route removed',
    reference: SEEN,
    pattern: /route 0\.0\.0\.0\/0/,
    inflict: (_, { pod }) => pod.ip('route', 'del', 'default'),
  },
  {
    what: 'the default route through another gateway',
    reference: MISSED,
    pattern: /route 0\.0\.0\.0\/0/,
    inflict: (_, { pod }) => pod.ip('route', 'replace', 'default', 'via', '10.77.0.2'),
  },
  {
    what: 'the IPv6 default route removed',
    reference: SEEN,
    pattern: /route ::\/0/,
    inflict: (_, { pod }) => pod.ip('-6', 'route', 'del', 'default'),
  },
  {
    what: 'hairpin mode turned on',
    reference: MISSED,
    pattern: /hairpinMode true, the configuration says false/,
    inflict: (host, { hostEnd }) => host.namespace.mustRun('bridge', ['link', 'set', 'dev', hostEnd, 'hairpin', 'on']),
  },
  {
    what: 'the port isolated',
    reference: MISSED,
    pattern: /portIsolation true, the configuration says false/,
    inflict: (host, { hostEnd }) => host.namespace.mustRun('bridge', ['link', 'set', 'dev', hostEnd, 'isolated', 'on']),
  },
  {
    what: 'the gateway address removed',
    reference: MISSED,
    pattern: /gateway address 10\.77\.0\.1 is gone from "cni0"/,
    inflict: (host) => host.namespace.ip('addr', 'del', '10.77.0.1/24', 'dev', 'cni0'),
  },
  {
    what: 'the bridge down',
    reference: MISSED,
    pattern: /bridge "cni0" is down/,
    inflict: (host) => host.namespace.ip('link', 'set', 'cni0', 'down'),
  },
  {
    what: 'the bridge removed',
    reference: SEEN,
    pattern: /bridge "cni0" is gone/,
    inflict: (host) => host.namespace.ip('link', 'del', 'cni0'),
  },
  {
    what: 'forwarding turned off',
    reference: MISSED,
    pattern: /does not forward IPv4/,
    inflict: (host) => host.namespace.setSysctl('net/ipv4/ip_forward', '0'),
  },
  {
    what: 'a reservation removed',
    reference: MISSED,
    pattern: /10\.77\.0\.3 is not reserved/,
    inflict: (host) => rmSync(join(host.dataDir, 'pods', '10.77.0.3')),
  },
  {
    what: "a reservation that is another owner's",
    reference: MISSED,
    pattern: /10\.77\.0\.3 is not reserved.*held by another container/,
    inflict: (host) => writeFileSync(join(host.dataDir, 'pods', '10.77.0.3'), 'somebody\r\neth0'),
  },
  {
    what: 'the nftables table deleted',
    reference: ABSENT,
    pattern: /table inet podlink is missing/,
    inflict: (host) => host.namespace.mustRun('nft', ['delete', 'table', 'inet', 'podlink']),
  },
  {
    what: 'the rules flushed',
    reference: ABSENT,
    pattern: /chain|rule/,
    inflict: (host) => host.namespace.mustRun('nft', ['flush', 'table', 'inet', 'podlink']),
  },
  {
    what: 'one nftables element deleted',
    reference: ABSENT,
    pattern: /element 10\.77\.0\.3 of set masquerade_v4 is missing/,
    inflict: (host) => nftElement(host, 'delete', 'masquerade_v4', '10.77.0.3'),
  },
  {
    what: "an nftables element that is another owner's",
    reference: ABSENT,
    pattern: /element fd00:77::3 of set masquerade_v6 belongs to another attachment/,
    inflict(host) {
      nftElement(host, 'delete', 'masquerade_v6', 'fd00:77::3');
      nftElement(host, 'add', 'masquerade_v6', 'fd00:77::3 comment "somebody"');
    },
  },
];

function nftElement(host: Host, verb: string, set: string, element: string): void {
  host.namespace.mustRun('nft', [verb, 'element', 'inet', 'podlink', set, `{ ${element} }`]);
}

for (const { what, reference, pattern, inflict } of DAMAGES) {
  test(`names the damage: ${what}`, reference, (host) => {
    const attachment = attachBesideNeighbour(host);
    inflict(host, { ...attachment, hostEnd: attachment.result.interfaces?.[1]?.name ?? '' });
    mustRefuse(host, 'CHECK', { config: attachment.later, container: attachment.pod }, 101, pattern);
  });
}

test('names every element that is missing, of each feature', ABSENT, (host) => {
  const { pod, later } = attachBesideNeighbour(host, everyFeature(9000), everyFeature(8000));
  mustPass(host, 'CHECK', { config: later, container: pod });
  const own = ownedElementsOf(host.namespace).filter(({ owner }) => owner === `pods/${pod.name}/eth0`);
  assert.ok(own.length > 20, `only ${own.length} elements`);
  own.forEach(({ family, set, key }, i) => {
    host.namespace.mustRun('nft', ['delete', 'element', family, 'podlink', set, `{ ${key} }`]);
    const { msg } = mustRefuse(host, 'CHECK', { config: later, container: pod }, 101, /element .* is missing/);
    const named = [...msg.matchAll(/element (\S.*?) of set (\w+) is missing/g)].map((match) => match[2]);
    const deleted = own.slice(0, i + 1).map((element) => element.set);
    assert.equal(named.sort(), deleted.sort(), msg);
  });
});

test('names all damages at once', ABSENT, (host) => {
  const { pod, later } = attachBesideNeighbour(host);
  host.namespace.ip('addr', 'del', '10.77.0.1/24', 'dev', 'cni0');
  nftElement(host, 'delete', 'masquerade_v4', '10.77.0.3');
  pod.ip('addr', 'add', '10.77.0.99/24', 'dev', 'eth0');
  pod.ip('addr', 'del', '10.77.0.3/24', 'dev', 'eth0');
  const all = /gateway address 10\.77\.0\.1.*10\.77\.0\.3\/24.*element 10\.77\.0\.3/s;
  mustRefuse(host, 'CHECK', { config: later, container: pod }, 101, all);
});

run();
