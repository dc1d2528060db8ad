import { sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inNetns } from '../../kernel/netns.ts';
import { start } from '../../kernel/testing/child-process.ts';
import { type TestNamespace, withHostAndSandbox } from '../../kernel/testing/namespaces.ts';
import { thrown } from '../../kernel/testing/thrown.ts';
import { type AttachmentKey, parseNetworkConfig } from '../../protocol/config.ts';
import { toCniError } from '../../protocol/errors.ts';
import type { AttachedInterface } from '../../attachment/attachment.ts';
import type { FeatureHost, FeatureObjects, FeaturePlan } from '../feature.ts';
import { planTuning, tuningFeature } from './tuning.ts';
import { setSysctls } from './tuning-sysctl.ts';

const test = suite('tuning in the kernel');

const KEY = { network: 'n', containerId: 'c', ifname: 'eth0' };
const ATTACHMENT: AttachedInterface = {
  key: KEY,
  bridge: undefined,
  gateway: undefined,
  hostInterface: undefined,
  mac: undefined,
  addresses: [],
};

/** What sysctl(8) prints of the namespace. */
function sysctl(ns: TestNamespace, key: string): string {
  return execFileSync('ip', ['netns', 'exec', ns.name, 'sysctl', '-n', key], { encoding: 'utf8' }).trim();
}

function setBy(ns: TestNamespace, setting: string): void {
  execFileSync('ip', ['netns', 'exec', ns.name, 'sysctl', '-q', '-w', setting]);
}

interface Tuned {
  readonly host: TestNamespace;
  readonly sandbox: TestNamespace;
  readonly plan: FeaturePlan;
  /** Through objects() and apply(); returns what goes on record, as it is read back from it. */
  add(): FeatureObjects;
  check(): string[];
  remove(objects: FeatureObjects | undefined): void;
}

function planOf(key: AttachmentKey, json: Readonly<Record<string, unknown>>): FeaturePlan {
  const config = parseNetworkConfig(JSON.stringify({ cniVersion: '1.1.0', name: 'n', type: 'podlink', ...json }));
  const warn = (): void => undefined;
  const mode = { mode: 'bridge', isConfigured: true, hasOwnInterface: true, hasBridge: true, sharesNamespace: false };
  const request = { key, config, cniArgs: new Map(), ...mode, warn };
  const plan = planTuning(request, '/nonexistent/allowlist.conf');
  if (!plan) throw new Error('Cannot find a plan');
  return plan;
}

/** An attachment whose interface is there, and its tuning. */
function withTuning(json: Readonly<Record<string, unknown>>, work: (tuned: Tuned) => void | Promise<void>) {
  return withHostAndSandbox((host, sandbox) => {
    sandbox.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'peer0');
    const plan = planOf(KEY, json);
    const featureHost: FeatureHost = { route: host.route, runDir: '', warn: () => undefined };
    const attachment = connected(ATTACHMENT, featureHost, sandbox.netns);
    return work({
      host,
      sandbox,
      plan,
      add() {
        const objects = plan.objects?.(attachment) ?? {};
        plan.apply?.(attachment, objects);
        return JSON.parse(JSON.stringify(objects)) as FeatureObjects;
      },
      check: () => sentencesOf(plan.check?.(attachment) ?? []),
      remove: (objects) => tuningFeature.remove?.(featureHost, { key: KEY, objects, sandbox: sandbox.netns }),
    });
  });
}

function refusal(work: () => unknown): string {
  const { code, message } = toCniError(thrown(work));
  return `${code} ${message}`;
}

const SETTINGS = {
  'net.ipv4.ip_forward': '1',
  'net/ipv4/ip_local_port_range': '20000 30000',
  'net.ipv4.ip_local_reserved_ports': '20005,20006,20001',
  'net.core.somaxconn': '0x200',
  'net.ipv4.conf.IFNAME.arp_notify': '1',
  'net.ipv6.conf.IFNAME.accept_ra': '0',
  'net.ipv4.conf.all.log_martians': '0',
};

test('apply() sets sysctls in the sandbox and nowhere else, and remove() puts back those of the namespace', () =>
  withTuning({ sysctl: SETTINGS }, ({ host, sandbox, add, check, remove }) => {
    const keys = ['net.ipv4.ip_forward', 'net.ipv4.ip_local_port_range', 'net.core.somaxconn'];
    const atFirst = keys.map((key) => sysctl(sandbox, key));
    const ofHost = keys.map((key) => sysctl(host, key));
    assert.is.not(check().length, 0);

    const objects = add();
    assert.equal(
      keys.map((key) => sysctl(sandbox, key)),
      ['1', '20000\t30000', '512'],
    );
    assert.is(sysctl(sandbox, 'net.ipv4.ip_local_reserved_ports'), '20001,20005-20006');
    assert.is(sysctl(sandbox, 'net.ipv4.conf.eth0.arp_notify'), '1');
    assert.is(sysctl(sandbox, 'net.ipv6.conf.eth0.accept_ra'), '0');
    assert.equal(
      keys.map((key) => sysctl(host, key)),
      ofHost,
    );
    assert.equal(check(), []);
    // Not what was right already, and not what goes with the interface.
    assert.equal(
      (objects.sysctls as { key: string[] }[]).map(({ key }) => key.join('.')),
      ['ipv4.ip_forward', 'ipv4.ip_local_port_range', 'ipv4.ip_local_reserved_ports', 'core.somaxconn'],
    );

    sandbox.ip('link', 'delete', 'eth0');
    for (let times = 0; times < 2; times++) {
      remove(objects);
      assert.equal(
        keys.map((key) => sysctl(sandbox, key)),
        atFirst,
      );
      assert.is(sysctl(sandbox, 'net.ipv4.ip_local_reserved_ports'), '');
    }
  }));

test('apply() again changes nothing, and makes whole what was changed', () =>
  withTuning({ sysctl: SETTINGS, txQLen: 500 }, ({ sandbox, add, check, remove }) => {
    const objects = add();
    setBy(sandbox, 'net.ipv4.ip_forward=0');
    sandbox.ip('link', 'set', 'eth0', 'txqueuelen', '7');
    assert.equal(check(), [
      'interface "eth0" has a transmit queue of 7 packets, the configuration says 500',
      'sysctl "net.ipv4.ip_forward" is "0", the configuration says "1"',
    ]);
    add();
    assert.equal(check(), []);
    remove(objects);
    assert.is(sysctl(sandbox, 'net.ipv4.ip_forward'), '0');
  }));

test('remove() leaves a sysctl alone that has got another value since', () =>
  withTuning({ sysctl: { 'net.core.somaxconn': '512', 'net.ipv4.ip_forward': '1' } }, ({ sandbox, add, remove }) => {
    const objects = add();
    setBy(sandbox, 'net.core.somaxconn=600');
    remove(objects);
    assert.is(sysctl(sandbox, 'net.core.somaxconn'), '600');
    assert.is(sysctl(sandbox, 'net.ipv4.ip_forward'), '0');
  }));

test('remove() does nothing without a record or without a sandbox', () =>
  withTuning({ sysctl: { 'net.ipv4.ip_forward': '1' } }, ({ host, sandbox, add, remove }) => {
    const objects = add();
    remove(undefined);
    tuningFeature.remove?.(
      { route: host.route, runDir: '', warn: () => undefined },
      { key: KEY, objects, sandbox: undefined },
    );
    assert.is(sysctl(sandbox, 'net.ipv4.ip_forward'), '1');
  }));

test('remove() puts back what a damaged record still tells', () =>
  withTuning({ sysctl: { 'net.ipv4.ip_forward': '1' } }, ({ sandbox, add, remove }) => {
    const { sysctls } = add();
    for (const damaged of ['text', {}, [{ key: ['ipv4', 'ip_forward'] }, 7, null]]) remove({ sysctls: damaged });
    assert.is(sysctl(sandbox, 'net.ipv4.ip_forward'), '1');
    remove({ sysctls: [{}, ...(sysctls as unknown[])] });
    assert.is(sysctl(sandbox, 'net.ipv4.ip_forward'), '0');
  }));

/** Attachments of one container, which come in order and set a sysctl each. */
function withSiblings(
  settings: readonly Readonly<Record<string, string>>[],
  work: (sandbox: TestNamespace, remove: (i: number) => void, recorded: readonly FeatureObjects[]) => void,
) {
  return withHostAndSandbox((host, sandbox) => {
    for (const i of settings.keys()) sandbox.ip('link', 'add', `eth${i}`, 'type', 'veth', 'peer', 'name', `peer${i}`);
    const featureHost: FeatureHost = { route: host.route, runDir: '', warn: () => undefined };
    const recorded: (FeatureObjects | undefined)[] = [];
    const others = () => recorded.filter((objects) => objects !== undefined);
    for (const [i, sysctls] of settings.entries()) {
      const key = { network: `n${i}`, containerId: 'c', ifname: `eth${i}` };
      const attachment = connected({ ...ATTACHMENT, key }, featureHost, sandbox.netns);
      const plan = planOf(key, { sysctl: sysctls });
      const objects = plan.objects?.(attachment, others) ?? {};
      plan.apply?.(attachment, objects);
      recorded.push(JSON.parse(JSON.stringify(objects)) as FeatureObjects);
    }
    const remove = (i: number) => {
      const objects = recorded[i];
      recorded[i] = undefined;
      tuningFeature.remove?.(featureHost, { key: KEY, objects, sandbox: sandbox.netns, listOthers: others });
    };
    work(sandbox, remove, others());
  });
}

/** `values`: of net.core.somaxconn, which is 4096 before. `left`: what it is after each removal. */
const SIBLINGS: readonly [values: readonly string[], removed: readonly number[], left: readonly string[]][] = [
  [
    ['77', '77'],
    [0, 1],
    ['77', '4096'],
  ],
  [
    ['77', '77'],
    [1, 0],
    ['77', '4096'],
  ],
  [
    ['77', '88'],
    [0, 1],
    ['88', '4096'],
  ],
  [
    ['77', '88'],
    [1, 0],
    ['77', '4096'],
  ],
  [
    ['77', '4096'],
    [0, 1],
    ['4096', '4096'],
  ],
  [
    ['77', '4096'],
    [1, 0],
    ['77', '4096'],
  ],
  [
    ['4096', '77'],
    [0, 1],
    ['77', '4096'],
  ],
  [
    ['4096', '77'],
    [1, 0],
    ['4096', '4096'],
  ],
  [
    ['77', '88', '99'],
    [2, 1, 0],
    ['88', '77', '4096'],
  ],
  [
    ['77', '88', '99'],
    [1, 2, 0],
    ['99', '77', '4096'],
  ],
  [
    ['77', '88', '77'],
    [0, 2, 1],
    ['77', '88', '4096'],
  ],
  [
    ['77', '0x4d', '88'],
    [2, 0, 1],
    ['77', '77', '4096'],
  ],
];
for (const [values, removed, left] of SIBLINGS) {
  test(`attachments that set ${values.join(', ')} and go in the order ${removed.join(', ')} leave ${left.join(', ')}`, () =>
    withSiblings(
      values.map((value) => ({ 'net.core.somaxconn': value })),
      (sandbox, remove) => {
        const seen = removed.map((i) => {
          remove(i);
          return sysctl(sandbox, 'net.core.somaxconn');
        });
        assert.equal(seen, left);
      },
    ));
}

/** Of net.core.somaxconn, which is 4096 before, or of the sysctls that are named. */
const PAIRS: readonly [
  first: Readonly<Record<string, string>>,
  second: Readonly<Record<string, string>>,
  says?: string,
][] = [
  [somaxconn('77'), somaxconn('77')],
  [somaxconn('77'), somaxconn('0x4d')],
  [somaxconn('77'), { 'net.ipv4.ip_forward': '1' }],
  [{ 'net.ipv4.conf.IFNAME.arp_notify': '1' }, { 'net.ipv4.conf.IFNAME.arp_notify': '0' }],
  [
    somaxconn('77'),
    somaxconn('88'),
    '"sysctl.net.core.somaxconn": must be "77", as in another network of this container',
  ],
  [somaxconn('4096'), somaxconn('88'), '"sysctl.net.core.somaxconn": must be "4096", as in another network'],
  [somaxconn('77'), somaxconn('4096'), '"sysctl.net.core.somaxconn": must be "77", as in another network'],
  [
    { 'net.ipv4.ip_forward': '1' },
    { 'net.ipv4.conf.all.forwarding': '0' },
    '"sysctl.net.ipv4.conf.all.forwarding": must be "1", as in another network',
  ],
];

function somaxconn(value: string): Readonly<Record<string, string>> {
  return { 'net.core.somaxconn': value };
}

for (const [first, second, says] of PAIRS) {
  const wishes = [first, second].map((sysctls) => JSON.stringify(sysctls)).join(' and ');
  test(`networks of one container that ask for ${wishes} are ${says === undefined ? 'served' : 'refused early'}`, () =>
    withSiblings([first], (sandbox, _remove, recorded) => {
      const plan = planOf({ network: 'other', containerId: 'c', ifname: 'eth1' }, { sysctl: second });
      const before = sysctl(sandbox, 'net.core.somaxconn');
      const early = () => plan.early?.objects(sandbox.netns, [], () => recorded);
      if (says === undefined) early();
      else {
        const value = JSON.stringify(Object.values(second)[0]);
        const text = refusal(early);
        assert.ok(text.startsWith(`7 Invalid ${says}`) && text.endsWith(`: is ${value}`), text);
      }
      assert.is(sysctl(sandbox, 'net.core.somaxconn'), before);
    }));
}

test('remove() leaves to another attachment what it sets by the other name of the same sysctl', () =>
  withSiblings([{ 'net.ipv4.ip_forward': '1' }, { 'net.ipv4.conf.all.forwarding': '1' }], (sandbox, remove) => {
    remove(0);
    assert.is(sysctl(sandbox, 'net.ipv4.ip_forward'), '1');
    remove(1);
    assert.is(sysctl(sandbox, 'net.ipv4.ip_forward'), '0');
  }));

test('remove() leaves a sysctl alone that has got another value since, whoever else sets it', () =>
  withSiblings([{ 'net.core.somaxconn': '77' }, { 'net.core.somaxconn': '88' }], (sandbox, remove) => {
    setBy(sandbox, 'net.core.somaxconn=600');
    for (const i of [1, 0]) remove(i);
    assert.is(sysctl(sandbox, 'net.core.somaxconn'), '600');
  }));

test('objects() takes for the original what somebody else has set after the other attachments', () =>
  withTuning({ sysctl: { 'net.core.somaxconn': '88' } }, ({ host, sandbox, plan }) => {
    const featureHost: FeatureHost = { route: host.route, runDir: '', warn: () => undefined };
    const key = ['core', 'somaxconn'];
    const others = () => [{ sysctls: [{ key, value: '77', original: '4096' }] }, { sysctls: 'damaged' }];
    const objects = () => plan.objects?.(connected(ATTACHMENT, featureHost, sandbox.netns), others);
    for (const [current, original] of [
      ['600', '600'],
      ['77', '4096'],
    ] as const) {
      setBy(sandbox, `net.core.somaxconn=${current}`);
      assert.equal(objects(), { sysctls: [{ key, value: '88', original }] });
    }
  }));

for (const names of [
  ['net.ipv4.ip_forward', 'net.ipv4.conf.all.forwarding'],
  ['net.ipv4.conf.all.forwarding', 'net.ipv4.ip_forward'],
  ['net.ipv4.conf.IFNAME.forwarding', 'net.ipv4.ip_forward'],
] as const) {
  test(`"${names[0]}" that is not what "${names[1]}" makes of it is refused, and all put back`, () =>
    withTuning({ sysctl: { 'net.core.somaxconn': '77', [names[0]]: '1', [names[1]]: '0' } }, ({ sandbox, plan }) => {
      // The other way round, the kernel has nothing to do for the second one.
      setBy(sandbox, 'net.ipv4.ip_forward=1');
      setBy(sandbox, 'net.ipv4.conf.eth0.forwarding=0');
      const apply = () =>
        plan.apply?.(
          connected(ATTACHMENT, { route: sandbox.route, runDir: '', warn: () => undefined }, sandbox.netns),
          {},
        );
      const says = 'must be a value that lasts: another sysctl, set with it, makes "0" of "1"';
      assert.is(refusal(apply), `7 Invalid "sysctl.${names[0]}": ${says}`);
      assert.is(sysctl(sandbox, 'net.core.somaxconn'), '4096');
      assert.is(sysctl(sandbox, 'net.ipv4.ip_forward'), '1');
    }));
}

test('both names of one sysctl with one value are set, and put back', () =>
  withTuning(
    { sysctl: { 'net.ipv4.ip_forward': '1', 'net.ipv4.conf.all.forwarding': '1' } },
    ({ sandbox, add, check, remove }) => {
      const objects = add();
      assert.equal(check(), []);
      remove(objects);
      assert.is(sysctl(sandbox, 'net.ipv4.ip_forward'), '0');
    },
  ));

const IPV6 = ['10.1.0.2/24', 'fd00::2/64'];
const NO_IPV6 = ['10.1.0.2/24'];
/** `before`: what disable_ipv6 of all interfaces is; undefined: 0. */
const SWITCHES: readonly [
  key: string,
  value: string,
  addresses: readonly string[],
  isRefused: boolean,
  before?: string,
][] = [
  ['net.ipv6.conf.all.disable_ipv6', '1', IPV6, true],
  ['net.ipv6.conf.IFNAME.disable_ipv6', '1', IPV6, true],
  ['net/ipv6/conf/eth0/disable_ipv6', '0x1', IPV6, true],
  ['net.ipv6.conf.all.disable_ipv6', '1', NO_IPV6, false],
  ['net.ipv6.conf.all.disable_ipv6', '0', IPV6, false],
  ['net.ipv6.conf.IFNAME.disable_ipv6', '00', IPV6, false],
  ['net.ipv6.conf.default.disable_ipv6', '1', IPV6, false],
  ['net.ipv6.conf.lo.disable_ipv6', '1', IPV6, false],
  ['net.ipv6.conf.all.disable_ipv6', '1', IPV6, false, '1'],
];
for (const [key, value, addresses, isRefused, before] of SWITCHES) {
  const where = `${before === undefined ? '' : 'set already, '}where the interface has ${addresses.join(' and ')}`;
  test(`"${key}": "${value}", ${where}, is ${isRefused ? 'refused before it takes the address away' : 'set'}`, () =>
    withTuning({ sysctl: { 'net.core.somaxconn': '77', [key]: value } }, ({ host, sandbox, plan }) => {
      if (before !== undefined) setBy(sandbox, `net.ipv6.conf.all.disable_ipv6=${before}`);
      setBy(sandbox, 'net.ipv6.conf.eth0.disable_ipv6=0');
      sandbox.ip('link', 'set', 'eth0', 'up');
      for (const address of addresses) sandbox.ip('address', 'add', address, 'dev', 'eth0');
      const featureHost: FeatureHost = { route: host.route, runDir: '', warn: () => undefined };
      const attachment = connected({ ...ATTACHMENT, addresses }, featureHost, sandbox.netns);
      const add = () => {
        const objects = plan.objects?.(attachment) ?? {};
        plan.apply?.(attachment, objects);
      };
      if (isRefused) {
        const says = 'must be "0" for interface "eth0" to keep its address fd00::2/64, is ';
        assert.is(refusal(add), `7 Invalid "sysctl.${key}": ${says}"${value}"`);
        assert.is(sysctl(sandbox, 'net.core.somaxconn'), '4096');
      } else {
        add();
        assert.equal(plan.check?.(attachment), []);
      }
      const shown = sandbox.ip('address', 'show', 'dev', 'eth0');
      for (const address of addresses) assert.ok(shown.includes(` ${address} `), shown);
    }));
}

const BAD: readonly [key: string, value: string, message: RegExp][] = [
  ['net.ipv4.conf.all.forwarding', 'yes', /must be a value that the kernel takes: it answers EINVAL to "yes"$/],
  ['net.ipv4.ip_local_port_range', '9 8', /it answers EINVAL to "9 8"$/],
  ['net.ipv4.tcp_congestion_control', 'nonsense', /it answers ENOENT to "nonsense"$/],
  ['net.core.somaxconn', '1 2', /must be a value that the kernel keeps: it made "1" of "1 2"$/],
  [
    'net.core.netdev_max_backlog',
    '1',
    /must be a sysctl of the container's network namespace, which has none of this name/,
  ],
  ['net.ipv4.ip_forward.x', '1', /which has none of this name/],
  ['net.ipv4.conf.gone0.arp_notify', '1', /which has none of this name/],
  ['net.ipv4.conf.all', '1', /must be one sysctl, is a directory of them$/],
  ['net.ipv4.route.flush', '1', /must be a sysctl that can be read back$/],
];
for (const [key, value, message] of BAD) {
  test(`"${key}": "${value}" is refused, and what was set before it put back`, () =>
    withTuning({ sysctl: { 'net.ipv4.ip_default_ttl': '77', [key]: value } }, ({ sandbox, plan, add }) => {
      const text = refusal(add);
      assert.match(text, message);
      assert.ok(text.startsWith(`7 Invalid "sysctl.${key}": `), text);
      // apply() itself does so: it needs no record for it.
      const apply = () =>
        plan.apply?.(
          connected(ATTACHMENT, { route: sandbox.route, runDir: '', warn: () => undefined }, sandbox.netns),
          {},
        );
      assert.match(refusal(apply), message);
      assert.is(sysctl(sandbox, 'net.ipv4.ip_default_ttl'), '64');
    }));
}

test('setSysctls() does not read again what is known to need a write, and puts that back', () =>
  withTuning({ sysctl: { 'net.core.somaxconn': '77' } }, ({ sandbox }) => {
    const setting = (name: string, value: string) => ({ text: name, path: name, key: name.split('/'), value });
    const [first, second] = [setting('core/somaxconn', '77'), setting('ipv4/ip_forward', 'no number')];
    setBy(sandbox, 'net.core.somaxconn=600');
    const failing = () => inNetns(sandbox.netns, () => setSysctls([first, second], new Map([[first, '500']])));
    assert.match(thrown(failing).message, 'must be a value that the kernel takes');
    assert.is(sysctl(sandbox, 'net.core.somaxconn'), '500');
    inNetns(sandbox.netns, () => setSysctls([first], new Map([[first, '77']])));
    assert.is(sysctl(sandbox, 'net.core.somaxconn'), '77');
  }));

test('a sysctl that is read-only in the namespace is refused', () =>
  withTuning({ sysctl: { 'net.ipv4.tcp_available_congestion_control': 'x' } }, ({ add }) => {
    assert.match(refusal(add), /^7 Invalid "sysctl\..*": must be a sysctl that .* may change: this one is read-only/);
  }));

test('a secret that nobody has set is set, and compared as an address', () =>
  withTuning({ sysctl: { 'net.ipv6.conf.IFNAME.stable_secret': 'fd00::1' } }, ({ sandbox, add, check }) => {
    assert.equal(add(), { sysctls: [] });
    assert.is(sysctl(sandbox, 'net.ipv6.conf.eth0.stable_secret'), 'fd00:0000:0000:0000:0000:0000:0000:0001');
    assert.equal(check(), []);
  }));

test('apply() sets the flags and the queue of the interface', () =>
  withTuning({ promisc: true, allmulti: true, txQLen: 500 }, ({ sandbox, add, check }) => {
    assert.is(check().length, 3);
    assert.equal(add(), { sysctls: [] });
    const { flags } = sandbox.link('eth0');
    assert.ok(flags.includes('PROMISC') && flags.includes('ALLMULTI'), flags.join());
    assert.match(sandbox.ip('link', 'show', 'eth0'), / qlen 500\b/);
    assert.equal(check(), []);
    sandbox.ip('link', 'set', 'eth0', 'promisc', 'off', 'allmulticast', 'off');
    assert.equal(check(), [
      'interface "eth0" is not promiscuous',
      'interface "eth0" does not take all multicast packets',
    ]);
  }));

const CAPTURE = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.setsockopt(263, 1, __import__('struct').pack('iHH8s', socket.if_nametoindex('eth0'), int(sys.argv[1]), 0, b''))
print('capturing', flush=True)
sys.stdin.read()
`;
import { connected } from '../testing/connected.ts';
/** include/uapi/linux/if_packet.h */
const PACKET_MR_PROMISC = '1';

test('check() is not misled by a packet capture, whether or not promisc is asked for', async () => {
  for (const [json, problems] of [
    [{ txQLen: 500 }, []],
    [{ txQLen: 500, promisc: true }, ['interface "eth0" is not promiscuous']],
  ] as const) {
    await withTuning(json, async ({ sandbox, add, check }) => {
      add();
      const args = ['netns', 'exec', sandbox.name, 'python3', '-c', CAPTURE, PACKET_MR_PROMISC];
      const capture = start('ip', args);
      try {
        await capture.line('capturing');
        assert.is(sandbox.link('eth0').promiscuity, 'promisc' in json ? 2 : 1);
        assert.equal(check(), []);
        sandbox.ip('link', 'set', 'eth0', 'promisc', 'off');
        assert.is(sandbox.link('eth0').promiscuity, 1);
        assert.equal(check(), problems);
      } finally {
        capture.process.stdin?.end();
        await once(capture.process, 'close');
      }
    });
  }
});

test.run();
