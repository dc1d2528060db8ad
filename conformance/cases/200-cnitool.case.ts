// The real cnitool, so the real libcni: add, check and del of every version it speaks, with traffic between two pods.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { cachedResults, cnitool, cnitoolAdd, cnitoolPass, type Network } from '../harness/cnitool.ts';
import { addressOf, type Config, type Result } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { elementOwnersOf } from '../harness/nftables.ts';
import { findLink } from '../harness/referee.ts';
import { canPing, exchange } from '../harness/traffic.ts';
import { mustBeEmpty } from '../harness/verdict.ts';

const { test, run } = cases('cnitool');
/** libcni refuses CHECK itself for the older ones. */
const WITH_CHECK = ['0.4.0', '1.0.0'];
const VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', ...WITH_CHECK];

const KINDS: readonly (readonly [string, (host: Host) => Config])[] = [
  ['bridge with ipMasq', () => ({ isDefaultGateway: true, ipMasq: true })],
  ['dual stack', (host) => ({ isDefaultGateway: true, ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']) })],
];

function network(host: Host, cniVersion: string, overrides: Config): Network {
  const { cniVersion: _, name: __, ...plugin } = host.config(overrides);
  return { name: 'pods', cniVersion, plugins: [plugin] };
}

function addressesOf(result: Result): string[] {
  const old = [result.ip4?.ip, result.ip6?.ip].filter((ip) => ip !== undefined);
  return [...old, ...(result.ips ?? []).map(({ address }) => address)].map(addressOf);
}

for (const [kind, configOf] of KINDS) {
  test(`${kind}: add, check and del in every version cnitool speaks`, 'same', async (host) => {
    const outside = kind.includes('ipMasq') ? host.addOutside() : undefined;
    const containers: readonly Namespace[] = [host.addContainer(), host.addContainer()];
    const [from, to] = containers as [Namespace, Namespace];
    const before = host.snapshot();
    for (const cniVersion of VERSIONS) {
      const calls = containers.map((container) => ({ network: network(host, cniVersion, configOf(host)), container }));
      const results = calls.map((call) => cnitoolAdd(host, call));
      assert.equal(
        results.map((result) => result.cniVersion),
        [cniVersion, cniVersion],
      );
      for (const address of addressesOf(results[1] as Result)) {
        assert.ok(canPing(from, address), `${cniVersion}: no ping to ${address}`);
      }
      if (cniVersion === VERSIONS.at(-1)) await mustTalk(from, to, results as [Result, Result], outside);
      if (WITH_CHECK.includes(cniVersion)) for (const call of calls) cnitoolPass(host, 'check', call);
      assert.is(cachedResults(host).length, 2);
      for (const call of calls) for (let times = 0; times < 2; times++) cnitoolPass(host, 'del', call);
      assert.equal(cachedResults(host), []);
      mustBeEmpty(host.leftSince(before), `left after ${cniVersion}`);
    }
  });
}

async function mustTalk(from: Namespace, to: Namespace, results: [Result, Result], outside?: Namespace): Promise<void> {
  for (const [i, address] of addressesOf(results[1]).entries()) {
    const reply = await exchange({ from, to, address });
    assert.is(reply.seenFrom, addressesOf(results[0])[i], reply.reason);
  }
  if (!outside) return;
  const reply = await exchange({ from, to: outside, address: '203.0.113.2' });
  assert.is(reply.seenFrom, '203.0.113.1', `masqueraded: ${reply.reason}`);
}

const BY_LINK = {
  differs: 'the reference removes the rules of the addresses that it finds on the link, and leaves the others',
  seen: /left after del[\s\S]*MASQUERADE/,
} as const;

test('check tells what is wrong, and del cleans up all the same', BY_LINK, (host) => {
  const container = host.addContainer();
  const call = { network: network(host, '1.0.0', { isGateway: true, ipMasq: true }), container };
  const before = host.snapshot();
  const [address = ''] = addressesOf(cnitoolAdd(host, call));
  container.ip('addr', 'del', `${address}/24`, 'dev', 'eth0');
  const output = cnitool(host, 'check', call);
  assert.is.not(output.code, 0);
  assert.match(output.stdout + output.stderr, /10\.77\.0\.2/);
  cnitoolPass(host, 'del', call);
  mustBeEmpty(host.leftSince(before), 'left after del');
});

test('what podlink says against a configuration reaches who runs cnitool', {
  absent: 'the text of the error',
}, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const output = cnitool(host, 'add', { network: network(host, '1.0.0', { mtu: 7 }), container });
  assert.is.not(output.code, 0);
  assert.match(output.stdout + output.stderr, /"mtu": must be 0 or at least 68, is 7/);
  mustBeEmpty(host.changesSince(before), 'changed');
});

test('capabilities and arguments reach podlink through libcni', 'same', (host) => {
  const container = host.addContainer();
  const config = { isGateway: true, capabilities: { ips: true, mac: true, portMappings: true } };
  const call = {
    network: network(host, '1.0.0', config),
    container,
    ifname: 'net1',
    capabilities: { mac: '02:00:0a:4d:00:63', unknown: 7 },
    args: 'IgnoreUnknown=1;IP=10.77.0.99;K8S_POD_NAME=web',
  };
  const result = cnitoolAdd(host, call);
  assert.equal(addressesOf(result), ['10.77.0.99']);
  assert.is(findLink(container, 'net1')?.address, '02:00:0a:4d:00:63');
  cnitoolPass(host, 'check', call);
  cnitoolPass(host, 'del', call);
  assert.is(findLink(container, 'net1'), undefined);
});

test('del needs neither the namespace nor the result cache', 'same', (host) => {
  const container = host.addContainer();
  const call = { network: network(host, '1.0.0', { isGateway: true }), container };
  const before = host.snapshot();
  cnitoolAdd(host, call);
  container.remove();
  cnitoolPass(host, 'del', call);
  mustBeEmpty(
    host.leftSince(before).filter((line) => !/^[+-] pod1 /.test(line)),
    'left after del',
  );
  assert.equal(elementOwnersOf(host.namespace), []);
});

run();
