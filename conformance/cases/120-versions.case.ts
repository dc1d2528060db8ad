// Every version of the specification: the exact shape of its result, the verbs it has, and the result back as prevResult.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config, Result } from '../harness/document.ts';
import type { Command, Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { findLink, getLink, portsOf } from '../harness/referee.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('versions');

const OLD = ['0.1.0', '0.2.0'];
const MIDDLE = ['0.3.0', '0.3.1', '0.4.0'];
const BEFORE_CHECK = [...OLD, '0.3.0', '0.3.1'];
const BEFORE_GC = [...BEFORE_CHECK, '0.4.0', '1.0.0'];
const DNS = { nameservers: ['10.77.0.53'], domain: 'example.org', search: ['example.org'], options: ['ndots:2'] };

/** The reference of Debian knows 1.0.0 as its newest version. */
const unlessNewest = (version: string) =>
  version === '1.1.0' ? ({ absent: 'cniVersion 1.1.0, in the version that Debian has' } as const) : ('same' as const);

function dualStack(host: Host, cniVersion: string, more: Config = {}): Config {
  const routes = [
    { dst: '192.0.2.0/24', gw: '10.77.0.9' },
    { dst: '2001:db8:9::/64', gw: 'fd00:77::9' },
  ];
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64'], { routes });
  return host.config({ cniVersion, isGateway: true, ipam, dns: DNS, ...more });
}

/** The interfaces as the kernel has them, in the reference's order. */
function interfacesOf(host: Host, container: Namespace, withMtu: boolean): object[] {
  const [hostEnd] = portsOf(host.namespace, 'cni0');
  assert.ok(hostEnd, 'the bridge has a port');
  const bridge = getLink(host.namespace, 'cni0');
  return [bridge, hostEnd, getLink(container, 'eth0')].map((link, i) => ({
    name: link.ifname,
    mac: link.address,
    ...(withMtu && { mtu: link.mtu }),
    ...(i === 2 && { sandbox: container.path }),
  }));
}

/** The result that a version's specification wants, with no key beside. */
function expectedResult(host: Host, container: Namespace, cniVersion: string): object {
  const v4 = { address: '10.77.0.2/24', gateway: '10.77.0.1' };
  const v6 = { address: 'fd00:77::2/64', gateway: 'fd00:77::1' };
  const [route4, route6] = [
    { dst: '192.0.2.0/24', gw: '10.77.0.9' },
    { dst: '2001:db8:9::/64', gw: 'fd00:77::9' },
  ];
  if (OLD.includes(cniVersion)) {
    return {
      cniVersion,
      ip4: { ip: v4.address, gateway: v4.gateway, routes: [route4] },
      ip6: { ip: v6.address, gateway: v6.gateway, routes: [route6] },
      dns: DNS,
    };
  }
  const family = (version: string) => (MIDDLE.includes(cniVersion) ? { version } : {});
  return {
    cniVersion,
    interfaces: interfacesOf(host, container, cniVersion.startsWith('1.')),
    ips: [
      { ...family('4'), interface: 2, ...v4 },
      { ...family('6'), interface: 2, ...v6 },
    ],
    routes: [route4, route6],
    dns: DNS,
  };
}

for (const version of [...BEFORE_GC, '1.1.0']) {
  test(
    `${version}: ADD gives exactly the result of its specification, and DEL takes it all away`,
    unlessNewest(version),
    (host) => {
      const container = host.addContainer();
      const before = host.snapshot();
      const config = dualStack(host, version);
      const result = mustAdd(host, { config, container });
      assert.equal(result, expectedResult(host, container, version));
      mustPass(host, 'DEL', { config: withPrevResult(config, result), container });
      mustBeEmpty(host.leftSince(before), 'left after DEL');
    },
  );
}

test('no cniVersion is 0.1.0', 'same', (host) => {
  const container = host.addContainer();
  const { cniVersion: _, ...config } = dualStack(host, '');
  const result = mustAdd(host, { config, container });
  assert.equal(result, expectedResult(host, container, '0.1.0'));
  mustPass(host, 'DEL', { config, container });
});

for (const version of ['0.4.0', '1.0.0', '1.1.0']) {
  test(
    `${version}: CHECK passes on the result of ADD, and fails when the container's address is gone`,
    unlessNewest(version),
    (host) => {
      const container = host.addContainer();
      const config = dualStack(host, version);
      const invocation = { config: withPrevResult(config, mustAdd(host, { config, container })), container };
      mustPass(host, 'CHECK', invocation);
      container.ip('addr', 'del', '10.77.0.2/24', 'dev', 'eth0');
      mustRefuse(host, 'CHECK', invocation, 101, /10\.77\.0\.2/);
      mustPass(host, 'DEL', invocation);
    },
  );
}

test('CHECK is refused before 0.4.0, and changes nothing', 'same', (host) => {
  const container = host.addContainer();
  const result = mustAdd(host, { config: dualStack(host, '0.4.0'), container });
  const before = host.snapshot();
  for (const version of BEFORE_CHECK) {
    const config = withPrevResult(dualStack(host, version), result);
    mustRefuse(host, 'CHECK', { config, container }, 1, /does not allow CHECK/);
  }
  mustBeEmpty(host.changesSince(before), 'changed by the refused CHECK');
});

for (const command of ['GC', 'STATUS'] as const satisfies readonly Command[]) {
  test(`${command} is refused before 1.1.0, and removes nothing`, {
    absent: `${command}, in the version that Debian has`,
  }, (host) => {
    const container = host.addContainer();
    mustAdd(host, { config: dualStack(host, '1.0.0'), container });
    const before = host.snapshot();
    for (const version of BEFORE_GC) {
      const config = dualStack(host, version, { 'cni.dev/valid-attachments': [] });
      mustRefuse(host, command, { config }, 1, new RegExp(`does not allow ${command}`));
    }
    mustBeEmpty(host.changesSince(before), `changed by the refused ${command}`);
  });
}

const LEFTOVERS = {
  differs: 'the reference finds out when everything is made, and leaves the veth pair',
  seen: /left after the refused ADD:[\s\S]*eth0 veth/,
} as const;

for (const version of OLD) {
  test(`${version}: a network without addresses is refused with error 1, and nothing is left`, LEFTOVERS, (host) => {
    const container = host.addContainer();
    const before = host.snapshot();
    const { ipam: _, ...config } = host.config({ cniVersion: version });
    const error = mustRefuse(host, 'ADD', { config, container }, 1, /no valid IP addresses/);
    mustBeEmpty(host.leftSince(before), 'left after the refused ADD');
    assert.is(findLink(host.namespace, 'cni0'), undefined, 'the bridge made for it');
    assert.match(error.details ?? '', /0\.3\.0/, 'says from which version on');
  });
}

test('0.2.0: two addresses of one family are refused before anything is made', LEFTOVERS, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const config = host.config({ cniVersion: '0.2.0', ipam: host.hostLocal(['10.77.0.0/24', '10.78.0.0/24']) });
  mustRefuse(host, 'ADD', { config, container }, 7, /does not support more than 1 address per family/);
  mustBeEmpty(host.changesSince(before), 'left after the refused ADD');
});

test('fields of 1.1.0 are printed sooner, since later plugins act on them', {
  absent: 'routes with an MTU, in the version that Debian has',
}, (host) => {
  const routes = [{ dst: '0.0.0.0/0', mtu: 1400, advmss: 1360, priority: 50, table: 254, scope: 0 }];
  const ipam = host.hostLocal(['10.77.0.0/24'], { routes });
  const results = ['0.4.0', '1.0.0', '1.1.0'].map((cniVersion): Result => {
    const config = host.config({ cniVersion, isGateway: true, ipam });
    return mustAdd(host, { config, container: host.addContainer() });
  });
  for (const result of results) assert.equal(result.routes, routes);
  assert.ok(results[0]?.interfaces?.every((each) => each.mtu === undefined));
  for (const result of results.slice(1)) assert.ok(result.interfaces?.every((each) => each.mtu === 1500));
});

test('a prevResult without cniVersion is read in that of the configuration', 'same', (host) => {
  const container = host.addContainer();
  const config = dualStack(host, '0.4.0');
  const { cniVersion: _, ...unversioned } = mustAdd(host, { config, container });
  mustPass(host, 'CHECK', { config: withPrevResult(config, unversioned), container });
  mustPass(host, 'DEL', { config: withPrevResult(config, unversioned), container });
});

test('a version that is none of these is refused with error 1 that names those spoken', 'same', (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  for (const version of ['1.0', '0.5.0', '1.2.0', '2.0.0', '1.1.0-rc1'])
    for (const command of ['ADD', 'DEL'] as const)
      mustRefuse(host, command, { config: dualStack(host, version), container }, 1, /"0\.1\.0" .*"1\.0\.0"/);
  mustBeEmpty(host.changesSince(before), 'changed');
});

run();
