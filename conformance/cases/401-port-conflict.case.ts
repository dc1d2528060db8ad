// A port of the host leads to one container: who comes second is refused, and nothing of him is left. The operator hears who
// has it; whoever started the container does not.

import { isDeepStrictEqual } from 'node:util';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustLeaveNothing } from '../harness/leftover.ts';
import { ownedElementsOf } from '../harness/owned-element.ts';
import { mustBeEmpty, refusalOf, resultOf } from '../harness/verdict.ts';
import { addWholePod, delWholePod, invokeWhole, mustRefuseWhole } from '../harness/whole-chain.ts';

const { test, run } = cases('port conflicts');

/** https://github.com/cri-o/cri-o/issues/1538 */
const BOTH_SUCCEED: Reference = {
  differs: 'maps the port for both; the first gets it all',
  seen: /ADD is not refused/,
};

type Mapping = Readonly<Record<string, unknown>>;

function network(host: Host, portMappings: readonly Mapping[], more: Config = {}): Config {
  return host.config({
    isDefaultGateway: true,
    ipam: host.hostLocal(['10.77.0.0/24', 'fd00:77::/64']),
    runtimeConfig: { portMappings },
    ...more,
  });
}

const port = (hostPort: number, hostIP?: string, protocol = 'tcp'): Mapping => ({
  hostPort,
  containerPort: 80,
  protocol,
  ...(hostIP !== undefined && { hostIP }),
});
const range = (first: number, last: number, hostIP?: string): Mapping[] =>
  Array.from({ length: last - first + 1 }, (_, i) => ({ ...port(first + i, hostIP), containerPort: first + i }));

/** Two that need the same port, whoever comes first. */
const CONFLICTS: readonly (readonly [string, readonly Mapping[], readonly Mapping[]])[] = [
  ['the same port', [port(8080)], [port(8080)]],
  ['a port of one address, and of all', [port(8080, '203.0.113.1')], [port(8080)]],
  ['a port of one IPv6 address, and of all', [port(8080, '2001:db8:1::1')], [port(8080)]],
  ['the same port of one address', [port(8080, '203.0.113.1')], [port(8080, '203.0.113.1')]],
  ['a port, and a range that has it', [port(8005)], range(8000, 8010)],
  ['a port of one address, and a range of all', [port(8005, '203.0.113.1')], range(8000, 8010)],
  ['ranges that overlap', range(8000, 8010), range(8010, 8020)],
  ['a range of one address, and one of all', range(8000, 8010, '203.0.113.1'), range(8005, 8006)],
  ['a range of more ports than are asked for one by one', range(8000, 8100), [port(8099)]],
];

test(
  'who comes second is refused, in either order, and leaves nothing; the operator hears of the first',
  BOTH_SUCCEED,
  (host) => {
    const [first, second] = [host.addContainer('first'), host.addContainer('second')];
    const before = host.snapshot();
    const owner = `is mapped to container "${first.name}" (network "pods", interface "eth0")`;
    const faults: string[] = [];
    for (const [title, ...mappings] of CONFLICTS) {
      const isSymmetric = isDeepStrictEqual(mappings[0], mappings[1]);
      for (const [earlier, later] of isSymmetric ? [mappings] : [mappings, mappings.toReversed()]) {
        const pod = addWholePod(host, network(host, earlier ?? []), { container: first });
        const ipam = host.hostLocal(['10.78.0.0/24', 'fd00:78::/64']);
        const config = network(host, later ?? [], { name: 'others', bridge: 'cni1', ipam });
        const outcome = invokeWhole(host, 'ADD', { config, container: second });
        const { msg, details = '' } = refusalOf(outcome, 'ADD', 11, /^Cannot map host port .*runtime will try again/);
        if (!outcome.stderr.includes(owner)) faults.push(`${title}: standard error says ${outcome.stderr}`);
        for (const word of [first.name, 'pods', 'eth0', 'gc']) {
          if (`${msg} ${details}`.includes(word)) faults.push(`${title}: "${word}" in ${msg} ${details}`);
        }
        delWholePod(host, pod);
      }
    }
    mustBeEmpty(faults, 'who hears of the first');
    mustLeaveNothing(host, before, 'left of the refused');
  },
);

test('when the first is gone the port is free', BOTH_SUCCEED, (host) => {
  const config = network(host, [port(8080), ...range(8000, 8010)]);
  const first = addWholePod(host, config);
  const container = host.addContainer();
  mustRefuseWhole(host, 'ADD', { config, container }, 11, /80[08]0/);
  delWholePod(host, first);
  delWholePod(host, addWholePod(host, config, { container }));
});

test('other protocols, addresses and ports are no conflict', 'same', (host) => {
  addWholePod(host, network(host, [port(8080), port(8090, '203.0.113.1'), port(9000, '2001:db8:1::1')]));
  addWholePod(host, network(host, [port(8080, undefined, 'udp'), port(8090, '203.0.113.9'), port(8081)]));
  addWholePod(host, network(host, [port(9000, '203.0.113.1'), port(9000, '2001:db8:1::9'), ...range(8082, 8089)]));
});

test('of eight that want one port at the same time one gets it, and all others are to try again', {
  absent: 'a refusal',
}, async (host) => {
  const config = network(host, [port(8080), port(8081)]);
  const containers = Array.from({ length: 8 }, () => host.addContainer());
  const outcomes = await Promise.all(containers.map((container) => host.start('ADD', { config, container })));
  const winners = containers.filter((_, i) => outcomes[i]?.code === 0);
  assert.is(winners.length, 1);
  const [winner] = winners;
  for (const outcome of outcomes) {
    if (outcome.code === 0) resultOf(outcome, config);
    else {
      refusalOf(outcome, 'ADD', 11, /808[01]\/tcp/);
      assert.match(outcome.stderr, `container "${winner?.name}"`);
    }
  }
  assert.equal([...new Set(ownedElementsOf(host.namespace).map(({ owner }) => owner))], [`pods/${winner?.name}/eth0`]);
});

run();
