// Several attachments of one container: two networks, or two interfaces in one, each independent of the other.

import { readdirSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { elementOwnersOf } from '../harness/nftables.ts';
import { addPod, checkPod, delPod, type Pod } from '../harness/pod.ts';
import { addressesOf, findLink, portsOf } from '../harness/referee.ts';
import { canPing, exchange } from '../harness/traffic.ts';
import { mustBeEmpty, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('several attachments of one container');

function network(host: Host, name: string, subnet: string, more: Config = {}): Config {
  return host.config({
    name,
    bridge: `cni-${name}`,
    isGateway: true,
    ipMasq: true,
    ipam: host.hostLocal([subnet]),
    ...more,
  });
}

/** The outside machine sees the host's address from every packet that is masqueraded. */
async function mustBeMasqueraded(from: Namespace, outside: Namespace): Promise<void> {
  const reply = await exchange({ from, to: outside, address: '203.0.113.2' });
  assert.ok(reply.answered, `no answer from outside: ${reply.reason}`);
  assert.is(reply.seenFrom, '203.0.113.1');
}

test('two networks: each interface has its own, and DEL of one leaves the other whole', 'same', async (host) => {
  const outside = host.addOutside();
  const [front, back] = [
    network(host, 'front', '10.77.0.0/24', { isDefaultGateway: true }),
    network(host, 'back', '10.78.0.0/24'),
  ];
  const [container, other] = [host.addContainer(), host.addContainer()];
  const before = host.snapshot();
  const first = addPod(host, front, { container });
  const second = addPod(host, back, { container, ifname: 'eth1' });
  const neighbour = addPod(host, back, { container: other });
  assert.equal(addressesOf(container, 'eth0'), ['10.77.0.2/24']);
  assert.equal(addressesOf(container, 'eth1'), ['10.78.0.2/24']);
  await mustBeMasqueraded(container, outside);
  assert.ok(canPing(neighbour.namespace, second.ipv4));
  for (const pod of [first, second]) checkPod(host, pod);

  delPod(host, second);
  assert.is(findLink(container, 'eth1'), undefined);
  checkPod(host, first);
  await mustBeMasqueraded(container, outside);
  assert.not.ok(canPing(neighbour.namespace, second.ipv4, 700), 'the removed interface answers');
  for (const pod of [first, neighbour]) delPod(host, pod);
  mustBeEmpty(host.leftSince(before), 'left after DEL');
});

const SHARED_CHAIN = {
  differs: 'the reference has one masquerade chain for both interfaces: DEL of one takes it from the other, or fails',
  seen: /DEL fails[\s\S]*CHAIN_DEL failed/,
} as const;

for (const [order, firstToGo] of [
  ['the second', 1],
  ['the first', 0],
] as const) {
  test(
    `two interfaces in one network, masqueraded: DEL of ${order} leaves the other whole`,
    SHARED_CHAIN,
    async (host) => {
      const outside = host.addOutside();
      const config = network(host, 'pods', '10.77.0.0/24');
      const [container, other] = [host.addContainer(), host.addContainer()];
      const before = host.snapshot();
      const pods = ['eth0', 'eth1'].map((ifname) => addPod(host, config, { container, ifname }));
      const neighbour = addPod(host, config, { container: other });
      const going = pods[firstToGo] as Pod;
      const staying = pods[1 - firstToGo] as Pod;
      assert.is.not(going.ipv4, staying.ipv4);
      delPod(host, going);
      checkPod(host, staying);
      assert.equal(addressesOf(container, staying.invocation.ifname ?? ''), [`${staying.ipv4}/24`]);
      container.ip('route', 'add', 'default', 'via', '10.77.0.1');
      await mustBeMasqueraded(container, outside);
      assert.ok(canPing(neighbour.namespace, staying.ipv4));
      assert.equal(
        elementOwnersOf(host.namespace).filter((owner) => owner.includes(container.name)),
        [`pods/${container.name}/${staying.invocation.ifname}`],
      );
      container.ip('route', 'del', 'default');
      delPod(host, staying);
      delPod(host, neighbour);
      mustBeEmpty(host.leftSince(before), 'left after DEL');
    },
  );
}

test('container IDs and interface names with dots and dashes are told apart', { absent: 'records' }, (host) => {
  const config = network(host, 'pods', '10.77.0.0/24');
  // Several become the same text when their parts are put together with a dot, a dash or nothing between them.
  const names: readonly (readonly [string, string])[] = [
    ['a', 'b.c'],
    ['a.b', 'c'],
    ['a', 'b-c'],
    ['a', 'bc'],
    ['a-b', 'c'],
    ['ab', 'c'],
    ['a', 'eth0.lock'],
  ];
  const containers = names.map(() => host.addContainer());
  const before = host.snapshot();
  const pods = names.map(([containerId, ifname], i) =>
    addPod(host, config, { containerId, ifname, container: containers[i] as Namespace }),
  );
  assert.is(new Set(pods.map(({ ipv4 }) => ipv4)).size, names.length);
  assert.is(elementOwnersOf(host.namespace).length, names.length);
  assert.is(readdirSync(`${host.runDir}/attachments/pods`).length, names.length);
  while (pods.length > 0) {
    delPod(host, pods.shift() as Pod);
    assert.equal(
      elementOwnersOf(host.namespace),
      names
        .slice(names.length - pods.length)
        .map(([id, ifname]) => `pods/${id}/${ifname}`)
        .sort(),
    );
    assert.is(portsOf(host.namespace, 'cni-pods').length, pods.length);
    for (const pod of pods.slice(0, 2)) checkPod(host, pod);
  }
  mustBeEmpty(host.leftSince(before), 'left after DEL');
});

test('one container cannot have one interface twice, whatever the network', 'same', (host) => {
  const [front, back] = [network(host, 'front', '10.77.0.0/24'), network(host, 'back', '10.78.0.0/24')];
  const pod = addPod(host, front);
  const invocation: Invocation = { config: back, container: pod.namespace };
  mustRefuse(host, 'ADD', invocation, 102, /"eth0" already exists/);
  checkPod(host, pod);
  const error = mustRefuse(host, 'ADD', { ...invocation, config: front }, 102, /attached already since/);
  assert.ok(error.msg);
  checkPod(host, pod);
});

run();
