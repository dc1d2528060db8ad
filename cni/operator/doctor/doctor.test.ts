import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkError } from '../../kernel/netlink/error.ts';
import { KERNEL_PARTS, type KernelPart, MissingKernelPartError } from '../../kernel/nftables/kernel-part.ts';
import { parseNetworkConfig } from '../../protocol/config.ts';
import type { AttachmentRecord } from '../../attachment/record.ts';
import { findSharedAddresses } from './doctor-configuration.ts';
import { describeStockIfbs, examineFeatures, examineRelease, judgeRehearsal } from './doctor-kernel.ts';
import { findingsOfContainerd } from './doctor-runtime.ts';
import { findingsOfSysctls } from './doctor-sysctls.ts';
import { type Finding, formatFindings, summarizeFindings } from './finding.ts';
import type { KernelFiles } from './kernel-feature.ts';
import type { Network } from '../listing/network-list.ts';
import { PLAIN } from '../cli/text-table.ts';

const test = suite('doctor');

const RECORD: AttachmentRecord = {
  version: 1,
  state: 'complete',
  network: 'pods',
  containerId: 'c1',
  ifname: 'eth0',
  netns: '/run/netns/c1',
  netnsIdentity: '4:1',
  mode: 'bridge',
  objects: {},
  addresses: [],
  features: {},
  elements: [],
  config: {},
  cniArgs: '',
  created: '2026-11-21T07:52:03.000Z',
};

function network(entry: object, records: readonly AttachmentRecord[] = []): Network {
  const config = parseNetworkConfig(JSON.stringify({ name: 'pods', cniVersion: '1.0.0', type: 'podlink', ...entry }));
  const subnets = [{ subnet: '10.1.0.0/16' }];
  return { name: 'pods', mode: 'bridge', bridge: 'cni0', subnets, file: undefined, config, records };
}

test('examineRelease() knows kernels that are too old', () => {
  for (const release of ['5.7.0', '5.10.0-26-amd64', '6.18.44-fc-v657', '10.0'])
    assert.is(examineRelease(release).level, 'ok', release);
  for (const release of ['5.6.19', '4.19.0', '3.10.0-1160.el7'])
    assert.is(examineRelease(release).level, 'fail', release);
});

function levels(networks: readonly Network[], files: Partial<KernelFiles>): string[] {
  const kernel = { config: undefined, modules: undefined, isLoaded: () => false, isThere: () => true, ...files };
  return examineFeatures(networks, kernel).map(({ level }) => level);
}

test('examineFeatures() fails for what is missing only where a network needs it', () => {
  const all = ['VETH', 'BRIDGE', 'NF_TABLES', 'NF_TABLES_INET', 'NFT_CT', 'NFT_NAT', 'NFT_MASQ', 'NFT_FIB_INET']
    .map((name) => `CONFIG_${name}=y\n`)
    .join('');
  assert.equal(levels([], { config: all }), ['ok', 'ok', 'ok', 'ok', 'ok', 'ok']);
  assert.equal(levels([network({ macspoofchk: true })], { config: all }), ['ok', 'ok', 'fail', 'ok', 'ok', 'ok']);
  assert.equal(levels([network({ vlan: 7 })], { config: all }), ['ok', 'ok', 'ok', 'ok', 'ok', 'fail']);
  const dual = network({ ipam: { ranges: [[{ subnet: '10.1.0.0/16' }], [{ subnet: 'fd00:1::/64' }]] } });
  const without = { config: all, isThere: () => false };
  assert.equal(levels([dual], without), ['ok', 'ok', 'ok', 'ok', 'fail', 'ok']);
  assert.equal(levels([network({})], without), ['ok', 'ok', 'ok', 'ok', 'ok', 'ok']);
  assert.equal(levels([dual], { config: all }), ['ok', 'ok', 'ok', 'ok', 'ok', 'ok']);
  assert.equal(
    levels([], { config: 'CONFIG_VETH=y\n' }),
    ['fail', 'ok', 'ok', 'ok', 'ok', 'ok'],
    'no bridge, no bridge mode',
  );
  assert.equal(levels([], {}), ['unknown', 'unknown', 'unknown', 'unknown', 'ok', 'unknown']);
});

test('examineFeatures() believes a try more than the files', () => {
  const kernel = { config: undefined, modules: undefined, isLoaded: () => false, isThere: () => true };
  const refused = (part: KernelPart) => new MissingKernelPartError('add rule', part, 2);
  const rulesOf = (...failures: readonly NetlinkError[]): Finding | undefined =>
    examineFeatures([network({ ipMasq: true })], kernel, judgeRehearsal(failures))[1];
  assert.is(rulesOf()?.level, 'ok');
  assert.match(
    rulesOf()?.what ?? '',
    /^nf_tables, nf_tables inet, nft_ct, nft_chain_nat, nft_masq, nft_nat, nft_fib_inet:/,
  );
  for (const part of KERNEL_PARTS.filter(({ name }) => name !== 'nf_tables bridge')) {
    const finding = rulesOf(refused(part), refused(part));
    // What only published ports need is no failure of a network without them.
    const isNeeded = !['nft_nat', 'nft_fib_inet'].includes(part.name);
    assert.is(finding?.level, isNeeded ? 'fail' : 'ok', part.name);
    assert.ok(finding?.what.startsWith(`the kernel lacks ${part.name} (${part.option})`), finding?.what);
  }
  // A user without rights learns nothing by trying.
  assert.is(rulesOf(new NetlinkError('commit', { errno: 1 }))?.level, 'unknown');
});

test('describeStockIfbs() names the links that the module made, and no others', () => {
  const link = (name: string, kind: string, alias?: string) => ({ name, kind, alias });
  const links = [
    link('ifb0', 'ifb'),
    link('ifb1', 'ifb'),
    link('ifb0123456789ab', 'ifb', 'podlink-ifb pods c1 eth0'),
    link('ifb2', 'ifb', 'of somebody'),
    link('ifb3', 'dummy'),
  ];
  const [finding, ...more] = describeStockIfbs(links);
  assert.equal([finding?.level, more], ['ok', []]);
  assert.match(finding?.what ?? '', /^ifb0, ifb1: made by the kernel's module ifb .*"options ifb numifbs=0"/);
  assert.equal(describeStockIfbs(links.slice(2)), []);
});

function sysctls(networks: readonly Network[], values: Readonly<Record<string, string>>): Finding[] {
  return findingsOfSysctls(networks, (key) => values[key.join('/')]);
}

test('findingsOfSysctls() fails when forwarding was turned off under containers that need it', () => {
  const attached = { ...RECORD, addresses: ['10.1.0.2/16'] };
  const routed = network({ isGateway: true }, [attached]);
  const [off] = sysctls([routed], { 'ipv4/ip_forward': '0' });
  assert.is(off?.level, 'fail');
  assert.equal(off?.remedy?.commands, ['sysctl -w net.ipv4.ip_forward=1']);
  for (const fine of [
    network({ isGateway: true }),
    network({ isGateway: true }, [RECORD]),
    network({}, [attached]),
    network({ isGateway: true, internal: true }, [attached]),
  ]) {
    assert.is(sysctls([fine], { 'ipv4/ip_forward': '0' })[0]?.level, 'ok');
  }
  assert.is(sysctls([routed], { 'ipv4/ip_forward': '1' })[0]?.level, 'ok');
  assert.is(sysctls([routed], { 'ipv6/conf/all/forwarding': '0' })[1]?.level, 'ok', 'it has no IPv6');
  // An IPv6 range that was added later is for containers to come.
  const withRange = { ...routed, subnets: [...routed.subnets, { subnet: 'fd00:1::/64' }] };
  assert.is(sysctls([withRange], { 'ipv6/conf/all/forwarding': '0' })[1]?.level, 'ok');
});

test('findSharedAddresses() names networks of which one gets what is meant for the other', () => {
  const on = (name: string, bridge: string, subnet: string, entry = {}): Network => ({
    ...network(entry),
    ...{ name, bridge, subnets: [{ subnet }] },
  });
  const routed = { isGateway: true };
  const [finding, ...more] = findSharedAddresses([
    on('a', 'br1', '10.1.0.0/16', routed),
    on('b', 'br2', '10.1.2.0/24', { isDefaultGateway: true }),
    on('c', 'br3', '10.2.0.0/16', routed),
    on('d', 'br4', '10.1.0.0/16'),
    on('e', 'br5', 'fd00::/64', routed),
  ]);
  assert.equal(more, []);
  assert.is(finding?.what, 'networks "a" and "b" both have addresses of 10.1.0.0/16');
  assert.is(findSharedAddresses([on('a', 'br1', '10.1.0.0/16'), on('b', 'br1', '10.1.0.0/24')]).length, 1);
});

test('findingsOfContainerd() warns of a cniVersion that the running containerd does not speak', () => {
  const latest = { ...network({ cniVersion: '1.1.0' }), file: '/etc/cni/net.d/10-pods.conflist' };
  const levelsOf = (version: string, of: readonly Network[]) =>
    findingsOfContainerd(version, of).map(({ level }) => level);
  assert.equal(levelsOf('1.7.24~ds1', [latest]), ['ok', 'warn']);
  assert.equal(levelsOf('1.6.20', [latest]), ['ok', 'warn']);
  assert.equal(levelsOf('2.1.9', [latest]), ['ok']);
  assert.equal(levelsOf('1.7.24', [{ ...latest, ...network({}), file: latest.file }]), ['ok']);
  assert.equal(levelsOf('1.7.24', [{ ...latest, file: undefined }]), ['ok'], 'of attachments on record alone');
});

test('findingsOfSysctls() tells whether bridged traffic passes iptables', () => {
  const what = (values: Record<string, string>) => sysctls([], values)[2]?.what ?? '';
  assert.match(what({}), /br_netfilter is not loaded/);
  assert.match(what({ 'bridge/bridge-nf-call-iptables': '1' }), /passes the rules of iptables and nftables too/);
  assert.match(
    what({ 'bridge/bridge-nf-call-iptables': '0', 'bridge/bridge-nf-call-ip6tables': '0' }),
    /passes no rules/,
  );
});

test('formatFindings() puts what follows below what was found, and each command on a line of its own', () => {
  const command = `nft insert rule ${'inet '.repeat(40)}accept`;
  const remedy = { sentence: 'mend it:', commands: [command, 'reboot'] };
  const text = formatFindings(
    [
      { level: 'ok', subject: 'kernel', what: 'Linux' },
      { level: 'fail', subject: 'x', what: 'broken', meaning: 'nothing works', remedy },
    ],
    PLAIN,
  );
  const indent = ' '.repeat(17);
  assert.equal(text.split('\n'), [
    'ok       kernel  Linux',
    'fail     x       broken',
    `${indent}nothing works`,
    `${indent}remedy: mend it:`,
    `${indent}  ${command}`,
    `${indent}  reboot`,
  ]);
});

test('summarizeFindings() counts', () => {
  const finding = (level: Finding['level']): Finding => ({ level, subject: '', what: '' });
  assert.is(summarizeFindings([finding('ok')]), 'nothing is wrong');
  assert.is(summarizeFindings([finding('fail'), finding('warn'), finding('warn')]), '1 failure, 2 warnings');
  assert.is(
    summarizeFindings([finding('ok'), finding('unknown')]),
    'nothing is wrong, as far as could be told; 1 thing could not be told',
  );
  assert.is(summarizeFindings([finding('warn'), finding('unknown')]), '1 warning; 1 thing could not be told');
});

test.run();
