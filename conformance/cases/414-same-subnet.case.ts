// Two networks with one subnet, by mistake or because a network got another name: the kernel sends what is for an
// address to one link only. The second is refused by the name of the first, and nothing of the first is lost.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustSay, mustTell, NO_COMMANDS } from '../harness/operator-command.ts';
import { ownedElementsOf } from '../harness/owned-element.ts';
import { addPod, checkPod, delPod, type Pod } from '../harness/pod.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('networks with one subnet');
const TAKES_ALL: Reference = { absent: 'a word of it: both networks get the addresses' };

/** One network; its reservations are its own. */
function network(host: Host, name: string, more: Config = {}): Config {
  const portMappings = [{ hostPort: name === 'first' ? 8001 : 8002, containerPort: 7777, protocol: 'tcp' }];
  return host.config({
    name,
    bridge: name === 'first' ? 'cni0' : 'cni1',
    isDefaultGateway: true,
    ipMasq: true,
    hairpinMode: true,
    runtimeConfig: { portMappings },
    ...more,
  });
}

function elementsOf(host: Host, pod: Pod): string[] {
  return ownedElementsOf(host.namespace)
    .filter(({ owner }) => owner.includes(pod.namespace.name))
    .map((element) => JSON.stringify(element))
    .sort();
}

/** Of the second network, whose ADD must be refused by the name of the first and leave nothing. */
function mustBeRefused(host: Host, first: Pod, config: Config, pattern: RegExp): void {
  const elements = elementsOf(host, first);
  const container = host.addContainer();
  const before = host.snapshot();
  const { msg, details = '' } = mustRefuse(host, 'ADD', { config, container }, 102, pattern);
  assert.not.match(`${msg} ${details}`, new RegExp(first.namespace.name), 'it names a container of somebody else');
  mustBeEmpty(host.leftSince(before), 'left');
  assert.equal(elementsOf(host, first), elements);
  mustPass(host, 'DEL', { config, container });
  assert.equal(elementsOf(host, first), elements, 'after the DEL of the second');
  checkPod(host, first);
}

for (const [title, subnets] of [
  ['IPv4', ['10.77.0.0/24']],
  ['IPv6', ['fd00:77::/64']],
  ['both families', ['10.77.0.0/24', 'fd00:77::/64']],
] as const) {
  test(`another bridge with the same subnet is refused, ${title}`, TAKES_ALL, (host) => {
    const ipam = host.hostLocal(subnets);
    const first = addPod(host, network(host, 'first', { ipam }));
    mustBeRefused(host, first, network(host, 'second', { ipam }), /"cni1".*bridge "cni0" has that network.*"first"/);
    assert.not(host.namespace.run('ip', ['link', 'show', 'cni1']).code === 0, 'the second bridge is there');
  });
}

test('once the first network has no containers the second gets it, with a warning', TAKES_ALL, (host) => {
  delPod(host, addPod(host, network(host, 'first')));
  const outcome = host.invoke('ADD', { config: network(host, 'second'), container: host.addContainer() });
  assert.is(outcome.code, 0, outcome.stdout);
  assert.match(outcome.stderr, /network 10\.77\.0\.0\/24 of "cni1" overlaps route 10\.77\.0\.0\/24 of "cni0"/);
});

test('a network that got another name does not take over what its containers have', TAKES_ALL, (host) => {
  const first = addPod(host, network(host, 'first'));
  mustBeRefused(
    host,
    first,
    network(host, 'second', { bridge: 'cni0' }),
    /network "second": a container of network "first" is connected with the same address/,
  );
  // The next address is free.
  const second = addPod(host, network(host, 'second', { bridge: 'cni0' }));
  assert.is.not(second.ipv4, first.ipv4);
  delPod(host, second);
  checkPod(host, first);
});

test('bridges that have the address already, made by somebody else', TAKES_ALL, (host) => {
  for (const bridge of ['cni0', 'cni1']) {
    host.namespace.ip('link', 'add', bridge, 'type', 'bridge');
    host.namespace.ip('addr', 'add', '10.77.0.1/24', 'dev', bridge);
    host.namespace.ip('link', 'set', bridge, 'up');
  }
  const first = addPod(host, network(host, 'first'));
  mustBeRefused(
    host,
    first,
    network(host, 'second'),
    /a container of network "first" is connected with the same address/,
  );
});

test('isolated containers of two networks with one subnet on one bridge', TAKES_ALL, (host) => {
  const more = { ipMasq: false, icc: false, bridge: 'cni0', runtimeConfig: {} };
  const first = addPod(host, network(host, 'first', more));
  mustBeRefused(
    host,
    first,
    network(host, 'second', more),
    /a container of network "first" is connected with the same address/,
  );
});

test('an element that a container left behind is taken over, as before', TAKES_ALL, (host) => {
  const first = addPod(host, network(host, 'first'));
  first.namespace.remove();
  host.namespace.ip('link', 'del', 'cni0');
  const config = network(host, 'second');
  const container = host.addContainer();
  const result = mustAdd(host, { config, container });
  mustPass(host, 'CHECK', { config: withPrevResult(config, result), container });
});

test('ranges of one subnet that do not meet share a bridge', 'same', (host) => {
  const half = (rangeStart: string, rangeEnd: string) => ({
    ...(host.hostLocal() as object),
    ranges: [[{ subnet: '10.77.0.0/24', rangeStart, rangeEnd }]],
  });
  const first = addPod(host, network(host, 'first', { ipam: half('10.77.0.10', '10.77.0.99') }));
  const second = addPod(host, network(host, 'second', { bridge: 'cni0', ipam: half('10.77.0.100', '10.77.0.199') }));
  for (const pod of [first, second]) checkPod(host, pod);
  delPod(host, second);
  checkPod(host, first);
});

test('a smaller network within a larger one on another bridge is warned of', TAKES_ALL, (host) => {
  addPod(host, network(host, 'first', { ipam: host.hostLocal(['10.77.0.0/16']) }));
  const outcome = host.invoke('ADD', {
    config: network(host, 'second', { ipam: host.hostLocal(['10.77.5.0/24']) }),
    container: host.addContainer(),
  });
  assert.is(outcome.code, 0, outcome.stdout);
  assert.match(outcome.stderr, /network 10\.77\.5\.0\/24 of "cni1" overlaps route 10\.77\.0\.0\/16 of "cni0"/);
});

for (const [title, prepare, expected] of [
  ["the host's own network", ['addr', 'add', '10.77.0.9/24', 'dev', 'up0'], /overlaps route 10\.77\.0\.0\/24 of "up0"/],
  ['a network that contains it', ['addr', 'add', '10.77.3.9/16', 'dev', 'up0'], /route 10\.77\.0\.0\/16 of "up0"/],
  [
    'a route',
    ['route', 'add', '10.77.0.128/25', 'via', '203.0.113.2'],
    /10\.77\.0\.128\/25 via 203\.0\.113\.2 of "up0"/,
  ],
  ['an address alone', ['addr', 'add', '10.77.0.77/32', 'dev', 'up0'], /overlaps address 10\.77\.0\.77 of "up0"/],
  ['IPv6', ['addr', 'add', 'fd00:77::9/64', 'dev', 'up0', 'nodad'], /fd00:77::\/64 of "cni0" overlaps .*"up0"/],
] as const) {
  test(`ADD warns of ${title} in the subnet, once`, TAKES_ALL, (host) => {
    host.addOutside();
    host.namespace.ip(...prepare);
    const config = network(host, 'first', {
      runtimeConfig: {},
      ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    });
    const [first, second] = [0, 1].map(() => host.invoke('ADD', { config, container: host.addContainer() }));
    assert.equal([first?.code, second?.code], [0, 0], first?.stdout);
    assert.match(first?.stderr ?? '', expected);
    assert.not.match(second?.stderr ?? '', /overlaps/);
  });
}

test('a default route, and networks elsewhere, are no conflict', 'same', (host) => {
  host.addOutside();
  host.namespace.ip('route', 'add', 'default', 'via', '203.0.113.2');
  const config = network(host, 'first', { runtimeConfig: {} });
  const { code, stderr } = host.invoke('ADD', { config, container: host.addContainer() });
  assert.equal([code, stderr], [0, '']);
});

/** Files of stock plugins and ours, as lists. */
function writeLists(host: Host, lists: Readonly<Record<string, object>>): string {
  const dir = join(host.folder, 'net.d');
  mkdirSync(dir, { recursive: true });
  for (const [name, plugin] of Object.entries(lists)) {
    const ipam = { type: 'host-local', ranges: [[{ subnet: '10.77.0.0/24' }]] };
    const list = { cniVersion: '1.0.0', name, plugins: [{ isGateway: true, ipam, ...plugin }] };
    writeFileSync(join(dir, `${name}.conflist`), JSON.stringify(list));
  }
  return dir;
}

test('validate compares the files that it is given, and those of a directory', NO_COMMANDS, (host) => {
  const dir = writeLists(host, {
    a: { type: 'podlink', bridge: 'cni0' },
    b: { type: 'bridge', bridge: 'cni1' },
    c: { type: 'podlink', bridge: 'cni2', ipam: { type: 'host-local', ranges: [[{ subnet: '10.78.0.0/24' }]] } },
  });
  const said =
    /b\.conflist: 1 warning .*\n.*network "b" has addresses of 10\.77\.0\.0\/24, and network "a" in .*a\.conflist/;
  assert.match(mustSay(host, ['validate', dir]), said);
  const files = ['a', 'b', 'c'].map((name) => join(dir, `${name}.conflist`));
  assert.match(mustEnd(host, ['validate', '--strict', ...files], 1).stdout, said);
  mustEnd(host, ['validate', '--strict', '--no-kernel', files[0] ?? '', files[2] ?? ''], 0);
});

test("validate and doctor tell of the host's own routes in a subnet", NO_COMMANDS, (host) => {
  host.addOutside();
  const dir = writeLists(host, { a: { type: 'podlink', bridge: 'cni0' } });
  mustEnd(host, ['validate', '--strict', dir], 0);
  host.namespace.ip('route', 'add', '10.77.0.0/16', 'via', '203.0.113.2');
  const said = /network 10\.77\.0\.0\/24 of "cni0" overlaps route 10\.77\.0\.0\/16 via 203\.0\.113\.2 of "up0"/;
  assert.match(mustEnd(host, ['validate', '--strict', dir], 1).stdout, said);
  mustEnd(host, ['validate', '--strict', '--no-kernel', dir], 0);
  const args = ['doctor', '--conf-dir', dir, '--data-dir', host.dataDir, '--bin-dir', host.pluginFolder];
  const findings = mustTell<{ level: string; what: string }[]>(host, args);
  assert.equal(
    findings.filter(({ what }) => said.test(what)).map(({ level }) => level),
    ['warn'],
  );
});

run();
