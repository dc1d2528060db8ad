// Tuning: sysctls of the container's namespace and settings of its interface; what is refused; what is put back.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type BadInput, mustRefuseEach } from '../harness/bad-input.ts';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { podlink } from '../harness/operator-command.ts';
import { getLink } from '../harness/referee.ts';
import { mustBeEmpty, refusalOf, withPrevResult } from '../harness/verdict.ts';
import { addWholePod, checkWholePod, delWholePod, mustRefuseWhole } from '../harness/whole-chain.ts';

const { test, run } = cases('tuning');

const OURS = { absent: 'the code and the text of the error' };
/** https://github.com/containernetworking/plugins/blob/v1.1.1/plugins/meta/tuning/tuning.go */
const NOT_RESTORED = { differs: 'never puts a sysctl back', seen: /128|4096|500/ };

function network(host: Host, more: Config = {}): Config {
  return host.config({ isDefaultGateway: true, ...more });
}

function txQueueOf(namespace: Namespace): number | undefined {
  return namespace.ipJson<{ txqlen?: number }>('link', 'show', 'dev', 'eth0')[0]?.txqlen;
}

test('sysctls have their values, IFNAME is the interface, and CHECK agrees', {
  differs: 'CHECK of 1.1.1 does not know IFNAME',
  seen: /conf\/IFNAME\/arp_filter: no such file/,
}, (host) => {
  const sysctl = { 'net.core.somaxconn': '500', 'net.ipv4.conf.IFNAME.arp_filter': '1', 'net/ipv4/ip_forward': '1' };
  const pod = addWholePod(host, network(host, { sysctl }));
  assert.is(pod.namespace.sysctl('net/core/somaxconn'), '500');
  assert.is(pod.namespace.sysctl('net/ipv4/conf/eth0/arp_filter'), '1');
  assert.is(pod.namespace.sysctl('net/ipv4/ip_forward'), '1');
  checkWholePod(host, pod);
});

test('CHECK takes a value for what it is, however the kernel writes it', {
  differs: 'compares text with text',
  seen: /ip_local_port_range|CHECK fails/,
}, (host) => {
  const pod = addWholePod(host, network(host, { sysctl: { 'net.ipv4.ip_local_port_range': '10000 20000' } }));
  checkWholePod(host, pod);
});

test('mac, mtu, promisc and allmulti are set', 'same', (host) => {
  const keys = { mtu: 1400, promisc: true, allmulti: true, runtimeConfig: { mac: '02:00:00:00:00:44' } };
  const pod = addWholePod(host, network(host, keys));
  const link = getLink(pod.namespace, 'eth0');
  assert.is(link.address, '02:00:00:00:00:44');
  assert.is(link.mtu, 1400);
  assert.ok(link.flags.includes('PROMISC'));
  assert.ok(link.flags.includes('ALLMULTI'));
  checkWholePod(host, pod);
});

test('an MTU that was changed since is named by CHECK, in every version, and repaired', {
  absent: 'repair',
}, (host) => {
  for (const cniVersion of ['0.4.0', '1.0.0', '1.1.0']) {
    const pod = addWholePod(host, network(host, { mtu: 1454, cniVersion }));
    const config = withPrevResult(pod.config, pod.result);
    for (const mtu of ['1400', '1300']) {
      pod.namespace.ip('link', 'set', 'eth0', 'mtu', mtu);
      const text = new RegExp(`interface "eth0" has MTU ${mtu}, .* says 1454`);
      mustRefuseWhole(host, 'CHECK', { ...pod.invocation, config }, 101, text);
      assert.is(podlink(host, ['repair', '--bin-dir', host.pluginFolder]).code, 0);
      checkWholePod(host, pod);
      assert.is(getLink(pod.namespace, 'eth0').mtu, 1454);
    }
    delWholePod(host, pod);
  }
});

test(
  'without an MTU of its own an attachment keeps what a later plugin has set, and repair leaves it',
  OURS,
  (host) => {
    const pod = addWholePod(host, network(host, {}));
    pod.namespace.ip('link', 'set', 'eth0', 'mtu', '1400');
    checkWholePod(host, pod);
    assert.is(podlink(host, ['repair', '--bin-dir', host.pluginFolder]).code, 0);
    assert.is(getLink(pod.namespace, 'eth0').mtu, 1400);
  },
);

test('txQLen is set', { absent: 'txQLen in 1.1.1' }, (host) => {
  const pod = addWholePod(host, network(host, { txQLen: 2000 }));
  assert.is(txQueueOf(pod.namespace), 2000);
  checkWholePod(host, pod);
});

test('CHECK has nothing against a packet capture, which nobody has set', {
  differs: 'asks that promisc is not set when it is false',
  seen: /romisc|CHECK fails/i,
}, (host) => {
  const pod = addWholePod(host, network(host, { allmulti: true, promisc: false }));
  pod.namespace.ip('link', 'set', 'eth0', 'promisc', 'on');
  checkWholePod(host, pod);
});

test('args.cni goes before the keys of the entry', {
  absent: 'args.cni.sysctl in an entry without sysctl: it crashes',
}, (host) => {
  const args = { cni: { sysctl: { 'net.core.somaxconn': '600' }, txQLen: 3000 } };
  const pod = addWholePod(host, network(host, { sysctl: { 'net.core.somaxconn': '500' }, txQLen: 2000, args }));
  assert.is(pod.namespace.sysctl('net/core/somaxconn'), '600');
  assert.is(txQueueOf(pod.namespace), 3000);
  delWholePod(host, pod);
  const { sysctl: _, ...bare } = pod.config;
  assert.is(addWholePod(host, bare).namespace.sysctl('net/core/somaxconn'), '600');
});

test('a namespace that outlives the attachment gets its sysctls back', NOT_RESTORED, (host) => {
  const keys = ['net/core/somaxconn', 'net/ipv4/ip_forward'] as const;
  const container = host.addContainer();
  const before = keys.map((key) => container.sysctl(key));
  const sysctl = { 'net.core.somaxconn': '500', 'net.ipv4.ip_forward': '1' };
  const pod = addWholePod(host, network(host, { sysctl }), { container });
  delWholePod(host, pod);
  assert.equal(
    keys.map((key) => container.sysctl(key)),
    before,
  );
});

test('what somebody else has set since is left alone', 'same', (host) => {
  const container = host.addContainer();
  const pod = addWholePod(host, network(host, { sysctl: { 'net.core.somaxconn': '500' } }), { container });
  container.setSysctl('net/core/somaxconn', '700');
  delWholePod(host, pod);
  assert.is(container.sysctl('net/core/somaxconn'), '700');
});

/** Two networks of one container, both with their value of one sysctl. */
function addToTwo(host: Host, values: readonly [string, string]) {
  const container = host.addContainer();
  const pods = values.map((value, i) => {
    const config = network(host, { name: `net${i}`, bridge: `cni${i}`, isDefaultGateway: i === 0 });
    const ipam = host.hostLocal([`10.${77 + i}.0.0/24`]);
    const whole = { ...config, ipam, sysctl: { 'net.core.somaxconn': value } };
    return addWholePod(host, whole, { container, ifname: `eth${i}` });
  });
  return { pods, value: () => container.sysctl('net/core/somaxconn') };
}

for (const order of ['first', 'last'] as const) {
  test(`two networks set 500, and the ${order} goes first: the other keeps it, then it is put back`, {
    ...NOT_RESTORED,
    seen: /4096|500/,
  }, (host) => {
    const { pods, value } = addToTwo(host, ['500', '0x1f4']);
    const before = host.addContainer().sysctl('net/core/somaxconn');
    const [gone, stays] = order === 'first' ? pods : pods.toReversed();
    if (!gone || !stays) throw new TypeError('Two networks are two attachments');
    assert.is(value(), '500');
    delWholePod(host, gone);
    assert.is(value(), '500');
    checkWholePod(host, stays);
    delWholePod(host, stays);
    assert.is(value(), before);
  });
}

test(
  'a second network that asks for another value is refused, also where the first had nothing to change',
  OURS,
  (host) => {
    for (const first of ['500', host.addContainer().sysctl('net/core/somaxconn')]) {
      const { pods, value } = addToTwo(host, [first, first]);
      const container = pods[0]?.namespace ?? host.addContainer();
      const before = host.snapshot();
      const sysctl = { 'net.core.somaxconn': '600' };
      const config = network(host, { name: 'net2', bridge: 'cni2', isDefaultGateway: false, sysctl });
      const says = new RegExp(`"sysctl\\.net\\.core\\.somaxconn": must be "${first}", as in another network .*"600"`);
      mustRefuseWhole(host, 'ADD', { config, container, ifname: 'eth2' }, 7, says);
      assert.is(value(), first);
      mustBeEmpty(host.leftSince(before), 'left of the refused ADD');
      for (const pod of pods) {
        checkWholePod(host, pod);
        delWholePod(host, pod);
      }
    }
  },
);

test('an ADD that fails leaves another network its value', OURS, (host) => {
  const { pods, value } = addToTwo(host, ['500', '500']);
  const container = pods[0]?.namespace ?? host.addContainer();
  const sysctl = { 'net.core.somaxconn': '500', 'net.ipv4.ip_forward': 'nonsense' };
  const config = network(host, { name: 'net2', bridge: 'cni2', isDefaultGateway: false, sysctl });
  mustRefuseWhole(host, 'ADD', { config, container, ifname: 'eth2' }, 7, /"sysctl\.net\.ipv4\.ip_forward": must be/);
  assert.is(value(), '500');
  for (const pod of pods) checkWholePod(host, pod);
});

test('sysctls that take one another or the address away are refused, and nothing is left', OURS, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']);
  for (const [sysctl, says] of [
    [
      { 'net.ipv4.ip_forward': '1', 'net.ipv4.conf.all.forwarding': '0' },
      /"sysctl\.net\.ipv4\.ip_forward": must be a value that lasts: another sysctl, set with it, makes "0" of "1"/,
    ],
    [
      { 'net.core.somaxconn': '500', 'net.ipv6.conf.all.disable_ipv6': '1' },
      /"sysctl\.net\.ipv6\.conf\.all\.disable_ipv6": must be "0" for interface "eth0" to keep its address fd00:77::/,
    ],
    [{ 'net.ipv6.conf.IFNAME.disable_ipv6': '1' }, /IFNAME\.disable_ipv6": must be "0" for interface "eth0"/],
  ] as const) {
    mustRefuseWhole(host, 'ADD', { config: network(host, { sysctl, ipam }), container }, 7, says);
  }
  mustBeEmpty(host.leftSince(before), 'left of the refused ADDs');
});

test('an ADD that fails puts back what it has set', {
  absent: 'putting back: 1.1.1 sets in an order left to chance, and leaves what came before the failure',
}, (host) => {
  const container = host.addContainer();
  const before = container.sysctl('net/core/somaxconn');
  const sysctl = { 'net.core.somaxconn': '500', 'net.ipv4.ip_forward': 'nonsense' };
  const config = network(host, { sysctl });
  mustRefuseWhole(
    host,
    'ADD',
    { config, container },
    7,
    /"sysctl\.net\.ipv4\.ip_forward": must be a value that the kernel/,
  );
  assert.is(container.sysctl('net/core/somaxconn'), before);
});

test("sysctls that are not the container's to set are refused by name, and nothing changes", OURS, (host) => {
  const refused = (key: string, value: unknown, says: RegExp): BadInput => ({
    what: key,
    code: 7,
    says,
    config: { sysctl: { [key]: value } },
  });
  mustRefuseEach(host, host.addContainer(), [
    refused('kernel.shmmax', '1', /"sysctl\.kernel\.shmmax": must be the name of a sysctl below "net"/),
    refused('vm.swappiness', '1', /below "net"/),
    refused('net', '1', /below "net"/),
    refused('net.ipv4/../../kernel/panic', '1', /below "net"/),
    refused('net/../kernel/panic', '1', /below "net"/),
    refused('net.ipv4.conf..forwarding', '1', /below "net"/),
    refused('net.netfilter.nf_conntrack_max', '1', /the whole node's/),
    refused('net.core.somaxconn', 500, /"sysctl\.net\.core\.somaxconn": must be a string, is 500/),
    refused('net.core.somaxconn', '5\n6', /must be one line/),
    { what: 'no object', code: 7, says: /"sysctl": must be an object/, config: { sysctl: ['a'] } },
    { what: 'promisc', code: 7, says: /"promisc": must be true or false, is "yes"/, config: { promisc: 'yes' } },
    { what: 'allmulti', code: 7, says: /"allmulti": must be true or false, is 1/, config: { allmulti: 1 } },
    { what: 'txQLen', code: 7, says: /"txQLen": must be a whole number/, config: { txQLen: -1 } },
  ]);
});

test('sysctls that the namespace does not have are refused, and nothing is left', OURS, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  for (const key of ['net.core.rmem_max', 'net.ipv4.no_such_key', 'net.ipv4.conf']) {
    const config = network(host, { sysctl: { [key]: '1' } });
    mustRefuseWhole(host, 'ADD', { config, container }, 7, /"sysctl\.net\.[^"]*": must be /);
  }
  mustBeEmpty(host.leftSince(before), 'left of the refused ADDs');
});

/** Run ADD where the operator's allow-list holds these lines: in a mount namespace of its own. */
function addWithAllowlist(host: Host, config: Config, lines: string) {
  const list = join(host.folder, 'allowlist.conf');
  writeFileSync(list, lines);
  const script =
    'mount -t tmpfs none /etc && mkdir -p /etc/cni/tuning && cp "$0" /etc/cni/tuning/allowlist.conf && exec "$@"';
  const under = ['unshare', '--mount', 'sh', '-c', script, list];
  const container = host.addContainer();
  return { container, outcome: host.invoke('ADD', { config, container, under }) };
}

test("the operator's allow-list: what it does not name is refused, what it names is set", OURS, (host) => {
  const config = network(host, { sysctl: { 'net.core.somaxconn': '500' } });
  const allowed = addWithAllowlist(host, config, '^net\\.ipv4\\.conf\\.IFNAME\\.\n^net\\.core\\.somaxconn$\n');
  assert.is(allowed.outcome.code, 0, allowed.outcome.stdout);
  assert.is(allowed.container.sysctl('net/core/somaxconn'), '500');
  for (const lines of ['(?i)^NET\\.CORE\\..*$\n', '^\\Qnet.core.\\E\n', '^(?P<net>net)\\.core\n']) {
    const { container, outcome } = addWithAllowlist(host, config, lines);
    assert.is(outcome.code, 0, outcome.stdout);
    assert.is(container.sysctl('net/core/somaxconn'), '500');
  }
  const invalid = addWithAllowlist(host, config, '^net(?=\\.core)\n');
  refusalOf(invalid.outcome, 'ADD', 7, /allowlist\.conf, line 1: must be a regular expression as Go's and RE2's are/);
  for (const lines of ['^net\\.ipv4\\.\n', '\n']) {
    const { container, outcome } = addWithAllowlist(host, config, lines);
    refusalOf(
      outcome,
      'ADD',
      7,
      /"sysctl\.net\.core\.somaxconn": must be a sysctl that \/etc\/cni\/tuning\/allowlist\.conf allows/,
    );
    assert.is.not(container.sysctl('net/core/somaxconn'), '500');
  }
});

run();
