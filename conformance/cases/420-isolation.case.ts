// icc and internal: who does not reach whom, by every way there is; and who still does.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import type { Namespace } from '../harness/namespace.ts';
import { watchArrivals } from '../harness/packet-watch.ts';
import { addPod, checkPod, delPod, type Pod } from '../harness/pod.ts';
import { withQuickIpv6 } from '../harness/quick-ipv6.ts';
import { askAll, type Question, whileServing } from '../harness/standing-server.ts';
import { canPing, SILENCE_TIMEOUT_MS } from '../harness/traffic.ts';
import { mustBeEmpty } from '../harness/verdict.ts';

const { test, run } = withQuickIpv6(cases('isolation'));

const ICC = { absent: 'icc: its ingressPolicy stops what is bridged only where that passes iptables' };
const INTERNAL = { absent: 'internal' };
const PORTS = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 7777, protocol: 'tcp' }] } };
const HOST_4 = '203.0.113.1';
const HOST_6 = '2001:db8:1::1';

function network(host: Host, more: Config = {}): Config {
  return host.config({
    isDefaultGateway: true,
    ipMasq: true,
    hairpinMode: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    ...more,
  });
}

interface Way extends Omit<Question, 'timeoutMs'> {
  readonly title: string;
  readonly passes: boolean;
}

/** Try all the ways to a server, and fail with those that are not as they must be. */
async function mustBe(server: Namespace, addresses: readonly string[], ways: readonly Way[]): Promise<void> {
  const answers = await whileServing(server, addresses, () =>
    askAll(
      ways.map(({ title: _, passes, ...question }) => ({
        ...question,
        timeoutMs: passes ? 5000 : SILENCE_TIMEOUT_MS,
      })),
    ),
  );
  const faults = ways.flatMap(({ title, passes, address, protocol = 'tcp' }, i) => {
    const { seenFrom = '', reason = '' } = answers[i] ?? {};
    if ((seenFrom !== '') === passes) return [];
    return [`${title} (${address}, ${protocol}): ${passes ? reason : `passes, seen from ${seenFrom}`}`];
  });
  mustBeEmpty(faults, 'ways');
}

const toBoth = (title: string, from: Namespace, { ipv4, ipv6 }: Pod, passes: boolean): Way[] =>
  [ipv4, ipv6].flatMap((address) =>
    (['tcp', 'udp'] as const).map((protocol) => ({ title, from, address, protocol, passes })),
  );

/** Have the container send to another by the host, and not by the bridge. */
function routeByHost(from: Namespace, { ipv4, ipv6 }: Pod): void {
  from.ip('route', 'add', `${ipv4}/32`, 'via', '10.77.0.1', 'dev', 'eth0');
  from.ip('route', 'add', `${ipv6}/128`, 'via', 'fd00:77::1', 'dev', 'eth0');
}

/** Have the container write a source that it was not given, in what it sends to `destination` by the host. */
function writeOtherSource(host: Host, container: Namespace, destination: string): void {
  container.ip('addr', 'add', '198.51.100.7/32', 'dev', 'eth0');
  container.ip('route', 'replace', destination, 'via', '10.77.0.1', 'dev', 'eth0', 'src', '198.51.100.7');
  for (const name of ['all', 'cni0']) host.namespace.setSysctl(`net/ipv4/conf/${name}/rp_filter`, '0');
}

test('icc false: containers of the bridge do not reach each other, by no way; all others do', ICC, async (host) => {
  const outside = host.addOutside();
  const config = network(host, { icc: false });
  const pod = addPod(host, { ...config, ...PORTS });
  const [neighbour, sly] = [addPod(host, config), addPod(host, config)];
  const other = addPod(host, network(host, { name: 'others', bridge: 'cni1', ipam: host.hostLocal(['10.78.0.0/24']) }));
  routeByHost(sly.namespace, pod);
  // Neighbours whose MACs it need not ask for.
  const mac = pod.result.interfaces?.find(({ name }) => name === 'eth0')?.mac ?? '';
  neighbour.namespace.ip('neigh', 'replace', pod.ipv4, 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent');
  neighbour.namespace.ip('neigh', 'replace', pod.ipv6, 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent');
  const port = 8080;
  await mustBe(
    pod.namespace,
    [pod.ipv4, pod.ipv6],
    [
      ...toBoth('a neighbour', neighbour.namespace, pod, false),
      ...toBoth('a neighbour by way of the host', sly.namespace, pod, false),
      { title: 'a neighbour by the published port', from: neighbour.namespace, address: HOST_4, port, passes: false },
      { title: 'likewise', from: neighbour.namespace, address: HOST_6, port, passes: false },
      { title: 'likewise by the gateway', from: neighbour.namespace, address: '10.77.0.1', port, passes: false },
      ...toBoth('the host', host.namespace, pod, true),
      { title: 'outside by the published port', from: outside, address: HOST_4, port, passes: true },
      { title: 'likewise', from: outside, address: HOST_6, port, passes: true },
      { title: 'another network', from: other.namespace, address: pod.ipv4, passes: true },
    ],
  );
  await mustBe(
    outside,
    ['203.0.113.2', '2001:db8:1::2'],
    [
      { title: 'a pod to outside', from: neighbour.namespace, address: '203.0.113.2', passes: true },
      { title: 'likewise', from: neighbour.namespace, address: '2001:db8:1::2', passes: true },
    ],
  );
  checkPod(host, pod);
});

for (const icc of [true, false]) {
  test(`with a source that is not its own a sender reaches a neighbour by way of the host: icc ${icc}`, ICC, (host) => {
    const config = network(host, { icc });
    const [pod, sly] = [addPod(host, config), addPod(host, config)];
    routeByHost(sly.namespace, pod);
    writeOtherSource(host, sly.namespace, `${pod.ipv4}/32`);
    const arrived = watchArrivals(pod.namespace, 'ip saddr 198.51.100.7 meta l4proto { tcp, udp }');
    const ask = (protocol: 'tcp' | 'udp') => ({ from: sly.namespace, address: pod.ipv4, protocol, timeoutMs: 300 });
    askAll([ask('tcp'), ask('udp')]);
    assert.is(arrived() > 0, icc);
  });
}

test(
  'icc false with one container of a network gone leaves the others as they are, and nothing behind',
  ICC,
  async (host) => {
    const config = network(host, { icc: false });
    const [pod, neighbour] = [addPod(host, config), addPod(host, config)];
    const container = host.addContainer();
    const before = host.snapshot();
    delPod(host, addPod(host, config, { container }));
    mustLeaveNothing(host, before);
    await mustBe(pod.namespace, [pod.ipv4, pod.ipv6], toBoth('a neighbour', neighbour.namespace, pod, false));
  },
);

test(
  'internal: no way out and none in; the bridge, its gateway and the host are all there is',
  INTERNAL,
  async (host) => {
    const outside = host.addOutside();
    outside.ip('route', 'add', '10.77.0.0/24', 'via', HOST_4);
    outside.ip('route', 'add', 'fd00:77::/64', 'via', HOST_6);
    const config = network(host, { internal: true });
    const pod = addPod(host, { ...config, ...PORTS });
    const neighbour = addPod(host, config);
    const others = network(host, { name: 'others', bridge: 'cni1', ipam: host.hostLocal(['10.78.0.0/24']) });
    const other = addPod(host, others);
    await mustBe(
      pod.namespace,
      [pod.ipv4, pod.ipv6],
      [
        ...toBoth('a neighbour', neighbour.namespace, pod, true),
        ...toBoth('the host', host.namespace, pod, true),
        { title: 'the host by the published port', from: host.namespace, address: HOST_4, port: 8080, passes: true },
        { title: 'a neighbour by it', from: neighbour.namespace, address: '10.77.0.1', port: 8080, passes: true },
        ...toBoth('outside', outside, pod, false),
        { title: 'outside by the published port', from: outside, address: HOST_4, port: 8080, passes: false },
        { title: 'likewise', from: outside, address: HOST_6, port: 8080, passes: false },
        { title: 'another network', from: other.namespace, address: pod.ipv4, passes: false },
      ],
    );
    await mustBe(
      outside,
      ['203.0.113.2', '2001:db8:1::2'],
      ['203.0.113.2', '2001:db8:1::2'].flatMap((address) =>
        (['tcp', 'udp'] as const).map((protocol) => ({
          title: 'to outside',
          from: pod.namespace,
          address,
          protocol,
          passes: false,
        })),
      ),
    );
    await mustBe(
      other.namespace,
      [other.ipv4],
      [{ title: 'to another network', from: pod.namespace, address: other.ipv4, passes: false }],
    );
    checkPod(host, pod);
  },
);

for (const internal of [false, true]) {
  test(
    `what a container sends with another address, and another MAC, gets out: internal ${internal}`,
    INTERNAL,
    (host) => {
      const outside = host.addOutside();
      const { namespace } = addPod(host, network(host, { internal }));
      // So that neighbours need not be asked for first, which may take a second on an interface that has just come up.
      assert.ok(canPing(host.namespace, '2001:db8:1::2'));
      assert.ok(canPing(namespace, 'fd00:77::1'));
      const sent = ['ip saddr 198.51.100.7', 'ip6 daddr 2001:db8:1::2'].map((match) =>
        watchArrivals(outside, `${match} meta l4proto udp`),
      );
      const ask = (): void => {
        const question = { from: namespace, protocol: 'udp' as const, timeoutMs: 300 };
        askAll(['203.0.113.2', '2001:db8:1::2'].map((address) => ({ ...question, address })));
      };
      writeOtherSource(host, namespace, 'default');
      ask();
      namespace.ip('link', 'set', 'eth0', 'address', '02:00:00:00:00:77');
      ask();
      assert.equal(
        sent.map((count) => count() > 0),
        [!internal, !internal],
      );
    },
  );
}

test('internal says what comes to nothing with it', INTERNAL, (host) => {
  const container = host.addContainer();
  const { code, stderr } = host.invoke('ADD', { config: network(host, { internal: true, ...PORTS }), container });
  assert.is(code, 0);
  for (const key of ['ipMasq', 'isDefaultGateway', 'runtimeConfig.portMappings']) {
    assert.match(stderr, new RegExp(`"${key}".*"internal": true`));
  }
});

run();
