// What masquerading leaves alone, and what it must not let out: networks that are excepted, packets of no connection,
// and the other attachments of the same container.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { ownedElementsOf } from '../harness/owned-element.ts';
import { watchArrivals } from '../harness/packet-watch.ts';
import { addPod, delPod, type Pod } from '../harness/pod.ts';
import { withQuickIpv6 } from '../harness/quick-ipv6.ts';
import { askAll, whileServing } from '../harness/standing-server.ts';
import { mustBeEmpty, mustRefuse } from '../harness/verdict.ts';

const { test, run } = withQuickIpv6(cases('the limits of masquerading'));

const EXCLUSIONS = { absent: 'a list of networks that are not masqueraded' };
/** Further addresses of the machine outside. */
const FAR = ['198.51.100.9', '198.51.200.9', '2001:db8:9::9', '2001:db8:a::9'];

function network(host: Host, more: Config = {}): Config {
  return host.config({
    isDefaultGateway: true,
    ipMasq: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    ...more,
  });
}

/** A machine outside with more addresses, which knows its way back to the pods. */
function addFarMachine(host: Host): Namespace {
  const outside = host.addOutside();
  for (const address of FAR) {
    const isV6 = address.includes(':');
    outside.ip('addr', 'add', `${address}/${isV6 ? 128 : 32}`, 'dev', 'lo', ...(isV6 ? ['nodad'] : []));
    host.namespace.ip('route', 'add', address, 'via', isV6 ? '2001:db8:1::2' : '203.0.113.2');
  }
  for (const pods of ['10.77.0.0/24', '10.78.0.0/24']) outside.ip('route', 'add', pods, 'via', '203.0.113.1');
  outside.ip('route', 'add', 'fd00:77::/64', 'via', '2001:db8:1::1');
  return outside;
}

/** Whom the machine outside sees at each of its addresses. */
function seenAt(pod: Pod, outside: Namespace, addresses: readonly string[]): Promise<string[]> {
  return whileServing(outside, addresses, () =>
    askAll(addresses.map((address) => ({ from: pod.namespace, address }))).map(
      ({ seenFrom, reason }) => seenFrom || reason,
    ),
  );
}

test('networks of ipMasqExclude see the pod, all others the host', EXCLUSIONS, async (host) => {
  const outside = addFarMachine(host);
  const ipMasqExclude = ['198.51.100.0/24', '198.51.100.9/32', '2001:db8:9::/48'];
  const pod = addPod(host, network(host, { ipMasqExclude }));
  const seen = await seenAt(pod, outside, FAR);
  assert.equal(seen, [pod.ipv4, '203.0.113.1', pod.ipv6, '2001:db8:1::1']);
});

test('each pod has the exceptions of its own configuration', EXCLUSIONS, async (host) => {
  const outside = addFarMachine(host);
  const excepted = addPod(host, network(host, { ipMasqExclude: ['198.51.0.0/16'] }));
  const plain = addPod(host, network(host));
  assert.equal(await seenAt(excepted, outside, FAR.slice(0, 2)), [excepted.ipv4, excepted.ipv4]);
  assert.equal(await seenAt(plain, outside, FAR.slice(0, 2)), ['203.0.113.1', '203.0.113.1']);
});

test('an exception that is no network is refused by its place, and nothing changes', EXCLUSIONS, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  for (const entry of ['198.51.100.9', '198.51.100.0/33', 'everything', 7]) {
    const config = network(host, { ipMasqExclude: ['198.51.0.0/16', entry] });
    mustRefuse(host, 'ADD', { config, container }, 7, /"ipMasqExclude\[1\]": must be a/);
  }
  mustBeEmpty(
    host.changesSince(before).filter((line) => !line.startsWith('+ folder')),
    'changed by the refused ADDs',
  );
});

/** https://github.com/containernetworking/plugins/pull/817 */
test("a packet of no connection does not leave with the pod's address", {
  differs: 'lets what connection tracking calls invalid pass as it is',
  seen: /packets that left/,
}, async (host) => {
  const outside = addFarMachine(host);
  const pod = addPod(host, network(host));
  // The host does not follow what comes in, as after a restart or with another way in: the answer belongs to nothing.
  const untracked =
    'table inet untracked { chain in { type filter hook prerouting priority raw; iif "up0" notrack; }; }';
  host.namespace.mustRun('nft', ['-f', '-'], { input: untracked });
  const arrived = watchArrivals(pod.namespace, 'tcp dport 81');
  const left = [`ip saddr ${pod.ipv4}`, `ip6 saddr ${pod.ipv6}`].map((from) =>
    watchArrivals(outside, `${from} tcp flags & rst == rst`),
  );
  askAll([pod.ipv4, pod.ipv6].map((address) => ({ from: outside, address, port: 81, timeoutMs: 300 })));
  assert.ok(arrived() >= 2, 'the pod was asked');
  assert.equal(
    left.map((count) => count()),
    [0, 0],
    'packets that left',
  );
});

test('two networks of one container are independent: each goes alone', EXCLUSIONS, async (host) => {
  const outside = addFarMachine(host);
  const first = addPod(host, network(host));
  const config = network(host, {
    name: 'others',
    bridge: 'cni1',
    isDefaultGateway: false,
    isGateway: true,
    ipMasqExclude: ['198.51.100.0/24'],
    ipam: host.hostLocal(['10.78.0.0/24'], { routes: [{ dst: '198.51.0.0/16' }] }),
  });
  const second = addPod(host, config, { container: first.namespace, ifname: 'net1' });
  const [excepted = '', plain = '', , v6 = ''] = FAR;
  assert.equal(await seenAt(first, outside, [excepted, plain, v6]), [second.ipv4, '203.0.113.1', '2001:db8:1::1']);
  delPod(host, second);
  assert.equal(await seenAt(first, outside, [excepted, v6]), ['203.0.113.1', '2001:db8:1::1']);
  const again = addPod(host, config, { container: first.namespace, ifname: 'net1' });
  delPod(host, first);
  assert.equal(await seenAt(again, outside, [excepted, plain]), [again.ipv4, '203.0.113.1']);
  assert.equal(
    [...new Set(ownedElementsOf(host.namespace).map(({ owner }) => owner))],
    [`others/${first.namespace.name}/net1`],
  );
});

run();
