// Whose namespace a container gets, called directly: what may be asked for beside a shared one, how a target is named,
// and how a container asks for a mode itself.

import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Invocation } from '../harness/host.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, resultOf } from '../harness/verdict.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { ABSENT, containerMode, HOST_MODE, identityAt, mountsAt } from '../runtimes/sharing-fixture.ts';

enterOwnMachine();
const { test, run } = cases('choice of a shared namespace');

for (const mode of ['host', 'container'])
  for (const [what, keys] of [
    ['ips', { ips: ['10.77.0.9/24'] }],
    ['mac', { mac: '02:00:00:00:00:09' }],
    ['bandwidth', { bandwidth: { ingressRate: 1_000_000, ingressBurst: 100_000 } }],
  ] as const) {
    test(`${mode}: runtimeConfig.${what} is refused by name`, ABSENT, (host) => {
      const target = host.addContainer('target');
      mustAdd(host, { config: host.config(), container: target });
      const container = host.addContainer('sharer');
      const network = mode === 'host' ? HOST_MODE : containerMode(`container:${target.name}`);
      const before = host.snapshot();
      const config = { ...network, runtimeConfig: keys };
      mustRefuse(host, 'ADD', { config, container }, 7, new RegExp(`runtimeConfig\\.${what} and mode "${mode}"`));
      mustBeEmpty(host.changesSince(before), 'changed');
      assert.is(mountsAt(container.path), 1);
    });
  }

test('container: target "infra" is the container that the runtime names', ABSENT, (host) => {
  const target = host.addContainer('target');
  mustAdd(host, { config: host.config(), container: target });
  const container = host.addContainer('sharer');
  const config = containerMode('infra');
  const args = `K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart;K8S_POD_INFRA_CONTAINER_ID=${target.name}`;
  mustAdd(host, { config, container, args });
  assert.is(identityAt(container.path), identityAt(target.path));
  mustPass(host, 'DEL', { config, container, args });
  mustRefuse(host, 'ADD', { config, container }, 4, /K8S_POD_INFRA_CONTAINER_ID/);
  const itself = `K8S_POD_INFRA_CONTAINER_ID=${container.name}`;
  mustRefuse(host, 'ADD', { config, container, args: itself }, 7, /this container itself/);
});

test('container: a target whose own ADD has not come to its end is not there yet', ABSENT, async (host) => {
  const target = host.addContainer('target');
  // Its record is there, its interface is not.
  const under = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'inject=rename:delay_exit=1500000:when=1'];
  const starting = host.start('ADD', { config: host.config(), container: target, under });
  const record = `${host.runDir}/attachments/pods/${target.name}.eth0.json`;
  while (!existsSync(record)) await sleep(10);
  const container = host.addContainer('sharer');
  const config = containerMode(`container:${target.name}`);
  mustRefuse(host, 'ADD', { config, container }, 11, /is not there \(yet\)/);
  resultOf(await starting, host.config());
  const result = mustAdd(host, { config, container });
  assert.match(result.ips?.[0]?.address ?? '', /^10\.77\.0\./);
  mustPass(host, 'DEL', { config, container });
});

test('container: target "netns:" is a namespace file, or refused', ABSENT, (host) => {
  const target = host.addContainer('target');
  const container = host.addContainer('sharer');
  const at = (path: string): Invocation => ({ config: containerMode(`netns:${path}`), container });
  mustRefuse(host, 'ADD', at('/run/netns/nobody'), 11, /not there \(yet\)/);
  mustRefuse(host, 'ADD', at('/etc/hostname'), 7, /"target"|target.*not a network namespace/);
  mustRefuse(host, 'ADD', at('/proc/self/ns/mnt'), 7, /namespace of another kind/);
  assert.is(mountsAt(container.path), 1);
  mustAdd(host, at(target.path));
  assert.is(identityAt(container.path), identityAt(target.path));
  mustPass(host, 'DEL', at(target.path));
  assert.is(mountsAt(container.path), 1);
});

for (const [what, ask] of [
  ['args.cni', (mode: string, target: string) => ({ config: { args: { cni: { mode, target } } }, args: '' })],
  ['CNI_ARGS', (mode: string, target: string) => ({ config: {}, args: `MODE=${mode};TARGET=${target}` })],
] as const) {
  test(`a container chooses its mode by ${what}, as far as allowModes lets it`, ABSENT, (host) => {
    const target = host.addContainer('target');
    const network = host.config({ allowModes: ['container'] });
    mustAdd(host, { config: network, container: target });
    const container = host.addContainer('sharer');
    const wish = ask('container', `container:${target.name}`);
    const invocation = { config: { ...network, ...wish.config }, container, args: wish.args };
    mustAdd(host, invocation);
    assert.is(identityAt(container.path), identityAt(target.path));
    mustPass(host, 'DEL', invocation);
    assert.is(mountsAt(container.path), 1);
    const denied = ask('host', '');
    const config = { ...network, ...denied.config };
    mustRefuse(host, 'ADD', { config, container, args: denied.args }, 4, /does not let a pod choose mode "host"/);
    const path = ask('container', `netns:${target.path}`);
    const byPath = { config: { ...network, ...path.config }, container, args: path.args };
    mustRefuse(host, 'ADD', byPath, 4, /does not permit/);
    const permitted = { ...byPath.config, targetPaths: ['/run/netns/*'] };
    mustAdd(host, { ...byPath, config: permitted });
    mustPass(host, 'DEL', { ...byPath, config: permitted });
  });
}

run();
