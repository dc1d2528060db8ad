// What `repair` makes is on record before it is made: the DEL that comes after it removes that too.

import { readFileSync, writeFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { attachBesideNeighbour, everyFeature, mustBeAsBefore } from '../harness/attachment.ts';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { mustSay, mustTell, NO_COMMANDS, podlink } from '../harness/operator-command.ts';
import { ownedElementsOf } from '../harness/owned-element.ts';
import { addPod, checkPod, delPod, type Pod } from '../harness/pod.ts';
import { mustPass } from '../harness/verdict.ts';

const { test, run } = cases('what repair has added');

const BRIDGE_NF = 'net/bridge/bridge-nf-call-iptables';

/** A record, as far as these cases change it. */
interface RecordText {
  elements: { family: number; set: string; key: string; keyEnd?: string }[];
  features: Readonly<Record<string, unknown>>;
  hasAllElements?: boolean;
}

function recordPath(host: Host, name: string): string {
  return `${host.runDir}/attachments/pods/${name}.eth0.json`;
}

function recordOf(host: Host, name: string): RecordText {
  return JSON.parse(readFileSync(recordPath(host, name), 'utf8')) as RecordText;
}

/** Change a record as another version of podlink would have written it. */
function rewrite(host: Host, name: string, change: (record: RecordText) => object): void {
  writeFileSync(recordPath(host, name), JSON.stringify(change(recordOf(host, name))));
}

function ownersIn(host: Host, { name }: Namespace): string[] {
  return ownedElementsOf(host.namespace)
    .filter(({ owner }) => owner === `pods/${name}/eth0`)
    .map(({ set }) => set);
}

/** Features warn of what they always warn of. */
function mustRepair(host: Host, { name }: Namespace): void {
  const { code, stdout } = podlink(host, ['repair', name]);
  assert.is(code, 0, stdout);
  assert.match(stdout, /1 repaired/);
}

function podWithPorts(host: Host): Pod {
  const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }];
  return addPod(host, host.config({ isDefaultGateway: true, runtimeConfig: { portMappings } }));
}

/** The kernel of the machine may lack br_netfilter: then there is no such sysctl, and nothing to change it for. */
function hasBridgeNetfilter(host: Host): boolean {
  return host.namespace.run('test', ['-e', `/proc/sys/${BRIDGE_NF}`]).code === 0;
}

test('DEL removes the element that repair added because bridged packets pass IP no more', NO_COMMANDS, (host) => {
  // Without it there is one element from the beginning, which is as if repair had added it: taken off the record here.
  const canChange = hasBridgeNetfilter(host);
  if (canChange) host.namespace.setSysctl(BRIDGE_NF, '1');
  const pod = podWithPorts(host);
  if (canChange) {
    assert.not(ownersIn(host, pod.namespace).includes('portmap_neighbours_v4'));
    host.namespace.setSysctl(BRIDGE_NF, '0');
  } else {
    rewrite(host, pod.namespace.name, (record) => ({
      ...record,
      elements: record.elements.filter(({ set }) => set !== 'portmap_neighbours_v4'),
    }));
    deleteElementsOf(host, pod.namespace, 'portmap_neighbours_v4');
  }
  assert.match(mustSay(host, ['repair']), /1 repaired/);
  assert.ok(ownersIn(host, pod.namespace).includes('portmap_neighbours_v4'));
  checkPod(host, pod);
  assert.ok(recordOf(host, pod.namespace.name).elements.some(({ set }) => set === 'portmap_neighbours_v4'));
  delPod(host, pod);
  assert.equal(ownersIn(host, pod.namespace), []);
});

function deleteElementsOf(host: Host, { name }: Namespace, ofSet?: string): void {
  for (const { family, set, key, owner } of ownedElementsOf(host.namespace)) {
    if (owner !== `pods/${name}/eth0` || (ofSet !== undefined && set !== ofSet)) continue;
    host.namespace.mustRun('nft', ['delete', 'element', family, 'podlink', set, `{ ${key} }`]);
  }
}

test('DEL removes what repair added of every feature that was not on record', NO_COMMANDS, (host) => {
  const attached = attachBesideNeighbour(host, everyFeature(9000), everyFeature(8000));
  const { pod, later } = attached;
  // As after an upgrade to a version in which all features have other elements.
  const wanted = ownersIn(host, pod).length;
  rewrite(host, pod.name, (record) => ({ ...record, elements: record.elements.slice(0, 1) }));
  deleteElementsOf(host, pod);
  mustRepair(host, pod);
  assert.is(ownersIn(host, pod).length, wanted);
  mustPass(host, 'DEL', { config: later, container: pod });
  mustBeAsBefore(host, attached);
});

test('DEL removes what the repair of version 0.1.0 added without a word in the record', NO_COMMANDS, (host) => {
  const attached = attachBesideNeighbour(host, everyFeature(9000), everyFeature(8000));
  const { pod, later } = attached;
  rewrite(host, pod.name, ({ hasAllElements: _, ...record }) => ({ ...record, elements: record.elements.slice(0, 3) }));
  mustPass(host, 'DEL', { config: later, container: pod });
  mustBeAsBefore(host, attached);
});

test('repair puts what version 0.1.0 had not recorded on record', NO_COMMANDS, (host) => {
  const attached = attachBesideNeighbour(host, everyFeature(9000), everyFeature(8000));
  const { pod } = attached;
  const wanted = recordOf(host, pod.name).elements.length;
  rewrite(host, pod.name, ({ hasAllElements: _, ...record }) => ({ ...record, elements: [] }));
  host.namespace.ip('addr', 'del', '10.77.0.1/24', 'dev', 'cni0');
  mustRepair(host, pod);
  const { elements, hasAllElements } = recordOf(host, pod.name);
  assert.equal([elements.length, hasAllElements], [wanted, true]);
});

test('DEL removes elements from the sets of another version, by the record and without it', NO_COMMANDS, (host) => {
  for (const isRecorded of [true, false]) {
    const pod = podWithPorts(host);
    const { name } = pod.namespace;
    const comment = `comment "pods/${name}/eth0"`;
    const script = [
      'add set inet podlink older_v4 { type ipv4_addr; }',
      'add set inet podlink older_range_v4 { type ipv4_addr . ipv4_addr; flags interval; }',
      `add element inet podlink older_v4 { 10.77.0.2 ${comment}, 10.77.0.99 comment "pods/other/eth0" }`,
      `add element inet podlink older_range_v4 { 10.77.0.2 . 10.77.0.0/24 ${comment} }`,
    ];
    host.namespace.mustRun('nft', [script.join('; ')]);
    const older = [
      { family: 1, set: 'older_v4', key: '0a4d0002', text: '' },
      { family: 1, set: 'older_range_v4', key: '0a4d00020a4d0000', keyEnd: '0a4d00020a4d00ff', text: '' },
    ];
    if (isRecorded) rewrite(host, name, (record) => ({ ...record, elements: [...record.elements, ...older] }));
    else host.namespace.mustRun('rm', [recordPath(host, name)]);
    delPod(host, pod);
    const left = ownedElementsOf(host.namespace).map(({ set, owner }) => `${set} ${owner}`);
    assert.equal(left, ['older_v4 pods/other/eth0'], `by the record: ${isRecorded}`);
    host.namespace.mustRun('nft', ['delete', 'element', 'inet', 'podlink', 'older_v4', '{ 10.77.0.99 }']);
  }
});

test('gc removes elements from the sets of another version whose owner is gone', NO_COMMANDS, (host) => {
  podWithPorts(host);
  const script = 'add set inet podlink older_v4 { type ipv4_addr; }';
  host.namespace.mustRun('nft', [
    `${script}; add element inet podlink older_v4 { 10.77.0.99 comment "pods/ghost/eth0" }`,
  ]);
  const [collected] = mustTell<{ what: string; outcome: string }[]>(host, ['gc']);
  assert.match(collected?.what ?? '', /pods\/ghost\/eth0/);
  assert.is(
    ownedElementsOf(host.namespace).some(({ set }) => set === 'older_v4'),
    false,
  );
});

run();
