// Podlink at the head of a list, as libcni calls it, with the reference's portmap, firewall and tuning behind it.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { type CnitoolCall, cnitoolAdd, cnitoolPass, type Network } from '../harness/cnitool.ts';
import { addressOf, type Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { findLink } from '../harness/referee.ts';
import { canPing, exchange, SILENCE_TIMEOUT_MS } from '../harness/traffic.ts';
import { mustBeEmpty } from '../harness/verdict.ts';

const { test, run } = cases('chains under cnitool');

/** Chains of the reference's plugins that they never remove, and files that tuning keeps its own state in. */
const THEIRS_STAY = /nft \{"(table|chain|rule)":.*(CNI-|"name":"(nat|filter)"|"table":"(nat|filter)")/;

function list(host: Host, ...others: Config[]): Network {
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']);
  const { cniVersion: _, name: __, ...plugin } = host.config({ isDefaultGateway: true, ipMasq: true, ipam });
  return { name: 'pods', cniVersion: '1.0.0', plugins: [plugin, ...others] };
}

function leftOfOurs(host: Host, before: readonly string[]): string[] {
  return host.leftSince(before).filter((line) => !THEIRS_STAY.test(line));
}

test('portmap: a port of the host leads to the pod, with the result of podlink', 'same', async (host) => {
  const outside = host.addOutside();
  const container = host.addContainer();
  const before = host.snapshot();
  const call: CnitoolCall = {
    network: list(host, { type: 'portmap', capabilities: { portMappings: true } }),
    container,
    capabilities: { portMappings: [{ hostPort: 7777, containerPort: 7777, protocol: 'tcp' }] },
  };
  const result = cnitoolAdd(host, call);
  assert.is(result.interfaces?.length, 3);
  assert.equal(
    result.ips?.map(({ address }) => addressOf(address)),
    ['10.77.0.2', 'fd00:77::2'],
  );
  const reply = await exchange({
    from: outside,
    to: container,
    address: '0.0.0.0',
    via: { address: '203.0.113.1', port: 7777 },
  });
  assert.is(reply.seenFrom, '203.0.113.2', reply.reason);
  // No check: the portmap of Debian finds fault with its own rules, behind the reference bridge as well.
  cnitoolPass(host, 'del', call);
  mustBeEmpty(leftOfOurs(host, before), 'left after del');
});

test('firewall: the pod gets out through a host that forwards nothing else', 'same', async (host) => {
  const outside = host.addOutside();
  host.namespace.mustRun('iptables', ['-P', 'FORWARD', 'DROP']);
  const container = host.addContainer();
  const before = host.snapshot();
  const plain = { network: list(host), container };
  cnitoolAdd(host, plain);
  assert.not.ok(canPing(container, '203.0.113.2', SILENCE_TIMEOUT_MS), 'the host forwards all the same');
  cnitoolPass(host, 'del', plain);

  const call = { network: list(host, { type: 'firewall', backend: 'iptables' }), container };
  cnitoolAdd(host, call);
  const reply = await exchange({ from: container, to: outside, address: '203.0.113.2' });
  assert.is(reply.seenFrom, '203.0.113.1', reply.reason);
  cnitoolPass(host, 'check', call);
  cnitoolPass(host, 'del', call);
  mustBeEmpty(leftOfOurs(host, before), 'left after del');
});

test('tuning: changes the interface that podlink made, and CHECK passes after it', 'same', (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const tuning = {
    type: 'tuning',
    mac: '02:00:0a:4d:00:77',
    mtu: 1400,
    sysctl: { 'net.ipv4.conf.eth0.arp_ignore': '1' },
    dataDir: `${host.folder}/tuning`,
  };
  const call = { network: list(host, tuning), container };
  const result = cnitoolAdd(host, call);
  const link = findLink(container, 'eth0');
  assert.equal([link?.address, link?.mtu], ['02:00:0a:4d:00:77', 1400]);
  assert.is(container.sysctl('net/ipv4/conf/eth0/arp_ignore'), '1');
  assert.is(result.interfaces?.find(({ name }) => name === 'eth0')?.mac, '02:00:0a:4d:00:77');
  assert.ok(canPing(container, '10.77.0.1'));
  cnitoolPass(host, 'check', call);
  cnitoolPass(host, 'del', call);
  mustBeEmpty(leftOfOurs(host, before), 'left after del');
});

test('a later plugin that fails leaves podlink to the del that follows, which takes all away', 'same', (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const call = { network: list(host, { type: 'tuning', sysctl: { 'kernel.hostname': 'x' } }), container };
  assert.throws(() => cnitoolAdd(host, call), /kernel[./]hostname/);
  cnitoolPass(host, 'del', call);
  mustBeEmpty(leftOfOurs(host, before), 'left after del');
});

run();
