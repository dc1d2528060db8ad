// One container in several networks, each of which gets the same list of ports from the runtime: the ports are published
// once, by the first, and by another when that one goes.

import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import type { Namespace } from '../harness/namespace.ts';
import { podlink } from '../harness/operator-command.ts';
import { allAt, holdersOf, networkOf } from '../harness/port-networks.ts';
import type { Pod } from '../harness/pod.ts';
import { withQuickIpv6 } from '../harness/quick-ipv6.ts';
import { askAll, whileServing } from '../harness/standing-server.ts';
import { refusalOf, resultOf } from '../harness/verdict.ts';
import {
  addWholePod,
  checkWholePod,
  delWholePod,
  mustPassWhole,
  mustRefuseWhole,
  podOf,
} from '../harness/whole-chain.ts';

const { test, run } = withQuickIpv6(cases('ports of a container in several networks'));

const OURS: Reference = { absent: 'elements that tell their owner' };
const HOST = '203.0.113.1';
function attach(host: Host, container: Namespace, i: number, more: Config = {}): Pod {
  const { config, ifname } = networkOf(host, i, more);
  return addWholePod(host, config, { container, ifname });
}

/** The ports must be answered, by the container at this address. */
async function mustAnswer(outside: Namespace, { namespace, ipv4 }: Pod): Promise<void> {
  // The default route is the first network's: without it nothing finds its way back to another machine.
  namespace.ip('route', 'replace', 'default', 'via', ipv4.replace(/\d+$/, '1'));
  await whileServing(namespace, [ipv4], () => {
    for (const protocol of ['tcp', 'udp'] as const) {
      const [answer] = askAll([{ from: outside, address: HOST, port: 8080, protocol }]);
      assert.ok(answer?.seenFrom, `${protocol} to ${ipv4}: ${answer?.reason}`);
    }
  });
}

test('the first serves the ports, after its DEL the second, in each order of DEL; CHECK passes, nothing is left', {
  differs: 'maps the ports for both; DEL of one leaves those of the other, and takes its connections of UDP',
  seen: /elements|deeply equal/,
}, async (host) => {
  const outside = host.addOutside();
  const container = host.addContainer();
  const before = host.snapshot();
  for (const isFirstGoing of [true, false]) {
    const [first, second] = [attach(host, container, 0), attach(host, container, 1)];
    assert.equal([holdersOf(host), holdersOf(host, 'v6')], [allAt('eth0'), allAt('eth0')]);
    for (const pod of [first, second]) checkWholePod(host, pod);
    await mustAnswer(outside, first);
    const [going, staying] = isFirstGoing ? [first, second] : [second, first];
    delWholePod(host, going);
    assert.equal(holdersOf(host), allAt(isFirstGoing ? 'eth1' : 'eth0'));
    checkWholePod(host, staying);
    await mustAnswer(outside, staying);
    delWholePod(host, staying);
    mustLeaveNothing(host, before);
  }
});

test('of three networks each serves the ports when those before it are gone', OURS, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const pods = [0, 1, 2].map((i) => attach(host, container, i));
  for (const [i, pod] of pods.entries()) {
    assert.equal(holdersOf(host), allAt(`eth${i}`));
    for (const each of pods.slice(i)) checkWholePod(host, each);
    delWholePod(host, pod);
  }
  mustLeaveNothing(host, before);
});

test('a network of IPv4 and one of IPv6 each serve their family', OURS, (host) => {
  const container = host.addContainer();
  const [v4, v6] = [
    attach(host, container, 0, { ipam: host.hostLocal(['10.77.0.0/24']) }),
    attach(host, container, 1, { ipam: host.hostLocal(['fd00:78::/64']) }),
  ];
  assert.equal([holdersOf(host), holdersOf(host, 'v6')], [allAt('eth0'), allAt('eth1')]);
  const both = attach(host, container, 2);
  delWholePod(host, v6);
  assert.equal([holdersOf(host), holdersOf(host, 'v6')], [allAt('eth0'), allAt('eth2')]);
  for (const pod of [v4, both]) checkWholePod(host, pod);
});

test(
  'networks that lead a port to different ports of the container: code 7, and the first is as it was',
  OURS,
  (host) => {
    const container = host.addContainer();
    const first = attach(host, container, 0);
    const before = host.snapshot();
    const { config, ifname } = networkOf(host, 1, {
      runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 81 }] },
    });
    const pattern = /"runtimeConfig\.portMappings\[0\]": host port 8080\/tcp cannot lead to port 81: .*"eth0"/;
    mustRefuseWhole(host, 'ADD', { config, container, ifname }, 7, pattern);
    mustLeaveNothing(host, before);
    checkWholePod(host, first);
  },
);

test('another container gets no port of one that waits, nor one that has been handed over', OURS, (host) => {
  const container = host.addContainer();
  const [first, second] = [attach(host, container, 0), attach(host, container, 1)];
  delWholePod(host, first);
  const { config } = networkOf(host, 2);
  const refused = host.invoke('ADD', { config, container: host.addContainer() });
  refusalOf(refused, 'ADD', 11, /another container/);
  assert.match(refused.stderr, /interface "eth1"/);
  delWholePod(host, second);
  addWholePod(host, config);
});

test(
  'ADDs of three networks at the same time, and DELs: one has the ports each time, and nothing is left',
  OURS,
  async (host) => {
    const container = host.addContainer();
    const networks = [0, 1, 2].map((i) => networkOf(host, i));
    const before = host.snapshot();
    for (let round = 0; round < 5; round++) {
      const outcomes = await Promise.all(
        networks.map(({ config, ifname }) => host.start('ADD', { config, container, ifname })),
      );
      const pods = networks.map((invocation, i) => {
        const outcome = outcomes[i] as (typeof outcomes)[number];
        return podOf({ ...invocation, container }, container, resultOf(outcome, invocation.config));
      });
      assert.is(new Set(holdersOf(host).map((line) => line.split(': ')[1])).size, 1, `round ${round}`);
      assert.is(holdersOf(host).length, 3);
      for (const pod of pods) checkWholePod(host, pod);
      const going = round % 2 === 0 ? pods : pods.slice(1);
      const ended = await Promise.all(going.map(({ invocation }) => host.start('DEL', invocation)));
      for (const { code, stdout } of ended) assert.is(code, 0, stdout);
      if (going.length < pods.length && pods[0]) {
        assert.equal(holdersOf(host), allAt('eth0'));
        checkWholePod(host, pods[0]);
        delWholePod(host, pods[0]);
      }
      mustLeaveNothing(host, before, `round ${round}`);
    }
  },
);

test('flushed rules: repair brings the ports back, once', OURS, (host) => {
  const container = host.addContainer();
  const pods = [0, 1].map((i) => attach(host, container, i));
  host.namespace.mustRun('nft', ['flush', 'ruleset']);
  const { code, stdout } = podlink(host, ['repair', '--bin-dir', host.pluginFolder]);
  assert.is(code, 0, stdout);
  assert.is(holdersOf(host).length, 3);
  for (const pod of pods) checkWholePod(host, pod);
  for (const pod of pods) delWholePod(host, pod);
  assert.equal(holdersOf(host), []);
});

test('GC of the first network hands the ports over, and of the second takes them', OURS, (host) => {
  const container = host.addContainer();
  const before = host.snapshot();
  const pods = [0, 1].map((i) => attach(host, container, i));
  for (const [i, { config }] of pods.entries()) {
    const { runtimeConfig: _, ...network } = config;
    mustPassWhole(host, 'GC' as 'DEL', {
      config: { ...network, cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] },
    });
    assert.equal(holdersOf(host), i === 0 ? allAt('eth1') : []);
  }
  mustLeaveNothing(host, before);
});

run();
