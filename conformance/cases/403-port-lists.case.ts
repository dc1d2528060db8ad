// Lists of port mappings: one port in several entries, addresses that the container or the host cannot serve.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import { ownedElementsOf } from '../harness/owned-element.ts';
import type { Pod } from '../harness/pod.ts';
import { withQuickIpv6 } from '../harness/quick-ipv6.ts';
import { askAll, whileServing } from '../harness/standing-server.ts';
import { mustBeEmpty, resultOf } from '../harness/verdict.ts';
import {
  addWholePod,
  checkWholePod,
  delWholePod,
  invokeWhole,
  mustRefuseWhole,
  podOf,
} from '../harness/whole-chain.ts';

const { test, run } = withQuickIpv6(cases('lists of port mappings'));

type Mapping = Readonly<Record<string, unknown>>;

const port = (hostPort: number, hostIP?: string, more: Mapping = {}): Mapping => ({
  hostPort,
  containerPort: 7777,
  protocol: 'tcp',
  ...(hostIP !== undefined && { hostIP }),
  ...more,
});

const SUBNETS = ['10.77.0.0/24', 'fd00:77::/64'];

function network(host: Host, portMappings: readonly Mapping[], more: Config = {}): Config {
  return host.config({
    isDefaultGateway: true,
    ipam: host.hostLocal(SUBNETS),
    runtimeConfig: { portMappings },
    ...more,
  });
}

/** The elements that lead ports to containers: `set key`. */
function portsOf(host: Host): string[] {
  const isPort = ({ set }: { set: string }) => /^portmap_(any|address)/.test(set);
  return ownedElementsOf(host.namespace)
    .filter(isPort)
    .map(({ set, key }) => `${set.replace('portmap_', '')} ${key}`);
}

/** ADD that must succeed, and what it says on standard error. */
function addWithWarnings(host: Host, config: Config): { pod: Pod; warnings: string } {
  const container = host.addContainer();
  const invocation = { config, container };
  const outcome = invokeWhole(host, 'ADD', invocation);
  return { pod: podOf(invocation, container, resultOf(outcome, config)), warnings: outcome.stderr };
}

const REPEATED: readonly (readonly [string, readonly Mapping[], readonly string[]])[] = [
  ['the same entry twice', [port(8080), port(8080)], ['any_v4 tcp . 8080', 'any_v6 tcp . 8080']],
  ['all addresses, and 127.0.0.1', [port(8080), port(8080, '127.0.0.1')], ['any_v4 tcp . 8080', 'any_v6 tcp . 8080']],
  ['one address, and all', [port(8080, '192.0.2.1'), port(8080, '')], ['any_v4 tcp . 8080', 'any_v6 tcp . 8080']],
  ['all addresses, and ::', [port(8080, ''), port(8080, '::')], ['any_v4 tcp . 8080', 'any_v6 tcp . 8080']],
  ['0.0.0.0 and ::', [port(8080, '0.0.0.0'), port(8080, '::')], ['any_v4 tcp . 8080', 'any_v6 tcp . 8080']],
  ['tcp and TCP', [port(8080), port(8080, '', { protocol: 'TCP' })], ['any_v4 tcp . 8080', 'any_v6 tcp . 8080']],
  [
    'an address in two spellings',
    [port(8080, '2001:DB8:0::1'), port(8080, '2001:db8::1')],
    ['address_v6 2001:db8::1 . tcp . 8080'],
  ],
  [
    'ranges that overlap',
    [...range(8000, 8005), ...range(8003, 8010)],
    ['any_range_v4 tcp . 8000-8010', 'any_range_v6 tcp . 8000-8010'],
  ],
];

function range(first: number, last: number): Mapping[] {
  return Array.from({ length: last - first + 1 }, (_, i) => port(first + i, '', { containerPort: first + i }));
}

test('entries that lead a port to the same port of the container are one mapping', 'same', (host) => {
  for (const [title, portMappings, expected] of REPEATED) {
    const container = host.addContainer();
    const before = host.snapshot();
    const pod = addWholePod(host, network(host, portMappings), { container });
    assert.equal(portsOf(host), expected, title);
    checkWholePod(host, pod);
    delWholePod(host, pod);
    mustLeaveNothing(host, before, title);
  }
});

test('entries that lead a port to different ports are refused, both are named, and nothing changes', {
  differs: 'takes them; the first entry gets it all',
  seen: /ADD is not refused/,
}, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const contradictions: (readonly [Mapping, Mapping])[] = [
    [port(8080), port(8080, '', { containerPort: 81 })],
    [port(8080, '192.0.2.1'), port(8080, '', { containerPort: 81 })],
    [port(8080, '::', { protocol: 'TCP' }), port(8080, '2001:db8::1', { containerPort: 81 })],
  ];
  for (const [first, second] of contradictions) {
    const config = network(host, [port(9000), first, second]);
    const pattern =
      /"runtimeConfig\.portMappings\[2\]": host port \S*8080\/tcp .*port 81: "runtimeConfig\.portMappings\[1\]" leads \S*8080\/tcp to port 7777/;
    mustRefuseWhole(host, 'ADD', { config, container }, 7, pattern);
  }
  mustBeEmpty(
    host.changesSince(before).filter((line) => !line.startsWith('+ folder')),
    'changed by the refused ADDs',
  );
});

test('a family that the container lacks is left out with a warning, also where nothing is left', {
  differs: 'leaves it out without a word',
  seen: /warning/,
}, (host) => {
  const [v4, v6] = SUBNETS as [string, string];
  const cases: readonly (readonly [string, object, readonly Mapping[], RegExp])[] = [
    ['IPv4 alone, ::', host.hostLocal([v4]), [port(8080, '::')], /8080\/tcp .*no IPv6 address/],
    ['IPv4 alone, an IPv6 address', host.hostLocal([v4]), [port(8080, '2001:db8::1')], /no IPv6 address/],
    ['IPv6 alone, 0.0.0.0', host.hostLocal([v6]), [port(8080, '0.0.0.0')], /8080\/tcp .*no IPv4 address/],
    ['no address', {}, [port(8080), port(8081, '192.0.2.1')], /8080\/tcp, 192\.0\.2\.1:8081\/tcp .*no address/],
  ];
  for (const [title, ipam, portMappings, warning] of cases) {
    const more = title === 'no address' ? { isDefaultGateway: false } : {};
    const { pod, warnings } = addWithWarnings(host, network(host, portMappings, { ipam, ...more }));
    assert.match(warnings, warning, `the warning: ${title}`);
    assert.equal(portsOf(host), [], title);
    checkWholePod(host, pod);
    delWholePod(host, pod);
  }
});

test('hostIP ::1 is left out with a warning, and the entries beside it are served', {
  differs: 'maps it, which leads nowhere',
  seen: /warning/,
}, (host) => {
  const config = network(host, [port(8080, '::1'), port(8080, '127.0.0.1')]);
  const { pod, warnings } = addWithWarnings(host, config);
  assert.match(warnings, /\[::1\]:8080\/tcp is not mapped/, 'the warning');
  assert.equal(portsOf(host), ['address_v4 127.0.0.1 . tcp . 8080']);
  checkWholePod(host, pod);
  delWholePod(host, pod);
  addWithWarnings(host, network(host, [port(8080, '0:0::1')]));
  assert.equal(portsOf(host), []);
});

test('hostIP that nobody can connect to a container by is refused, and its key is named', {
  differs: 'takes it; nothing is served',
  seen: /ADD is not refused/,
}, (host) => {
  const container = host.addContainer();
  for (const address of ['fe80::1', 'FEBF::1', 'ff02::1', '224.0.0.1']) {
    const config = network(host, [port(8080), port(8081, address)]);
    mustRefuseWhole(host, 'ADD', { config, container }, 7, /"runtimeConfig\.portMappings\[1\]\.hostIP"/);
  }
});

test('what listens at a link-local address of the host is reached there, whatever ports are mapped', {
  differs: 'sends it to the pod, to which the kernel forwards nothing from a link-local address',
  seen: /no answer|timed? ?out|unreachable|EHOSTUNREACH|EACCES/i,
}, async (host) => {
  const outside = host.addOutside();
  const name = 'fe80::77';
  host.namespace.ip('addr', 'add', `${name}/64`, 'dev', 'up0', 'nodad');
  outside.ip('addr', 'add', 'fe80::78/64', 'dev', 'eth0', 'nodad');
  const pod = addWholePod(host, network(host, [port(7777), port(8080), port(8080, '', { protocol: 'udp' })]));
  const protocols = ['tcp', 'udp'] as const;
  const served = await whileServing(host.namespace, [`${name}%up0`], () =>
    askAll([
      ...protocols.map((protocol) => ({ from: outside, address: `${name}%eth0`, protocol })),
      ...protocols.map((protocol) => ({ from: host.namespace, address: `${name}%up0`, protocol })),
    ]),
  );
  for (const { seenFrom, reason } of served) assert.ok(seenFrom, `no answer: ${reason}`);
  // Where nothing listens it is refused at once, as anywhere.
  const [refused, mapped] = await whileServing(pod.namespace, [pod.ipv6], () =>
    askAll([
      { from: outside, address: `${name}%eth0`, port: 8080, timeoutMs: 2000 },
      { from: outside, address: '2001:db8:1::1', port: 8080 },
    ]),
  );
  assert.match(refused?.reason ?? '', /ECONNREFUSED/);
  assert.is(mapped?.seenFrom, '2001:db8:1::2');
});

run();
