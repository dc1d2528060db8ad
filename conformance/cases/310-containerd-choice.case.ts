// Who chooses a pod's mode: the pod by annotations, as far as `allowModes` lets it, or the operator by `overrides`.

import * as assert from 'uvu/assert';
import { choose, HOST_ADDRESS, KubernetesNode } from '../runtimes/kubernetes-node.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { failureOf, runtimeCases } from '../runtimes/runtime-case.ts';

enterOwnMachine();
const { test, run } = runtimeCases('containerd: choice of mode', () => KubernetesNode.start());

test('a pod gets the mode of its annotation: none', async (node) => {
  const pod = await node.cri.run('quiet', { annotations: choose('none') });
  assert.equal(await node.interfacesOf(await node.startBox(pod)), ['lo']);
  await node.cri.stopAndRemove(pod);
});

test('a pod gets the mode and target of its annotations: container', async (node) => {
  const cart = await node.cri.run('cart');
  const sharer = await node.cri.run('log', { annotations: choose('container', 'pod:shop/cart') });
  assert.is(await node.netnsOf(await node.startBox(sharer)), await node.netnsOf(await node.startBox(cart)));
  const byId = await node.cri.run('trace', { annotations: choose('container', `container:${cart.id}`) });
  assert.is((await node.cri.status(byId)).ip, (await node.cri.status(cart)).ip);
  for (const pod of [byId, sharer, cart]) await node.cri.stopAndRemove(pod);
});

test('a pod without a wish gets the mode of the network', async (node) => {
  const pod = await node.cri.run('plain');
  assert.equal(await node.interfacesOf(await node.startBox(pod)), ['eth0', 'lo']);
  await node.cri.stopAndRemove(pod);
});

test("overrides put a pod into the host's network that could not choose it", async (node) => {
  const pod = await node.cri.run('proxy', { namespace: 'kube-system' });
  assert.is(await node.netnsOf(await node.startBox(pod)), node.hostNetns);
  assert.is((await node.cri.status(pod)).ip, HOST_ADDRESS);
  await node.cri.stopAndRemove(pod);
});

test("overrides make a pod share another's network, whatever it asks for itself", async (node) => {
  const cart = await node.cri.run('cart');
  const sidecar = await node.cri.run('cart-sidecar', { annotations: choose('none') });
  assert.is(await node.netnsOf(await node.startBox(sidecar)), await node.netnsOf(await node.startBox(cart)));
  for (const pod of [cart, sidecar]) await node.cri.stopAndRemove(pod);
});

test('a mode that allowModes does not name is refused, and the pod with it', async (node) => {
  const said = await failureOf(node.cri.run('intruder', { annotations: choose('host') }));
  assert.match(said, /annotation podlink\.dev\/mode: network "pods" does not let a pod choose mode "host"/);
  assert.equal(await node.cri.list(), [], 'no sandbox is left');
});

test("a target in the host's network is no way around allowModes", async (node) => {
  const proxy = await node.cri.run('proxy', { handler: 'host' });
  const said = await failureOf(node.cri.run('intruder', { annotations: choose('container', 'pod:shop/proxy') }));
  assert.match(said, /in the host's network/);
  const byPath = await failureOf(
    node.cri.run('intruder', { annotations: choose('container', `netns:${node.host.namespace.path}`) }),
  );
  assert.match(byPath, /does not permit/);
  await node.cri.stopAndRemove(proxy);
});

test("another Kubernetes namespace's pod cannot be chosen", async (node) => {
  const vault = await node.cri.run('vault', { namespace: 'secret' });
  const said = await failureOf(node.cri.run('intruder', { annotations: choose('container', 'pod:secret/vault') }));
  assert.match(said, /another Kubernetes namespace/);
  await node.cri.stopAndRemove(vault);
});

test('a target that is not there yet is refused, and works when it is', async (node) => {
  const early = { annotations: choose('container', 'pod:shop/late') };
  assert.match(await failureOf(node.cri.run('early', early)), /Target "pod:shop\/late" .* is not there \(yet\)/);
  assert.equal(await node.cri.list(), [], 'no sandbox is left');
  const late = await node.cri.run('late');
  const sharer = await node.cri.run('early', early);
  assert.is(await node.netnsOf(await node.startBox(sharer)), await node.netnsOf(await node.startBox(late)));
  for (const pod of [sharer, late]) await node.cri.stopAndRemove(pod);
});

test('port mappings of a pod in host mode are discarded with a warning', async (node) => {
  const ports = { portMappings: [{ container_port: 80, host_port: 8080 }] };
  const pod = await node.cri.run('published', { handler: 'host', ...ports });
  assert.match(node.containerd.log, /Published ports are discarded when using host network mode/);
  await node.startServer(pod, 8081);
  assert.is(await node.ask(await node.startBox(pod), HOST_ADDRESS, 8081), 'published');
  await node.cri.stopAndRemove(pod);
});

test('port mappings of a pod in container mode are a conflict', async (node) => {
  const cart = await node.cri.run('cart');
  const ports = { portMappings: [{ container_port: 80, host_port: 8080 }] };
  const said = await failureOf(node.cri.run('log', { annotations: choose('container', 'pod:shop/cart'), ...ports }));
  assert.match(said, /Conflicting options: port publishing and the container type network mode/);
  await node.cri.stopAndRemove(cart);
});

run();
