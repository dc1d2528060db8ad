// Lists as Nomad, Podman, nerdctl, k3s, Multus, KubeVirt, CRI-O, kind and clouds write them, podlink in the place of the plugin
// that makes the interface: each works from ADD to DEL under libcni, with the stock plugins behind that it names.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { type CnitoolCall, cnitool, cnitoolAdd, cnitoolPass, type Network } from '../harness/cnitool.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { REFERENCE_FOLDER } from '../harness/plugin.ts';
import type { Snapshot } from '../harness/snapshot.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('lists of other tools');
const FOLDER = fileURLToPath(new URL('../conflists', import.meta.url));
const OURS = { absent: 'the lists name podlink' };

/** Not of podlink, or with modes of its own, or with VLANs, which not every kernel's bridge filters. */
const ELSEWHERE = ['calico.conflist', 'podlink-all.conflist', 'kubevirt-bridge.conflist'];
/** Chains of the reference's plugins that they never remove, and the one of kube-proxy's that kubenet's portmap names. */
const THEIRS_STAY = /nft \{"(table|chain|rule)":.*(CNI-|NOMAD-|KUBE-|"name":"(nat|filter)"|"table":"(nat|filter)")/;

/** A list as a file has it: a single plugin as a list of one, flannel's entry as what it hands on. */
function read(host: Host, file: string): Network {
  const value = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Config;
  const plugins = (Array.isArray(value.plugins) ? value.plugins : [value]) as Config[];
  const stock = readdirSync(REFERENCE_FOLDER);
  const kept = plugins.filter(
    ({ type }) => ['podlink', 'loopback', 'flannel'].includes(type as string) || stock.includes(type as string),
  );
  return {
    name: value.name as string,
    cniVersion: (value.cniVersion ?? '0.3.1') as string,
    plugins: kept.map((entry) => adapted(host, entry)),
  };
}

/** The entry with reservations in the host's own folder. */
function adapted(host: Host, entry: Config): Config {
  if (entry.type === 'flannel') {
    const filledIn = { ipMasq: false, mtu: 1450, ipam: { type: 'host-local', ranges: [[{ subnet: '10.42.1.0/24' }]] } };
    return adapted(host, { ...filledIn, ...(entry.delegate as Config) });
  }
  if (entry.type !== 'podlink') return entry;
  const ipam = entry.ipam as Config | undefined;
  return ipam?.type === 'host-local' ? { ...entry, ipam: { ...ipam, dataDir: host.dataDir } } : entry;
}

/** The leftovers, but for the bridge with its addresses, which stays, and `lo`, which a loopback of the list has raised. */
function leftBesideBridge(host: Host, before: Snapshot, { plugins }: Network): string[] {
  const bridges = plugins.map(({ bridge }) => bridge ?? 'cni0');
  const isBridge = (line: string) =>
    bridges.some((name) => line.includes(` ${name} `) || line.includes(`"dev":"${name}"`));
  const isLoopback = (line: string) => /^[-+] pod1 .*(\blo\b|"dev":"lo")/.test(line);
  return host.leftSince(before).filter((line) => !THEIRS_STAY.test(line) && !isBridge(line) && !isLoopback(line));
}

for (const file of readdirSync(FOLDER).filter((name) => !ELSEWHERE.includes(name))) {
  test(`${file}: ADD and DEL with what is behind, CHECK by itself`, OURS, (host) => {
    const container = host.addContainer();
    if (file.startsWith('kubenet')) host.namespace.mustRun('iptables', ['-t', 'nat', '-N', 'KUBE-MARK-MASQ']);
    const before = host.snapshot();
    const network = read(host, file);
    const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }];
    const hasPorts = network.plugins.some(({ capabilities }) => (capabilities as Config | undefined)?.portMappings);
    const call: CnitoolCall = { network, container, ...(hasPorts && { capabilities: { portMappings } }) };
    const result = cnitoolAdd(host, call);
    assert.ok((result.ips?.length ?? 0) > 0 || result.ip4, JSON.stringify(result));
    cnitoolPass(host, 'del', call);
    // portmap's CHECK of Debian finds fault with its own rules, behind the reference bridge as well.
    const alone = {
      ...network,
      cniVersion: '1.0.0',
      plugins: network.plugins.filter(({ type }) => type === 'podlink'),
    };
    const own: CnitoolCall = { network: alone, container };
    cnitoolAdd(host, own);
    cnitoolPass(host, 'check', own);
    cnitoolPass(host, 'del', own);
    mustBeEmpty(leftBesideBridge(host, before, network), 'left');
  });
}

test("KubeVirt's VLAN works, or is refused by a kernel whose bridge filters none", OURS, (host) => {
  const call: CnitoolCall = { network: read(host, 'kubevirt-bridge.conflist'), container: host.addContainer() };
  const { code, stdout, stderr } = cnitool(host, 'add', call);
  if (code !== 0) assert.match(stdout + stderr, /has no bridge VLAN filtering/);
  cnitoolPass(host, 'del', call);
});

test('Multus: what it puts into cni-args and runtimeConfig, and two attachments of one network', OURS, (host) => {
  const network = read(host, 'multus-delegate.conflist');
  const [plugin = {}] = network.plugins;
  const container = host.addContainer();
  const before = host.snapshot();
  const net1 = {
    ...{ ...plugin, cniVersion: '1.0.0', name: 'macnet' },
    'cni-args': { anything: true },
    'default-route': ['10.56.0.1'],
    runtimeConfig: { ips: ['10.56.7.7/16'], mac: '02:00:00:00:00:77' },
  };
  const net2 = { ...net1, runtimeConfig: { mac: '02:00:00:00:00:78' } };
  const first = mustAdd(host, { config: net1, container, ifname: 'net1' });
  assert.is(first.ips?.[0]?.address, '10.56.7.7/16');
  const second = mustAdd(host, { config: net2, container, ifname: 'net2' });
  for (const [config, result, ifname] of [
    [net1, first, 'net1'],
    [net2, second, 'net2'],
  ] as const) {
    mustPass(host, 'CHECK', { config: withPrevResult(config, result), container, ifname });
  }
  mustPass(host, 'DEL', { config: net1, container, ifname: 'net1' });
  mustPass(host, 'DEL', { config: net2, container, ifname: 'net2' });
  mustBeEmpty(leftBesideBridge(host, before, network), 'left');
});

test('an MTU written as a text, as aws-cni writes it, is refused by its name', OURS, (host) => {
  const config = host.config({ mtu: '9001' });
  mustRefuse(host, 'ADD', { config, container: host.addContainer() }, 7, /Invalid "mtu": must be a whole number/);
});

run();
