// Containers that share the network of one that has ended or was started anew: `attachment ls`, `inspect`, `doctor` and CHECK
// say so, and what helps.

import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { mustRun } from '../harness/command.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustSay, mustTell, podlink } from '../harness/operator-command.ts';
import { mustAdd, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { ABSENT, addToHost, addToTarget, containerMode } from '../runtimes/sharing-fixture.ts';

enterOwnMachine();
const { test, run } = cases('a target that is gone');

interface Row {
  readonly containerId: string;
  readonly state: string;
}

function stateOf(host: Host, containerId: string): string | undefined {
  return mustTell<Row[]>(host, ['attachment', 'ls']).find((row) => row.containerId === containerId)?.state;
}

/** Everything that tells of the container must name its state and what helps, and not what cannot. */
function mustBeGone(host: Host, containerId: string): void {
  assert.is(stateOf(host, containerId), 'target gone');
  assert.match(mustSay(host, ['attachment', 'ls']), / target gone$/m);
  const [inspected] = mustTell<{ life: string; problems: string[] }[]>(host, ['attachment', 'inspect', containerId], 1);
  assert.is(inspected?.life, 'target gone');
  assert.ok((inspected?.problems.length ?? 0) > 0);
  const text = mustEnd(host, ['attachment', 'inspect', containerId], 1).stdout;
  assert.match(text, /^state:? +target gone$/m);
  assert.match(text, /recreate the container/);
  assert.not.match(text, /`podlink repair` makes again/);
  const doctor = podlink(host, ['doctor', '--bin-dir', host.pluginFolder]).stdout.replace(/\s+/g, ' ');
  assert.match(
    doctor,
    new RegExp(`fail attachments interface "eth0" of container "${containerId}".*?remedy: recreate the`),
  );
}

test('container: the target has ended', ABSENT, (host) => {
  const { sharer, invocation, result, targetInvocation } = addToTarget(host);
  assert.is(stateOf(host, sharer.name), 'complete');
  mustPass(host, 'DEL', targetInvocation);
  mustBeGone(host, sharer.name);
  const checked = { ...invocation, config: withPrevResult(invocation.config as Config, result) };
  const { msg } = mustRefuse(host, 'CHECK', checked, 101, /gone/);
  assert.match(msg, /; recreate the pod$/);
  assert.not.match(msg, /repair/);
  // It repairs nothing, and says so.
  mustEnd(host, ['repair'], 1);
  mustBeGone(host, sharer.name);
  mustPass(host, 'DEL', invocation);
  assert.is(stateOf(host, sharer.name), undefined);
});

test('container: the target was started anew under its name, and has another namespace', ABSENT, (host) => {
  const args = 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart';
  const first = { config: host.config(), container: host.addContainer('first'), args };
  mustAdd(host, first);
  const sharing = { config: containerMode('pod:shop/cart'), container: host.addContainer('sharer') };
  mustAdd(host, sharing);
  const second = { config: host.config(), container: host.addContainer('second'), args };
  // Its new sandbox is there before the old one goes, as a kubelet may have it.
  mustAdd(host, second);
  mustPass(host, 'DEL', first);
  mustBeGone(host, sharing.container.name);
  // Recreated, it is with the new one.
  mustPass(host, 'DEL', sharing);
  mustAdd(host, sharing);
  assert.is(stateOf(host, sharing.container.name), 'complete');
  mustPass(host, 'DEL', sharing);
});

test("container: the target's namespace went without a DEL, or is another's by now", ABSENT, (host) => {
  const { sharer, target } = addToTarget(host);
  mustRun('umount', [target.path]);
  mustBeGone(host, sharer.name);
  mustRun('ip', ['netns', 'del', target.name]);
  mustRun('ip', ['netns', 'add', target.name]);
  mustBeGone(host, sharer.name);
});

test('container: a target by path, and one that shares another itself', ABSENT, (host) => {
  const target = host.addContainer('target');
  const byPath = { config: containerMode(`netns:${target.path}`), container: host.addContainer('by-path') };
  mustAdd(host, byPath);
  const chained = {
    config: containerMode(`container:${byPath.container.name}`),
    container: host.addContainer('chained'),
  };
  mustAdd(host, chained);
  assert.is(stateOf(host, chained.container.name), 'complete');
  mustPass(host, 'DEL', byPath);
  mustBeGone(host, chained.container.name);
  mustPass(host, 'DEL', chained);
  mustAdd(host, byPath);
  mustRun('ip', ['netns', 'del', target.name]);
  mustBeGone(host, byPath.container.name);
});

test('host and bridge: no target to lose', ABSENT, (host) => {
  const { sharer } = addToHost(host);
  const plain = host.addContainer('plain');
  mustAdd(host, { config: host.config(), container: plain });
  assert.equal([stateOf(host, sharer.name), stateOf(host, plain.name)], ['complete', 'complete']);
  const inspected = mustSay(host, ['attachment', 'inspect', sharer.name]);
  assert.match(inspected, /nothing is wrong with it/);
});

run();
