// `repair` after the bridge has been deleted and made anew, by another ADD or by hand: it settles, one MAC address for all,
// and the containers reach their gateway at once. It ends with 0 only if CHECK passes.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustSay, NO_COMMANDS } from '../harness/operator-command.ts';
import { addPod, checkPod, delPod, type Pod } from '../harness/pod.ts';
import { getLink } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';

const { test, run } = cases('repair of a bridge that is another');

const GATEWAY = '10.77.0.1';

function network(host: Host, more: Config = {}): Config {
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']);
  return host.config({ isDefaultGateway: true, ipMasq: true, ipam, ...more });
}

/** The MAC address by which a container knows its gateway; undefined while it does not. */
function knownMac({ namespace }: Pod, gateway = GATEWAY): string | undefined {
  return namespace
    .ipJson<{ dst: string; lladdr?: string }>('neigh', 'show', 'dev', 'eth0')
    .find(({ dst }) => dst === gateway)?.lladdr;
}

/** A container that has talked to its gateway, over both families. */
function talkingPod(host: Host, config: Config): Pod {
  const pod = addPod(host, config);
  for (const gateway of [GATEWAY, 'fd00:77::1']) assert.ok(canPing(pod.namespace, gateway));
  assert.is(knownMac(pod), getLink(host.namespace, 'cni0').address);
  return pod;
}

/** Repair twice: the second time there is nothing to do, every CHECK passes, and every container reaches its gateway. */
function mustSettle(host: Host, pods: readonly Pod[]): void {
  mustSay(host, ['repair']);
  for (const pod of pods) {
    assert.ok([undefined, getLink(host.namespace, 'cni0').address].includes(knownMac(pod)), 'the gateway of before');
    for (const gateway of [GATEWAY, 'fd00:77::1']) assert.ok(canPing(pod.namespace, gateway), `${gateway} not reached`);
    checkPod(host, pod);
  }
  const before = host.snapshot();
  assert.match(mustSay(host, ['repair']), new RegExp(`^${pods.length} attachments?: ${pods.length} sound$`, 'm'));
  assert.equal(host.changesSince(before), []);
}

test('a bridge that another ADD has made keeps its MAC address, and the records follow', NO_COMMANDS, (host) => {
  const config = network(host);
  const one = talkingPod(host, config);
  host.namespace.ip('link', 'del', 'cni0');
  const other = talkingPod(host, config);
  const { address } = getLink(host.namespace, 'cni0');
  mustSettle(host, [one, other]);
  assert.is(getLink(host.namespace, 'cni0').address, address);
  for (const pod of [one, other]) delPod(host, pod);
});

test('a bridge that repair makes has the MAC address that it had', NO_COMMANDS, (host) => {
  const pods = [talkingPod(host, network(host)), talkingPod(host, network(host))];
  const { address } = getLink(host.namespace, 'cni0');
  host.namespace.ip('link', 'del', 'cni0');
  mustSettle(host, pods);
  assert.is(getLink(host.namespace, 'cni0').address, address);
});

for (const [what, options, change] of [
  ['down and without addresses', [], []],
  ['with another MTU', [], ['mtu', '1400']],
  ['with a MAC address that was chosen, and up', ['address', '02:00:00:00:77:01'], ['up']],
] as const) {
  test(`a bridge that somebody has made by hand ${what} is used as it is`, NO_COMMANDS, (host) => {
    const pods = [talkingPod(host, network(host)), talkingPod(host, network(host))];
    host.namespace.ip('link', 'del', 'cni0');
    host.namespace.ip('link', 'add', 'cni0', ...options, 'type', 'bridge');
    if (change.length > 0) host.namespace.ip('link', 'set', 'cni0', ...change);
    const { address, mtu } = getLink(host.namespace, 'cni0');
    mustSettle(host, pods);
    const made = getLink(host.namespace, 'cni0');
    assert.equal([made.address, made.mtu], [address, mtu]);
  });
}

test('a MAC address that somebody has given the bridge stays, and containers learn it', NO_COMMANDS, (host) => {
  const pods = [talkingPod(host, network(host)), talkingPod(host, network(host))];
  host.namespace.ip('link', 'set', 'cni0', 'address', '02:00:00:00:77:02');
  mustSettle(host, pods);
  assert.is(getLink(host.namespace, 'cni0').address, '02:00:00:00:77:02');
});

test('two networks on one bridge settle on one MAC address', NO_COMMANDS, (host) => {
  const config = network(host);
  const one = talkingPod(host, config);
  host.namespace.ip('link', 'del', 'cni0');
  const ranges = [
    [{ subnet: '10.77.0.0/24', rangeStart: '10.77.0.100' }],
    [{ subnet: 'fd00:77::/64', rangeStart: 'fd00:77::100' }],
  ];
  const ipam = { ...(config.ipam as object), ranges };
  const other = talkingPod(host, { ...config, name: 'others', ipam });
  mustSettle(host, [one, other]);
});

test('gateway addresses that are gone come back', NO_COMMANDS, (host) => {
  const pods = [talkingPod(host, network(host)), talkingPod(host, network(host))];
  host.namespace.ip('addr', 'flush', 'dev', 'cni0');
  mustSettle(host, pods);
});

test('another address on a bridge made by hand is named, and repair ends with 1', NO_COMMANDS, (host) => {
  const pod = talkingPod(host, network(host));
  host.namespace.ip('link', 'del', 'cni0');
  host.namespace.ip('link', 'add', 'cni0', 'type', 'bridge');
  host.namespace.ip('addr', 'add', '192.0.2.1/24', 'dev', 'cni0');
  assert.match(mustEnd(host, ['repair'], 1).stdout, /left: .*192\.0\.2\.1\/24/);
  host.namespace.ip('addr', 'del', '192.0.2.1/24', 'dev', 'cni0');
  mustSettle(host, [pod]);
});

test('two networks that take the bridge from each other are not called repaired', NO_COMMANDS, (host) => {
  const forced = { isDefaultGateway: true, forceAddress: true };
  addPod(host, host.config(forced));
  addPod(host, host.config({ ...forced, name: 'others', ipam: host.hostLocal(['10.78.0.0/24']) }));
  for (let i = 0; i < 2; i++) {
    const { stdout } = mustEnd(host, ['repair'], 1);
    assert.match(stdout, /left: gateway address 10\.7[78]\.0\.1 is gone from "cni0"/);
  }
});

run();
