// A pod that chooses a target for itself gets into pods of its own Kubernetes namespace alone, by whatever name it asks,
// and learns nothing of the pods of others: not even whether they are on the node.

import { mkdirSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { mustRun } from '../harness/command.ts';
import type { Config, ErrorDocument } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { mustAdd, mustPass, mustRefuse } from '../harness/verdict.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { ABSENT, containerMode, HOST_MODE, identityAt, mountsAt } from '../runtimes/sharing-fixture.ts';

enterOwnMachine();
const { test, run } = cases('tenants and shared namespaces');

function podArgs(pod: string): string {
  const [namespace, name] = pod.split('/');
  return `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name}`;
}

function addPod(host: Host, pod: string, config: Config = host.config()): Namespace {
  const container = host.addContainer(pod.replace('/', '-'));
  mustAdd(host, { config, container, args: podArgs(pod) });
  return container;
}

/** The wish of pod shop/me for a target. */
function wish(host: Host, container: Namespace, target: string, more: Config = {}): Invocation {
  const config = host.config({ allowModes: ['container'], args: { cni: { mode: 'container', target } }, ...more });
  return { config, container, args: podArgs('shop/me') };
}

/** The answer to the pod, without the name it asked for. */
function answerTo(
  host: Host,
  invocation: Invocation,
  code: number,
  named: string,
): Pick<ErrorDocument, 'code' | 'msg'> {
  const { code: given, msg, details } = mustRefuse(host, 'ADD', invocation, code, /./);
  assert.is(mountsAt(invocation.container?.path ?? ''), 1);
  return { code: given, msg: `${msg};${details ?? ''}`.replaceAll(named, 'IT') };
}

test("another tenant's pod is refused by its name alone, whether it is there or not", ABSENT, (host) => {
  addPod(host, 'bank/vault');
  const me = host.addContainer('me');
  const there = answerTo(host, wish(host, me, 'pod:bank/vault'), 4, 'bank/vault');
  const absent = answerTo(host, wish(host, me, 'pod:bank/nobody'), 4, 'bank/nobody');
  assert.equal(there, absent);
  assert.match(there.msg, /another Kubernetes namespace/);
});

test("another tenant's container ID is answered as one that is not there", ABSENT, (host) => {
  const vault = addPod(host, 'bank/vault');
  const proxy = addPod(host, 'bank/proxy', HOST_MODE);
  const me = host.addContainer('me');
  const absent = answerTo(host, wish(host, me, 'container:nobody'), 11, 'nobody');
  for (const { name } of [vault, proxy]) {
    assert.equal(answerTo(host, wish(host, me, `container:${name}`), 11, name), absent, name);
  }
  // The operator may name any.
  const config = containerMode(`container:${vault.name}`);
  mustAdd(host, { config, container: me, args: podArgs('shop/me') });
  assert.is(identityAt(me.path), identityAt(vault.path));
  mustPass(host, 'DEL', { config, container: me });
});

test(
  "a permitted path does not lead into another tenant's namespace, and does not tell that it is one",
  ABSENT,
  (host) => {
    const [vault, cart] = [addPod(host, 'bank/vault'), addPod(host, 'shop/cart')];
    const me = host.addContainer('me');
    const permitted = { targetPaths: ['/run/netns/*', `${host.folder}/*`] };
    const absent = answerTo(host, wish(host, me, 'netns:/run/netns/nobody', permitted), 11, '/run/netns/nobody');
    assert.equal(answerTo(host, wish(host, me, `netns:${vault.path}`, permitted), 11, vault.path), absent);
    // By another name, and by its sharer's, which the operator has put there.
    const another = join(host.folder, 'another');
    writeFileSync(another, '');
    mustRun('mount', ['--bind', vault.path, another]);
    assert.equal(answerTo(host, wish(host, me, `netns:${another}`, permitted), 11, another), absent);
    mustRun('umount', [another]);
    const own = wish(host, me, `netns:${cart.path}`, permitted);
    mustAdd(host, own);
    assert.is(identityAt(me.path), identityAt(cart.path));
    mustPass(host, 'DEL', own);
  },
);

test("a pod of its own that the operator has put into another tenant's network is no way in", ABSENT, (host) => {
  const vault = addPod(host, 'bank/vault');
  const audit = addPod(host, 'shop/audit', containerMode('pod:bank/vault'));
  assert.is(identityAt(audit.path), identityAt(vault.path));
  const me = host.addContainer('me');
  for (const target of ['pod:shop/audit', `container:${audit.name}`]) {
    answerTo(host, wish(host, me, target), 11, target);
  }
  const permitted = { targetPaths: ['/run/netns/*'] };
  answerTo(host, wish(host, me, `netns:${audit.path}`, permitted), 11, audit.path);
});

test("a pod of its own that another tenant's shares by the operator's will can be chosen", ABSENT, (host) => {
  const cart = addPod(host, 'shop/cart');
  addPod(host, 'bank/audit', containerMode('pod:shop/cart'));
  const me = host.addContainer('me');
  const invocation = wish(host, me, 'pod:shop/cart');
  mustAdd(host, invocation);
  assert.is(identityAt(me.path), identityAt(cart.path));
  mustPass(host, 'DEL', invocation);
});

test('a symbolic link leads nowhere that the pattern does not', ABSENT, (host) => {
  const cart = addPod(host, 'shop/cart');
  const me = host.addContainer('me');
  const [folder, outside] = [join(host.folder, 'permitted'), join(host.folder, 'outside')];
  for (const dir of [folder, outside, join(outside, 'below')]) mkdirSync(dir);
  for (const [name, target] of [
    ['elsewhere', cart.path],
    ['process', '/proc/1/ns/net'],
    ['twice', join(folder, 'process')],
    ['relative', '../outside/mounted'],
    ['folder', join(outside, 'below')],
    ['loop', join(folder, 'loop')],
  ] as const) {
    symlinkSync(target, join(folder, name));
  }
  for (const path of ['mounted', 'below/mounted']) {
    writeFileSync(join(outside, path), '');
    mustRun('mount', ['--bind', cart.path, join(outside, path)]);
  }
  const ask = (name: string, ...targetPaths: string[]) =>
    wish(host, me, `netns:${join(folder, name)}`, { targetPaths: [...targetPaths, `${folder}/*`] });
  for (const name of ['elsewhere', 'process', 'twice', 'relative']) {
    mustRefuse(host, 'ADD', ask(name), 4, /does not permit/);
  }
  mustRefuse(host, 'ADD', ask('folder/mounted', `${folder}/*/*`), 4, /does not permit/);
  assert.is.not(host.invoke('ADD', ask('loop')).code, 0);
  assert.is(mountsAt(me.path), 1);
  // One that stays within what a pattern permits, and a folder of the pattern's own that is a link, as /var/run is.
  unlinkSync(join(folder, 'elsewhere'));
  symlinkSync(join(outside, 'mounted'), join(folder, 'elsewhere'));
  symlinkSync(outside, join(host.folder, 'var-run'));
  for (const invocation of [
    wish(host, me, `netns:${join(folder, 'elsewhere')}`, { targetPaths: [`${folder}/*`, `${outside}/*`] }),
    wish(host, me, `netns:${join(host.folder, 'var-run/mounted')}`, { targetPaths: [`${host.folder}/var-run/*`] }),
  ]) {
    mustAdd(host, invocation);
    assert.is(identityAt(me.path), identityAt(cart.path));
    mustPass(host, 'DEL', invocation);
  }
  for (const path of ['mounted', 'below/mounted']) mustRun('umount', [join(outside, path)]);
});

test("the host's namespace is refused by path, and a process's own is what its number names", ABSENT, (host) => {
  const me = host.addContainer('me');
  const permitted = { targetPaths: ['/run/netns/*', '/proc/*/ns/net'] };
  for (const path of [host.namespace.path, '/proc/self/ns/net', '/proc/thread-self/ns/net']) {
    mustRefuse(host, 'ADD', wish(host, me, `netns:${path}`, permitted), 4, /in the host's network|does not permit/);
  }
  mustRefuse(host, 'ADD', wish(host, me, 'netns:/proc/999999/ns/net', permitted), 11, /is not there \(yet\)/);
  assert.is(mountsAt(me.path), 1);
});

run();
