// Nodes whose sysctls are not what a network expects: IPv6 turned off for new links, and a read-only /proc/sys, as in
// nested containers.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import { canPing } from '../harness/traffic.ts';
import { mustPass } from '../harness/verdict.ts';
import { addWholePod, checkWholePod, delWholePod, mustRefuseWhole } from '../harness/whole-chain.ts';

const { test, run } = cases('sysctls of the node');

const network = (host: Host, more: Config = {}): Config =>
  host.config({ isDefaultGateway: true, ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']), ...more });

const DISABLED = 'net/ipv6/conf/default/disable_ipv6';
const OURS = { absent: 'an error that names the sysctl' };

test('on a node that turns IPv6 off for new links, bridge and container have it all the same', 'same', (host) => {
  host.namespace.setSysctl(DISABLED, '1');
  const [first, second] = [addWholePod(host, network(host)), addWholePod(host, network(host))];
  for (const pod of [first, second]) assert.ok(canPing(pod.namespace, 'fd00:77::1'), `${pod.ipv6} reaches its gateway`);
  assert.ok(canPing(first.namespace, second.ipv6));
  assert.is(host.namespace.sysctl(DISABLED), '1');
  checkWholePod(host, first);
  for (const pod of [first, second]) delWholePod(host, pod);
});

test('a bridge that an IPv4 network made there before gets IPv6 when a network needs it', OURS, (host) => {
  host.namespace.setSysctl(DISABLED, '1');
  addWholePod(host, network(host, { name: 'v4', ipam: host.hostLocal(['10.78.0.0/24']), forceAddress: true }));
  assert.is(host.namespace.sysctl('net/ipv6/conf/cni0/disable_ipv6'), '1');
  const dual = network(host, { ipam: host.hostLocal(['fd00:77::/64']) });
  const container = host.addContainer();
  const before = host.snapshot();
  const bad = { ...dual, sysctl: { 'net.core.somaxconn': 'many' } };
  mustRefuseWhole(host, 'ADD', { config: bad, container }, 7, /somaxconn/);
  mustLeaveNothing(host, before, 'left of the refused');
  assert.is(host.namespace.sysctl('net/ipv6/conf/cni0/disable_ipv6'), '1');
  const pod = addWholePod(host, dual, { container });
  assert.ok(canPing(pod.namespace, 'fd00:77::1'));
});

test('a container whose namespace turns IPv6 off for new links has it on its interface', 'same', (host) => {
  const container = host.addContainer();
  container.setSysctl(DISABLED, '1');
  const pod = addWholePod(host, network(host), { container });
  assert.ok(canPing(pod.namespace, 'fd00:77::1'));
});

test(
  'where somebody has turned IPv6 off for the bridge itself, the error names the sysctl, and nothing is left',
  OURS,
  (host) => {
    host.namespace.ip('link', 'add', 'cni0', 'type', 'bridge');
    host.namespace.setSysctl('net/ipv6/conf/cni0/disable_ipv6', '1');
    const container = host.addContainer();
    const before = host.snapshot();
    mustRefuseWhole(host, 'ADD', { config: network(host), container }, 100, /net\.ipv6\.conf\.cni0\.disable_ipv6 is 1/);
    mustLeaveNothing(host, before, 'left of the refused');
    assert.is(host.namespace.sysctl('net/ipv6/conf/cni0/disable_ipv6'), '1');
  },
);

/** As in a nested container: nobody may write to /proc/sys. */
const READ_ONLY = {
  under: [
    ...['unshare', '--mount', 'sh', '-c'],
    'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"',
    'sh',
  ],
};
const PORTS = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] } };

function prepare(host: Host, more: Readonly<Record<string, string>> = {}): void {
  const wanted = {
    'net/ipv4/ip_forward': '1',
    'net/ipv6/conf/all/forwarding': '1',
    'net/ipv4/conf/all/route_localnet': '1',
    ...more,
  };
  for (const [key, value] of Object.entries(wanted)) host.namespace.setSysctl(key, value);
}

test('with a read-only /proc/sys everything works whose sysctls have their effect already', {
  absent: 'an ADD that asks before it writes',
}, (host) => {
  prepare(host);
  const pod = addWholePod(host, network(host, PORTS), READ_ONLY);
  assert.ok(canPing(pod.namespace, '10.77.0.1'));
  assert.ok(canPing(pod.namespace, 'fd00:77::1'));
  checkWholePod(host, pod);
  delWholePod(host, pod);
});

for (const [key, name] of [
  ['net/ipv4/ip_forward', 'net.ipv4.ip_forward'],
  ['net/ipv6/conf/all/forwarding', 'net.ipv6.conf.all.forwarding'],
] as const) {
  test(`with a read-only /proc/sys the error names ${name}, which is missing, and nothing is left`, OURS, (host) => {
    prepare(host, { [key]: '0' });
    const container = host.addContainer();
    const before = host.snapshot();
    const config = network(host, PORTS);
    mustRefuseWhole(
      host,
      'ADD',
      { config, container, ...READ_ONLY },
      5,
      new RegExp(`sysctl ${name.replaceAll('.', '\\.')} to 1: it is read-only`),
    );
    mustLeaveNothing(host, before, 'left of the refused');
  });
}

test(
  'with a read-only /proc/sys a port that 127.0.0.1 cannot reach is published all the same, with a warning',
  OURS,
  (host) => {
    prepare(host, { 'net/ipv4/conf/all/route_localnet': '0' });
    const container = host.addContainer();
    const config = network(host, PORTS);
    const { code, stdout, stderr } = host.invoke('ADD', { config, container, ...READ_ONLY });
    assert.is(code, 0, stdout);
    assert.match(stderr, /127\.0\.0\.1: .*sysctl net\.ipv4\.conf\.cni0\.route_localnet to 1: it is read-only/);
    mustPass(host, 'DEL', { config, container, ...READ_ONLY });
  },
);

run();
