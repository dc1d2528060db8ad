import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetlinkError } from '../../netlink/error.ts';
import { type TestNamespace, withHostAndSandbox, withNamespace } from '../../testing/namespaces.ts';
import { thrownOf } from '../../testing/thrown.ts';
import { sleep } from '../../syscalls.ts';
import { addBridge } from './bridge.ts';
import { BR_STATE_FORWARDING, bridgePortFlags, bridgePortState, setBridgePort } from './bridge-port.ts';
import { findLink, type Link, setLink } from './link.ts';
import { addVethPair } from './veth.ts';

const test = suite('bridge port in the kernel');

function find(ns: TestNamespace, name: string): Link {
  const link = findLink(ns.route, name);
  if (!link) throw new Error(`Cannot find link "${name}"`);
  return link;
}

function addPort(host: TestNamespace, sandbox: TestNamespace): Link {
  addBridge(host.route, { name: 'br0', isUp: true });
  const masterIndex = find(host, 'br0').index;
  addVethPair(host.route, { name: 'v0', isUp: true, masterIndex }, { name: 'eth0' }, sandbox.netns.fd);
  return find(host, 'v0');
}

interface RefereedPort {
  readonly ifname: string;
  readonly state: string;
  readonly hairpin: boolean;
  readonly isolated: boolean;
  readonly learning: boolean;
}

function refereed(ns: TestNamespace, name: string): RefereedPort {
  const port = ns.bridgeJson<RefereedPort>('link', 'show').find(({ ifname }) => ifname === name);
  if (!port) throw new Error(`Cannot find bridge port "${name}"`);
  return port;
}

test('setBridgePort() sets and clears each flag, and bridgePortFlags() reads it', () =>
  withHostAndSandbox((host, sandbox) => {
    const port = addPort(host, sandbox);
    assert.equal(bridgePortFlags(port), { hairpin: false, isolated: false });
    for (const [hairpin, isolated] of [
      [true, false],
      [true, true],
      [false, true],
      [false, false],
    ] as const) {
      setBridgePort(host.route, port, { hairpin, isolated });
      const referee = refereed(host, 'v0');
      assert.equal([referee.hairpin, referee.isolated], [hairpin, isolated]);
      assert.is(referee.learning, true, 'other flags stay');
      assert.equal(bridgePortFlags(find(host, 'v0')), { hairpin, isolated });
    }
  }));

test('setBridgePort() sets the alias in the same request, and leaves it when none is given', () =>
  withHostAndSandbox((host, sandbox) => {
    const port = addPort(host, sandbox);
    setBridgePort(host.route, port, { hairpin: true, isolated: false }, 'podlink net/pod-1 eth0');
    assert.is(host.link('v0').ifalias, 'podlink net/pod-1 eth0');
    setBridgePort(host.route, port, { hairpin: false, isolated: false });
    assert.is(host.link('v0').ifalias, 'podlink net/pod-1 eth0');
    assert.is(find(host, 'v0').alias, 'podlink net/pod-1 eth0');
  }));

test('setBridgePort() changes nothing when the link is no port', () =>
  withNamespace((ns) => {
    ns.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
    const link = find(ns, 'v0');
    assert.is(bridgePortFlags(link), undefined);
    const flags = { hairpin: true, isolated: true };
    const error = thrownOf(NetlinkError, () => setBridgePort(ns.route, link, flags));
    assert.match(error.message, /^Cannot set bridge port "v0"/);
    assert.is(error.code, 'EOPNOTSUPP');
  }));

test('setBridgePort() throws ENODEV when the link is gone', () =>
  withNamespace((ns) => {
    const flags = { hairpin: true, isolated: true };
    const error = thrownOf(NetlinkError, () => setBridgePort(ns.route, { index: 4711, name: 'gone' }, flags));
    assert.is(error.code, 'ENODEV');
  }));

test('bridgePortState() is forwarding once the other end is up', () =>
  withHostAndSandbox((host, sandbox) => {
    const port = addPort(host, sandbox);
    assert.is.not(bridgePortState(port), BR_STATE_FORWARDING);
    assert.is(refereed(host, 'v0').state, 'disabled');
    setLink(sandbox.route, find(sandbox, 'eth0'), { isUp: true });
    const deadline = performance.now() + 5000;
    while (bridgePortState(find(host, 'v0')) !== BR_STATE_FORWARDING) {
      assert.ok(performance.now() < deadline, 'forwarding within five seconds');
      sleep(1);
    }
    assert.is(refereed(host, 'v0').state, 'forwarding');
  }));

test.run();
