// Port mappings: who reaches a container by a port of the host, and whom it sees then.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { elementsOfSet, ownedElementsOf } from '../harness/owned-element.ts';
import type { Pod } from '../harness/pod.ts';
import { withQuickIpv6 } from '../harness/quick-ipv6.ts';
import { type Answer, askAll, type Question, whileServing } from '../harness/standing-server.ts';
import { exchange, SILENCE_TIMEOUT_MS } from '../harness/traffic.ts';
import { mustBeEmpty } from '../harness/verdict.ts';
import { addWholePod } from '../harness/whole-chain.ts';
import { skip } from '../suite/skip.ts';

const { test, run } = withQuickIpv6(cases('port mappings'));

const HOST_4 = '203.0.113.1';
const HOST_6 = '2001:db8:1::1';
const PORT = 8080;
const BOTH = [
  { hostPort: PORT, containerPort: 7777, protocol: 'tcp' },
  { hostPort: PORT, containerPort: 7777, protocol: 'udp' },
];
const NO_RANGES = { absent: 'one element for several ports' };
const NO_BINDING = { absent: 'hostBindingIPv4' };

function network(host: Host, portMappings: readonly object[] = BOTH, more: Config = {}): Config {
  return host.config({
    isDefaultGateway: true,
    ipMasq: true,
    hairpinMode: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    runtimeConfig: { portMappings },
    ...more,
  });
}

interface Attempt extends Question {
  /** The client's address as the pod must see it; absent when nothing may come through. */
  readonly sees?: string;
}

/** Let all ask for the pod, and fail with those of which it has not seen what it must. */
async function mustSee(pod: Pod, attempts: readonly Attempt[]): Promise<void> {
  const questions = attempts.map(({ sees, ...question }) => ({
    port: PORT,
    ...question,
    ...(sees === undefined && { timeoutMs: SILENCE_TIMEOUT_MS }),
  }));
  const answers = await whileServing(pod.namespace, [pod.ipv4, pod.ipv6], () => askAll(questions));
  const faults = attempts.flatMap(({ sees, address, protocol = 'tcp', port = PORT }, i) => {
    const { seenFrom, reason } = answers[i] as Answer;
    if (seenFrom === (sees ?? '')) return [];
    const expected = sees === undefined ? 'must not be answered' : `must see ${sees}`;
    return [`${protocol} to ${address} port ${port}: ${expected}, sees ${seenFrom || `nobody (${reason})`}`];
  });
  mustBeEmpty(faults, 'the pod');
}

/** Both protocols to each of the addresses. */
function overBoth(from: Namespace, sees: readonly (readonly [string, string])[]) {
  return sees.flatMap(([address, client]) =>
    (['tcp', 'udp'] as const).map((protocol) => ({ from, address, protocol, sees: client })),
  );
}

test('from outside, over TCP and UDP, IPv4 and IPv6, and the pod sees the client', 'same', async (host) => {
  const outside = host.addOutside();
  const pod = addWholePod(host, network(host));
  await mustSee(
    pod,
    overBoth(outside, [
      [HOST_4, '203.0.113.2'],
      [HOST_6, '2001:db8:1::2'],
    ]),
  );
});

test('from the host, by its addresses and by all of 127.0.0.0/8', 'same', async (host) => {
  host.addOutside();
  const pod = addWholePod(host, network(host));
  await mustSee(
    pod,
    overBoth(host.namespace, [
      [HOST_4, HOST_4],
      [HOST_6, HOST_6],
      ['127.0.0.1', '10.77.0.1'],
      ['127.7.7.7', '10.77.0.1'],
    ]),
  );
});

test('from the host by ::1 it is refused at once, so that clients go on to 127.0.0.1', {
  differs: 'sends it to the pod, from which nothing can come back to ::1',
  seen: /no answer/,
}, async (host) => {
  const pod = addWholePod(host, network(host));
  const question = { from: host.namespace, address: '::1', port: PORT, timeoutMs: 2000 };
  const [answer] = await whileServing(pod.namespace, [pod.ipv6], () => askAll([question]));
  assert.match(answer?.reason ?? '', /ECONNREFUSED/);
});

test("from another pod, which keeps its address, by the host's and by the gateway's", {
  differs: 'masquerades whoever is in the same network',
  seen: /must see 10\.77\.0\.\d, sees 10\.77\.0\.1/,
}, async (host) => {
  host.addOutside();
  const [pod, client] = [addWholePod(host, network(host)), addWholePod(host, network(host, []))];
  await mustSee(
    pod,
    overBoth(client.namespace, [
      [HOST_4, client.ipv4],
      ['10.77.0.1', client.ipv4],
      [HOST_6, client.ipv6],
    ]),
  );
});

test(
  'from another pod where bridged packets do not pass the IP hooks: reached, in the name of the host',
  'same',
  async (host) => {
    host.addOutside();
    for (const key of ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables']) {
      host.namespace.setSysctl(`net/bridge/${key}`, '0');
    }
    const [pod, client] = [addWholePod(host, network(host)), addWholePod(host, network(host, []))];
    await mustSee(
      pod,
      overBoth(client.namespace, [
        [HOST_4, '10.77.0.1'],
        [HOST_6, 'fd00:77::1'],
      ]),
    );
  },
);

for (const hooks of ['1', '0']) {
  test(`a pod reaches itself by its own mapped port (bridge-nf-call-iptables ${hooks})`, 'same', async (host) => {
    host.addOutside();
    for (const key of ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables']) {
      host.namespace.setSysctl(`net/bridge/${key}`, hooks);
    }
    const pod = addWholePod(host, network(host));
    await mustSee(
      pod,
      overBoth(pod.namespace, [
        [HOST_4, '10.77.0.1'],
        ['10.77.0.1', '10.77.0.1'],
        [HOST_6, 'fd00:77::1'],
      ]),
    );
  });
}

test('a port that is not mapped, and another protocol of one that is, do not lead to the pod', 'same', async (host) => {
  const outside = host.addOutside();
  const pod = addWholePod(host, network(host, [{ hostPort: PORT, containerPort: 7777, protocol: 'tcp' }]));
  await mustSee(pod, [
    { from: outside, address: HOST_4, sees: '203.0.113.2' },
    { from: outside, address: HOST_4, port: PORT + 1 },
    { from: outside, address: HOST_4, protocol: 'udp' },
  ]);
});

test('what passes through the host to the same port elsewhere is left alone', 'same', async (host) => {
  // A server outside on the mapped port: the pod's connection to it must not come back to the pod.
  const outside = host.addOutside();
  const portMappings = [{ hostPort: 7777, containerPort: 7777, protocol: 'tcp' }];
  const pod = addWholePod(host, network(host, portMappings));
  const reply = await exchange({ from: pod.namespace, to: outside, address: '203.0.113.2' });
  assert.is(reply.seenFrom, HOST_4, reply.reason);
});

test('hostIP: the port answers on that address and on no other, in both families', 'same', async (host) => {
  const outside = host.addOutside();
  host.namespace.ip('addr', 'add', '203.0.113.9/24', 'dev', 'up0');
  host.namespace.ip('addr', 'add', '2001:db8:1::9/64', 'dev', 'up0', 'nodad');
  const portMappings = ['203.0.113.9', '2001:db8:1::9'].map((hostIP) => ({ ...BOTH[0], hostIP }));
  const pod = addWholePod(host, network(host, portMappings));
  await mustSee(pod, [
    { from: outside, address: '203.0.113.9', sees: '203.0.113.2' },
    { from: outside, address: '2001:db8:1::9', sees: '2001:db8:1::2' },
    { from: outside, address: HOST_4 },
    { from: outside, address: HOST_6 },
  ]);
});

test('hostIP 0.0.0.0 is IPv4 alone, :: is IPv6 alone', 'same', async (host) => {
  const outside = host.addOutside();
  const any = (hostIP: string, hostPort: number) => ({ ...BOTH[0], hostPort, hostIP });
  const pod = addWholePod(host, network(host, [any('0.0.0.0', 8004), any('::', 8006)]));
  await mustSee(pod, [
    { from: outside, address: HOST_4, port: 8004, sees: '203.0.113.2' },
    { from: outside, address: HOST_6, port: 8006, sees: '2001:db8:1::2' },
    { from: outside, address: HOST_6, port: 8004 },
    { from: outside, address: HOST_4, port: 8006 },
  ]);
});

test('hostIP 127.0.0.1: from the host alone', 'same', async (host) => {
  const outside = host.addOutside();
  const pod = addWholePod(host, network(host, [{ ...BOTH[0], hostIP: '127.0.0.1' }]));
  await mustSee(pod, [
    { from: host.namespace, address: '127.0.0.1', sees: '10.77.0.1' },
    { from: outside, address: HOST_4 },
  ]);
});

test("a pod does not get at what listens on the host's 127.0.0.1", {
  differs: 'sets route_localnet, and leaves it to kube-proxy to stop what that lets in (CVE-2020-8558)',
  seen: /it is reached/,
}, async (host) => {
  const pod = addWholePod(host, network(host));
  // Its own loopback is down, so that nothing keeps its packets to 127.0.0.1 from the gateway.
  pod.namespace.ip('route', 'add', '127.0.0.1', 'via', '10.77.0.1', 'src', pod.ipv4);
  pod.namespace.setSysctl('net/ipv4/conf/eth0/route_localnet', '1');
  pod.namespace.setSysctl('net/ipv4/conf/all/route_localnet', '1');
  const timeoutMs = SILENCE_TIMEOUT_MS;
  const reply = await exchange({ from: pod.namespace, to: host.namespace, address: '127.0.0.1', timeoutMs });
  assert.not(reply.answered, 'it is reached');
});

test('hostBindingIPv4 is where a mapping without hostIP listens, and no other address', NO_BINDING, async (host) => {
  const outside = host.addOutside();
  host.namespace.ip('addr', 'add', '203.0.113.9/24', 'dev', 'up0');
  const portMappings = [BOTH[0] ?? {}, { ...BOTH[0], hostPort: 8081, hostIP: HOST_4 }];
  const pod = addWholePod(host, network(host, portMappings, { hostBindingIPv4: '203.0.113.9' }));
  await mustSee(pod, [
    { from: outside, address: '203.0.113.9', sees: '203.0.113.2' },
    { from: outside, address: HOST_4, port: 8081, sees: '203.0.113.2' },
    { from: outside, address: HOST_4 },
    { from: outside, address: HOST_6 },
  ]);
});

test('masqAll: every client is the host', { absent: 'masqAll in 1.1.1' }, async (host) => {
  const outside = host.addOutside();
  const pod = addWholePod(host, network(host, BOTH, { masqAll: true }));
  await mustSee(pod, [
    { from: outside, address: HOST_4, sees: '10.77.0.1' },
    { from: outside, address: HOST_6, sees: 'fd00:77::1' },
  ]);
});

test('several ports that keep their number are one element of each family', NO_RANGES, async (host) => {
  const outside = host.addOutside();
  const range = Array.from({ length: 101 }, (_, i) => ({
    hostPort: 7700 + i,
    containerPort: 7700 + i,
    protocol: 'tcp',
  }));
  const pod = addWholePod(host, network(host, range));
  const found = (set: string) => elementsOfSet(host.namespace, set).map(({ key, value, owner }) => [key, value, owner]);
  const owner = `pods/${pod.namespace.name}/eth0`;
  assert.equal(found('portmap_any_range_v4'), [['tcp . 7700-7800', pod.ipv4, owner]]);
  assert.equal(found('portmap_any_range_v6'), [['tcp . 7700-7800', pod.ipv6, owner]]);
  assert.equal([...found('portmap_any_v4'), ...found('portmap_any_v6')], []);
  await mustSee(pod, [
    { from: outside, address: HOST_4, port: 7777, sees: '203.0.113.2' },
    { from: outside, address: HOST_6, port: 7777, sees: '2001:db8:1::2' },
    { from: host.namespace, address: '127.0.0.1', port: 7777, sees: '10.77.0.1' },
    { from: outside, address: HOST_4, port: 7801 },
  ]);
});

test('SCTP is mapped like the others', { absent: 'elements' }, (host) => {
  const pod = addWholePod(host, network(host, [{ hostPort: PORT, containerPort: 7777, protocol: 'sctp' }]));
  const mapped = ownedElementsOf(host.namespace)
    .filter(({ set }) => set.startsWith('portmap_any'))
    .map(({ set, key, value }) => `${set}: ${key} : ${value}`);
  assert.equal(mapped, [
    `portmap_any_v4: sctp . ${PORT} : ${pod.ipv4} . 7777`,
    `portmap_any_v6: sctp . ${PORT} : ${pod.ipv6} . 7777`,
  ]);
  skip('an exchange over SCTP', 'Node opens no SCTP sockets');
});

test('a mapping with hostPort 0 publishes nothing and fails nothing', {
  differs: 'refuses it',
  seen: /Invalid host port/,
}, (host) => {
  addWholePod(host, network(host, [{ hostPort: 0, containerPort: 80, protocol: 'tcp' }]));
  assert.equal(
    ownedElementsOf(host.namespace).filter(({ set }) => set.startsWith('portmap')),
    [],
  );
});

run();
