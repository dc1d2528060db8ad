import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tell } from './fault.ts';
import { checkConf } from './conf-check.ts';
import type { KernelFiles } from '../doctor/kernel-feature.ts';

const test = suite('conf check');
const ENV = { PODLINK_RUN_DIR: '/nonexistent/podlink' };
const RANGES = [[{ subnet: '10.1.0.0/16' }]];
const IPAM = { type: 'host-local', dataDir: '/nonexistent/ipam', ranges: RANGES };

/** `level place: message` of each fault. */
function check(value: unknown, name = 'x.conflist', kernel?: KernelFiles): string[] {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return checkConf(text, name, { env: ENV, kernel })
    .faults.map(tell)
    .map(({ level, place, message }) => `${level} ${place}: ${message}`);
}

function list(entry: object, more: object = {}, others: readonly unknown[] = []): object {
  return {
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [{ type: 'podlink', ipam: IPAM, ...entry }, ...others],
    ...more,
  };
}

test('checkConf() has nothing against a good list and a good single configuration', () => {
  assert.equal(check(list({ isGateway: true })), []);
  assert.equal(check({ cniVersion: '1.0.0', name: 'pods', type: 'podlink', ipam: IPAM }, 'x.conf'), []);
});

/** The whole list of what is told: nothing less, and nothing that only follows from it. */
const ROWS: readonly (readonly [what: string, value: unknown, faults: readonly RegExp[]])[] = [
  ['is not JSON', '{\n "name": }', [/^error : not JSON: unexpected "}".*line 2, column 10/]],
  ['is no object', [], [/^error : must be a JSON object, is \[\]/]],
  ['has no plugins', { ...list({}), plugins: [] }, [/^error : Invalid "plugins"/]],
  ['has a bad name', list({}, { name: 'a/b' }), [/^error : Invalid "name".*is "a\/b"/]],
  ['has a version nobody speaks', list({}, { cniVersion: '2.0.0' }), [/^error : Invalid "cniVersion".*1\.1\.0/]],
  ['has no version', list({}, { cniVersion: undefined }), [/^warning : "cniVersion" is missing/]],
  ['has an unknown key', list({ isgatway: true }), [/^warning plugins\[0\]: unknown key "isgatway".*"isGateway"/]],
  ['has an unknown key of ipam', list({ ipam: { ...IPAM, rang: 1 } }), [/unknown key "ipam\.rang"/]],
  [
    'has an unknown key of a range',
    list({ ipam: { ...IPAM, ranges: [[{ subnet: '10.1.0.0/16', gatway: 'x' }]] } }),
    [/unknown key "ipam\.ranges\[0\]\[0\]\.gatway".*"gateway"/],
  ],
  ['has one key twice', list({ ipMasq: true, ipmasq: false }), [/"ipMasq" and "ipmasq" are one key/]],
  [
    'has two wrong types',
    list({ mtu: '1500', ipMasq: 'yes' }),
    [/^error .*Invalid "mtu"/, /^error .*Invalid "ipMasq"/],
  ],
  [
    'has wrong items of a list',
    list({ vlanTrunk: [{ id: 5000 }, { id: 1 }, { id: 6000 }] }),
    [/"vlanTrunk\[0\]\.id"/, /"vlanTrunk\[2\]\.id"/],
  ],
  [
    'has overlapping ranges',
    list({ ipam: { ...IPAM, ranges: [...RANGES, [{ subnet: '10.1.2.0/24' }]] } }),
    [/^error .*"ipam\.ranges\[1\]": range set 0 overlaps with 1/],
  ],
  [
    'has a range without subnet',
    list({ ipam: { ...IPAM, ranges: [[{}]] } }),
    [/"ipam\.ranges\[0\]\[0\]\.subnet".*missing/],
  ],
  ['has no ranges', list({ ipam: { type: 'host-local' } }), [/^error .*No IP ranges/]],
  ['gets its ranges from the runtime', list({ ipam: { type: 'host-local' }, capabilities: { ipRanges: true } }), []],
  [
    "has another plugin's ipam",
    list({ ipam: { type: 'whereabouts', anything: 1 } }),
    [/^warning .*IPAM plugin "whereabouts" is not built in, and must be in CNI_PATH$/],
  ],
  [
    'has a slip in the type of ipam',
    list({ ipam: { type: 'hostlocal' } }),
    [/"hostlocal" is not built in.*did you mean "host-local"\?$/],
  ],
  [
    'has an mtu too small for its IPv6 range, beside another error and a gateway out of reach',
    list({
      ...{ mtu: 1000, ipMasq: 'yes', isDefaultGateway: true },
      ipam: { ...IPAM, ranges: [[{ subnet: '10.1.0.0/16', gateway: '10.2.0.1' }], [{ subnet: 'fd00::/64' }]] },
    }),
    [
      /^error .*Invalid "ipMasq"/,
      /^error .*Invalid "mtu": must be at least 1280 for an IPv6 address, is 1000$/,
      /^warning .*"ipam\.ranges\[0\]\[0\]\.gateway" 10\.2\.0\.1 is not in 10\.1\.0\.0\/16/,
    ],
  ],
  [
    'has a static IPv6 address and an mtu in args.cni too small for it',
    list({ args: { cni: { mtu: 1279 } }, ipam: { type: 'static', addresses: [{ address: 'fd00::5/64' }] } }),
    [/^error .*Invalid "mtu".*1279/],
  ],
  [
    'has conditions for published ports',
    list({ conditionsV4: ['-s', '10.0.0.0/8'], capabilities: { portMappings: true } }),
    [/^error .*Invalid "conditionsV4": must be empty/],
  ],
  ['has no conditions, or no ports', list({ conditionsV4: [], capabilities: { portMappings: true } }), []],
  ['has a small mtu and IPv4 alone', list({ mtu: 1000 }), []],
  [
    'has a wrong type, and no ranges',
    list({ mtu: '1500', ipam: { type: 'host-local' } }),
    [/^error .*Invalid "mtu"/, /^error .*No IP ranges/],
  ],
  [
    'has a gateway out of reach in the old single range, and a route by it',
    list({
      ipam: { type: 'host-local', subnet: '10.1.0.0/16', gateway: '10.2.0.1', routes: [{ dst: '0.0.0.0/0' }] },
    }),
    [/^warning .*"ipam\.gateway" 10\.2\.0\.1 is not in 10\.1\.0\.0\/16/],
  ],
  [
    'has a gateway out of reach behind a range that is wrong',
    list({
      isDefaultGateway: true,
      ipam: { ...IPAM, ranges: [[{ subnet: 'x' }, { subnet: '10.1.0.0/16', gateway: '10.2.0.1' }]] },
    }),
    [/^error .*"ipam\.ranges\[0\]\[0\]\.subnet"/, /^warning .*"ipam\.ranges\[0\]\[1\]\.gateway" 10\.2\.0\.1/],
  ],
  [
    'has a gateway out of reach that no route goes by',
    list({ ipam: { type: 'host-local', subnet: '10.1.0.0/16', gateway: '10.2.0.1' } }),
    [],
  ],
  [
    'has gateways outside of the ranges that are reached all the same',
    list({
      isDefaultGateway: true,
      ipam: {
        ...IPAM,
        ranges: [[{ subnet: '10.1.0.0/16', gateway: '169.254.1.1' }], [{ subnet: 'fd00::/64', gateway: 'fe80::1' }]],
        routes: [{ dst: '169.254.1.1/32', scope: 253 }, { dst: '0.0.0.0/0' }],
      },
    }),
    [],
  ],
  [
    'has in mode host what is for a bridge',
    list({ mode: 'host', isGateway: true, ipMasq: true }),
    [/^warning plugins\[0\]: "ipam", "isGateway", "ipMasq" have no effect in mode "host"$/],
  ],
  [
    'has in modes none and host a target',
    list({ mode: 'none', target: 'infra', ipam: {}, overrides: [{ pod: 'a/*', mode: 'host' }] }),
    [/^warning plugins\[0\]: "target" has no effect in mode "none" or "host"$/],
  ],
  [
    'has in mode host what is for the pods that get a bridge',
    list({ mode: 'host', isGateway: true, overrides: [{ pod: 'a/*', mode: 'bridge' }] }),
    [],
  ],
  [
    'has one error in several modes',
    list({ ipMasq: 'yes', overrides: [{ pod: 'a/*', mode: 'host' }] }),
    [/^error plugins\[0\]: Invalid "ipMasq": must be true or false, is "yes"$/],
  ],
  [
    'has one error in the modes of overrides alone',
    list({
      capabilities: { 'io.kubernetes.cri.pod-annotations': true },
      overrides: [
        { pod: 'a/*', mode: 'container', target: 'nobody' },
        { pod: 'b/*', mode: 'container', target: 'nobody' },
      ],
    }),
    [/^error .*Invalid "target".* \(for pods in mode "container"\)$/],
  ],
  ['has an ipam section without a type', list({ ipam: { ranges: RANGES } }), [/^error .*"ipam\.type"/]],
  [
    'has an unreadable resolvConf',
    list({ ipam: { ...IPAM, resolvConf: '/nonexistent' } }),
    [/^warning .*"ipam\.resolvConf"/],
  ],
  [
    'declares an unknown capability',
    list({ capabilities: { portMapping: true } }),
    [/^warning .*"portMapping".*"portMappings"/],
  ],
  ['declares a foreign capability', list({ capabilities: { aliases: true } }), [/^warning .*"aliases" has no effect/]],
  ['declares a capability with a number', list({ capabilities: { mac: 1 } }), [/^error .*"capabilities\.mac".*is 1/]],
  [
    'has capabilities that are a list',
    list({ capabilities: ['mac'] }),
    [/^error .*Invalid "capabilities": must be an object/],
  ],
  [
    'has a key that needs a capability',
    list({ hostBindingIPv4: '10.0.0.1' }),
    [/^warning .*"hostBindingIPv4" has no effect without/],
  ],
  ['lets pods choose without annotations', list({ allowModes: ['none'] }), [/^warning .*"allowModes" without/]],
  ['has no static address', list({ ipam: { type: 'static' } }), [/^warning .*"static" has no "addresses"/]],
  ['has what the runtime fills in', list({ runtimeConfig: {} }), [/^warning .*"runtimeConfig" is the runtime's/]],
  [
    'has an error in a mode that an override leads to',
    list({ overrides: [{ pod: 'a/*', mode: 'container', target: 'nobody' }] }),
    [/^error .*Invalid "target".*for pods in mode "container"/],
  ],
  [
    'has a slip in the type',
    list({}, { plugins: [{ type: 'podlnik' }] }),
    [/^warning plugins\[0\]: .*did you mean "podlink"/],
  ],
  ['has a plugin without a type', list({}, {}, [{}]), [/^error plugins\[1\]: Invalid "type"/]],
  ['has a plugin that is no object', list({}, {}, [7]), [/^error plugins\[1\]: must be an object, is 7/]],
  [
    'has podlink twice',
    list({}, {}, [{ type: 'podlink', ipam: IPAM }]),
    [/^warning plugins\[1\]: podlink is in the list twice/],
  ],
  [
    'maps ports twice',
    list({ capabilities: { portMappings: true } }, {}, [{ type: 'portmap', capabilities: { portMappings: true } }]),
    [/^warning plugins\[1\]: podlink maps the ports already/],
  ],
  [
    'limits the bandwidth twice, once by keys',
    list({ egressRate: 8_000_000, egressBurst: 800_000 }, {}, [
      { type: 'bandwidth', capabilities: { bandwidth: true } },
    ]),
    [/^warning plugins\[1\]: podlink limits the bandwidth already, since plugins\[0\] has "egressRate"/],
  ],
  [
    'tunes twice',
    list({ mac: '02:00:00:00:00:01', sysctl: { 'net.ipv4.conf.IFNAME.rp_filter': '1' } }, {}, [
      { type: 'tuning', mac: '02:00:00:00:00:02', sysctl: { 'net/ipv4/conf/IFNAME/rp_filter': '2' } },
    ]),
    [/^warning plugins\[1\]: podlink tunes the interface already.*"mac"/, /writes the sysctls already.*rp_filter/],
  ],
  [
    'leaves another sysctl to tuning',
    list({ sysctl: { 'net.ipv4.conf.IFNAME.rp_filter': '1' } }, {}, [
      { type: 'tuning', mac: '02:00:00:00:00:02', sysctl: { 'net.core.somaxconn': '500' } },
    ]),
    [],
  ],
  [
    'isolates twice',
    list({ icc: false }, {}, [{ type: 'firewall', ingressPolicy: 'same-bridge' }]),
    [/^warning plugins\[1\]: podlink isolates the containers already.*"icc": false.*but keep "firewall" in the list/],
  ],
  ['has a firewall plugin that isolates nobody', list({ icc: false }, {}, [{ type: 'firewall' }]), []],
  [
    'asks in the place of the pod for a mode that it allows',
    list({
      ...{ mode: 'none', ipam: undefined, allowModes: ['host'], args: { cni: { mode: 'host' } } },
      capabilities: { 'io.kubernetes.cri.pod-annotations': true },
    }),
    [/^warning plugins\[0\]: "allowModes" has "host": whoever may create a pod/],
  ],
  [
    'asks in the place of the pod for a mode that it does not allow',
    list({ mode: 'none', ipam: undefined, args: { cni: { mode: 'host' } } }),
    [/^error .*does not let a pod choose mode "host"/],
  ],
  ['leaves ports to portmap', list({}, {}, [{ type: 'portmap', capabilities: { portMappings: true } }]), []],
  [
    'has podlink behind flannel with a slip',
    list({}, { plugins: [{ type: 'flannel', delegate: { type: 'podlink', hairpinMod: true } }] }),
    [/^warning plugins\[0\]\.delegate: unknown key "hairpinMod".*"hairpinMode"/],
  ],
  [
    'has faults in every part',
    list({
      ...{ bridge: 'a/b', hairpinMode: true, promiscMode: true, log: 'x', isolate: true, masqAll: 1 },
      ...{ sysctl: { 'kernel.x': '1', 'net.a.b': 2 }, ingressBurst: 5, ipMasqExclude: ['x', '10.0.0.0/8', 'y'] },
      ...{ capabilities: { portMappings: true }, allowModes: ['hst'], overrides: [{ pod: 'a' }] },
      ipam: { type: 'host-local', dataDir: 'x', routes: [{ dst: 'x' }, { dst: '10.0.0.0/8', gw: 'y' }] },
    }),
    [
      /"log": must be an absolute path/,
      /"isolate": must not be here/,
      /"allowModes\[0\]": must be one of/,
      /"overrides\[0\]\.pod": must be a pattern/,
      /"bridge": must be an interface name/,
      /"promiscMode": cannot be true together/,
      /"sysctl\.kernel\.x": must be the name of a sysctl/,
      /"sysctl\.net\.a\.b": must be a string/,
      /"ingressRate": must be given together/,
      /"ipMasqExclude\[0\]"/,
      /"ipMasqExclude\[2\]"/,
      /"masqAll": must be true or false/,
      /"ipam\.routes\[0\]\.dst": must be in CIDR notation/,
      /"ipam\.routes\[1\]\.gw": must be an IP address/,
      /"ipam\.dataDir": must be an absolute path/,
      /No IP ranges/,
      /^warning .*"allowModes" without/,
    ],
  ],
  [
    'has settings of an interface, and pods without one by an override',
    list({ sysctl: { 'net.ipv4.conf.IFNAME.rp_filter': '1' }, overrides: [{ pod: 'a/*', mode: 'host' }] }),
    [],
  ],
  [
    'has a target that no mode uses',
    list({ target: 'infra' }),
    [/^warning .*"target" has no effect in mode "bridge"$/],
  ],
  ['is all of other plugins', { name: 'x', cniVersion: '1.0.0', plugins: [{ type: 'bridge', mtu: 'no' }] }, []],
];
for (const [what, value, faults] of ROWS) {
  test(`checkConf() of a list that ${what}`, () => {
    const found = check(value);
    assert.is(found.length, faults.length, found.join('\n'));
    for (const [i, fault] of faults.entries()) assert.match(found[i] ?? '', fault);
  });
}

test('checkConf() holds the ending of the file against what is in it', () => {
  assert.match(check(list({}), 'x.conf').join(), /^error : a list of plugins is read from a \.conflist only/);
  assert.match(
    check({ name: 'a', cniVersion: '1.0.0', type: 'podlink' }, 'x.conflist').join(),
    /^error : a \.conflist must/,
  );
  assert.match(check(list({}), 'x.txt').join(), /^warning : runtimes read only files that end in/);
  assert.equal(check({ type: 'loopback' }, '99-loopback.conf'), [], 'a file of another plugin');
});

test('checkConf() names the modes of overrides that have the same error, once', () => {
  const entry = { mode: 'none', ipMasq: 1, ipam: undefined, overrides: [] as object[] };
  const modes = ['bridge', 'host'];
  entry.overrides = modes.map((mode) => ({ pod: `${mode}/*`, mode }));
  assert.equal(check(list(entry)), ['error plugins[0]: Invalid "ipMasq": must be true or false, is 1']);
  const sysctl = { mtu: 1000, ipam: { ...IPAM, ranges: [[{ subnet: 'fd00::/64' }]] } };
  assert.equal(check(list({ ...entry, ...sysctl, ipMasq: true })), [
    'error plugins[0]: Invalid "mtu": must be at least 1280 for an IPv6 address, is 1000 (for pods in mode "bridge")',
  ]);
});

test('checkConf() looks for the plugin of another ipam where plugins are known to be', () => {
  const dir = mkdtempSync(join(tmpdir(), 'podlink-plugins-'));
  try {
    const text = JSON.stringify(list({ ipam: { type: 'dhcp' } }));
    const told = () =>
      checkConf(text, 'x.conflist', { env: ENV, kernel: undefined, pluginDirs: ['/nonexistent', dir] }).faults;
    assert.equal(
      told().map((fault) => tell(fault).message),
      [`IPAM plugin "dhcp" is not built in, and is not in /nonexistent, ${dir}`],
    );
    writeFileSync(join(dir, 'dhcp'), '');
    assert.equal(told(), []);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('checkConf() says what the kernel lacks only for what is asked for', () => {
  const without: KernelFiles = {
    config: 'CONFIG_BRIDGE=y\n',
    modules: undefined,
    isLoaded: () => false,
    isThere: () => true,
  };
  assert.equal(check(list({}), 'x.conflist', without), []);
  assert.match(
    check(list({ vlan: 5 }), 'x.conflist', without).join(),
    /^warning plugins\[0\]: "vlan" needs .*CONFIG_BRIDGE_VLAN_FILTERING/,
  );
  assert.match(check(list({ capabilities: { bandwidth: true } }), 'x.conflist', without).join(), /CONFIG_IFB/);
  const silent: KernelFiles = { config: undefined, modules: undefined, isLoaded: () => false, isThere: () => true };
  assert.equal(check(list({ vlan: 5 }), 'x.conflist', silent), [], 'nothing is known to be missing');
});

test.run();
