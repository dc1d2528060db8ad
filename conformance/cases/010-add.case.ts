// ADD and DEL of one container on the bridge: what the result says is what ip and bridge see, and DEL gives it all back.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { addPod, checkPod, delPod, hostEndOf } from '../harness/pod.ts';
import { addressesOf, findLink, getLink, isUp, linksOf, portsOf, routeTextsOf } from '../harness/referee.ts';
import { mustBeEmpty, mustPass } from '../harness/verdict.ts';

const { test, run } = cases('ADD and DEL');

test('the result names bridge, host end and container end, as they are', 'same', (host) => {
  const pod = addPod(host, host.config({ isGateway: true }));
  const [bridge, hostEnd, own, ...more] = pod.result.interfaces ?? [];
  assert.equal(more, []);
  assert.is(bridge?.name, 'cni0');
  assert.is(bridge?.mac, getLink(host.namespace, 'cni0').address);
  assert.is(bridge?.sandbox ?? '', '');
  assert.is(hostEnd?.name, hostEndOf(host, pod).ifname);
  assert.is(hostEnd?.mac, hostEndOf(host, pod).address);
  assert.is(hostEnd?.sandbox ?? '', '');
  assert.is(own?.name, 'eth0');
  assert.is(own?.mac, getLink(pod.namespace, 'eth0').address);
  assert.is(own?.sandbox, pod.namespace.path);
});

test('cniVersion 1.1.0 tells the MTU too', { absent: 'cniVersion 1.1.0 in 1.1.1' }, (host) => {
  const pod = addPod(host, host.config({ cniVersion: '1.1.0', mtu: 1400 }));
  assert.equal(
    pod.result.interfaces?.map(({ mtu }) => mtu),
    [1400, 1400, 1400],
  );
});

test('the container has the address of the result, and the bridge its port', 'same', (host) => {
  const pod = addPod(host, host.config({ isGateway: true }));
  assert.equal(pod.result.ips, [{ interface: 2, address: '10.77.0.2/24', gateway: '10.77.0.1' }]);
  assert.equal(addressesOf(pod.namespace, 'eth0'), ['10.77.0.2/24']);
  assert.ok(isUp(getLink(pod.namespace, 'eth0')));
  assert.is(getLink(pod.namespace, 'eth0').operstate, 'UP');
  assert.equal(
    linksOf(pod.namespace).map(({ ifname }) => ifname),
    ['lo', 'eth0'],
  );
  assert.equal(
    portsOf(host.namespace, 'cni0').map(({ ifname }) => ifname),
    [hostEndOf(host, pod).ifname],
  );
  assert.ok(isUp(hostEndOf(host, pod)));
  assert.ok(isUp(getLink(host.namespace, 'cni0')));
});

test('the host end and the container end are a veth pair of the usual MTU', 'same', (host) => {
  const pod = addPod(host, host.config());
  for (const link of [getLink(pod.namespace, 'eth0'), hostEndOf(host, pod)]) {
    assert.is(link.linkinfo?.info_kind, 'veth');
    assert.is(link.mtu, 1500);
  }
  assert.is(getLink(host.namespace, 'cni0').linkinfo?.info_kind, 'bridge');
});

test('the host end is called veth and eleven hexadecimal digits', {
  differs: 'a random name of 12 bytes: ours is a hash of the attachment, so that DEL finds it alone',
  seen: /veth[0-9a-f]{8}\b/,
}, (host) => {
  const pod = addPod(host, host.config());
  assert.match(hostEndOf(host, pod).ifname, /^veth[0-9a-f]{11}$/);
});

test('an interface name may have 15 bytes', 'same', (host) => {
  const ifname = 'abcdefghijklmno';
  const pod = addPod(host, host.config(), { ifname });
  assert.equal(addressesOf(pod.namespace, ifname), ['10.77.0.2/24']);
  delPod(host, pod);
});

test('each container has another address, in order', 'same', (host) => {
  const pods = [1, 2, 3].map(() => addPod(host, host.config()));
  assert.equal(
    pods.map(({ ipv4 }) => ipv4),
    ['10.77.0.2', '10.77.0.3', '10.77.0.4'],
  );
  assert.is(portsOf(host.namespace, 'cni0').length, 3);
});

test("the routes of IPAM are the container's, through the gateway where they name none", 'same', (host) => {
  const routes = [{ dst: '0.0.0.0/0' }, { dst: '192.0.2.0/24', gw: '10.77.0.9' }];
  const pod = addPod(host, host.config({ ipam: host.hostLocal(undefined, { routes }) }));
  assert.equal(pod.result.routes, routes);
  assert.equal(routeTextsOf(pod.namespace, 'eth0'), [
    'default via 10.77.0.1',
    '10.77.0.0/24',
    '192.0.2.0/24 via 10.77.0.9',
  ]);
});

test('CHECK passes after ADD, and DEL gives all back', 'same', (host) => {
  const config = host.config({ isDefaultGateway: true, ipMasq: true, hairpinMode: true });
  const container = host.addContainer();
  const before = host.snapshot();
  const pod = addPod(host, config, { container });
  checkPod(host, pod);
  delPod(host, pod);
  mustBeEmpty(host.leftSince(before), 'left after DEL');
  assert.equal(portsOf(host.namespace, 'cni0'), []);
});

test('DEL needs no prevResult, and a second one succeeds as well', 'same', (host) => {
  const config = host.config({ isGateway: true, ipMasq: true });
  const container = host.addContainer();
  const before = host.snapshot();
  addPod(host, config, { container });
  mustPass(host, 'DEL', { config, container });
  mustBeEmpty(host.leftSince(before), 'left after DEL');
  const between = host.snapshot();
  mustPass(host, 'DEL', { config, container });
  mustBeEmpty(host.changesSince(between), 'changed by the second DEL');
});

test('after DEL the container can be attached again, with the next address', 'same', (host) => {
  const container = host.addContainer();
  const first = addPod(host, host.config(), { container });
  delPod(host, first);
  const second = addPod(host, host.config(), { container });
  assert.is(first.ipv4, '10.77.0.2');
  assert.is(second.ipv4, '10.77.0.3');
});

test('two interfaces of a container in one network come and go one by one', 'same', (host) => {
  const first = addPod(host, host.config());
  const second = addPod(host, host.config(), { container: first.namespace, ifname: 'net1' });
  assert.equal(addressesOf(first.namespace, 'eth0'), ['10.77.0.2/24']);
  assert.equal(addressesOf(first.namespace, 'net1'), ['10.77.0.3/24']);
  assert.is(portsOf(host.namespace, 'cni0').length, 2);
  delPod(host, second);
  assert.is(findLink(first.namespace, 'net1'), undefined);
  assert.equal(addressesOf(first.namespace, 'eth0'), ['10.77.0.2/24']);
  checkPod(host, first);
  delPod(host, first);
  assert.is(findLink(first.namespace, 'eth0'), undefined);
});

test('DEL of one container leaves the other as it is', 'same', (host) => {
  const config = host.config({ isDefaultGateway: true, ipMasq: true });
  const stays = addPod(host, config);
  const container = host.addContainer();
  const before = host.snapshot();
  const goes = addPod(host, config, { container });
  delPod(host, goes);
  mustBeEmpty(host.leftSince(before), 'different after the other came and went');
  checkPod(host, stays);
});

run();
