// A container in mode host, container or none has that one attachment: whatever network comes second is refused, in
// either order and at the same time, and the first is as it was.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host, Invocation, Outcome } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import type { Snapshot } from '../harness/snapshot.ts';
import { linksOf } from '../harness/referee.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, refusalOf, withPrevResult } from '../harness/verdict.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { ABSENT, containerMode, HOST_MODE, mountsAt } from '../runtimes/sharing-fixture.ts';

enterOwnMachine();
const { test, run } = cases('one attachment alone');
const NONE_MODE: Config = { cniVersion: '1.0.0', name: 'nones', type: 'podlink', mode: 'none' };

/** A container without attachments, and its network in each mode. */
interface Scene {
  readonly container: Namespace;
  readonly networks: Readonly<Record<string, Config>>;
}

function scene(host: Host): Scene {
  const target = host.addContainer('target');
  const bridge = host.config({ isGateway: true });
  mustAdd(host, { config: bridge, container: target });
  const networks = {
    bridge: { ...bridge, name: 'second', bridge: 'cni1', ipam: host.hostLocal(['10.78.0.0/24']) },
    host: HOST_MODE,
    container: containerMode(`container:${target.name}`),
    none: NONE_MODE,
  };
  return { container: host.addContainer('both'), networks };
}

function names(container: Namespace): string[] {
  return linksOf(container)
    .map(({ ifname }) => ifname)
    .sort();
}

/** The changes outside of the container: mode none leaves its lo up, and the namespace goes with the container. */
function leftOutside(host: Host, before: Snapshot): string[] {
  return host.leftSince(before).filter((line) => !/^[+-] both /.test(line));
}

const PAIRS = [
  ['host', 'bridge', /runs in the network namespace of "host", in which nothing is changed/],
  ['container', 'bridge', /runs in the network namespace of "container:.*", in which nothing is changed/],
  ['none', 'bridge', /by network "nones" the container is in mode "none", which must be its only network/],
  ['bridge', 'host', /by network "second" the container has interface "eth0" of its own, and mode "host" must be/],
  [
    'bridge',
    'container',
    /the container has interface "eth0" of its own, and mode "container" must be its only network/,
  ],
  ['bridge', 'none', /the container has interface "eth0" of its own, and mode "none" must be its only network/],
  ['none', 'host', /by network "nones" the container is in mode "none"/],
  ['host', 'none', /in a shared namespace already, that of "host"/],
  ['host', 'container', /in a shared namespace already, that of "host"/],
] as const;

for (const [i, [first, second, reason]] of PAIRS.entries()) {
  test(
    `${first} first: ${second} is refused, changes nothing, and both DELs succeed in either order`,
    ABSENT,
    (host) => {
      const { container, networks } = scene(host);
      const empty = host.snapshot();
      const one: Invocation = { config: networks[first] as Config, container };
      const other: Invocation = { config: networks[second] as Config, container, ifname: 'eth1' };
      const result = mustAdd(host, one);
      const mounts = mountsAt(container.path);
      const before = host.snapshot();
      mustRefuse(host, 'ADD', other, 102, reason);
      mustBeEmpty(host.leftSince(before), `changed by the refused ${second}`);
      assert.is(mountsAt(container.path), mounts);
      mustPass(host, 'CHECK', { ...one, config: withPrevResult(one.config as Config, result) });
      for (const each of i % 2 === 0 ? [one, other] : [other, one]) mustPass(host, 'DEL', each);
      assert.is(mountsAt(container.path), 1);
      assert.equal(names(container), ['lo']);
      mustBeEmpty(leftOutside(host, empty), 'left');
    },
  );
}

for (const mode of ['host', 'container', 'none']) {
  test(
    `${mode} and bridge at the same time: exactly one of them succeeds, and the other says why`,
    ABSENT,
    async (host) => {
      const { container, networks } = scene(host);
      const empty = host.snapshot();
      const winners = new Set<string>();
      for (let round = 0; round < 4; round += 1) {
        const calls: readonly (readonly [string, Invocation])[] = [
          ['bridge', { config: networks.bridge as Config, container, ifname: 'eth1' }],
          [mode, { config: networks[mode] as Config, container }],
        ];
        const turned = round % 2 === 0 ? calls : calls.toReversed();
        const outcomes: (readonly [string, Outcome])[] = await Promise.all(
          turned.map(async ([name, invocation]) => [name, await host.start('ADD', invocation)] as const),
        );
        const successful = outcomes.filter(([, { code }]) => code === 0).map(([name]) => name);
        assert.is(successful.length, 1, `succeeded: ${successful.join(', ')}`);
        winners.add(successful[0] ?? '');
        for (const [, outcome] of outcomes.filter(([, { code }]) => code !== 0)) {
          refusalOf(outcome, 'ADD', 102, /by network ".*" the container (is|has|runs) in?/);
        }
        for (const [, invocation] of turned) mustPass(host, 'DEL', invocation);
        assert.is(mountsAt(container.path), 1);
        assert.equal(names(container), ['lo']);
      }
      mustBeEmpty(leftOutside(host, empty), 'left');
      console.log(`\n  first: ${[...winners].join(', ')}`);
    },
  );
}

test('a second interface in the same network is refused for host and none alike', ABSENT, (host) => {
  const { container, networks } = scene(host);
  for (const mode of ['host', 'none']) {
    const config = networks[mode] as Config;
    mustAdd(host, { config, container });
    mustRefuse(host, 'ADD', { config, container, ifname: 'eth1' }, 102, /must be its only network/);
    mustPass(host, 'DEL', { config, container, ifname: 'eth1' });
    mustPass(host, 'DEL', { config, container });
  }
});

test('another container, and the same one after DEL, may have any mode', ABSENT, (host) => {
  const { container, networks } = scene(host);
  const other = host.addContainer('other');
  mustAdd(host, { config: networks.host as Config, container });
  mustAdd(host, { config: networks.bridge as Config, container: other });
  mustPass(host, 'DEL', { config: networks.host as Config, container });
  for (const config of Object.values(networks)) {
    mustAdd(host, { config, container });
    mustPass(host, 'DEL', { config, container });
  }
  mustPass(host, 'DEL', { config: networks.bridge as Config, container: other });
});

run();
