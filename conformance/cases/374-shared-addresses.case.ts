// The results of modes without an interface of their own: at most one address of each family, and one that the Kubernetes API
// takes in a pod's status and in the endpoints of a Service. And what they make of ports that are not published.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config, Result } from '../harness/document.ts';
import { mustAdd, mustPass, mustRefuse } from '../harness/verdict.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { ABSENT, containerMode, HOST_MODE } from '../runtimes/sharing-fixture.ts';

enterOwnMachine();
const { test, run } = cases('addresses of modes without an interface');
const NONE_MODE: Config = { cniVersion: '1.0.0', name: 'nones', type: 'podlink', mode: 'none' };

function addresses({ ips = [] }: Result): string[] {
  return ips.map(({ address }) => address);
}

/** Go's IsLoopback, IsLinkLocalUnicast, IsUnspecified and IsMulticast of IPv4: what the API server refuses in endpoints. */
function isSpecial(address: string): boolean {
  return /^(127|0|169\.254|22[4-9]|23\d)\./.test(address);
}

test("host: one address of each family, the node's own, beside bridges of both families", ABSENT, (host) => {
  const { namespace } = host;
  // Made first: its index is lower than the uplink's.
  namespace.ip('link', 'add', 'cni0', 'type', 'bridge');
  for (const address of ['10.22.0.1/16', 'fd00:22::1/64']) namespace.ip('addr', 'add', address, 'dev', 'cni0');
  namespace.ip('link', 'set', 'cni0', 'up');
  host.addOutside();
  namespace.ip('addr', 'add', '203.0.113.77/24', 'dev', 'up0');
  namespace.ip('route', 'add', 'default', 'via', '203.0.113.2');
  namespace.ip('-6', 'route', 'add', 'default', 'via', '2001:db8:1::2');
  const invocation = { config: HOST_MODE, container: host.addContainer() };
  assert.equal(addresses(mustAdd(host, invocation)), ['203.0.113.1/24', '2001:db8:1::1/64']);
  mustPass(host, 'DEL', invocation);
  // An IPv6-only node.
  namespace.ip('addr', 'flush', 'dev', 'up0', 'scope', 'global');
  namespace.ip('addr', 'add', '2001:db8:1::1/64', 'dev', 'up0', 'nodad');
  namespace.ip('-6', 'route', 'replace', 'default', 'via', '2001:db8:1::2');
  assert.equal(addresses(mustAdd(host, invocation)), ['2001:db8:1::1/64']);
  mustPass(host, 'DEL', invocation);
});

test('host: a node without a default route, and one without any address', ABSENT, (host) => {
  const invocation = { config: HOST_MODE, container: host.addContainer() };
  assert.equal(addresses(mustAdd(host, invocation)), ['127.0.0.1/8']);
  mustPass(host, 'DEL', invocation);
  host.addOutside();
  host.namespace.ip('addr', 'add', '169.254.3.3/16', 'dev', 'up0');
  assert.equal(addresses(mustAdd(host, invocation)), ['203.0.113.1/24', '2001:db8:1::1/64']);
  mustPass(host, 'DEL', invocation);
});

test("container: one address of each of the target's families, though it has several interfaces", ABSENT, (host) => {
  const target = host.addContainer('target');
  const first = host.config({ isDefaultGateway: true, ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']) });
  const second = host.config({
    name: 'second',
    bridge: 'cni1',
    ipam: host.hostLocal(['10.78.0.0/24', 'fd00:78::/64']),
  });
  // The second one's interface comes first.
  mustAdd(host, { config: second, container: target, ifname: 'net1' });
  mustAdd(host, { config: first, container: target });
  const sharer = { config: containerMode(`container:${target.name}`), container: host.addContainer() };
  assert.equal(addresses(mustAdd(host, sharer)), ['10.77.0.2/24', 'fd00:77::2/64']);
  mustPass(host, 'DEL', sharer);
});

test(
  'none: an address that a runtime and the Kubernetes API take, and that leads back to the container',
  ABSENT,
  (host) => {
    const container = host.addContainer();
    const invocation = { config: NONE_MODE, container };
    const reported = addresses(mustAdd(host, invocation));
    assert.equal(reported, ['192.0.0.8/32']);
    assert.not.ok(reported.some(isSpecial));
    // As /etc/hosts names it for the container's own name: reached from inside, and shown by nothing.
    const [address = ''] = (reported[0] ?? '').split('/');
    container.mustRun('ping', ['-c', '1', '-W', '3', address]);
    container.mustRun('ping', ['-c', '1', '-W', '3', '127.0.0.1']);
    assert.equal(container.ip('-o', 'addr', 'show').match(/inet \S+/g), ['inet 127.0.0.1/8']);
    assert.is(container.ip('route', 'show'), '');
    assert.is.not(container.run('ping', ['-c', '1', '-W', '1', '203.0.113.1']).code, 0);

    const sharer = { config: containerMode(`container:${container.name}`), container: host.addContainer() };
    assert.equal(addresses(mustAdd(host, sharer)), reported, 'who shares it reports the same');
    mustPass(host, 'DEL', sharer);
    mustPass(host, 'DEL', invocation);
  },
);

test('hostPort 0 or none publishes nothing in every mode: no error, no warning', ABSENT, (host) => {
  const target = host.addContainer('target');
  mustAdd(host, { config: host.config(), container: target });
  const modes: readonly (readonly [string, Config])[] = [
    ['bridge', host.config({ isGateway: true })],
    ['host', HOST_MODE],
    ['container', containerMode(`container:${target.name}`)],
    ['none', NONE_MODE],
  ];
  for (const [mode, network] of modes) {
    const container = host.addContainer();
    const withPorts = (...portMappings: object[]) => ({
      config: { ...network, runtimeConfig: { portMappings } },
      container,
    });
    for (const unpublished of [
      withPorts({ hostPort: 0, containerPort: 80, protocol: 'tcp' }),
      withPorts({ containerPort: 80 }, { hostPort: 0, containerPort: 53, protocol: 'udp', hostIP: '127.0.0.1' }),
      withPorts(),
    ]) {
      const outcome = host.invoke('ADD', unpublished);
      assert.is(outcome.code, 0, `${mode}: ${outcome.stdout}`);
      assert.is(outcome.stderr, '', mode);
      mustPass(host, 'DEL', unpublished);
    }
    const wrong = withPorts({ hostPort: '80', containerPort: 80 });
    mustRefuse(host, 'ADD', wrong, 7, /"runtimeConfig\.portMappings\[0\]\.hostPort"/);
  }
  const published = {
    portMappings: [
      { hostPort: 0, containerPort: 80 },
      { hostPort: 8080, containerPort: 80 },
    ],
  };
  const config = { ...containerMode(`container:${target.name}`), runtimeConfig: published };
  mustRefuse(host, 'ADD', { config, container: host.addContainer() }, 7, /port publishing and the container type/);
});

run();
