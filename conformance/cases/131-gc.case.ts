// GC: what belongs to no valid attachment of the network goes: link, reservation, nftables elements, record; nothing else.

import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { attachBesideNeighbour, everyFeature, mustBeAsBefore } from '../harness/attachment.ts';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { elementOwnersOf } from '../harness/nftables.ts';
import { addPod, checkPod, hostEndOf, type Pod } from '../harness/pod.ts';
import { findLink, portsOf } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';
import { mustBeEmpty, mustPass, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('GC');
const ABSENT = { absent: 'GC' };
const VALID = 'cni.dev/valid-attachments';

function network(host: Host, overrides: Config = {}): Config {
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']);
  return host.config({ cniVersion: '1.1.0', isDefaultGateway: true, ipMasq: true, ipam, ...overrides });
}

const attachmentOf = (pod: Pod) => ({ containerID: pod.namespace.name, ifname: pod.invocation.ifname ?? 'eth0' });

function collect(host: Host, config: Config, valid: readonly Pod[], key = VALID): void {
  mustPass(host, 'GC', { config: { ...config, [key]: valid.map(attachmentOf) } });
}

function reservations(host: Host, name = 'pods'): string[] {
  return readdirSync(`${host.dataDir}/${name}`)
    .filter((file) => /^[\da-f.:]+$/.test(file))
    .sort();
}

const recordOf = (host: Host, { name }: Namespace) => `${host.runDir}/attachments/pods/${name}.eth0.json`;

function loseRecord(host: Host, pod: Namespace): void {
  rmSync(recordOf(host, pod));
}

function records(host: Host, name = 'pods'): string[] {
  const folder = `${host.runDir}/attachments/${name}`;
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

/** Everything of the pod is there, and works. */
function mustBeWhole(host: Host, pod: Pod): void {
  checkPod(host, pod);
  assert.ok(hostEndOf(host, pod));
  assert.ok(canPing(pod.namespace, '10.77.0.1') && canPing(pod.namespace, 'fd00:77::1'), 'the pod has its network');
}

/** Nothing of the pod is there. */
function mustBeGone(host: Host, pod: Pod): void {
  const { containerID, ifname } = attachmentOf(pod);
  assert.is(findLink(pod.namespace, ifname), undefined, 'the interface in the container');
  assert.not.ok(
    elementOwnersOf(host.namespace).some((owner) => owner.includes(containerID)),
    'nftables elements',
  );
  assert.not.ok(reservations(host).includes(pod.ipv4), 'IPv4 reservation');
  assert.not.ok(reservations(host).includes(pod.ipv6), 'IPv6 reservation');
  assert.not.ok(
    records(host).some((name) => name.startsWith(containerID)),
    'record',
  );
}

for (const key of [VALID, 'cni.dev/attachments', 'CNI.dev/Valid-Attachments']) {
  test(`GC with "${key}" removes what is stale and leaves what is valid`, ABSENT, (host) => {
    const config = network(host);
    const [kept, stale, orphan] = [addPod(host, config), addPod(host, config), addPod(host, config)];
    // A node that lost the namespace: only link and addresses are gone by themselves.
    orphan.namespace.remove();
    collect(host, config, [kept], key);
    mustBeGone(host, stale);
    mustBeWhole(host, kept);
    assert.equal(elementOwnersOf(host.namespace), [`pods/${kept.namespace.name}/eth0`]);
    assert.equal(reservations(host), [kept.ipv4, kept.ipv6].sort());
    assert.equal(records(host).length, 1);
    assert.is(portsOf(host.namespace, 'cni0').length, 1);
    const before = host.snapshot();
    collect(host, config, [kept], key);
    mustBeEmpty(host.changesSince(before), 'changed by GC with nothing stale');
  });
}

test('GC prefers "cni.dev/valid-attachments" to its older spelling', ABSENT, (host) => {
  const config = network(host);
  const [kept, stale] = [addPod(host, config), addPod(host, config)];
  const both = { 'cni.dev/attachments': [attachmentOf(stale)], [VALID]: [attachmentOf(kept)] };
  mustPass(host, 'GC', { config: { ...config, ...both } });
  mustBeGone(host, stale);
  mustBeWhole(host, kept);
});

for (const [how, none] of [
  ['null', null],
  ['[]', []],
] as const) {
  test(`GC with ${how} takes no attachment for valid`, ABSENT, (host) => {
    const before = host.snapshot();
    const config = network(host);
    const pods = [addPod(host, config), addPod(host, config)];
    mustPass(host, 'GC', { config: { ...config, [VALID]: none } });
    for (const pod of pods) mustBeGone(host, pod);
    mustBeEmpty(
      host.leftSince(before).filter((line) => !/pod\d/.test(line)),
      'left after GC',
    );
  });
}

test('GC without a list does nothing', ABSENT, (host) => {
  const config = network(host);
  const pod = addPod(host, config);
  const before = host.snapshot();
  mustPass(host, 'GC', { config });
  mustBeEmpty(host.changesSince(before), 'changed');
  mustBeWhole(host, pod);
});

test('GC with a list that is none removes nothing, and says where it is wrong', ABSENT, (host) => {
  const config = network(host);
  const pod = addPod(host, config);
  const before = host.snapshot();
  const good = attachmentOf(pod);
  const rows: readonly (readonly [unknown, RegExp])[] = [
    [{}, /"cni\.dev\/valid-attachments": must be a list/],
    ['none', /must be a list/],
    [[null], /"cni\.dev\/valid-attachments\[0\]": must be an object/],
    [[good, { ifname: 'eth0' }], /\[1\]\.containerID": must be a container ID, is missing/],
    [[{ ...good, ifname: '' }], /\[0\]\.ifname": must be an interface name/],
    [[{ ...good, containerID: '../x' }], /\[0\]\.containerID": must be a container ID/],
    [[{ ...good, containerID: 7 }], /\[0\]\.containerID": must be a string, is 7/],
  ];
  for (const [list, pattern] of rows) mustRefuse(host, 'GC', { config: { ...config, [VALID]: list } }, 7, pattern);
  mustBeEmpty(host.changesSince(before), 'changed');
});

test(
  "GC leaves other networks' attachments alone, also those of a network with a name it is the start of",
  ABSENT,
  (host) => {
    const [pods, longer, sharing] = [
      network(host),
      network(host, { name: 'pods2' }),
      network(host, { name: 'pods.x' }),
    ];
    const stale = addPod(host, pods);
    const others = [
      addPod(host, { ...longer, ipam: host.hostLocal(['10.78.0.0/24']), isDefaultGateway: false, bridge: 'cni1' }),
    ];
    others.push(
      addPod(host, { ...sharing, ipam: host.hostLocal(['10.79.0.0/24']), isDefaultGateway: false, bridge: 'cni2' }),
    );
    collect(host, pods, []);
    mustBeGone(host, stale);
    for (const pod of others) checkPod(host, pod);
    assert.is(reservations(host, 'pods2').length, 1);
    assert.is(reservations(host, 'pods.x').length, 1);
  },
);

test('GC tells the interfaces of one container apart', ABSENT, (host) => {
  const config = network(host);
  const first = addPod(host, config);
  const second = addPod(
    host,
    { ...config, isDefaultGateway: false, isGateway: true },
    { container: first.namespace, ifname: 'eth1' },
  );
  collect(host, config, [first]);
  mustBeWhole(host, first);
  assert.is(findLink(first.namespace, 'eth1'), undefined);
  assert.equal(reservations(host), [first.ipv4, first.ipv6].sort());
  assert.not.ok(reservations(host).includes(second.ipv4));
});

test('GC needs nothing of the configuration but the name', ABSENT, (host) => {
  const config = network(host);
  const stale = addPod(host, config);
  mustPass(host, 'GC', {
    config: { cniVersion: '1.1.0', name: 'pods', type: 'podlink', bridge: 'other', [VALID]: [] },
  });
  mustBeGone(host, stale);
});

test('GC frees reservations without a record: of a container from before a reboot', ABSENT, (host) => {
  const config = network(host);
  const [kept, lost] = [addPod(host, config), addPod(host, config)];
  loseRecord(host, lost.namespace);
  lost.namespace.remove();
  collect(host, config, [kept]);
  assert.equal(reservations(host), [kept.ipv4, kept.ipv6].sort());
  mustBeWhole(host, kept);
});

for (const [what, lose] of [
  ['on record', () => undefined],
  ['without a record', loseRecord],
  [
    'without a record and without its namespace',
    (host: Host, pod: Namespace) => {
      loseRecord(host, pod);
      pod.remove();
    },
  ],
] as const) {
  test(`GC removes elements, ifb and reservations of every feature of a container ${what}`, ABSENT, (host) => {
    const attached = attachBesideNeighbour(host, { cniVersion: '1.1.0', ...everyFeature(9000) }, everyFeature(8000));
    const { pod, neighbour, config } = attached;
    lose(host, pod);
    const valid = [{ containerID: neighbour.name, ifname: 'eth0' }];
    mustPass(host, 'GC', { config: { ...config, [VALID]: valid } });
    mustBeAsBefore(host, attached);
    // One that is valid keeps everything, with or without a record.
    rmSync(recordOf(host, neighbour));
    const withoutRecord = host.snapshot();
    mustPass(host, 'GC', { config: { ...config, [VALID]: valid } });
    mustBeEmpty(host.changesSince(withoutRecord), 'changed of the valid one');
  });
}

test("GC leaves other networks' elements and ifbs alone that have no record", ABSENT, (host) => {
  const { pod, config } = attachBesideNeighbour(
    host,
    { cniVersion: '1.1.0', ...everyFeature(9000) },
    everyFeature(8000),
  );
  loseRecord(host, pod);
  const before = host.snapshot();
  for (const name of ['pod', 'pods2', 'pods.x']) {
    mustPass(host, 'GC', { config: { ...config, name, [VALID]: [] } });
  }
  mustBeEmpty(
    host.changesSince(before).filter((line) => !/^\+ (folder \S+|file \S+\/lock "")$/.test(line)),
    'changed',
  );
});

test('GC takes off the mounts of stale sharers and leaves those of valid ones', ABSENT, (host) => {
  const config = { cniVersion: '1.1.0', name: 'pods', type: 'podlink', mode: 'none' };
  const [kept, stale] = [host.addContainer(), host.addContainer()];
  for (const container of [kept, stale]) assert.is(host.invoke('ADD', { config, container }).code, 0);
  mustPass(host, 'GC', { config: { ...config, [VALID]: [{ containerID: kept.name, ifname: 'eth0' }] } });
  assert.equal(records(host), [`${kept.name}.eth0.json`]);
});

test('GC goes on after what it cannot remove, tells of it, and finishes when the cause is gone', ABSENT, (host) => {
  const answer = JSON.stringify({ cniVersion: '1.1.0', ips: [{ address: '10.77.0.200/24', gateway: '10.77.0.1' }] });
  const script = [
    '#!/bin/sh',
    'cat >/dev/null',
    `case $CNI_COMMAND in ADD) echo '${answer}';; DEL) [ ! -e ${host.folder}/stuck ];; esac`,
  ];
  writeFileSync(`${host.pluginFolder}/stubborn`, `${script.join('\n')}\n`, { mode: 0o755 });
  const config = network(host);
  const stale = addPod(host, config);
  const blocked = addPod(host, { ...config, ipam: { type: 'stubborn' } });
  const last = addPod(host, config);
  writeFileSync(`${host.folder}/stuck`, '');
  mustRefuse(host, 'GC', { config: { ...config, [VALID]: [] } }, 103, /network "pods"[\s\S]*stubborn failed \(DEL\)/);
  for (const pod of [stale, last]) mustBeGone(host, pod);
  assert.equal(records(host), [`${blocked.namespace.name}.eth0.json`], 'what is not removed stays on record');
  rmSync(`${host.folder}/stuck`);
  collect(host, config, []);
  mustBeGone(host, blocked);
});

test('GC is not stopped by a torn record', ABSENT, (host) => {
  const config = network(host);
  const [torn, stale] = [addPod(host, config), addPod(host, config)];
  writeFileSync(`${host.runDir}/attachments/pods/${torn.namespace.name}.eth0.json`, '{"version":1,"sta');
  collect(host, config, []);
  mustBeGone(host, stale);
  assert.equal(reservations(host), [], 'addresses of the torn one are free too');
});

run();
