// Sysctls that only work before an interface goes up, or before it exists: they are there in time, as the kernel's own
// acts at those moments show.

import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { mustRefuseWhole, addWholePod, checkWholePod, delWholePod } from '../harness/whole-chain.ts';
import { mustBeEmpty } from '../harness/verdict.ts';

const { test, run } = cases('early tuning');

const LATE: Reference = {
  differs: 'the tuning plugin runs when the bridge plugin has taken the interface up',
  seen: /fe80::|not equal|equal/,
};

const network = (host: Host, sysctl: Record<string, string>, more: Config = {}): Config =>
  host.config({ isDefaultGateway: true, ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']), sysctl, ...more });

const read = (namespace: Namespace, path: string): string => namespace.mustRun('cat', [`/proc/sys/net/${path}`]).trim();
const linkLocalOf = (namespace: Namespace): string[] =>
  namespace
    .mustRun('ip', ['-6', 'address', 'show', 'dev', 'eth0', 'scope', 'link'])
    .split('\n')
    .filter((line) => line.includes('fe80'));

for (const link of ['IFNAME', 'default']) {
  test(
    `addr_gen_mode of ${link} keeps the kernel from making a link-local address when the interface goes up`,
    LATE,
    (host) => {
      const pod = addWholePod(host, network(host, { [`net.ipv6.conf.${link}.addr_gen_mode`]: '1' }));
      mustBeEmpty(linkLocalOf(pod.namespace), 'link-local addresses');
      checkWholePod(host, pod);
      delWholePod(host, pod);
    },
  );
}

test('the interface takes over what is set as default', LATE, (host) => {
  const sysctl = {
    'net.ipv6.conf.default.accept_ra': '0',
    'net.ipv4.conf.default.rp_filter': '2',
    'net.ipv6.conf.default.dad_transmits': '3',
  };
  const pod = addWholePod(host, network(host, sysctl));
  assert.equal(
    ['ipv6/conf/eth0/accept_ra', 'ipv4/conf/eth0/rp_filter', 'ipv6/conf/eth0/dad_transmits'].map((path) =>
      read(pod.namespace, path),
    ),
    ['0', '2', '3'],
  );
  checkWholePod(host, pod);
});

test('defaults get their values back when the attachment goes, in a namespace that stays, and when ADD fails', {
  absent: 'DEL that puts sysctls back in this version',
}, (host) => {
  const container = host.addContainer();
  const path = 'ipv6/conf/default/accept_ra';
  const before = read(container, path);
  const config = network(host, { 'net.ipv6.conf.default.accept_ra': '0' });
  const pod = addWholePod(host, config, { container });
  assert.is(read(container, path), '0');
  delWholePod(host, pod);
  assert.is(read(container, path), before);
  const impossible = network(host, {
    'net.ipv6.conf.default.accept_ra': '0',
    'net.ipv6.conf.IFNAME.accept_ra': 'many',
  });
  mustRefuseWhole(host, 'ADD', { config: impossible, container }, 7, /IFNAME.accept_ra/);
  assert.is(read(container, path), before);
});

test('of two networks that set the same default each leaves it to the other, and the last puts it back', {
  absent: 'DEL that puts sysctls back in this version',
}, (host) => {
  const container = host.addContainer();
  const path = 'ipv4/conf/default/arp_ignore';
  const before = read(container, path);
  const config = network(host, { 'net.ipv4.conf.default.arp_ignore': '2' });
  const other = {
    ...config,
    name: 'others',
    bridge: 'cni1',
    isDefaultGateway: false,
    ipam: host.hostLocal(['10.78.0.0/24']),
  };
  const [first, second] = [
    addWholePod(host, config, { container }),
    addWholePod(host, other, { container, ifname: 'net1' }),
  ];
  assert.is(read(container, 'ipv4/conf/net1/arp_ignore'), '2');
  delWholePod(host, first);
  assert.is(read(container, path), '2');
  delWholePod(host, second);
  assert.is(read(container, path), before);
});

run();
