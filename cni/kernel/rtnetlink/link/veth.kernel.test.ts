import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { start } from '../../testing/child-process.ts';
import { type TestNamespace, withHostAndSandbox } from '../../testing/namespaces.ts';
import { thrownOf } from '../../testing/thrown.ts';
import { NetlinkError } from '../../netlink/error.ts';
import { addBridge } from './bridge.ts';
import { deleteLink, findLink } from './link.ts';
import { addVethPair, type VethEnd } from './veth.ts';

const test = suite('veth in the kernel');

const NEAR: VethEnd = { name: 'veth0123456789a', isUp: true, mac: '02:00:00:00:00:04', mtu: 1400 };
const FAR: VethEnd = { name: 'eth0', mac: '02:00:00:00:00:05', mtu: 1300 };

function refusal(host: TestNamespace, near: VethEnd, far: VethEnd, fd: number): string {
  return thrownOf(NetlinkError, () => addVethPair(host.route, near, far, fd)).code;
}

function assertNothingMade(host: TestNamespace, sandbox: TestNamespace, present: readonly string[] = []): void {
  assert.equal([...host.links().keys(), ...sandbox.links().keys()], present);
}

test('addVethPair() makes both ends as they were asked for', () =>
  withHostAndSandbox((host, sandbox) => {
    addBridge(host.route, { name: 'br0', isUp: true });
    const bridge = findLink(host.route, 'br0');
    addVethPair(host.route, { ...NEAR, masterIndex: bridge?.index ?? 0 }, FAR, sandbox.netns.fd);

    assert.equal([...host.links().keys()].sort(), ['br0', NEAR.name]);
    const near = host.link(NEAR.name);
    assert.equal([near.linkinfo?.info_kind, near.linkinfo?.info_slave_kind], ['veth', 'bridge']);
    assert.equal([near.address, near.mtu, near.master], [NEAR.mac, 1400, 'br0']);
    assert.ok(near.flags.includes('UP'));

    assert.equal([...sandbox.links().keys()], ['eth0']);
    const far = sandbox.link('eth0');
    assert.equal([far.linkinfo?.info_kind, far.address, far.mtu, far.master], ['veth', FAR.mac, 1300, undefined]);
    assert.not(far.flags.includes('UP'));
  }));

test('findLink() sees each end of a pair point to the other', () =>
  withHostAndSandbox((host, sandbox) => {
    addVethPair(host.route, NEAR, FAR, sandbox.netns.fd);
    const near = findLink(host.route, NEAR.name);
    const far = findLink(sandbox.route, FAR.name);
    assert.is(near?.peerIndex, far?.index);
    assert.is(far?.peerIndex, near?.index);
    assert.ok(near?.peerNetnsId !== undefined && far?.peerNetnsId !== undefined);
    assert.equal([near?.kind, near?.isUp, far?.isUp], ['veth', true, false]);
  }));

test('addVethPair() never shows an end in the wrong namespace', () =>
  withHostAndSandbox(async (host, sandbox) => {
    // Each monitor prints a line for every link that comes, goes or moves; lo marks begin and end.
    const monitors = [host, sandbox].map(({ name }) => start('ip', ['-n', name, '-o', 'monitor', 'link']));
    try {
      for (const [i, ns] of [host, sandbox].entries()) {
        // The monitor may not listen yet: change lo until it sees it.
        let isSeen = false;
        const seen = monitors[i]?.line('lo').then(() => {
          isSeen = true;
        });
        for (let up = true; !isSeen; up = !up) {
          ns.ip('link', 'set', 'lo', up ? 'up' : 'down');
          await Promise.race([seen, new Promise((resolve) => setTimeout(resolve, 50))]);
        }
      }
      addVethPair(host.route, NEAR, FAR, sandbox.netns.fd);
      for (const [i, ns] of [host, sandbox].entries()) {
        ns.ip('link', 'set', 'lo', 'mtu', '1234');
        await monitors[i]?.line('mtu 1234');
      }
    } finally {
      for (const monitor of monitors) monitor.process.kill();
    }
    const [inHost, inSandbox] = await Promise.all(monitors.map(async (monitor) => (await monitor.ended()).stdout));
    assert.match(inHost ?? '', NEAR.name);
    assert.match(inSandbox ?? '', /\beth0\b/);
    assert.not.match(inHost ?? '', /\beth0\b/);
    assert.not.match(inSandbox ?? '', NEAR.name);
  }));

test('addVethPair() takes the same name for both ends', () =>
  withHostAndSandbox((host, sandbox) => {
    addVethPair(host.route, { name: 'eth0' }, { name: 'eth0' }, sandbox.netns.fd);
    assert.equal([...host.links().keys(), ...sandbox.links().keys()], ['eth0', 'eth0']);
  }));

test('addVethPair() makes nothing when the near name is taken', () =>
  withHostAndSandbox((host, sandbox) => {
    addBridge(host.route, { name: NEAR.name });
    assert.is(refusal(host, NEAR, FAR, sandbox.netns.fd), 'EEXIST');
    assertNothingMade(host, sandbox, [NEAR.name]);
    assert.is(host.link(NEAR.name).linkinfo?.info_kind, 'bridge');
  }));

test('addVethPair() makes nothing when the far name is taken', () =>
  withHostAndSandbox((host, sandbox) => {
    addBridge(sandbox.route, { name: FAR.name });
    assert.is(refusal(host, NEAR, FAR, sandbox.netns.fd), 'EEXIST');
    assertNothingMade(host, sandbox, [FAR.name]);
    assert.is(sandbox.link(FAR.name).linkinfo?.info_kind, 'bridge');
  }));

test('addVethPair() makes nothing that the kernel refuses in part', () =>
  withHostAndSandbox((host, sandbox) => {
    const { fd } = sandbox.netns;
    const tooLong = 'sixteen-bytes-ab';
    assert.is(refusal(host, { ...NEAR, name: tooLong }, FAR, fd), 'ERANGE');
    assert.is(refusal(host, NEAR, { ...FAR, name: tooLong }, fd), 'ERANGE');
    assert.is(refusal(host, { ...NEAR, name: 'a/b' }, FAR, fd), 'EINVAL');
    assert.is(refusal(host, { ...NEAR, mtu: 67 }, FAR, fd), 'EINVAL');
    assert.is(refusal(host, NEAR, { ...FAR, mtu: 70000 }, fd), 'EINVAL');
    assert.is(refusal(host, NEAR, { ...FAR, mac: 'ff:ff:ff:ff:ff:ff' }, fd), 'EADDRNOTAVAIL');
    assert.is(refusal(host, NEAR, FAR, 1_000_000), 'EBADF');
    assert.ok(refusal(host, { ...NEAR, masterIndex: 4711 }, FAR, fd));
    assertNothingMade(host, sandbox);
  }));

test('addVethPair() cannot make the far end up, which is why its type has no isUp', () =>
  withHostAndSandbox((host, sandbox) => {
    assert.is(refusal(host, NEAR, { ...FAR, isUp: true }, sandbox.netns.fd), 'ENOTCONN');
    assertNothingMade(host, sandbox);
  }));

test('deleteLink() of either end deletes both', () =>
  withHostAndSandbox((host, sandbox) => {
    for (const [ns, name] of [
      [host, NEAR.name],
      [sandbox, FAR.name],
    ] as const) {
      addVethPair(host.route, NEAR, FAR, sandbox.netns.fd);
      assert.ok(deleteLink(ns.route, name));
      assertNothingMade(host, sandbox);
      assert.not(deleteLink(ns.route, name));
    }
  }));

test.run();
