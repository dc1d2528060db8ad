// The `loopback` role, which containerd calls for every pod: ADD raises `lo`, DEL leaves it as it is.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config, Result } from '../harness/document.ts';
import { getLink, isUp } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('loopback');
const CONFIG: Config = { cniVersion: '1.0.0', name: 'cni-loopback', type: 'loopback' };
const NEWEST_SHAPE = 'it prints the shape of 1.0.0 for older versions too (containernetworking/plugins#381)';

test('ADD raises lo, and says so', 'same', (host) => {
  const container = host.addContainer();
  assert.not(isUp(getLink(container, 'lo')));
  const result = mustAdd(host, { config: CONFIG, container, ifname: 'lo' });
  assert.ok(isUp(getLink(container, 'lo')));
  assert.ok(canPing(container, '127.0.0.1'));
  assert.ok(canPing(container, '::1'));
  assert.equal(result.interfaces, [{ name: 'lo', mac: '00:00:00:00:00:00', sandbox: container.path }]);
  assert.equal(result.ips, [
    { address: '127.0.0.1/8', interface: 0 },
    { address: '::1/128', interface: 0 },
  ]);
});

for (const cniVersion of ['1.1.0', '1.0.0']) {
  const reference = cniVersion === '1.1.0' ? { absent: 'that version, in 1.1.1' } : ('same' as const);
  test(`ADD answers in the shape of ${cniVersion}`, reference, (host) => {
    const { interfaces, ips } = mustAdd(host, { config: { ...CONFIG, cniVersion }, container: host.addContainer() });
    assert.equal(
      interfaces?.map(({ name }) => name),
      ['lo'],
    );
    assert.equal(
      ips?.map(({ version }) => version),
      [undefined, undefined],
    );
  });
}

for (const cniVersion of ['0.4.0', '0.3.1', '0.3.0']) {
  const reference = { differs: NEWEST_SHAPE, seen: /\[ undefined, '127\.0\.0\.1\/8' \]/ };
  test(`ADD answers in the shape of ${cniVersion}`, reference, (host) => {
    const { interfaces, ips } = mustAdd(host, { config: { ...CONFIG, cniVersion }, container: host.addContainer() });
    assert.equal(
      interfaces?.map(({ name }) => name),
      ['lo'],
    );
    assert.equal(
      ips?.map(({ version, address }) => [version, address]),
      [
        ['4', '127.0.0.1/8'],
        ['6', '::1/128'],
      ],
    );
  });
}

for (const cniVersion of ['0.2.0', '0.1.0', undefined]) {
  const reference = cniVersion === undefined ? 'same' : { differs: NEWEST_SHAPE, seen: /127\.0\.0\.1\/8/ };
  test(`ADD answers in the shape of ${cniVersion ?? 'no version, which is 0.1.0'}`, reference, (host) => {
    const { cniVersion: _, ...unversioned } = CONFIG;
    const config = cniVersion === undefined ? unversioned : { ...CONFIG, cniVersion };
    const result = mustAdd(host, { config, container: host.addContainer() });
    assert.is(result.ip4?.ip, '127.0.0.1/8');
    assert.is(result.ip6?.ip, '::1/128');
    assert.is(result.interfaces, undefined);
    assert.is(result.ips, undefined);
  });
}

test('ADD passes prevResult on, whatever it holds', 'same', (host) => {
  const prevResult: Result = {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'eth0', mac: '02:00:00:00:00:05', sandbox: '/run/netns/elsewhere' }],
    ips: [{ address: '10.9.8.7/24', gateway: '10.9.8.1', interface: 0 }],
    routes: [{ dst: '0.0.0.0/0' }],
    dns: { nameservers: ['10.9.8.2'] },
  };
  const container = host.addContainer();
  assert.equal(mustAdd(host, { config: { ...CONFIG, prevResult }, container }), prevResult);
  assert.ok(isUp(getLink(container, 'lo')));
});

test('ADD twice is fine', 'same', (host) => {
  const container = host.addContainer();
  const first = mustAdd(host, { config: CONFIG, container });
  assert.equal(mustAdd(host, { config: CONFIG, container }), first);
});

test('CHECK passes after ADD, and fails with code 101 when lo is down', 'same', (host) => {
  const container = host.addContainer();
  mustRefuse(host, 'CHECK', { config: CONFIG, container }, 101, /loopback interface .*down/i);
  const prevResult = mustAdd(host, { config: CONFIG, container });
  const config = { ...CONFIG, prevResult };
  mustPass(host, 'CHECK', { config, container });
  container.ip('link', 'set', 'lo', 'down');
  mustRefuse(host, 'CHECK', { config, container }, 101, /loopback interface .*down/i);
});

test('DEL leaves lo up: somebody else may share the namespace', {
  differs: 'it takes lo down',
  seen: /lo is down after DEL/,
}, (host) => {
  const container = host.addContainer();
  mustAdd(host, { config: CONFIG, container });
  const before = host.snapshot();
  mustPass(host, 'DEL', { config: CONFIG, container });
  assert.ok(isUp(getLink(container, 'lo')), 'lo is down after DEL');
  mustPass(host, 'DEL', { config: CONFIG, container });
  mustBeEmpty(host.changesSince(before), 'changed by DEL');
});

for (const [what, netns] of [
  ['without CNI_NETNS', ''],
  ['with the namespace gone', '/run/netns/nowhere'],
] as const) {
  test(`DEL ${what} succeeds`, 'same', (host) => {
    mustPass(host, 'DEL', { config: CONFIG, containerId: 'gone', netns });
  });
}

test('DEL with a plain file at CNI_NETNS succeeds', { differs: 'it refuses', seen: /unknown FS magic/ }, (host) => {
  mustPass(host, 'DEL', { config: CONFIG, containerId: 'gone', netns: '/etc/passwd' });
});

test('ADD without a namespace at CNI_NETNS: code 4', 'same', (host) => {
  mustRefuse(host, 'ADD', { config: CONFIG, containerId: 'c', netns: '/run/netns/nowhere' }, 4, /CNI_NETNS/);
  mustRefuse(host, 'ADD', { config: CONFIG, containerId: 'c', netns: '/etc/passwd' }, 4, /CNI_NETNS/);
});

test('ADD and CHECK where lo has an address of another kind, as a host may have it', {
  differs: 'it refuses (kubernetes/kubernetes#100648)',
  seen: /non-loopback address/,
}, (host) => {
  const container = host.addContainer();
  container.ip('addr', 'add', '192.0.2.7/32', 'dev', 'lo');
  const result = mustAdd(host, { config: CONFIG, container });
  assert.ok(isUp(getLink(container, 'lo')));
  assert.is(result.interfaces?.[0]?.name, 'lo');
  mustPass(host, 'CHECK', { config: { ...CONFIG, prevResult: result }, container });
});

test("in the host's own namespace ADD succeeds and DEL leaves its lo up", {
  differs: 'its DEL takes the lo of the host down',
  seen: /should not be the same|lo of the host/,
}, (host) => {
  const before = host.snapshot();
  mustAdd(host, { config: CONFIG, container: host.namespace });
  mustPass(host, 'DEL', { config: CONFIG, container: host.namespace });
  assert.ok(isUp(getLink(host.namespace, 'lo')), 'lo of the host is down');
  mustBeEmpty(host.changesSince(before), 'changed');
});

run();
