// Rules that somebody has flushed or deleted: CHECK names the chain, and the next ADD of any container brings them back,
// for those that were there before, too.

import * as assert from 'uvu/assert';
import { attachBesideNeighbour, everyFeature } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { ownedElementsOf } from '../harness/owned-element.ts';
import { addPod } from '../harness/pod.ts';
import { exchange } from '../harness/traffic.ts';
import { mustPass, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('flushed rules');
const ABSENT: Reference = { absent: 'rules that all containers share' };

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
}

interface Entry {
  readonly chain?: Chain;
  readonly rule?: { readonly family: string; readonly chain: string; readonly handle: number };
}

/** What is in podlink's tables. */
function listEntries(host: Host): Entry[] {
  const entries: Entry[] = [];
  for (const family of ['inet', 'bridge']) {
    const text = host.namespace.mustRun('nft', ['-j', 'list', 'table', family, 'podlink']);
    entries.push(...(JSON.parse(text) as { nftables: Entry[] }).nftables);
  }
  return entries;
}

/** Chains and rules, each chain's in their order, as nft prints them. */
function rulesOf(host: Host): string {
  return ['inet', 'bridge']
    .map((family) => host.namespace.mustRun('nft', ['-s', 'list', 'table', family, 'podlink']))
    .flatMap((text) => text.match(/^\tchain (.|\n)*?^\t\}/gm) ?? [])
    .sort()
    .join('\n');
}

function nft(host: Host, command: string): void {
  host.namespace.mustRun('nft', command.split(' '));
}

/** A pod with every feature, and a way to add others. */
function scene(host: Host) {
  const attached = attachBesideNeighbour(host, everyFeature(9000), everyFeature(8000));
  let count = 0;
  const addAnother = () => {
    count += 1;
    addPod(host, { ...attached.config, ...everyFeature(10_000 + 10 * count) });
  };
  return { later: { config: attached.later, container: attached.pod }, addAnother };
}

test('each chain that is flushed is named by CHECK and made again by the next ADD', ABSENT, (host) => {
  const { later, addAnother } = scene(host);
  const rules = rulesOf(host);
  const chains = listEntries(host).flatMap(({ chain }) => chain ?? []);
  assert.ok(chains.length > 15, `only ${chains.length} chains`);
  for (const { family, name } of chains) {
    nft(host, `flush chain ${family} podlink ${name}`);
    mustRefuse(host, 'CHECK', later, 101, new RegExp(`\\b${name}\\b`));
    addAnother();
    assert.is(rulesOf(host), rules, `after ${name} was flushed`);
  }
  mustPass(host, 'CHECK', later);
});

test('so is each in which a single rule is missing', ABSENT, (host) => {
  const { later, addAnother } = scene(host);
  const rules = rulesOf(host);
  for (const [what, which] of [
    ['first', 0],
    ['second', 1],
    ['last', -1],
  ] as const) {
    const all = listEntries(host).flatMap(({ rule }) => rule ?? []);
    const byChain = Map.groupBy(all, ({ family, chain }) => `${family} podlink ${chain}`);
    const missing = [...byChain].flatMap(([chain, ofChain]) => {
      const handle = ofChain.at(which)?.handle;
      return handle === undefined ? [] : { chain, handle };
    });
    for (const { chain, handle } of missing) nft(host, `delete rule ${chain} handle ${handle}`);
    const { msg } = mustRefuse(host, 'CHECK', later, 101, /chain/);
    const unnamed = missing.filter(({ chain }) => !new RegExp(`\\b${chain.split(' ')[2]}\\b`).test(msg));
    assert.equal(unnamed, [], `not named without the ${what} rules`);
    addAnother();
    assert.is(rulesOf(host), rules, `after the ${what} rules were deleted`);
  }
  mustPass(host, 'CHECK', later);
});

test('the chains of a table that is flushed come back at once, and the elements stay', ABSENT, (host) => {
  const { later, addAnother } = scene(host);
  const [rules, elements] = [rulesOf(host), ownedElementsOf(host.namespace)];
  for (const family of ['inet', 'bridge']) nft(host, `flush table ${family} podlink`);
  mustRefuse(host, 'CHECK', later, 101, /masquerade_v4.*portmap_.*isolation_.*macspoof_/s);
  addAnother();
  assert.is(rulesOf(host), rules);
  const texts = ownedElementsOf(host.namespace).map((element) => JSON.stringify(element));
  const lost = elements.filter((element) => !texts.includes(JSON.stringify(element)));
  assert.equal(lost, []);
  mustPass(host, 'CHECK', later);
});

test('a pod is masqueraded again once another has been added', ABSENT, async (host) => {
  const outside = host.addOutside();
  outside.ip('route', 'add', '10.77.0.0/24', 'via', '203.0.113.1');
  const config = host.config({ isDefaultGateway: true, ipMasq: true });
  const pod = addPod(host, config);
  const seen = async () => {
    const reply = await exchange({ from: pod.namespace, to: outside, address: '203.0.113.2' });
    assert.ok(reply.answered, reply.reason);
    return reply.seenFrom;
  };
  for (const command of [
    'flush chain inet podlink postrouting_masquerade',
    'flush chain inet podlink masquerade_v4',
    'delete chain inet podlink postrouting_masquerade',
    'flush table inet podlink',
  ]) {
    assert.is(await seen(), '203.0.113.1', `before ${command}`);
    nft(host, command);
    assert.is(await seen(), pod.ipv4, `after ${command}`);
    addPod(host, config);
  }
  assert.is(await seen(), '203.0.113.1');
});

test('a table that is deleted comes back with the next ADD, for that container', ABSENT, async (host) => {
  const outside = host.addOutside();
  const config = host.config({ isDefaultGateway: true, ipMasq: true });
  const first = addPod(host, config);
  const rules = host.namespace.mustRun('nft', ['-s', 'list', 'chain', 'inet', 'podlink', 'masquerade_v4']);
  nft(host, 'delete table inet podlink');
  const second = addPod(host, config);
  assert.is(host.namespace.mustRun('nft', ['-s', 'list', 'chain', 'inet', 'podlink', 'masquerade_v4']), rules);
  const reply = await exchange({ from: second.namespace, to: outside, address: '203.0.113.2' });
  assert.is(reply.seenFrom, '203.0.113.1', reply.reason);
  const later = { config: { ...config, prevResult: first.result }, container: first.namespace };
  mustRefuse(host, 'CHECK', later, 101, /element 10\.77\.0\.2 of set masquerade_v4 is missing/);
});

run();
