// A ruleset that was listed with nft and is loaded again, as nftables.service does with /etc/nftables.conf: podlink
// knows its own, repair puts its rules back as they were made, and takes away what the file brings of dead containers.

import * as assert from 'uvu/assert';
import { everyFeature } from '../harness/attachment.ts';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustSay, mustTell, podlink } from '../harness/operator-command.ts';
import { elementOwnersOf, elementsOf } from '../harness/nftables.ts';
import { ownedElementsOf } from '../harness/owned-element.ts';
import { addPod, checkPod, delPod, type Pod } from '../harness/pod.ts';
import { exchange } from '../harness/traffic.ts';
import { mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('a saved ruleset');
const ABSENT = { absent: 'rules that all containers share, and a repair' };

function network(host: Host, more: Config = {}): Config {
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']);
  return host.config({ isDefaultGateway: true, ipMasq: true, hairpinMode: true, ipam, ...more });
}

function published(host: Host, hostPort: number): Config {
  return network(host, { runtimeConfig: { portMappings: [{ hostPort, containerPort: 7777, protocol: 'tcp' }] } });
}

function save(host: Host): string {
  return host.namespace.mustRun('nft', ['list', 'ruleset']);
}

/** Without what a listing repeats differently each time: counters and handles are in none of ours. */
function load(host: Host, saved: string): void {
  host.namespace.mustRun('nft', ['flush', 'ruleset']);
  host.namespace.mustRun('nft', ['-f', '-'], { input: saved });
}

/** The chains of a listing, in an order of their own. */
function chainsOf(listing: string): string[] {
  return (listing.match(/^\tchain (.|\n)*?^\t\}/gm) ?? []).sort();
}

/** Its warnings about the configuration are not the matter here. */
function repair(host: Host): string {
  const { code, stdout } = podlink(host, ['repair']);
  assert.is(code, 0, stdout);
  return stdout;
}

function later({ invocation, config, result }: Pod) {
  return { ...invocation, config: withPrevResult(config, result) };
}

function textsOf(host: Host): string[] {
  return ownedElementsOf(host.namespace)
    .map((element) => JSON.stringify(element))
    .sort();
}

test('with every feature: repair puts the rules back, CHECK passes, no element is lost', ABSENT, (host) => {
  const pods = [0, 1].map((i) => addPod(host, network(host, everyFeature(8000 + 100 * i))));
  const elements = textsOf(host);
  const saved = save(host);
  load(host, saved);
  assert.equal(textsOf(host), elements, 'after loading');
  const { msg } = mustRefuse(host, 'CHECK', later(pods[0] as Pod), 101, /the rules of chain/);
  assert.not.match(msg, /\bset \w+ of table/, 'nothing is wrong with the sets');
  repair(host);
  for (const pod of pods) checkPod(host, pod);
  assert.equal(textsOf(host), elements, 'after the repair');
  assert.equal(chainsOf(save(host)), chainsOf(saved), 'and nft lists the chains that it listed before');
  for (const pod of pods) delPod(host, pod);
  assert.equal(elementOwnersOf(host.namespace), []);
});

test('a second round changes nothing more', ABSENT, (host) => {
  const pod = addPod(host, network(host, everyFeature(8000)));
  for (let round = 0; round < 2; round++) {
    load(host, save(host));
    repair(host);
    checkPod(host, pod);
  }
  assert.match(repair(host), /^1 attachment: 1 sound$/m);
});

test('traffic passes with the rules as nft loads them, and after the repair', ABSENT, async (host) => {
  const outside = host.addOutside();
  const pod = addPod(host, published(host, 8080));
  const works = async () => {
    const out = await exchange({ from: pod.namespace, to: outside, address: '203.0.113.2' });
    assert.is(out.seenFrom, '203.0.113.1', out.reason);
    const via = { address: '203.0.113.1', port: 8080 };
    const into = await exchange({ from: outside, to: pod.namespace, address: pod.ipv4, via });
    assert.is(into.seenFrom, '203.0.113.2', into.reason);
  };
  load(host, save(host));
  await works();
  mustSay(host, ['repair']);
  await works();
});

test('an ADD and a DEL on the loaded ruleset work without a repair', ABSENT, (host) => {
  const first = addPod(host, published(host, 8080));
  load(host, save(host));
  const second = addPod(host, published(host, 8081));
  delPod(host, first);
  assert.equal(elementOwnersOf(host.namespace), [`pods/${second.namespace.name}/eth0`]);
  delPod(host, second);
  assert.equal(elementOwnersOf(host.namespace), []);
});

test('what the file brings of containers that are gone is taken away by repair', ABSENT, (host) => {
  const dead = addPod(host, published(host, 8080));
  const saved = save(host);
  delPod(host, dead);
  dead.namespace.remove();
  // A reboot has forgotten the reservations, too: the new container gets the same address and the same port.
  host.namespace.mustRun('rm', ['-r', host.dataDir]);
  const living = addPod(host, published(host, 8080));
  assert.is(living.ipv4, dead.ipv4);
  load(host, saved);
  mustRefuse(host, 'CHECK', later(living), 101, /belongs to another attachment/);
  const text = mustEnd(host, ['repair'], 0).stdout;
  assert.match(text, new RegExp(`^removed  \\d+ nftables elements of pods/${dead.namespace.name}/eth0$`, 'm'));
  checkPod(host, living);
  assert.equal(elementOwnersOf(host.namespace), [`pods/${living.namespace.name}/eth0`]);
});

test('and by gc; of the containers that live it takes nothing', ABSENT, (host) => {
  const [dead, living] = [addPod(host, published(host, 8080)), addPod(host, published(host, 8081))];
  const saved = save(host);
  delPod(host, dead);
  dead.namespace.remove();
  load(host, saved);
  mustSay(host, ['gc', '--data-dir', host.dataDir]);
  assert.equal(elementOwnersOf(host.namespace), [`pods/${living.namespace.name}/eth0`]);
  mustSay(host, ['repair']);
  checkPod(host, living);
});

test('repair of one container, or of another network, leaves the elements of others alone', ABSENT, (host) => {
  const [dead, living] = [addPod(host, published(host, 8080)), addPod(host, published(host, 8081))];
  const saved = save(host);
  delPod(host, dead);
  dead.namespace.remove();
  load(host, saved);
  mustSay(host, ['repair', living.namespace.name]);
  mustSay(host, ['repair', '--network', 'others']);
  const owners = [dead, living].map(({ namespace }) => `pods/${namespace.name}/eth0`).sort();
  assert.equal(elementOwnersOf(host.namespace), owners);
  const rows = mustTell<{ outcome: string; containerId: string }[]>(host, ['repair']);
  assert.equal(
    rows.filter(({ outcome }) => outcome === 'removed').map(({ containerId }) => containerId),
    [dead.namespace.name],
  );
});

test('a file from before a container was added lacks its elements: repair adds them', ABSENT, (host) => {
  const first = addPod(host, published(host, 8080));
  const saved = save(host);
  const second = addPod(host, published(host, 8081));
  load(host, saved);
  mustRefuse(host, 'CHECK', later(second), 101, /is missing/);
  mustEnd(host, ['repair'], 0);
  for (const pod of [first, second]) checkPod(host, pod);
  assert.ok(elementsOf(host.namespace).some(({ owner }) => owner === `pods/${second.namespace.name}/eth0`));
  mustPass(host, 'DEL', later(second));
});

run();
