// static in process: the addresses of the configuration, and of those who may replace or add to them.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import { addressesOf, routeTextsOf } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('static');

const ADDRESSES = [
  { address: '10.77.0.9/24', gateway: '10.77.0.1' },
  { address: '10.78.0.9/24' },
  { address: 'fd00:77::9/64', gateway: 'fd00:77::1' },
];

function withStatic(host: Host, more: object = {}): Config {
  return host.config({ ipam: { type: 'static', addresses: ADDRESSES, ...more } });
}

test('gives several addresses, routes and DNS as configured', {
  differs: "its bridge drops IPAM's DNS (containernetworking/plugins#733)",
  seen: /nameservers/,
}, (host) => {
  const dns = { nameservers: ['192.0.2.53'], domain: 'example.org', search: ['a.example.org'], options: ['ndots:2'] };
  const routes = [{ dst: '0.0.0.0/0' }, { dst: '198.51.100.0/24', gw: '10.78.0.1' }];
  const config = withStatic(host, { routes, dns });
  const container = host.addContainer();
  const result = mustAdd(host, { config, container });
  assert.equal(
    result.ips,
    ADDRESSES.map((entry) => ({ ...entry, interface: 2 })),
  );
  assert.equal(result.dns, dns);
  assert.equal(addressesOf(container, 'eth0'), ['10.77.0.9/24', '10.78.0.9/24', 'fd00:77::9/64']);
  const texts = routeTextsOf(container, 'eth0');
  assert.ok(texts.includes('default via 10.77.0.1'), texts.join());
  assert.ok(texts.includes('198.51.100.0/24 via 10.78.0.1'), texts.join());
});

test('CHECK passes, DEL leaves nothing, and both pods with static addresses talk', 'same', (host) => {
  const one = { config: host.config({ ipam: { type: 'static', addresses: [{ address: '10.77.0.9/24' }] } }) };
  const two = { config: host.config({ ipam: { type: 'static', addresses: [{ address: '10.77.0.10/24' }] } }) };
  const first = host.addContainer('one');
  mustAdd(host, { ...one, container: first });
  const second = host.addContainer('two');
  const before = host.snapshot();
  const config = withPrevResult(two.config, mustAdd(host, { ...two, container: second }));
  assert.ok(canPing(second, '10.77.0.9'));
  mustPass(host, 'CHECK', { config, container: second });
  mustPass(host, 'DEL', { config, container: second });
  mustBeEmpty(host.changesSince(before), 'left');
});

const SOURCES: readonly (readonly [string, string[], (config: Config) => Partial<Invocation>])[] = [
  [
    'CNI_ARGS IP and GATEWAY add to them',
    ['10.77.0.9/24', '10.78.0.9/24', 'fd00:77::9/64', '10.79.0.7/16'],
    () => ({ args: 'IgnoreUnknown=1;IP=10.79.0.7/16;GATEWAY=10.79.0.1' }),
  ],
  [
    'args.cni.ips replaces them',
    ['10.79.0.7/16', 'fd00:79::7/64'],
    (config) => ({ config: { ...config, args: { cni: { ips: ['10.79.0.7/16', 'fd00:79::7/64'] } } } }),
  ],
  [
    'the capability ips replaces all others',
    ['10.80.0.7/16'],
    (config) => ({
      config: { ...config, args: { cni: { ips: ['10.79.0.7/16'] } }, runtimeConfig: { ips: ['10.80.0.7/16'] } },
    }),
  ],
];
for (const [what, expected, ask] of SOURCES) {
  test(what, 'same', (host) => {
    const config = withStatic(host);
    const container = host.addContainer();
    const result = mustAdd(host, { config, container, ...ask(config) });
    assert.equal(
      result.ips?.map(({ address }) => address),
      expected,
    );
    assert.equal(addressesOf(container, 'eth0').toSorted(), expected.toSorted());
  });
}

test('refuses what is no CIDR, from any of the sources, and makes nothing', {
  differs: 'it leaves the veth pair and the bridge',
  seen: /left behind/,
}, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const config = withStatic(host);
  for (const [invocation, code, pattern] of [
    [{ config: withStatic(host, { addresses: [{ address: '10.77.0.9' }] }) }, 7, /ipam\.addresses\[0\]\.address.*CIDR/],
    [{ config: withStatic(host, { addresses: 'all' }) }, 7, /ipam\.addresses/],
    [{ config: withStatic(host, { addresses: [{ address: '10.77.0.9/24', gateway: 'me' }] }) }, 7, /gateway.*me/],
    [{ config, args: 'IP=10.77.0.9' }, 4, /CNI_ARGS "IP".*CIDR/],
    [{ config, args: 'GATEWAY=me' }, 4, /CNI_ARGS "GATEWAY".*me/],
    [{ config: { ...config, args: { cni: { ips: ['10.77.0.9'] } } } }, 7, /args\.cni\.ips\[0\].*CIDR/],
    [{ config: { ...config, runtimeConfig: { ips: ['10.77.0.9'] } } }, 7, /runtimeConfig\.ips\[0\].*CIDR/],
  ] as const) {
    mustRefuse(host, 'ADD', { ...invocation, container }, code, pattern);
    const left = host.changesSince(before).filter((line) => !line.startsWith('+ folder '));
    mustBeEmpty(left, 'left behind');
  }
});

run();
