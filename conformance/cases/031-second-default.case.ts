// A container in several networks that each give it a default route: the first stays the way, in both families, and a later
// one stands behind it until the first is gone.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { mustSay } from '../harness/operator-command.ts';
import { addPod, checkPod, delPod, type Pod } from '../harness/pod.ts';

const { test, run } = cases('several default routes');
const SPREADS = {
  absent: 'metrics of its own: its second IPv6 default route joins the first, and traffic is spread over both',
} as const;

interface Way {
  readonly dev: string;
  readonly metric: number;
}

/** The default routes of a family, best first; a multipath route has no link of its own and is told as such. */
function defaultsOf(container: Namespace, family: '-4' | '-6'): Way[] {
  const routes = container.ipJson<{ dev?: string; metric?: number }>(family, 'route', 'show', 'default');
  return routes.map(({ dev = 'several links', metric = 0 }) => ({ dev, metric })).sort((a, b) => a.metric - b.metric);
}

function linksOf(container: Namespace): string[][] {
  return (['-4', '-6'] as const).map((family) => defaultsOf(container, family).map(({ dev }) => dev));
}

/** The link that a packet to the world leaves by. */
function wayOut(container: Namespace): (string | undefined)[] {
  return ['192.0.2.1', '2001:db8:9::1'].map(
    (address) => container.ipJson<{ dev?: string }>('route', 'get', address)[0]?.dev,
  );
}

function network(host: Host, number: number, more: Config = {}): Config {
  return host.config({
    cniVersion: '1.1.0',
    name: `net${number}`,
    bridge: `cni${number}`,
    isDefaultGateway: true,
    ipam: host.hostLocal([`10.8${number}.0.0/24`, `fd00:8${number}::/64`]),
    ...more,
  });
}

function prioritiesOf({ result }: Pod): (number | undefined)[] {
  return (result.routes ?? []).map(({ priority }) => priority);
}

test('the first stays the default, DEL of it leaves the next, and one that comes back queues up', SPREADS, (host) => {
  const container = host.addContainer();
  const add = (number: number) => addPod(host, network(host, number), { container, ifname: `eth${number}` });
  const pods = [add(0), add(1), add(2)] as const;
  assert.equal(linksOf(container), [
    ['eth0', 'eth1', 'eth2'],
    ['eth0', 'eth1', 'eth2'],
  ]);
  assert.equal(wayOut(container), ['eth0', 'eth0']);
  assert.equal(pods.map(prioritiesOf), [
    [undefined, undefined],
    [1, 1025],
    [2, 1026],
  ]);
  for (const pod of pods) checkPod(host, pod);

  delPod(host, pods[0]);
  assert.equal(wayOut(container), ['eth1', 'eth1']);
  const again = add(0);
  assert.equal(wayOut(container), ['eth1', 'eth1']);
  assert.equal(prioritiesOf(again), [3, 1027]);
  checkPod(host, again);

  for (const family of ['-4', '-6']) container.ip(family, 'route', 'del', 'default', 'dev', 'eth1');
  assert.match(mustSay(host, ['repair']), /^ {2}was: .*route ::\/0 via fd00:81::1 is gone/m);
  assert.equal(wayOut(container), ['eth1', 'eth1']);
  checkPod(host, pods[1]);
});

for (const [order, numbers] of [
  ['first', [0, 1]],
  ['second', [1, 0]],
] as const) {
  test(`an internal network that comes ${order} is no way out beside another`, SPREADS, (host) => {
    const container = host.addContainer();
    for (const number of numbers) {
      const config = network(host, number, number === 0 ? { internal: true } : {});
      checkPod(host, addPod(host, config, { container, ifname: `eth${number}` }));
    }
    assert.equal(wayOut(container), ['eth1', 'eth1']);
    assert.equal(linksOf(container), [
      ['eth1', 'eth0'],
      ['eth1', 'eth0'],
    ]);
    assert.is(defaultsOf(container, '-6')[1]?.metric, 32768);
  });
}

test('routes with a metric of their own keep it, unless another network has it', SPREADS, (host) => {
  const container = host.addContainer();
  const pods = [0, 1, 2].map((number) => {
    const routes = ['0.0.0.0/0', '::/0', '2001:db8:9::/48'].map((dst) => ({ dst, priority: number === 2 ? 5 : 100 }));
    const ipam = host.hostLocal([`10.8${number}.0.0/24`, `fd00:8${number}::/64`], { routes });
    const config = network(host, number, { isDefaultGateway: false, isGateway: true, ipam });
    return addPod(host, config, { container, ifname: `eth${number}` });
  });
  assert.equal(pods.map(prioritiesOf), [
    [100, 100, 100],
    [101, 101, 101],
    [5, 5, 5],
  ]);
  assert.equal(linksOf(container), [
    ['eth2', 'eth0', 'eth1'],
    ['eth2', 'eth0', 'eth1'],
  ]);
  for (const pod of pods) checkPod(host, pod);
});

test('at 1.0.0 the result says the metric as well, and CHECK knows it', SPREADS, (host) => {
  const container = host.addContainer();
  const pods = [0, 1].map((number) => {
    const config = network(host, number, { cniVersion: '1.0.0' });
    return addPod(host, config, { container, ifname: `eth${number}` });
  });
  for (const pod of pods) checkPod(host, pod);
  assert.equal(prioritiesOf(pods[1] as Pod), [1, 1025]);
});

test('a default route of somebody else, and of a table of its own, stay what they are', SPREADS, (host) => {
  const container = host.addContainer();
  container.ip('link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'other1');
  for (const link of ['other0', 'other1']) container.ip('link', 'set', link, 'up');
  container.ip('route', 'add', 'default', 'dev', 'other0', 'metric', '600');
  container.ip('-6', 'route', 'add', 'default', 'dev', 'other0', 'metric', '2000', 'table', '70');
  const pod = addPod(host, network(host, 0), { container });
  assert.equal(prioritiesOf(pod), [601, undefined]);
  assert.equal(wayOut(container), ['other0', 'eth0']);
  checkPod(host, pod);
});

run();
