// host-local in process: which addresses it gives out of which ranges, in which order, and what may be asked for.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import { addressesOf } from '../harness/referee.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, refusalOf } from '../harness/verdict.ts';

const { test, run } = cases('host-local');

/** Attach a new container and give its addresses, as the result has them and as `ip` does. */
function addAddresses(host: Host, config: Config, more: Partial<Invocation> = {}): string[] {
  const container = host.addContainer();
  const result = mustAdd(host, { config, container, ...more });
  const addresses = (result.ips ?? []).map(({ address }) => address);
  assert.equal(addressesOf(container, 'eth0').toSorted(), addresses.toSorted(), 'addresses in the container');
  return addresses;
}

function withIpam(host: Host, ipam: object): Config {
  return host.config({ ipam: { type: 'host-local', dataDir: host.dataDir, ...ipam } });
}

test('gives the addresses from rangeStart to rangeEnd in order, then none: code 11', 'same', (host) => {
  const config = withIpam(host, {
    ranges: [[{ subnet: '10.77.0.0/24', rangeStart: '10.77.0.20', rangeEnd: '10.77.0.22', gateway: '10.77.0.254' }]],
  });
  const given = [0, 1, 2].flatMap(() => addAddresses(host, config));
  assert.equal(given, ['10.77.0.20/24', '10.77.0.21/24', '10.77.0.22/24']);
  const before = host.snapshot();
  const container = host.addContainer('late');
  const { msg } = mustRefuse(host, 'ADD', { config, container }, 11, /10\.77\.0\.20-10\.77\.0\.22/);
  assert.match(msg, /No IP addresses available/i);
  mustBeEmpty(
    host.changesSince(before).filter((line) => !/^[+-] late |link veth/.test(line)),
    'changed',
  );
});

test('takes the older keys subnet, rangeStart, rangeEnd and gateway', 'same', (host) => {
  const config = withIpam(host, { subnet: '10.77.0.0/24', rangeStart: '10.77.0.9', gateway: '10.77.0.200' });
  const result = mustAdd(host, { config, container: host.addContainer() });
  assert.equal(result.ips, [{ address: '10.77.0.9/24', gateway: '10.77.0.200', interface: 2 }]);
});

test('goes on after the address given out last, and comes round', 'same', (host) => {
  const config = withIpam(host, { ranges: [[{ subnet: '10.77.0.0/24', rangeEnd: '10.77.0.4' }]] });
  const first = { config, container: host.addContainer() };
  assert.is(mustAdd(host, first).ips?.[0]?.address, '10.77.0.2/24');
  mustPass(host, 'DEL', first);
  assert.equal(addAddresses(host, config), ['10.77.0.3/24']);
  assert.equal(addAddresses(host, config), ['10.77.0.4/24']);
  assert.equal(addAddresses(host, config), ['10.77.0.2/24']);
});

test('never gives out gateway, network or broadcast address', 'same', (host) => {
  const config = withIpam(host, { ranges: [[{ subnet: '10.77.0.0/29', gateway: '10.77.0.3' }]] });
  const given = [0, 1, 2, 3, 4].flatMap(() => addAddresses(host, config));
  assert.equal(given, ['10.77.0.1/29', '10.77.0.2/29', '10.77.0.4/29', '10.77.0.5/29', '10.77.0.6/29']);
  mustRefuse(host, 'ADD', { config, container: host.addContainer() }, 11, /No IP addresses available/i);
});

test('goes through the ranges of a set, and gives one address of each set', 'same', (host) => {
  const config = withIpam(host, {
    ranges: [
      [
        { subnet: '10.77.0.0/24', rangeStart: '10.77.0.5', rangeEnd: '10.77.0.5' },
        { subnet: '10.78.0.0/24', rangeStart: '10.78.0.5', rangeEnd: '10.78.0.5' },
      ],
      [{ subnet: 'fd00:77::/64', rangeStart: 'fd00:77::10' }],
    ],
  });
  assert.equal(addAddresses(host, config), ['10.77.0.5/24', 'fd00:77::10/64']);
  assert.equal(addAddresses(host, config), ['10.78.0.5/24', 'fd00:77::11/64']);
});

test('puts the ranges of the capability ipRanges first', 'same', (host) => {
  const config = {
    ...withIpam(host, { ranges: [[{ subnet: '10.77.0.0/24' }]] }),
    capabilities: { ipRanges: true },
    runtimeConfig: { ipRanges: [[{ subnet: '10.88.0.0/24', rangeStart: '10.88.0.7' }]] },
  };
  assert.equal(addAddresses(host, config), ['10.88.0.7/24', '10.77.0.2/24']);
});

test('works with ranges from ipRanges alone', 'same', (host) => {
  const config = { ...withIpam(host, {}), runtimeConfig: { ipRanges: [[{ subnet: '10.88.0.0/24' }]] } };
  assert.equal(addAddresses(host, config), ['10.88.0.2/24']);
});

const WAYS: readonly (readonly [string, (config: Config, address: string) => Partial<Invocation>])[] = [
  ['CNI_ARGS IP', (_, address) => ({ args: `IgnoreUnknown=1;IP=${address}` })],
  ['args.cni.ips', (config, address) => ({ config: { ...config, args: { cni: { ips: [address] } } } })],
  ['the capability ips', (config, address) => ({ config: { ...config, runtimeConfig: { ips: [address] } } })],
];
for (const [way, ask] of WAYS) {
  test(`a requested address, by ${way}: given`, 'same', (host) => {
    const config = host.config();
    assert.equal(addAddresses(host, config, ask(config, '10.77.0.42')), ['10.77.0.42/24']);
  });

  test(`a requested address with prefix length, by ${way}: given with the subnet's`, 'same', (host) => {
    const config = host.config();
    assert.equal(addAddresses(host, config, ask(config, '10.77.0.43/32')), ['10.77.0.43/24']);
  });

  const isArgument = way.startsWith('CNI_ARGS');
  const held: Reference = { differs: 'it does not name the holder, and leaves the links', seen: /left behind/ };
  test(`a requested address that is held, by ${way}: code 102, and the operator hears of the holder`, held, (host) => {
    const config = host.config();
    mustAdd(host, { config, container: host.addContainer('first'), ...ask(config, '10.77.0.42') });
    const container = host.addContainer('second');
    const before = host.snapshot();
    const outcome = host.invoke('ADD', { config, container, ...ask(config, '10.77.0.42') });
    const { msg, details = '' } = refusalOf(outcome, 'ADD', 102, /10\.77\.0\.42 .*held by another container/);
    assert.not.match(`${msg} ${details}`, /-first/);
    assert.match(outcome.stderr, /-first", interface "eth0"/);
    mustBeEmpty(host.changesSince(before), 'left behind');
  });

  test(`a requested address that cannot be had, by ${way}: refused`, 'same', (host) => {
    const config = host.config();
    const container = host.addContainer();
    for (const [address, code, pattern] of [
      ['10.77.0.1', 7, /gateway/],
      ['10.99.0.1', 7, /10\.99\.0\.1.*in none of the ranges/],
      ['10.77.0.255', 7, /10\.77\.0\.255/],
      ['ten', isArgument ? 4 : 7, /ten/],
    ] as const) {
      mustRefuse(host, 'ADD', { config, container, ...ask(config, address) }, code, pattern);
      mustPass(host, 'DEL', { config, container });
    }
  });
}

test('one requested address of each family, from different places', 'same', (host) => {
  const config = host.config({ ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']) });
  const asked = {
    config: { ...config, runtimeConfig: { ips: ['fd00:77::99'] } },
    args: 'IgnoreUnknown=1;IP=10.77.0.99',
  };
  assert.equal(addAddresses(host, config, asked), ['10.77.0.99/24', 'fd00:77::99/64']);
});

test('reads resolvConf', {
  differs: "its bridge drops IPAM's DNS (containernetworking/plugins#733)",
  seen: /nameservers/,
}, (host) => {
  const path = join(host.folder, 'resolv.conf');
  writeFileSync(
    path,
    '# made for pods\nnameserver 192.0.2.53\nnameserver 2001:db8::53\ndomain example.org\nsearch a.example.org b.example.org\noptions ndots:5 edns0\n; end\n',
  );
  const config = host.config({ ipam: host.hostLocal(['10.77.0.0/24'], { resolvConf: path }) });
  assert.equal(mustAdd(host, { config, container: host.addContainer() }).dns, {
    nameservers: ['192.0.2.53', '2001:db8::53'],
    domain: 'example.org',
    search: ['a.example.org', 'b.example.org'],
    options: ['ndots:5', 'edns0'],
  });
});

run();
