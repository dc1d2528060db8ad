// VLANs that somebody has changed since ADD: CHECK names each damage, `repair` mends it. And an ADD that fails takes
// back the gateway of a VLAN that it made, but none that others use.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { mustRun } from '../harness/command.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustSay, mustTell } from '../harness/operator-command.ts';
import { addPod, checkPod, hostEndOf, type Pod } from '../harness/pod.ts';
import { findLink, getLink, portsOf } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';
import { mustBeEmpty, mustRefuse, withPrevResult } from '../harness/verdict.ts';
import { vlanTest } from '../harness/vlan.ts';

const group = cases('VLAN damage');

const NOT_CHECKED = { differs: 'CHECK looks at no VLAN', seen: /CHECK is not refused|no interface/ };
const OWN = { absent: 'repair, and an ADD that takes back what it made' };

function network(host: Host, more: Config = {}): Config {
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']);
  return host.config({ vlan: 100, isDefaultGateway: true, ipam, ...more });
}

function mustReachGateway(pod: Pod): void {
  for (const address of ['10.77.0.1', 'fd00:77::1']) assert.ok(canPing(pod.namespace, address), address);
}

/** The port of the bridge whose other end is the gateway. */
function gatewayPortOf(host: Host): string {
  const { link } = getLink(host.namespace, 'cni0.100');
  if (link === undefined) throw new Error('The gateway has no other end on the host');
  return link;
}

function bridge(host: Host, ...args: string[]): void {
  mustRun('bridge', ['-n', host.namespace.name, ...args]);
}

interface Damage {
  readonly title: string;
  readonly says: RegExp;
  cause(host: Host, pod: Pod): void;
}

const DAMAGES: readonly Damage[] = [
  {
    title: "the port's VLANs are gone",
    says: /host interface "veth\w+" is not in VLAN 100 of bridge "cni0"/,
    cause: (host, pod) => bridge(host, 'vlan', 'del', 'vid', '100', 'dev', hostEndOf(host, pod).ifname),
  },
  {
    title: 'the port is in its VLAN with a tag',
    says: /host interface "veth\w+" is in VLAN 100 .*tag/,
    cause: (host, pod) => bridge(host, 'vlan', 'add', 'vid', '100', 'dev', hostEndOf(host, pod).ifname),
  },
  {
    title: 'the port is in another VLAN as well',
    says: /host interface "veth\w+" is in VLAN 7 of bridge "cni0", which the configuration does not name/,
    cause: (host, pod) => bridge(host, 'vlan', 'add', 'vid', '7', 'untagged', 'dev', hostEndOf(host, pod).ifname),
  },
  {
    title: 'the bridge does not filter any more',
    says: /bridge "cni0" does not filter by VLAN/,
    cause: (host) => host.namespace.ip('link', 'set', 'cni0', 'type', 'bridge', 'vlan_filtering', '0'),
  },
  {
    title: "the gateway's port is off the bridge",
    says: /"veth\w+", the port of gateway "cni0\.100", is not a port of bridge "cni0"/,
    cause: (host) => host.namespace.ip('link', 'set', gatewayPortOf(host), 'nomaster'),
  },
  {
    title: "the gateway's port is down",
    says: /"veth\w+", the port of gateway "cni0\.100", is down/,
    cause: (host) => host.namespace.ip('link', 'set', gatewayPortOf(host), 'down'),
  },
  {
    title: "the gateway's port is out of its VLAN",
    says: /"veth\w+", the port of gateway "cni0\.100", is not in VLAN 100/,
    cause: (host) => bridge(host, 'vlan', 'del', 'vid', '100', 'dev', gatewayPortOf(host)),
  },
  {
    title: "the gateway's port is in another VLAN as well",
    says: /"veth\w+", the port of gateway "cni0\.100", is in VLAN 1 of bridge/,
    cause: (host) => bridge(host, 'vlan', 'add', 'vid', '1', 'dev', gatewayPortOf(host)),
  },
  {
    title: 'the gateway is down',
    says: /gateway "cni0\.100" is down/,
    cause: (host) => host.namespace.ip('link', 'set', 'cni0.100', 'down'),
  },
  {
    title: 'the gateway has lost its addresses',
    says: /gateway address 10\.77\.0\.1 is gone from "cni0\.100"/,
    cause: (host) => host.namespace.ip('addr', 'flush', 'dev', 'cni0.100'),
  },
  {
    title: 'the gateway has another MAC',
    says: /gateway "cni0\.100" has MAC 02:00:00:00:00:99/,
    cause: (host) => host.namespace.ip('link', 'set', 'cni0.100', 'address', '02:00:00:00:00:99'),
  },
  {
    title: 'the gateway is gone',
    says: /gateway "cni0\.100" of VLAN 100 is gone/,
    cause: (host) => host.namespace.ip('link', 'del', 'cni0.100'),
  },
  {
    title: "the bridge is gone, which the gateway's pair outlives",
    says: /bridge "cni0" is gone/,
    cause: (host) => host.namespace.ip('link', 'del', 'cni0'),
  },
];

vlanTest(group, 'CHECK names each damage to a VLAN, and repair mends it', OWN, (host) => {
  const [pod, neighbour] = [addPod(host, network(host)), addPod(host, network(host))];
  const reachAll = (): void => {
    // The pods' entries for the addresses of their gateway are as old as the pods: they must still hold.
    for (const each of [pod, neighbour]) mustReachGateway(each);
    assert.ok(canPing(pod.namespace, neighbour.ipv4), 'the neighbour');
  };
  reachAll();
  const check = { ...pod.invocation, config: withPrevResult(pod.config, pod.result) };
  const faults = DAMAGES.flatMap(({ title, says, cause }) => {
    try {
      cause(host, pod);
      mustRefuse(host, 'CHECK', check, 101, says);
      const repairs = mustTell<{ found: string[]; left: string[] }[]>(host, ['repair']);
      assert.match(repairs.flatMap(({ found }) => found).join('\n'), says);
      assert.equal(
        repairs.flatMap(({ left }) => left),
        [],
      );
      checkPod(host, pod);
      reachAll();
      return [];
    } catch (error) {
      return [`${title}: ${error instanceof Error ? error.message : error}`];
    }
  });
  mustBeEmpty(faults, `${faults.length} of ${DAMAGES.length} damages`);
  assert.match(mustSay(host, ['repair']), /^2 attachments: 2 sound$/m);
});

vlanTest(group, 'CHECK of the gateway of a VLAN, whose port is off the bridge', NOT_CHECKED, (host) => {
  const pod = addPod(host, network(host, { ipam: host.hostLocal() }));
  host.namespace.ip('link', 'set', gatewayPortOf(host), 'nomaster');
  const check = { ...pod.invocation, config: withPrevResult(pod.config, pod.result) };
  mustRefuse(host, 'CHECK', check, 101, /gateway "cni0\.100"/);
});

const TAKEN = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] };
/** Where the next address is looked for may differ, and files that are only there to be locked do no harm. */
const HARMLESS = /last_reserved_ip\.\d+ |^\+ file \S+\/(lock|locks\/\S+) ""|^\+ folder |sysctl/;

vlanTest(group, 'an ADD that fails late leaves no gateway of a VLAN that it was the first of', OWN, (host) => {
  const plain = host.config({ name: 'plain', vlan: 200, runtimeConfig: TAKEN });
  addPod(host, plain);
  const container = host.addContainer();
  const before = host.snapshot();
  mustRefuse(host, 'ADD', { config: network(host, { runtimeConfig: TAKEN }), container }, 11, /8080/);
  const left = host.changesSince(before).filter((line) => !HARMLESS.test(line));
  mustBeEmpty(left, 'left by the failed ADD');
  assert.is(findLink(host.namespace, 'cni0.100'), undefined);
  const pod = addPod(host, network(host), { container });
  mustReachGateway(pod);
  checkPod(host, pod);
});

vlanTest(group, 'an ADD that fails late leaves the gateway to those who use it', OWN, (host) => {
  const first = addPod(host, network(host, { runtimeConfig: TAKEN }));
  const container = host.addContainer();
  mustRefuse(host, 'ADD', { config: network(host, { runtimeConfig: TAKEN }), container }, 11, /8080/);
  mustReachGateway(first);
  checkPod(host, first);
});

for (const [title, damage] of [
  ['whose port is off the bridge', ['nomaster']],
  ['whose port is down', ['down']],
] as const) {
  vlanTest(group, `ADD puts a gateway right that is there, ${title}`, OWN, (host) => {
    const first = addPod(host, network(host));
    host.namespace.ip('link', 'set', gatewayPortOf(host), ...damage);
    for (const pod of [addPod(host, network(host)), first]) {
      mustReachGateway(pod);
      checkPod(host, pod);
    }
  });
}

vlanTest(group, 'an interface of somebody else with the name of the gateway is refused and stays', OWN, (host) => {
  for (const [words, says] of [
    [['type', 'dummy'], /"cni0\.100" .*already exists but is not a veth/],
    [['type', 'veth', 'peer', 'name', 'theirs0'], /"cni0\.100" .*other end "theirs0" is not a port of bridge "cni0"/],
    [
      ['type', 'veth', 'peer', 'name', 'eth9', 'netns', addPod(host, host.config({ vlan: 7 })).namespace.name],
      /"cni0\.100" .*other end is in another namespace/,
    ],
  ] as const) {
    host.namespace.ip('link', 'add', 'cni0.100', ...words);
    const container = host.addContainer();
    const before = host.snapshot();
    mustRefuse(host, 'ADD', { config: network(host), container }, 102, says);
    const left = host.changesSince(before).filter((line) => !HARMLESS.test(line));
    mustBeEmpty(left, 'changed by the refused ADD');
    host.namespace.ip('link', 'del', 'cni0.100');
  }
  mustReachGateway(addPod(host, network(host)));
});

vlanTest(group, "an operator's own veth pair in the VLAN is taken as its gateway", OWN, (host) => {
  addPod(host, host.config({ name: 'plain', vlan: 100 }));
  host.namespace.ip('link', 'add', 'cni0.100', 'up', 'type', 'veth', 'peer', 'name', 'theirs0');
  host.namespace.ip('link', 'set', 'theirs0', 'up', 'master', 'cni0');
  bridge(host, 'vlan', 'del', 'vid', '1', 'dev', 'theirs0');
  bridge(host, 'vlan', 'add', 'vid', '100', 'pvid', 'untagged', 'dev', 'theirs0');
  const pod = addPod(host, network(host));
  mustReachGateway(pod);
  checkPod(host, pod);
  assert.is(portsOf(host.namespace, 'cni0').length, 3);
});

group.run();
