import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { describeElement } from '../../kernel/nftables/element.ts';
import { thrownOf } from '../../kernel/testing/thrown.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import { FieldError } from '../../protocol/fields.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';
import type { FeatureHost, FeaturePlan } from '../feature.ts';
import { portmapFeature } from './portmap.ts';
import { describePorts } from './portmap-claim.ts';
import { parsePortmap } from './portmap-config.ts';
import { recordedPorts } from './portmap-flows.ts';
import { connected } from '../testing/connected.ts';

const test = suite('portmap');

interface Case {
  readonly portMappings?: unknown;
  readonly config?: object;
}

function configOf({ portMappings, config = {} }: Case) {
  return parseNetworkConfig(
    JSON.stringify({ cniVersion: '1.1.0', name: 'pods', type: 'podlink', ...config, runtimeConfig: { portMappings } }),
  );
}

/** What is claimed, as text; a port of the container that has another number behind an arrow. */
function claimed(portMappings: unknown, config: object = {}): { claims: string[]; warnings: string[] } {
  const warnings: string[] = [];
  const portmap = parsePortmap(configOf({ portMappings, config }), (message) => warnings.push(message));
  const claims = (portmap?.claims ?? []).map((claim) => {
    const to = claim.containerPort === undefined || claim.containerPort === claim.firstPort ? '' : claim.containerPort;
    return `v${claim.family} ${describePorts(claim)}${to && ` > ${to}`}`;
  });
  return { claims, warnings };
}

const range = (first: number, last: number, extra: object = {}) =>
  Array.from({ length: last - first + 1 }, (_, i) => ({ hostPort: first + i, containerPort: first + i, ...extra }));

const CLAIMS: [what: string, portMappings: unknown, config: object, claims: string[]][] = [
  ['nothing', undefined, {}, []],
  ['an empty list', [], {}, []],
  [
    'ports that are not published',
    [{ containerPort: 80 }, { hostPort: 0, containerPort: 81, protocol: 'udp' }],
    {},
    [],
  ],
  ['a port of both families', [{ hostPort: 8080, containerPort: 80 }], {}, ['v4 8080/tcp > 80', 'v6 8080/tcp > 80']],
  [
    'protocols in any case, empty texts',
    [
      { hostPort: 53, containerPort: 53, protocol: 'UDP', hostIP: '' },
      { hostPort: 9, containerPort: 9, protocol: '' },
      { hostPort: 10, containerPort: 10, protocol: 'Sctp' },
    ],
    {},
    ['v4 9/tcp', 'v4 53/udp', 'v4 10/sctp', 'v6 9/tcp', 'v6 53/udp', 'v6 10/sctp'],
  ],
  [
    'addresses',
    [
      { hostPort: 1, containerPort: 1, hostIP: '0.0.0.0' },
      { hostPort: 2, containerPort: 2, hostIP: '::' },
      { hostPort: 3, containerPort: 3, hostIP: '192.0.2.1' },
      { hostPort: 4, containerPort: 4, hostIP: '2001:DB8:0::1' },
    ],
    {},
    ['v4 1/tcp', 'v4 192.0.2.1:3/tcp', 'v6 2/tcp', 'v6 [2001:db8::1]:4/tcp'],
  ],
  [
    'an address of the configuration',
    [
      { hostPort: 1, containerPort: 1 },
      { hostPort: 2, containerPort: 3, hostIP: '::' },
    ],
    { hostBindingIPv4: '192.0.2.1' },
    ['v4 192.0.2.1:1/tcp', 'v6 2/tcp > 3'],
  ],
  [
    'all addresses of the configuration',
    [{ hostPort: 1, containerPort: 1 }],
    { hostBindingIPv4: '0.0.0.0' },
    ['v4 1/tcp', 'v6 1/tcp'],
  ],
  ['a range in any order', range(80, 90, { hostIP: '::' }).toReversed(), {}, ['v6 80-90/tcp']],
  [
    'ranges with a gap, and a port that changes its number',
    [
      ...range(80, 83, { hostIP: '::' }),
      { hostPort: 84, containerPort: 99, hostIP: '::' },
      ...range(85, 86, { hostIP: '::' }),
      ...range(88, 89, { hostIP: '::' }),
    ],
    {},
    ['v6 80-83/tcp', 'v6 84/tcp > 99', 'v6 85-86/tcp', 'v6 88-89/tcp'],
  ],
  [
    'shifted ports',
    [0, 1].map((i) => ({ hostPort: 8000 + i, containerPort: 80 + i, hostIP: '::' })),
    {},
    ['v6 8000/tcp > 80', 'v6 8001/tcp > 81'],
  ],
  [
    'entries that say the same in other words',
    [
      { hostPort: 80, containerPort: 1, protocol: 'tcp' },
      { hostPort: 80, containerPort: 1, protocol: 'TCP', hostIP: '::' },
      { hostPort: 80, containerPort: 1, hostIP: '127.0.0.1' },
      { hostPort: 81, containerPort: 1, hostIP: '192.0.2.1' },
      { hostPort: 81, containerPort: 1, hostIP: '192.0.2.2', protocol: '' },
    ],
    {},
    ['v4 80/tcp > 1', 'v4 192.0.2.1:81/tcp > 1', 'v4 192.0.2.2:81/tcp > 1', 'v6 80/tcp > 1'],
  ],
  [
    'a port of single addresses, and then of all',
    ['192.0.2.1', '2001:db8::1', '192.0.2.2', ''].map((hostIP) => ({ hostPort: 80, containerPort: 1, hostIP })),
    {},
    ['v4 80/tcp > 1', 'v6 80/tcp > 1'],
  ],
  [
    'one port for several addresses that lead to different ports',
    [1, 2].map((i) => ({ hostPort: 80, containerPort: i, hostIP: `192.0.2.${i}` })),
    {},
    ['v4 192.0.2.1:80/tcp > 1', 'v4 192.0.2.2:80/tcp > 2'],
  ],
  ['a range twice', [...range(80, 84, { hostIP: '::' }), ...range(82, 90, { hostIP: '::' })], {}, ['v6 80-90/tcp']],
  ['the last port', [{ hostPort: 65535, containerPort: 65535, hostIP: '::' }], {}, ['v6 65535/tcp']],
];

for (const [what, portMappings, config, expected] of CLAIMS) {
  test(`parsePortmap() reads ${what}`, () => {
    assert.equal(claimed(portMappings, config), { claims: expected, warnings: [] });
  });
}

/** Two entries that lead one port to different ports, and what is said of the second. */
const CONTRADICTIONS: [first: object, second: object, leads: string][] = [
  [{ hostPort: 80, containerPort: 1 }, { hostPort: 80, containerPort: 2 }, '80/tcp cannot lead to port 2'],
  [
    { hostPort: 80, containerPort: 1 },
    { hostPort: 80, containerPort: 2, hostIP: '192.0.2.1' },
    '192.0.2.1:80/tcp cannot lead to port 2',
  ],
  [
    { hostPort: 80, containerPort: 1, hostIP: '192.0.2.1' },
    { hostPort: 80, containerPort: 2 },
    '80/tcp cannot lead to port 2',
  ],
  [
    { hostPort: 80, containerPort: 80, hostIP: '192.0.2.1', protocol: 'SCTP' },
    { hostPort: 80, containerPort: 8080, hostIP: '192.0.2.1', protocol: 'sctp' },
    '192.0.2.1:80/sctp cannot lead to port 8080',
  ],
];

test('parsePortmap() makes ranges of a few short runs of ports, and of many only of long ones', () => {
  const runs = (count: number, length: number) =>
    Array.from({ length: count }, (_, i) => range(20 * i + 1, 20 * i + length, { hostIP: '::' })).flat();
  const isRange = (claim: string) => /\d-\d/.test(claim);
  const countsOf = (...lists: unknown[][]) => {
    const { claims } = claimed(lists.flat());
    return [claims.length, claims.filter(isRange).length];
  };
  assert.equal(countsOf(runs(256, 2)), [256, 256]);
  assert.equal(countsOf(runs(257, 2)), [514, 0]);
  assert.equal(countsOf(runs(257, 15), range(60_000, 60_015, { hostIP: '::' })), [257 * 15 + 1, 1]);
});

const REFUSED: [portMappings: unknown, message: RegExp, config?: object][] = [
  [
    [{ hostPort: 1, containerPort: 1, hostIP: '::ffff:192.0.2.1' }],
    /portMappings\[0\].hostIP": must be an IP address, .*, which is IPv4 in IPv6's spelling: write 192.0.2.1$/,
  ],
  [[{ hostPort: 2, containerPort: 2, hostIP: '::FFFF:0:0' }], /write 0.0.0.0$/],
  ['80', /"runtimeConfig.portMappings": must be a list/],
  [[80], /"runtimeConfig.portMappings\[0\]": must be an object/],
  [
    [{ hostPort: 70_000, containerPort: 1 }],
    /portMappings\[0\].hostPort": must be a whole number from 0 to 65535, is 70000/,
  ],
  [[{ hostPort: -1, containerPort: 1 }], /hostPort": must be/],
  [[{ hostPort: '80', containerPort: 1 }], /hostPort": must be/],
  [[{ hostPort: 1.5, containerPort: 1 }], /hostPort": must be/],
  [[{ hostPort: 1 }], /containerPort": must be a whole number from 1 to 65535, is missing/],
  [[{ hostPort: 1, containerPort: 0 }], /containerPort": must be a whole number from 1/],
  [
    [{ hostPort: 1, containerPort: 1, protocol: 'icmp' }],
    /portMappings\[0\].protocol": must be one of "tcp", "udp", "sctp", is "icmp"/,
  ],
  [
    [{ hostPort: 1, containerPort: 1, hostIP: '1.2.3' }],
    /portMappings\[0\].hostIP": must be an IP address, is "1.2.3"/,
  ],
  [[{ hostPort: 1, containerPort: 1, hostIP: 'fe80::1%eth0' }], /hostIP": must be an IP address/],
  [[{ hostPort: 1, containerPort: 1, hostIP: 'fe80::1' }], /hostIP": cannot be a link-local address, is "fe80::1"/],
  [[{ hostPort: 1, containerPort: 1, hostIP: 'febf:ffff::' }], /hostIP": cannot be a link-local address/],
  [[{ hostPort: 1, containerPort: 1, hostIP: '224.0.0.251' }], /hostIP": must be an address that a host can have/],
  [[{ hostPort: 1, containerPort: 1, hostIP: '255.255.255.255' }], /hostIP": must be an address that a host can/],
  [[{ hostPort: 1, containerPort: 1, hostIP: 'FF02::1' }], /hostIP": must be an address that a host can have/],
  [[{ hostPort: 0, containerPort: 1, hostIP: 'x' }], /hostIP": must be an IP address/],
  ...CONTRADICTIONS.map(([first, second, leads]): [unknown, RegExp] => [
    [...range(2, 3), first, ...range(4, 5), second],
    new RegExp(`portMappings\\[5\\]": host port ${leads}: "runtimeConfig.portMappings\\[2\\]" leads`),
  ]),
  [range(1, 1), /"hostBindingIPv4": must be an IPv4 address, is "::"/, { hostBindingIPv4: '::' }],
  [range(1, 1), /"conditionsV4": must be empty/, { conditionsV4: ['-s', '10.0.0.0/8'] }],
  [range(1, 1), /"backend": must be one of/, { backend: 'pf' }],
  [range(1, 1), /"markMasqBit": must be/, { markMasqBit: 32 }],
  [range(1, 1), /"snat": must be true or false/, { snat: 'yes' }],
];

for (const [portMappings, message, config] of REFUSED) {
  test(`parsePortmap() refuses ${JSON.stringify(portMappings)} ${JSON.stringify(config ?? {})}`, () => {
    const { message: text } = thrownOf(FieldError, () => claimed(portMappings, config));
    assert.match(text, message);
  });
}

test('parsePortmap() says which keys of the reference have no meaning', () => {
  const { warnings } = claimed(range(1, 1), {
    backend: 'iptables',
    externalSetMarkChain: 'X',
    markMasqBit: 3,
    conditionsV4: [],
  });
  assert.equal(warnings, [
    '"backend" is "iptables", but ports are mapped with nftables',
    '"externalSetMarkChain" has no meaning here: connections are masqueraded without a mark',
  ]);
});

function planOf(use: Case, hasOwnInterface = true): FeaturePlan | undefined {
  const key = { network: 'pods', containerId: 'c', ifname: 'eth0' };
  return portmapFeature.plan({
    key,
    config: configOf(use),
    cniArgs: new Map(),
    mode: 'bridge',
    isConfigured: true,
    hasOwnInterface,
    hasBridge: hasOwnInterface,
    sharesNamespace: !hasOwnInterface,
    warn: () => undefined,
  });
}

function attachmentOf(containerId: string, addresses: readonly string[], bridge?: string): AttachedInterface {
  const key = { network: 'pods', containerId, ifname: 'eth0' };
  return { key, bridge, gateway: bridge, hostInterface: 'veth0', mac: '02:00:00:00:00:05', addresses };
}

/** What objects() says, and its warnings. Of the host it asks nothing. */
function objectsOf(use: Case, addresses: readonly string[]) {
  const warnings: string[] = [];
  const host = { warn: (message: string) => warnings.push(message) } as unknown as FeatureHost;
  const config = { hairpinMode: true, ...use.config };
  const objects = planOf({ ...use, config })?.objects?.(connected(attachmentOf('c', addresses, 'br0'), host));
  return { objects, warnings };
}

test('plan() asks for nothing without ports, and without an interface of the container’s own', () => {
  assert.is(planOf({}), undefined);
  assert.is(planOf({ portMappings: range(1, 1) }, false), undefined);
});

test('objects() puts on record what has to be forgotten, and DEL reads it', () => {
  const portMappings = [...range(53, 54, { protocol: 'udp' }), { hostPort: 80, containerPort: 80 }];
  const { objects, warnings } = objectsOf({ portMappings }, ['10.22.0.5/16', 'FD00::5/64', '10.22.0.6/16']);
  assert.equal(warnings, []);
  const ports = { hostIp: undefined, protocol: 17, firstPort: 53, lastPort: 54 };
  assert.equal(objects, {
    ports: [
      { family: 4, ...ports, containerIp: '10.22.0.5' },
      { family: 6, ...ports, containerIp: 'fd00::5' },
    ],
  });
  const recorded = JSON.parse(JSON.stringify(objects));
  assert.is(recordedPorts(recorded.ports).length, 2);
});

test('recordedPorts() leaves out what cannot be one', () => {
  const port = { family: 4, hostIp: '192.0.2.1', protocol: 17, firstPort: 1, lastPort: 2, containerIp: '10.0.0.1' };
  const broken = [
    null,
    'x',
    { ...port, hostIp: '::1' },
    { ...port, containerIp: 'x' },
    { ...port, containerIp: undefined },
    { ...port, firstPort: '1' },
  ];
  assert.equal(recordedPorts([...broken, port]), [port]);
  assert.equal([recordedPorts(undefined), recordedPorts({}), recordedPorts('x')], [[], [], []]);
  // Version 0.1.0 wrote AF_INET.
  assert.equal(recordedPorts([{ ...port, family: 2 }]), [port]);
});

test('parsePortmap() leaves out what is for ::1, and says so', () => {
  const at = (hostIP: string, hostPort: number) => ({ hostPort, containerPort: 1, hostIP });
  const why = 'nothing can come back to ::1 from a container; 127.0.0.1 can be mapped';
  assert.equal(claimed([at('::1', 80), at('127.0.0.1', 80), at('0:0::1', 81)]), {
    claims: ['v4 127.0.0.1:80/tcp > 1'],
    warnings: [`Host ports [::1]:80/tcp, [::1]:81/tcp are not mapped: ${why}`],
  });
  assert.equal(claimed([at('::1', 80)]), { claims: [], warnings: [`Host port [::1]:80/tcp is not mapped: ${why}`] });
});

test('objects() says which ports the container has no address for', () => {
  const portMappings = [
    { hostPort: 1, containerPort: 1 },
    { hostPort: 2, containerPort: 2, hostIP: '2001:db8::1' },
  ];
  const warningsOf = (mappings: unknown, ...addresses: string[]) =>
    objectsOf({ portMappings: mappings }, addresses).warnings;
  assert.equal(warningsOf(portMappings, '10.22.0.5/16'), [
    'Host port [2001:db8::1]:2/tcp is not mapped: the container has no IPv6 address',
  ]);
  assert.equal(warningsOf([{ hostPort: 3, containerPort: 1, hostIP: '0.0.0.0' }], 'fd00::5/64'), [
    'Host port 3/tcp is not mapped: the container has no IPv4 address',
  ]);
  assert.equal(warningsOf(portMappings), [
    'Host ports 1/tcp, [2001:db8::1]:2/tcp are not mapped: the container has no address',
  ]);
  const many = Array.from({ length: 100 }, (_, i) => ({ hostPort: 1000 + 2 * i, containerPort: 1 }));
  assert.match(warningsOf(many)[0] ?? '', /^Host ports 1000\/tcp, .*1018\/tcp and 90 more are not mapped/);
});

test('nftables() wants nothing for a container without addresses', () => {
  assert.equal(elementsOf({ portMappings: range(1, 3) }, []), []);
});

function elementsOf(use: Case, addresses: readonly string[]): string[] {
  const state = planOf(use)?.nftables?.(attachmentOf('c', addresses));
  return (state?.elements ?? []).map((element) => `${element.set.name} ${describeElement(element)}`);
}

test('nftables() gives one element a claim, and those of the connections it has masqueraded', () => {
  const portMappings = [{ hostPort: 8080, containerPort: 80 }, ...range(90, 99, { hostIP: '192.0.2.1' })];
  const addresses = ['10.22.0.5/16', 'fd00::5/64', '10.22.0.6/16'];
  const ports = [
    'portmap_any_v4 tcp . 8080 : 10.22.0.5 . 80',
    'portmap_address_range_v4 192.0.2.1 . tcp . 90-99 : 10.22.0.5',
    'portmap_any_v6 tcp . 8080 : fd00::5 . 80',
  ];
  assert.equal(elementsOf({ portMappings }, addresses), [
    ...ports,
    'portmap_own_v4 10.22.0.5 . 10.22.0.5',
    'portmap_own_v4 10.22.0.6 . 10.22.0.5',
    'portmap_localhost 10.22.0.5',
    'portmap_own_v6 fd00::5 . fd00::5',
  ]);
  assert.equal(elementsOf({ portMappings, config: { snat: false, masqAll: true } }, addresses), ports);
  assert.equal(elementsOf({ portMappings, config: { masqAll: true } }, addresses), [
    ...ports,
    'portmap_masq_all_v4 10.22.0.5',
    'portmap_masq_all_v6 fd00::5',
  ]);
});

test.run();
