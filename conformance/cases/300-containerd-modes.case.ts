// containerd over CRI, as a kubelet drives it: a pod in each mode, app containers in it, traffic, and nothing left.

import * as assert from 'uvu/assert';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { HOST_ADDRESS, KubernetesNode, TARGET } from '../runtimes/kubernetes-node.ts';
import { clientCommand } from '../runtimes/probe.ts';
import { runtimeCases } from '../runtimes/runtime-case.ts';

enterOwnMachine();
const { test, run } = runtimeCases('containerd: modes', () => KubernetesNode.start());

test('bridge: two pods ping each other and talk TCP; stop and remove succeed twice', async (node) => {
  const [a, b] = [await node.cri.run('a'), await node.cri.run('b')];
  const [statusA, statusB] = [await node.cri.status(a), await node.cri.status(b)];
  assert.match(statusA.ip, /^10\.77\.0\.\d+$/);
  assert.is.not(statusA.ip, statusB.ip);
  const box = await node.startBox(b);
  await node.startServer(a, 8080);
  assert.equal(await node.interfacesOf(box), ['eth0', 'lo']);
  assert.equal(await node.addressesOf(box), [`${statusB.ip}/24`, '127.0.0.1/8'].sort());
  await node.mustExec(box, 'ping', '-c', '1', '-W', '3', statusA.ip);
  assert.is(await node.ask(box, statusA.ip, 8080), 'a');
  for (const pod of [a, b]) {
    await node.cri.stop(pod);
    await node.cri.stop(pod);
    await node.cri.remove(pod);
    await node.cri.remove(pod);
  }
});

test("host: the containers run in the host's namespace and are reached at its address", async (node) => {
  const pod = await node.cri.run('h', { handler: 'host' });
  const server = await node.startServer(pod, 8080);
  const status = await node.cri.status(pod);
  assert.is(status.ip, HOST_ADDRESS, "the pod's IP is the one of the host with the default route");
  assert.is(await node.netnsOf(server), node.hostNetns);
  const answer = node.outside.run('sh', clientCommand(HOST_ADDRESS, 8080).slice(1));
  assert.is(answer.stdout.trim(), 'h', `from outside: ${answer.stderr}`);
  // A pod on the bridge reaches it there too.
  const other = await node.cri.run('b');
  assert.is(await node.ask(await node.startBox(other), HOST_ADDRESS, 8080), 'h');
  for (const each of [pod, other]) {
    await node.cri.stop(each);
    await node.cri.stop(each);
    await node.cri.remove(each);
    await node.cri.remove(each);
  }
});

test('container: two pods have one address and talk over localhost, in both directions', async (node) => {
  const target = await node.cri.run(TARGET);
  const sharer = await node.cri.run('sharer', { handler: 'container' });
  assert.is((await node.cri.status(sharer)).ip, (await node.cri.status(target)).ip);
  const inTarget = await node.startServer(target, 8080, '127.0.0.1');
  const inSharer = await node.startServer(sharer, 8081, '127.0.0.1');
  assert.is(await node.netnsOf(inSharer), await node.netnsOf(inTarget));
  assert.is(await node.ask(inSharer, '127.0.0.1', 8080), TARGET);
  assert.is(await node.ask(inTarget, '127.0.0.1', 8081), 'sharer');
  // Others reach both at the one address.
  const other = await node.cri.run('other');
  await node.startServer(sharer, 8082);
  assert.is(await node.ask(await node.startBox(other), (await node.cri.status(target)).ip, 8082), 'sharer');
  for (const pod of [sharer, target, other]) {
    await node.cri.stop(pod);
    await node.cri.stop(pod);
    await node.cri.remove(pod);
    await node.cri.remove(pod);
  }
});

test('none: the pod has lo and nothing else', async (node) => {
  const pod = await node.cri.run('n', { handler: 'none' });
  const box = await node.startServer(pod, 8080);
  assert.equal(await node.interfacesOf(box), ['lo']);
  assert.equal(await node.addressesOf(box), ['127.0.0.1/8']);
  assert.is(await node.mustExec(box, 'ip', 'route'), '');
  assert.is.not(await node.netnsOf(box), node.hostNetns);
  assert.is(await node.ask(box, '127.0.0.1', 8080), 'n', 'its own localhost works');
  await node.cri.stop(pod);
  await node.cri.stop(pod);
  await node.cri.remove(pod);
  await node.cri.remove(pod);
});

run();
