// A bridge that is there already is adopted as it is; one that cannot be used is refused, and nothing changes.

import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { addPod, checkPod, delPod } from '../harness/pod.ts';
import { addressesOf, getLink, isUp, portsOf } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';
import { mustBeEmpty, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('a bridge that is there');

/** A bridge of the operator's: with an address, an MTU, a MAC and a port of its own. */
function addBridge(host: Host, addresses: readonly string[]): void {
  const { namespace } = host;
  namespace.ip('link', 'add', 'cni0', 'address', '02:00:00:00:77:01', 'type', 'bridge', 'ageing_time', '12300');
  // Set after it was made: only then the kernel keeps it when a port has a smaller one (br_mtu_auto_adjust()).
  namespace.ip('link', 'set', 'cni0', 'mtu', '1400');
  namespace.ip('link', 'add', 'port0', 'mtu', '1400', 'type', 'veth', 'peer', 'name', 'peer0');
  namespace.ip('link', 'set', 'port0', 'master', 'cni0', 'up');
  for (const name of ['peer0', 'cni0']) namespace.ip('link', 'set', name, 'up');
  for (const address of addresses) {
    namespace.ip('addr', 'add', address, 'dev', 'cni0', ...(address.includes(':') ? ['nodad'] : []));
  }
}

function twoFamilies(host: Host, more: Config = {}): Config {
  return host.config({ isDefaultGateway: true, ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']), ...more });
}

/** Lines of the snapshot that belong to the operator: the bridge, its addresses, its port. */
function ownLines(host: Host): string[] {
  return host.snapshot().filter((line) => /^host (link|address) (cni0|port0|peer0) /.test(line));
}

test('its addresses, MTU, MAC, settings and ports are untouched, by ADD and by DEL', 'same', (host) => {
  addBridge(host, ['10.77.0.1/24', 'fd00:77::1/64', 'fd00:99::1/64']);
  const before = ownLines(host);
  const pod = addPod(host, twoFamilies(host, { mtu: 1400 }));
  assert.equal(ownLines(host), before);
  assert.is(portsOf(host.namespace, 'cni0').length, 2);
  assert.ok(canPing(pod.namespace, '10.77.0.1'));
  assert.ok(canPing(pod.namespace, 'fd00:77::1'));
  checkPod(host, pod);
  delPod(host, pod);
  assert.equal(ownLines(host), before);
});

test("the network's mtu is the container's, and not put on a bridge that is there", 'same', (host) => {
  addBridge(host, ['10.77.0.1/24']);
  const pod = addPod(host, host.config({ isGateway: true, mtu: 1300 }));
  assert.is(getLink(pod.namespace, 'eth0').mtu, 1300);
  assert.is(getLink(host.namespace, 'cni0').mtu, 1400);
});

test('without isGateway its address does not matter', 'same', (host) => {
  addBridge(host, ['192.0.2.1/24']);
  const before = ownLines(host);
  addPod(host, host.config());
  assert.equal(ownLines(host), before);
});

test('gateways that it lacks are added to it, where no address is in the way', 'same', (host) => {
  addBridge(host, ['fd00:99::1/64']);
  addPod(host, twoFamilies(host));
  assert.equal(addressesOf(host.namespace, 'cni0').sort(), ['10.77.0.1/24', 'fd00:77::1/64', 'fd00:99::1/64']);
});

test('one that is down is raised', 'same', (host) => {
  addBridge(host, []);
  host.namespace.ip('link', 'set', 'cni0', 'down');
  addPod(host, host.config());
  assert.ok(isUp(getLink(host.namespace, 'cni0')));
});

test('pods of two networks can share one bridge', 'same', (host) => {
  addBridge(host, []);
  const first = addPod(host, host.config({ ipam: host.hostLocal(['10.77.0.0/25']) }));
  const other = host.config({ name: 'others', ipam: host.hostLocal(['10.77.0.128/25']) });
  const second = addPod(host, other);
  assert.is(portsOf(host.namespace, 'cni0').length, 3);
  delPod(host, first);
  checkPod(host, second);
});

const LEAVES_HALF: Reference = {
  differs: 'fails, but leaves the veth pair of the failed ADD',
  seen: /changed by the refused ADD:[\s\S]*\+ host link veth/,
};

for (const [title, address, subnet] of [
  ['another IPv4 address', '10.99.0.1/16', '10.77.0.0/24'],
  ["the gateway's IPv4 address with another prefix", '10.77.0.1/16', '10.77.0.0/24'],
  ['an IPv6 address whose network overlaps', 'fd00:77::9/48', 'fd00:77::/64'],
] as const) {
  test(`one with ${title} is refused, and nothing changes`, LEAVES_HALF, (host) => {
    addBridge(host, [address]);
    mustRefuseUnchanged(
      host,
      { isGateway: true, ipam: host.hostLocal([subnet]) },
      new RegExp(`"cni0" already has.*${address}`),
    );
  });
}

for (const [title, add] of [
  ['a veth', ['link', 'add', 'cni0', 'type', 'veth', 'peer', 'name', 'other0']],
  ['a macvlan', ['link', 'add', 'cni0', 'link', 'up0', 'type', 'macvlan']],
  ['a tap', ['tuntap', 'add', 'cni0', 'mode', 'tap']],
] as const) {
  test(`${title} of its name is refused, and nothing changes`, 'same', (host) => {
    host.addOutside();
    host.namespace.ip(...add);
    mustRefuseUnchanged(host, { isGateway: true }, /"cni0".*already exists but is not a bridge/);
  });
}

function mustRefuseUnchanged(host: Host, keys: Config, pattern: RegExp): void {
  const container = host.addContainer();
  const before = host.snapshot();
  mustRefuse(host, 'ADD', { config: host.config(keys), container }, 102, pattern);
  // Where the next address is looked for is no trace of this one, nor are the empty files that are locked.
  const isTrace = (line: string): boolean =>
    !/^\+ (folder|file \S+\/(lock ""|locks\/|last_reserved_ip\.\d+ ))/.test(line);
  mustBeEmpty(host.changesSince(before).filter(isTrace), 'changed by the refused ADD');
}

run();
