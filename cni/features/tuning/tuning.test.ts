import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { thrown } from '../../kernel/testing/thrown.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import { toCniError } from '../../protocol/errors.ts';
import type { FeatureRequest } from '../feature.ts';
import { findDisallowed } from './tuning-allowlist.ts';
import { parseTuningConfig } from './tuning-config.ts';
import { planTuning } from './tuning.ts';

const test = suite('tuning');

type Json = Readonly<Record<string, unknown>>;

function request(json: Json, mode = 'bridge'): FeatureRequest {
  return {
    key: { network: 'n', containerId: 'c', ifname: 'eth0.5' },
    config: parseNetworkConfig(JSON.stringify({ cniVersion: '1.1.0', name: 'n', type: 'podlink', ...json })),
    cniArgs: new Map(),
    mode,
    isConfigured: (json.mode ?? 'bridge') === mode,
    hasOwnInterface: mode === 'bridge',
    hasBridge: mode === 'bridge',
    sharesNamespace: mode === 'host' || mode === 'container',
    warn: () => undefined,
  };
}

/** The keys and values of the sysctls, in order. */
function sysctls(json: Json, mode = 'bridge'): string[] {
  return (parseTuningConfig(request(json, mode))?.sysctls ?? []).map(({ key, value }) => `${key.join('/')}=${value}`);
}

function refusal(work: () => unknown): string {
  const { code, message } = toCniError(thrown(work));
  return `${code} ${message}`;
}

test('a configuration that asks for nothing is none', () => {
  for (const json of [
    {},
    { sysctl: {} },
    { sysctl: null, promisc: false, allmulti: false, txQLen: null },
    { mtu: 1400, mac: '02:00:00:00:00:01' },
    { promisc: true, args: { cni: { promisc: false } } },
  ]) {
    assert.is(parseTuningConfig(request(json)), undefined);
    assert.is(planTuning(request(json)), undefined);
  }
});

test('keys of the configuration, and of args before them', () => {
  const json = { promisc: true, txQLen: 500, args: { cni: { allmulti: true, txQLen: 0 } } };
  assert.equal(parseTuningConfig(request(json)), {
    sysctls: [],
    isPromiscuous: true,
    isAllMulticast: true,
    txQueueLength: 0,
  });
});

test('keys of sysctls with dots and with slashes, and the name of the interface', () => {
  const sysctl = {
    'net.ipv4.ip_forward': '1',
    'net/core/somaxconn': '5',
    'net.ipv4.conf.IFNAME.arp_notify': '1',
    'net/ipv4/conf/IFNAME/arp_filter': '1',
    'net/ipv4/conf/v.7/arp_filter': '1',
    'net.ipv4/conf/all.arp_filter': '',
  };
  assert.equal(sysctls({ sysctl }), [
    'ipv4/ip_forward=1',
    'core/somaxconn=5',
    'ipv4/conf/eth0.5/arp_notify=1',
    'ipv4/conf/eth0.5/arp_filter=1',
    'ipv4/conf/v.7/arp_filter=1',
    'ipv4/conf/all/arp_filter=',
  ]);
});

test('sysctls of args stand in place of those of the configuration, and need none there', () => {
  const cni = { sysctl: { 'net/ipv4/ip_forward': '0', 'net.core.somaxconn': '7' } };
  assert.equal(sysctls({ args: { cni } }), ['ipv4/ip_forward=0', 'core/somaxconn=7']);
  assert.equal(sysctls({ sysctl: { 'net.ipv4.ip_forward': '1' }, args: { cni } }), [
    'ipv4/ip_forward=0',
    'core/somaxconn=7',
  ]);
});

const NAME = 'must be the name of a sysctl below "net", such as "net.ipv4.conf.IFNAME.arp_notify"';
const REFUSED: readonly [json: Json, message: string][] = [
  [{ sysctl: [] }, 'Invalid "sysctl": must be an object, is []'],
  [{ sysctl: { 'net.ipv4.ip_forward': 1 } }, 'Invalid "sysctl.net.ipv4.ip_forward": must be a string, is 1'],
  [{ sysctl: { 'net.x': '1\n2' } }, 'Invalid "sysctl.net.x": must be one line of text, is "1\\n2"'],
  [{ sysctl: { 'net.x': '1\0' } }, 'Invalid "sysctl.net.x": must be one line of text, is "1\\u0000"'],
  [{ sysctl: { 'kernel.hostname': 'x' } }, `Invalid "sysctl.kernel.hostname": ${NAME}`],
  [{ sysctl: { net: 'x' } }, `Invalid "sysctl.net": ${NAME}`],
  [{ sysctl: { 'net.': 'x' } }, `Invalid "sysctl.net.": ${NAME}`],
  [{ sysctl: { 'net/../kernel/hostname': 'x' } }, `Invalid "sysctl.net/../kernel/hostname": ${NAME}`],
  [{ sysctl: { '/net/ipv4/x': 'x' } }, `Invalid "sysctl./net/ipv4/x": ${NAME}`],
  [{ sysctl: { 'net/./x': 'x' } }, `Invalid "sysctl.net/./x": ${NAME}`],
  [{ sysctl: { 'net.ipv4.x y': 'x' } }, `Invalid "sysctl.net.ipv4.x y": ${NAME}`],
  [{ sysctl: { 'net.a\0b': 'x' } }, `Invalid "sysctl.net.a\0b": ${NAME}`],
  [
    { sysctl: { 'net.ipv4.ip_forward': '1', 'net/ipv4/ip_forward': '1' } },
    'Invalid "sysctl.net/ipv4/ip_forward": is the same sysctl as "net.ipv4.ip_forward": give it once',
  ],
  [
    { args: { cni: { sysctl: { 'net.ipv4.conf.IFNAME.x': '1', 'net/ipv4/conf/eth0.5/x': '2' } } } },
    'Invalid "args.cni.sysctl.net/ipv4/conf/eth0.5/x": is the same sysctl as "net.ipv4.conf.IFNAME.x": give it once',
  ],
  [
    { sysctl: { 'net.netfilter.nf_conntrack_max': '9' } },
    `Invalid "sysctl.net.netfilter.nf_conntrack_max": must be a sysctl of the container's network namespace, and this one is the whole node's`,
  ],
  [{ promisc: 'yes' }, 'Invalid "promisc": must be true or false, is "yes"'],
  [{ args: { cni: { allmulti: 1 } } }, 'Invalid "args.cni.allmulti": must be true or false, is 1'],
  [{ txQLen: -1 }, 'Invalid "txQLen": must be a whole number from 0 to 4294967295, is -1'],
];
for (const [json, message] of REFUSED) {
  test(`refused: ${JSON.stringify(message)}`, () => {
    assert.is(
      refusal(() => planTuning(request(json))),
      `7 ${message}`,
    );
  });
}

const SYSCTL = { 'net.ipv4.ip_forward': '1', 'net.ipv4.conf.IFNAME.arp_notify': '1' };

test('host and container mode refuse what would change the shared namespace', () => {
  for (const mode of ['host', 'container']) {
    const ending = `and mode "${mode}", whose namespace is shared, and nothing in it is changed`;
    for (const [json, names] of [
      [{ mode, sysctl: SYSCTL }, '"sysctl.net.ipv4.ip_forward", "sysctl.net.ipv4.conf.IFNAME.arp_notify"'],
      [{ mode, promisc: true, mac: '02:00:00:00:00:01' }, '"mac", "promisc"'],
      [{ args: { cni: { sysctl: { 'net.core.somaxconn': '1' } } } }, '"args.cni.sysctl.net.core.somaxconn"'],
      [
        { args: { cni: { mtu: 1400, txQLen: 7, allmulti: true } } },
        '"args.cni.allmulti", "args.cni.txQLen", "args.cni.mtu"',
      ],
    ] as const) {
      assert.is(
        refusal(() => planTuning(request(json, mode))),
        `7 Conflicting options: ${names} ${ending}`,
      );
    }
  }
});

test('none mode takes the sysctls of the namespace, and refuses what needs an interface', () => {
  assert.equal(sysctls({ mode: 'none', sysctl: { 'net.ipv4.ip_forward': '1' } }, 'none'), ['ipv4/ip_forward=1']);
  const ending = 'and mode "none", which has no interface for them';
  for (const [json, names] of [
    [{ mode: 'none', sysctl: SYSCTL }, '"sysctl.net.ipv4.conf.IFNAME.arp_notify"'],
    [{ mode: 'none', promisc: true, allmulti: true }, '"promisc", "allmulti"'],
    [{ args: { cni: { txQLen: 7 } } }, '"args.cni.txQLen"'],
  ] as const) {
    assert.is(
      refusal(() => planTuning(request(json, 'none'))),
      `7 Conflicting options: ${names} ${ending}`,
    );
  }
});

test('a container in another mode than the configuration has settings for goes without them', () => {
  const json = { mode: 'bridge', sysctl: SYSCTL, promisc: true, mtu: 1400, mac: '02:00:00:00:00:01' };
  for (const mode of ['host', 'container']) assert.is(planTuning(request(json, mode)), undefined);
  assert.equal(parseTuningConfig(request(json, 'none')), {
    sysctls: [
      {
        text: 'net.ipv4.ip_forward',
        path: 'sysctl.net.ipv4.ip_forward',
        key: ['ipv4', 'ip_forward'],
        value: '1',
      },
    ],
    isPromiscuous: false,
    isAllMulticast: false,
    txQueueLength: undefined,
  });
});

function withAllowlist(text: string, work: (path: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'podlink-allowlist-'));
  try {
    writeFileSync(join(directory, 'allowlist.conf'), text);
    work(join(directory, 'allowlist.conf'));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const ALLOWLISTS: readonly [text: string, key: string, isAllowed: boolean][] = [
  ['^net\\.ipv4\\.ip_forward$', 'net.ipv4.ip_forward', true],
  ['^net\\.ipv4\\.ip_forward$', 'net/ipv4/ip_forward', false],
  ['^net.ipv4.ip_forward$', 'net/ipv4/ip_forward', true],
  ['ipv4', 'net.ipv4.ip_forward', true],
  ['ipv6', 'net.ipv4.ip_forward', false],
  ['\n  ^net\\.core\\.\r\n\n^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]*$\n', 'net.ipv4.conf.IFNAME.arp_notify', true],
  ['\n  ^net\\.core\\.\r\n', 'net.core.somaxconn', true],
  ['\n  ^net\\.core\\.\r\n', 'net.ipv4.ip_forward', false],
  ['', 'net.ipv4.ip_forward', false],
  ['\n \n', 'net.ipv4.ip_forward', false],
  // Go's syntax, where JavaScript's differs.
  ['(?i)^NET\\.CORE\\..*$', 'net.core.somaxconn', true],
  ['(?i)^NET\\.CORE\\..*$', 'net.ipv4.ip_forward', false],
  ['^(?P<area>net\\.core)\\.', 'net.core.somaxconn', true],
  ['^(?<area>net\\.core)\\.', 'net.ipv4.ip_forward', false],
  ['^\\Qnet.core.\\E', 'net.core.somaxconn', true],
  ['^\\Qnet.core.\\E', 'net/core/somaxconn', false],
  ['^\\Qnet.', 'net.core.somaxconn', true],
  ['\\Anet\\.core\\.[[:alpha:]]+\\z', 'net.core.somaxconn', true],
  ['\\Anet\\.core\\.[[:digit:]]+\\z', 'net.core.somaxconn', false],
  ['^net\\.[[:^digit:]]+$', 'net.core.somaxconn', true],
  ['^\\pL+\\.core', 'net.core.somaxconn', true],
  ['(?U)^net\\..+n$', 'net.core.somaxconn', true],
  ['(?i:NET)\\.core', 'net.core.somaxconn', true],
  ['(?i:NET)\\.CORE', 'net.core.somaxconn', false],
  ['^net\\x2ecore', 'net.core.somaxconn', true],
  ['^net\\x{2e}core', 'net/core/somaxconn', false],
];
for (const [text, key, isAllowed] of ALLOWLISTS) {
  test(`an allow-list of ${JSON.stringify(text)} ${isAllowed ? 'allows' : 'refuses'} ${key}`, () =>
    withAllowlist(text, (path) => {
      const plan = () => planTuning(request({ sysctl: { [key]: '1' } }), path);
      if (isAllowed) assert.ok(plan());
      else assert.match(refusal(plan), `7 Invalid "sysctl.${key}": must be a sysctl that ${path} allows (`);
    }));
}

test('the allow-list goes for args too, and says what is allowed', () =>
  withAllowlist('^net\\.core\\.\n^x$\n', (path) => {
    const json = { sysctl: { 'net.core.somaxconn': '1' }, args: { cni: { sysctl: { 'net.ipv4.ip_forward': '1' } } } };
    assert.is(
      refusal(() => planTuning(request(json), path)),
      `7 Invalid "args.cni.sysctl.net.ipv4.ip_forward": must be a sysctl that ${path} allows (only ^net\\.core\\., ^x$)`,
    );
  }));

for (const source of [
  '^net\\.(',
  'net(?=core)',
  '(?<!x)net',
  '(net)\\1',
  'a{1001}',
  'net**',
  '\\y',
  '(?P<a>n)(?P<a>e)',
  '\\C*\\8',
]) {
  test(`${source} in the allow-list, which Go takes for no regular expression, is an error that names it`, () =>
    withAllowlist(`\n${source}\n`, (path) => {
      assert.is(
        refusal(() => planTuning(request({ sysctl: SYSCTL }), path)),
        `7 Invalid ${path}, line 2: must be a regular expression as Go's and RE2's are, is "${source}"`,
      );
    }));
}

test('without an allow-list everything is allowed, and one that cannot be read is an error', () => {
  const settings = parseTuningConfig(request({ sysctl: SYSCTL }))?.sysctls ?? [];
  assert.is(settings.length, 2);
  assert.equal(findDisallowed(settings, '/nonexistent/allowlist.conf'), []);
  assert.match(
    refusal(() => findDisallowed(settings, tmpdir())),
    /^5 /,
  );
});

test.run();
