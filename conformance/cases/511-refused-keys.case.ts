// Promises that an entry of podlink's must not make, and places in a list where podlink cannot stand: `validate` and ADD say so, and
// DEL works all the same.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, NO_COMMANDS } from '../harness/operator-command.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('refused keys');
const OPEN = { differs: 'the reference bridge ignores keys of other plugins in its entry', seen: /./ };

const REFUSED: readonly (readonly [key: string, value: unknown, says: RegExp])[] = [
  ['ingressPolicy', 'same-bridge', /"ingressPolicy": must not be here: .*keep the plugin "firewall" behind podlink/],
  ['ingressPolicy', 'isolated', /"ingressPolicy": must not be here/],
  ['ingressPolicy', 'no-such-policy', /"ingressPolicy": must not be here/],
  ['IngressPolicy', 7, /"ingressPolicy": must not be here/i],
  ['iptablesAdminChainName', 'NOMAD-ADMIN', /"iptablesAdminChainName": must not be here/],
  ['firewalldZone', 'trusted', /"firewalldZone": must not be here/],
  ['backend', 'firewalld', /"backend": must not be "firewalld"/],
  ['vrfname', 'blue', /"vrfname": must not be here: .*"vrf" behind podlink/],
  ['spoofchk', 'on', /"spoofchk": must not be here: podlink does this by "macspoofchk"/],
  ['isolate', true, /"isolate": must not be here/],
];

function planned(host: Host, more: Config): Config {
  return host.config({ isGateway: true, ...more });
}

for (const [key, value, says] of REFUSED) {
  test(`${key}: ${JSON.stringify(value)} promises what is not done, and is refused`, OPEN, (host) => {
    const container = host.addContainer();
    const before = host.snapshot();
    const config = planned(host, { [key]: value });
    mustRefuse(host, 'ADD', { config, container }, 7, says);
    mustBeEmpty(host.changesSince(before), 'changed');
    mustPass(host, 'DEL', { config, container });
    assert.match(mustEnd(host, ['validate', '--no-kernel', '-'], 1, JSON.stringify(config)).stdout, says);
  });
}

test('keys of protection that ask for nothing are let pass', 'same', (host) => {
  const harmless = {
    ingressPolicy: 'open',
    iptablesAdminChainName: '',
    firewalldZone: '',
    backend: '',
    spoofchk: 'off',
  };
  const container = host.addContainer();
  const config = planned(host, harmless);
  mustAdd(host, { config, container });
  mustPass(host, 'DEL', { config, container });
});

test('what was attached before such a key came is checked and removed', OPEN, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const result = mustAdd(host, { config: planned(host, {}), container });
  const changed = planned(host, { ingressPolicy: 'isolated' });
  mustPass(host, 'CHECK', { config: { ...changed, prevResult: result }, container });
  mustPass(host, 'DEL', { config: changed, container });
  mustBeEmpty(host.leftSince(before), 'left');
});

test('podlink behind a plugin that makes the interface is refused, and validate names both', NO_COMMANDS, (host) => {
  const container = host.addContainer();
  const interfaces = [
    { name: 'lo', mac: '00:00:00:00:00:00', sandbox: container.path },
    { name: 'eth0', mac: '02:00:00:00:00:01', sandbox: container.path },
  ];
  container.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other');
  const before = host.snapshot();
  const prevResult = { cniVersion: '1.0.0', interfaces, ips: [{ address: '10.1.0.2/24', interface: 1 }] };
  const config = { ...host.config(), prevResult };
  const says = /an earlier plugin of the list has made "eth0", and podlink makes the interface itself/;
  mustRefuse(host, 'ADD', { config, container }, 7, says);
  mustBeEmpty(host.changesSince(before), 'changed');
  // The loopback of a list is no such plugin.
  const second = host.addContainer();
  const list = { ...host.config(), prevResult: { cniVersion: '1.0.0', interfaces: interfaces.slice(0, 1) } };
  mustAdd(host, { config: list, container: second });
  mustPass(host, 'DEL', { config: list, container: second });
  const told = (plugins: readonly Config[]) =>
    mustEnd(host, ['validate', '--no-kernel', '-'], 1, JSON.stringify({ cniVersion: '1.0.0', name: 'x', plugins }))
      .stdout;
  const { name: _, cniVersion: __, ...entry } = host.config();
  const names = /plugins\[(\d)\]: "(macvlan|ipvlan|ptp)" makes the container's interface, and so does podlink/;
  assert.match(told([{ type: 'macvlan' }, { ...entry, type: 'podlink' }]), names);
  assert.match(told([{ ...entry, type: 'podlink' }, { type: 'ipvlan' }]), names);
  assert.match(told([{ type: 'loopback' }, { type: 'ptp' }, { ...entry, type: 'podlink' }]), names);
});

test('a list that isolates twice is not advised to drop firewall', NO_COMMANDS, (host) => {
  const { name: _, cniVersion: __, ...entry } = host.config({ icc: false });
  const plugins = [
    { ...entry, type: 'podlink' },
    { type: 'firewall', ingressPolicy: 'same-bridge' },
  ];
  const text = JSON.stringify({ cniVersion: '1.0.0', name: 'x', plugins });
  const { stdout } = mustEnd(host, ['validate', '--no-kernel', '-'], 0, text);
  assert.match(stdout, /keep "firewall" in the list where Docker, ufw or firewalld is on the node/);
  assert.not.match(stdout, /out of the list/);
});

run();
