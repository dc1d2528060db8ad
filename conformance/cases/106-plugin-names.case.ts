// The names podlink answers to, and those it does not: a link to it under another plugin's name is an error that says what to
// do, and never a bridge. A copy under a name with "podlink" in it works like podlink.

import { copyFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { EXECUTABLE } from '../harness/plugin.ts';
import { addressesOf, linksOf } from '../harness/referee.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('names of plugins');
const OURS = { absent: 'one executable for all plugins' };

const FOREIGN = [
  ...['bridge', 'macvlan', 'ipvlan', 'ptp', 'vlan', 'host-device', 'tap', 'dummy', 'sbr', 'vrf', 'flannel', 'calico'],
  ...['firewall', 'tuning', 'bandwidth', 'portmap', 'dhcp', 'LOOPBACK', 'Podlinx', 'host-local2'],
];

function link(host: Host, name: string): void {
  symlinkSync(EXECUTABLE, join(host.pluginFolder, name));
}

test('a link under the name of another plugin refuses ADD, CHECK, GC and STATUS, and changes nothing', OURS, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  for (const type of FOREIGN) {
    link(host, type);
    const config: Config = { ...host.config({ cniVersion: '1.1.0' }), type };
    const words = new RegExp(`podlink is no "${type}".*podlink, loopback, host-local, static, podlink-etcd`);
    const { msg } = mustRefuse(host, 'ADD', { config, container }, 7, words);
    assert.match(msg, new RegExp(`put the plugin "${type}" in the place`, 'i'));
    mustRefuse(host, 'CHECK', { config: withPrevResult(config, { ips: [] }), container }, 7, words);
    mustRefuse(host, 'GC', { config: { ...config, 'cni.dev/valid-attachments': [] } }, 7, words);
    mustRefuse(host, 'STATUS', { config }, 7, words);
    assert.is(host.invoke('VERSION', { config }).code, 0, `VERSION as ${type}`);
  }
  mustBeEmpty(host.changesSince(before), 'changed');
});

test('another type is refused by podlink under its own name too', OURS, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  for (const type of FOREIGN) {
    const config: Config = { ...host.config({ cniVersion: '1.1.0' }), type };
    const words = new RegExp(`podlink is no "${type}".*"type"`);
    mustRefuse(host, 'ADD', { config, container, program: 'podlink' }, 7, words);
    mustRefuse(host, 'STATUS', { config, program: 'podlink' }, 7, words);
  }
  mustBeEmpty(host.changesSince(before), 'changed');
});

test(
  'DEL under the name of another plugin: nothing to do after a refused ADD, else an error that says what is left',
  OURS,
  (host) => {
    link(host, 'portmap');
    const container = host.addContainer();
    const config: Config = { ...host.config(), type: 'portmap' };
    mustRefuse(host, 'ADD', { config, container }, 7, /podlink is no "portmap"/);
    // The runtime has no result of an ADD that failed, and must come to the plugins before this one.
    mustPass(host, 'DEL', { config, container });
    host.namespace.ip('link', 'add', 'vethstock', 'type', 'veth', 'peer', 'name', 'vethpeer');
    const interfaces = [{ name: 'vethstock', mac: '02:00:00:00:00:01' }];
    const later = withPrevResult(config, { interfaces, ips: [{ address: '10.77.0.2/24' }] });
    mustRefuse(host, 'DEL', { config: later, container }, 7, /podlink is no "portmap".*may be left of this container/);
    // After a reboot nothing of it is there, and a DEL that failed for ever would keep the container.
    host.namespace.ip('link', 'del', 'vethstock');
    mustPass(host, 'DEL', { config: later, container });
  },
);

test(
  'DEL under the name of another plugin takes away what 0.1.0 made under it, with its record lost too',
  OURS,
  (host) => {
    const container = host.addContainer();
    const before = host.snapshot();
    const config = host.config({ ipMasq: true, isGateway: true });
    const result = mustAdd(host, { config, container });
    rmSync(`${host.runDir}/attachments`, { recursive: true });
    link(host, 'bridge');
    mustPass(host, 'DEL', { config: { ...withPrevResult(config, result), type: 'bridge' }, container });
    mustBeEmpty(host.leftSince(before), 'left behind');
  },
);

test('DEL of a list whose second plugin is a link takes away what the first one made', OURS, (host) => {
  link(host, 'portmap');
  const container = host.addContainer();
  const before = host.snapshot();
  const first = { config: host.config({ ipMasq: true }), container };
  const result = mustAdd(host, first);
  const second: Config = { ...host.config(), type: 'portmap', prevResult: result };
  mustRefuse(host, 'ADD', { config: second, container }, 7, /podlink is no "portmap"/);
  mustPass(host, 'DEL', { config: { ...host.config(), type: 'portmap' }, container });
  mustPass(host, 'DEL', first);
  mustBeEmpty(host.leftSince(before), 'left behind');
});

test('copies with "podlink" in their name work like podlink, whatever type says of the two', OURS, (host) => {
  for (const name of ['podlink-0.1.0', 'podlink.old', '.podlink-tmp', 'my_podlink']) {
    copyFileSync(EXECUTABLE, join(host.pluginFolder, name));
    for (const type of [name, 'podlink', undefined]) {
      const container = host.addContainer();
      const { type: _, ...untyped } = host.config();
      const config: Config = type === undefined ? untyped : { ...untyped, type };
      mustAdd(host, { config, container, program: name });
      assert.is(addressesOf(container, 'eth0').length, 1, `${name} of type ${type}`);
      mustPass(host, 'DEL', { config, container, program: name });
    }
    const loopback: Config = { cniVersion: '1.0.0', name: 'lo', type: 'loopback' };
    mustAdd(host, { config: loopback, container: host.addContainer(), ifname: 'lo', program: name });
    mustRefuse(
      host,
      'ADD',
      { config: { ...host.config(), type: 'macvlan' }, container: host.addContainer(), program: name },
      7,
      /podlink is no "macvlan"/,
    );
  }
});

test('the type decides what podlink is under its own name', OURS, (host) => {
  const container = host.addContainer();
  const loopback: Config = { cniVersion: '1.0.0', name: 'lo', type: 'loopback' };
  assert.equal(
    mustAdd(host, { config: loopback, container, ifname: 'lo', program: 'podlink' }).interfaces?.map(
      ({ name }) => name,
    ),
    ['lo'],
  );
  const ipam: Config = { ...host.config(), type: 'host-local' };
  assert.equal(mustAdd(host, { config: ipam, container, program: 'podlink' }).interfaces, undefined);
  assert.not(linksOf(host.namespace).some(({ ifname }) => ifname === 'cni0'));
});

test('loopback, host-local and static are what they are run as, whatever the type', OURS, (host) => {
  for (const type of ['macvlan', 'podlink', 'x']) {
    const container = host.addContainer();
    mustAdd(host, { config: { ...host.config(), type }, container, ifname: 'lo', program: 'loopback' });
    const { ips } = mustAdd(host, { config: { ...host.config(), type }, container, program: 'host-local' });
    assert.is(ips?.length, 1);
    mustPass(host, 'DEL', { config: { ...host.config(), type }, container, program: 'host-local' });
  }
});

run();
