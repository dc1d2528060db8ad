// Sixteen calls at once on a host where nothing is there yet: no bridge, no table, no folder.

import { readdirSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { addressOf, type Config, type Result } from '../harness/document.ts';
import type { Host, Outcome } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { elementsOf, ruleCountsOf } from '../harness/nftables.ts';
import { AGAINST_REFERENCE } from '../harness/plugin.ts';
import { linksOf, portsOf } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';
import { mustBeEmpty, refusalOf, resultOf, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('many at once');
const COUNT = 16;
/** What one attachment needs: made once, whoever is first. */
const RULES = {
  masquerade_v4: 4,
  masquerade_v6: 4,
  postrouting_masquerade: 2,
  masquerade_invalid_v4: 3,
  masquerade_invalid_v6: 3,
  masquerade_invalid: 2,
  forward_masquerade: 1,
};

function network(host: Host): Config {
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']);
  return host.config({ isDefaultGateway: true, ipMasq: true, ipam });
}

function addAll(host: Host, config: Config, containers: readonly Namespace[]): Promise<Outcome[]> {
  return Promise.all(containers.map((container) => host.start('ADD', { config, container })));
}

function containersOf(host: Host): Namespace[] {
  return Array.from({ length: COUNT }, () => host.addContainer());
}

const addressesOf = (result: Result) => (result.ips ?? []).map(({ address }) => addressOf(address));

/** Each reaches the next, in a ring, and the gateway. */
function mustReachEachOther(containers: readonly Namespace[], results: readonly Result[]): void {
  containers.forEach((container, i) => {
    const [v4 = '', v6 = ''] = addressesOf(results[(i + 1) % results.length] as Result);
    assert.ok(canPing(container, v4), `${container.name} does not reach ${v4}`);
    assert.ok(canPing(container, v6), `${container.name} does not reach ${v6}`);
  });
}

function mustHaveOneRuleset(host: Host, addresses: number): void {
  if (AGAINST_REFERENCE) return;
  assert.equal(ruleCountsOf(host.namespace), RULES);
  // An address is one element of the sources and one of the exceptions.
  assert.is(elementsOf(host.namespace).length, 2 * addresses);
}

function mustHaveNoFiles(host: Host): void {
  if (AGAINST_REFERENCE) return;
  assert.equal(readdirSync(`${host.runDir}/attachments`), [], 'records and their locks');
}

const reservedIn = (host: Host) => readdirSync(`${host.dataDir}/pods`).filter((name) => /^[\da-f.:]+$/.test(name));

test(
  '16 ADDs at once: each has its own addresses, all reach each other, the rules are there once',
  'same',
  async (host) => {
    const config = network(host);
    const containers = containersOf(host);
    const before = host.snapshot();
    const results = (await addAll(host, config, containers)).map((outcome) => resultOf(outcome, config));
    assert.is(new Set(results.flatMap(addressesOf)).size, 2 * COUNT);
    assert.is(linksOf(host.namespace).filter((link) => link.linkinfo?.info_kind === 'bridge').length, 1);
    assert.is(portsOf(host.namespace, 'cni0').length, COUNT);
    mustReachEachOther(containers, results);
    mustHaveOneRuleset(host, 2 * COUNT);

    const checks = containers.map((container, i) =>
      host.start('CHECK', { config: withPrevResult(config, results[i] as Result), container }),
    );
    for (const outcome of await Promise.all(checks)) assert.is(outcome.code, 0, outcome.stdout);
    const dels = containers.map((container, i) =>
      host.start('DEL', { config: withPrevResult(config, results[i] as Result), container }),
    );
    for (const outcome of await Promise.all(dels)) assert.is(outcome.code, 0, outcome.stdout);
    mustBeEmpty(host.leftSince(before), 'left after 16 DELs');
    mustHaveNoFiles(host);
  },
);

test(
  '16 ADDs at once of which every second must fail: the others work, and nothing of the failed is left',
  'same',
  async (host) => {
    const config = network(host);
    const containers = containersOf(host);
    const failing = containers.filter((_, i) => i % 2 === 1);
    const good = containers.filter((_, i) => i % 2 === 0);
    // Found out only after the address is reserved.
    for (const container of failing) container.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other');
    const before = host.snapshot();
    const outcomes = await addAll(host, config, containers);
    const results: Result[] = [];
    for (const [i, outcome] of outcomes.entries()) {
      if (i % 2 === 0) results.push(resultOf(outcome, config));
      else refusalOf(outcome, 'ADD', 102, /"eth0" already exists/);
    }
    assert.is(new Set(results.flatMap(addressesOf)).size, COUNT, 'addresses of those that work');
    mustReachEachOther(good, results);
    assert.is(portsOf(host.namespace, 'cni0').length, good.length, 'ports of the bridge');
    mustHaveOneRuleset(host, 2 * good.length);
    assert.equal(reservedIn(host).sort(), results.flatMap(addressesOf).sort(), 'left of the failed: reservations');

    const dels = good.map((container, i) =>
      host.start('DEL', { config: withPrevResult(config, results[i] as Result), container }),
    );
    for (const outcome of await Promise.all(dels)) assert.is(outcome.code, 0, outcome.stdout);
    mustBeEmpty(host.leftSince(before), 'left of the failed');
    mustHaveNoFiles(host);
  },
);

test('16 ADDs at once that all fail leave nothing but, at most, an empty bridge', {
  differs: 'a failed ADD leaves the veth pair',
  seen: /left after 16 failed ADDs/,
}, async (host) => {
  // Refused by the kernel when all else is done: the gateway of the route is in no network of the container.
  const ipam = host.hostLocal(['10.77.0.0/24'], { routes: [{ dst: '192.0.2.0/24', gw: '198.51.100.1' }] });
  const config = { ...network(host), ipam };
  const containers = containersOf(host);
  const before = host.snapshot();
  for (const outcome of await addAll(host, config, containers))
    refusalOf(outcome, 'ADD', 100, /192\.0\.2\.0\/24.*198\.51\.100\.1/);
  mustBeEmpty(host.leftSince(before), 'left after 16 failed ADDs');
  // Who made the bridge may fail while others are on it, so that it stays, as it does after the last DEL.
  const links = linksOf(host.namespace).map(({ ifname }) => ifname);
  assert.equal(
    links.filter((name) => name !== 'lo' && name !== 'cni0'),
    [],
    'links',
  );
  assert.equal(reservedIn(host), [], 'reservations');
  mustHaveNoFiles(host);
});

test('ADD and DEL of one attachment at once end in one of both, whole', {
  absent: 'a lock of the attachment',
}, async (host) => {
  const config = network(host);
  const container = host.addContainer();
  const before = host.snapshot();
  for (let round = 0; round < 4; round++) {
    const [added, deleted] = await Promise.all([
      host.start('ADD', { config, container }),
      host.start('DEL', { config, container }),
    ]);
    resultOf(added, config);
    assert.is(deleted.code, 0, deleted.stdout);
    const attached = portsOf(host.namespace, 'cni0').length;
    assert.is(reservedIn(host).length, 2 * attached);
    assert.is(elementsOf(host.namespace).length, 4 * attached);
    assert.is((await host.start('DEL', { config, container })).code, 0);
    mustBeEmpty(host.leftSince(before), 'left after the last DEL');
  }
});

run();
