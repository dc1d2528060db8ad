// An address that another container gets at once: whoever knows it by the MAC address of the one that is gone hears of the
// new one, and loses nothing.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { addPod, delPod, type Pod } from '../harness/pod.ts';
import { getLink } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';

const { test, run } = cases('an address that is used again');
const UNTOLD = {
  differs: 'it announces the address before the port forwards, and in IPv6 never',
  seen: /reaches/,
} as const;
const IPV4 = '10.77.0.20';
const IPV6 = 'fd00:77::20';
/** A stale entry is believed for 5 s, then asked about for 3 more: those that are not told need 9 s at the very least. */
const SOON_MS = 2000;

function addWithAddress(host: Host): Pod {
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']);
  const config = host.config({ isDefaultGateway: true, ipam, runtimeConfig: { ips: [IPV4, IPV6] } });
  return addPod(host, config);
}

/** A machine on a cable that is a port of the bridge, as the host's LAN may be. */
function addLanNeighbour(host: Host): Namespace {
  const lan = host.addContainer('lan');
  host.namespace.ip('link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', lan.name);
  host.namespace.ip('link', 'set', 'lan0', 'master', 'cni0', 'up');
  lan.ip('addr', 'add', '10.77.0.200/24', 'dev', 'eth0');
  lan.ip('addr', 'add', 'fd00:77::200/64', 'dev', 'eth0', 'nodad');
  lan.ip('link', 'set', 'eth0', 'up');
  return lan;
}

function macKnown(from: Namespace, address: string): string | undefined {
  return from.ipJson<{ lladdr?: string }>('neigh', 'show', address, 'dev', 'eth0')[0]?.lladdr;
}

test('a container and a machine on the LAN reach the new owner at once, in both families', UNTOLD, (host) => {
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']);
  const neighbour = addPod(host, host.config({ isDefaultGateway: true, ipam })).namespace;
  const witnesses = [neighbour, addLanNeighbour(host)];
  const first = addWithAddress(host);
  for (const witness of witnesses)
    for (const address of [IPV4, IPV6]) assert.ok(canPing(witness, address, 5000), address);
  delPod(host, first);
  const second = addWithAddress(host);
  const mac = getLink(second.namespace, 'eth0').address;
  for (const witness of witnesses) {
    for (const address of [IPV4, IPV6]) {
      assert.ok(canPing(witness, address, SOON_MS), `${witness.name} reaches ${address} no more`);
      assert.is(macKnown(witness, address), mac);
    }
  }
});

test('the address moves to another interface of the same container', UNTOLD, (host) => {
  const ipam = host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']);
  const config = host.config({ isDefaultGateway: true, ipam });
  const neighbour = addPod(host, config).namespace;
  const first = addWithAddress(host);
  for (const address of [IPV4, IPV6]) assert.ok(canPing(neighbour, address, 5000), address);
  delPod(host, first);
  addPod(host, { ...config, runtimeConfig: { ips: [IPV4, IPV6] } }, { container: first.namespace, ifname: 'net1' });
  for (const address of [IPV4, IPV6]) assert.ok(canPing(neighbour, address, SOON_MS), `nobody reaches ${address}`);
});

run();
