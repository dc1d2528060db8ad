// Pods that share a network come and go in every order, their processes die, and containerd itself restarts.

import { rmSync } from 'node:fs';
import * as assert from 'uvu/assert';
import type { Pod } from '../runtimes/cri.ts';
import { choose, HOST_ADDRESS, KubernetesNode, TARGET } from '../runtimes/kubernetes-node.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { failureOf, runtimeCases } from '../runtimes/runtime-case.ts';

enterOwnMachine();
const { test, run } = runtimeCases('containerd: lifecycle of sharers', () => KubernetesNode.start());

/** A target on the bridge and a pod that shares its network. */
async function startPair(node: KubernetesNode): Promise<{ target: Pod; sharer: Pod }> {
  const target = await node.cri.run(TARGET);
  return { target, sharer: await node.cri.run('sharer', { handler: 'container' }) };
}

test('the sharer is stopped first: the target goes on as it was', async (node) => {
  const { target, sharer } = await startPair(node);
  const box = await node.startServer(target, 8080);
  const { ip } = await node.cri.status(target);
  await node.cri.stopAndRemove(sharer);
  assert.equal(await node.interfacesOf(box), ['eth0', 'lo']);
  assert.is(await node.ask(box, '127.0.0.1', 8080), TARGET, 'its lo is still up');
  const other = await node.cri.run('other');
  assert.is(await node.ask(await node.startBox(other), ip, 8080), TARGET);
  for (const pod of [target, other]) await node.cri.stopAndRemove(pod);
});

test('the target is stopped first: the sharer keeps the namespace with lo alone', async (node) => {
  const { target, sharer } = await startPair(node);
  const box = await node.startServer(sharer, 8080);
  const netns = await node.netnsOf(box);
  await node.cri.stopAndRemove(target);
  assert.equal(await node.interfacesOf(box), ['lo']);
  assert.equal(await node.addressesOf(box), ['127.0.0.1/8']);
  assert.is(await node.netnsOf(box), netns);
  assert.is(await node.ask(box, '127.0.0.1', 8080), 'sharer');
  await node.cri.stopAndRemove(sharer);
});

test('the target is started again: the sharer stays in the old namespace until it is, too', async (node) => {
  const { target, sharer } = await startPair(node);
  const box = await node.startBox(sharer);
  await node.cri.stopAndRemove(target);
  const again = await node.cri.run(TARGET);
  const inAgain = await node.netnsOf(await node.startBox(again));
  assert.is.not(await node.netnsOf(box), inAgain);
  await node.cri.stopAndRemove(sharer);
  const sharerAgain = await node.cri.run('sharer', { handler: 'container' });
  assert.is(await node.netnsOf(await node.startBox(sharerAgain)), inAgain);
  for (const pod of [sharerAgain, again]) await node.cri.stopAndRemove(pod);
});

test("nested: C shares B's network, which is A's", async (node) => {
  const a = await node.cri.run('a');
  const b = await node.cri.run('b', { annotations: choose('container', 'pod:shop/a') });
  const c = await node.cri.run('c', { annotations: choose('container', 'pod:shop/b') });
  const [inA, inB, inC] = [await node.startServer(a, 8080), await node.startBox(b), await node.startBox(c)];
  const netns = await node.netnsOf(inA);
  assert.equal([await node.netnsOf(inB), await node.netnsOf(inC)], [netns, netns]);
  assert.is(await node.ask(inC, '127.0.0.1', 8080), 'a');
  await node.cri.stopAndRemove(b);
  assert.is(await node.netnsOf(inC), netns, 'the one in the middle goes');
  assert.is(await node.ask(inC, '127.0.0.1', 8080), 'a');
  for (const pod of [a, c]) await node.cri.stopAndRemove(pod);
});

test('containerd restarts: it knows every pod again, and all end cleanly', async (node) => {
  const { target, sharer } = await startPair(node);
  const hosted = await node.cri.run('hosted', { handler: 'host' });
  const lonely = await node.cri.run('lonely', { handler: 'none' });
  const server = await node.startServer(target, 8080, '127.0.0.1');
  const box = await node.startBox(sharer);
  const netns = await node.netnsOf(server);
  await node.containerd.stopDaemon();
  await node.containerd.startDaemon();
  assert.is(await node.ask(box, '127.0.0.1', 8080), TARGET);
  for (const pod of [target, sharer, hosted, lonely])
    assert.is((await node.cri.status(pod)).state, 'SANDBOX_READY', pod.name);
  assert.is((await node.cri.status(sharer)).ip, (await node.cri.status(target)).ip);
  assert.is((await node.cri.status(hosted)).ip, HOST_ADDRESS);
  assert.is(await node.netnsOf(await node.cri.startContainer(sharer, ['/bin/sleep', '1000'], 'later')), netns);
  for (const pod of [hosted, sharer, lonely, target]) await node.cri.stopAndRemove(pod);
});

test("the target's sandbox is killed: network and address live on through the sharer", async (node) => {
  const { target, sharer } = await startPair(node);
  const box = await node.startServer(sharer, 8080);
  const { ip } = await node.cri.status(sharer);
  await node.containerd.killSandbox(target);
  assert.equal(await node.interfacesOf(box), ['eth0', 'lo']);
  const other = await node.cri.run('other');
  assert.is(await node.ask(await node.startBox(other), ip, 8080), 'sharer');
  for (const pod of [target, sharer, other]) await node.cri.stopAndRemove(pod);
});

test("the sharer's sandbox is killed: it is stopped and removed like any other", async (node) => {
  const { target, sharer } = await startPair(node);
  const hosted = await node.cri.run('hosted', { handler: 'host' });
  for (const pod of [sharer, hosted]) await node.containerd.killSandbox(pod);
  for (const pod of [sharer, hosted]) {
    await node.cri.stop(pod);
    await node.cri.stop(pod);
    await node.cri.remove(pod);
    await node.cri.remove(pod);
  }
  assert.equal(await node.interfacesOf(await node.startBox(target)), ['eth0', 'lo']);
  await node.cri.stopAndRemove(target);
});

test('the records are lost: DEL unmounts nothing, and containerd gets through at its second try', async (node) => {
  const { target, sharer } = await startPair(node);
  const box = await node.startBox(target);
  rmSync('/run/podlink/attachments', { recursive: true });
  // Nobody knows any more that the upper mount is podlink's. containerd takes it off, and then sees its own below.
  assert.match(await failureOf(node.cri.stop(sharer)), /device or resource busy/);
  await node.cri.stopAndRemove(sharer);
  assert.equal(await node.interfacesOf(box), ['eth0', 'lo']);
  const { ip } = await node.cri.status(target);
  assert.is(node.host.namespace.run('ping', ['-c', '1', '-W', '3', ip]).code, 0);
  await node.cri.stopAndRemove(target);
});

run();
