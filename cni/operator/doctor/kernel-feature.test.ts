import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { IPV6, type KernelFiles, probe, VLAN_FILTERING } from './kernel-feature.ts';

const test = suite('kernel feature');
const TBF = { name: 'tbf', option: 'CONFIG_NET_SCH_TBF', module: 'sch_tbf' };

function kernel(files: Partial<KernelFiles>): KernelFiles {
  return { config: undefined, modules: undefined, isLoaded: () => false, isThere: () => false, ...files };
}

const DEP = 'kernel/net/sched/sch_tbf.ko.xz: kernel/lib/x.ko.xz\nkernel/net/nft-nat.ko:\n';
const ROWS: readonly (readonly [what: string, files: Partial<KernelFiles>, expected: string])[] = [
  ['it is loaded', { isLoaded: (name) => name === 'sch_tbf' }, 'there'],
  ['it is built in', { config: 'CONFIG_NET_SCH_TBF=y\n' }, 'there'],
  ['the kernel was built without', { config: '# CONFIG_NET_SCH_TBF is not set\n' }, 'missing'],
  ['the kernel does not know it', { config: 'CONFIG_NET_SCH_TBF2=y\n' }, 'missing'],
  ['it is a module that can be loaded', { config: 'CONFIG_NET_SCH_TBF=m\n', modules: DEP }, 'there'],
  ['it is a module that is not on disk', { config: 'CONFIG_NET_SCH_TBF=m\n', modules: 'a/b.ko:\n' }, 'missing'],
  ['it is a module, and modules are not to be seen', { config: 'CONFIG_NET_SCH_TBF=m\n' }, 'unknown'],
  ['only modules are known', { modules: DEP }, 'there'],
  ['nothing is known', {}, 'unknown'],
];
for (const [what, files, expected] of ROWS) {
  test(`probe() is "${expected}" when ${what}`, () => assert.is(probe(TBF, kernel(files)), expected));
}

test('probe() of what is part of another module goes by the configuration alone', () => {
  assert.is(probe(VLAN_FILTERING, kernel({ modules: DEP })), 'unknown');
  assert.is(probe(VLAN_FILTERING, kernel({ config: 'CONFIG_BRIDGE_VLAN_FILTERING=y\n' })), 'there');
});

test('probe() takes an option without a module of its own that is built as one for there', () => {
  const NF_BRIDGE = { name: 'nf_tables bridge', option: 'CONFIG_NF_TABLES_BRIDGE' };
  assert.is(probe(NF_BRIDGE, kernel({ config: 'CONFIG_NF_TABLES_BRIDGE=m\n' })), 'there');
  assert.is(probe(NF_BRIDGE, kernel({ config: '# CONFIG_NF_TABLES_BRIDGE is not set\n' })), 'missing');
});

test('probe() goes by the sign of what may be built in and turned off', () => {
  const config = 'CONFIG_IPV6=y\n';
  assert.is(probe(IPV6, kernel({ config })), 'missing');
  assert.is(probe(IPV6, kernel({ isThere: (path) => path === '/proc/sys/net/ipv6/conf' })), 'there');
});

test('probe() takes "-" in a file name for "_"', () => {
  assert.is(probe({ name: 'nat', option: 'CONFIG_NFT_NAT', module: 'nft_nat' }, kernel({ modules: DEP })), 'there');
});

test.run();
