// Why podlink brings a `loopback` of its own: containerd calls DEL of the plugin of that name while CNI_NETNS still
// shows the shared namespace, and the stock one takes `lo` down in it (kubernetes/kubernetes#100648).

import * as assert from 'uvu/assert';
import { getLink, isUp } from '../harness/referee.ts';
import { REFERENCE_FOLDER } from '../harness/plugin.ts';
import { KubernetesNode, TARGET } from '../runtimes/kubernetes-node.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { type RuntimeMachine, runtimeCases } from '../runtimes/runtime-case.ts';

enterOwnMachine();

/** One node with each `loopback`; only one of them runs at a time. */
class Nodes implements RuntimeMachine {
  #node: KubernetesNode | undefined;

  async with(loopback: string | undefined): Promise<KubernetesNode> {
    await this.remove();
    this.#node = await KubernetesNode.start(loopback === undefined ? {} : { loopback });
    return this.#node;
  }

  findLeftovers(): string[] {
    return this.#node?.findLeftovers() ?? [];
  }

  async reset(): Promise<void> {
    await this.#node?.reset();
  }

  async remove(): Promise<void> {
    await this.#node?.remove();
    this.#node = undefined;
  }
}

const { test, run } = runtimeCases('containerd: loopback', async () => new Nodes());

function isHostLoUp(node: KubernetesNode): boolean {
  return isUp(getLink(node.host.namespace, 'lo'));
}

/** Whether the host's lo is up after a pod in the host's network was stopped, and the target's after its sharer was. */
async function stopSharers(node: KubernetesNode): Promise<{ host: boolean; target: string }> {
  const hosted = await node.cri.run('hosted', { handler: 'host' });
  const target = await node.cri.run(TARGET);
  const sharer = await node.cri.run('sharer', { handler: 'container' });
  const server = await node.startServer(target, 8080, '127.0.0.1');
  assert.ok(isHostLoUp(node), "the host's lo is up before");
  assert.is(await node.ask(server, '127.0.0.1', 8080), TARGET);
  await node.cri.stop(hosted);
  await node.cri.stop(sharer);
  const seen = { host: isHostLoUp(node), target: (await node.cri.exec(server, 'ip', 'link', 'show', 'lo')).stdout };
  for (const pod of [hosted, sharer, target]) await node.cri.stopAndRemove(pod);
  return seen;
}

test("with the stock loopback, the end of a pod in host mode takes the host's lo down", async (nodes) => {
  const node = await nodes.with(`${REFERENCE_FOLDER}/loopback`);
  const seen = await stopSharers(node);
  assert.is(seen.host, false);
  assert.not.match(seen.target, /[<,]UP[,>]/);
  assert.is(node.host.namespace.run('ping', ['-c', '1', '-W', '1', '127.0.0.1']).code === 0, false);
});

test("with podlink's loopback, it stays up, and the target's too", async (nodes) => {
  const node = await nodes.with(undefined);
  const seen = await stopSharers(node);
  assert.is(seen.host, true);
  assert.match(seen.target, /[<,]UP[,>]/);
  assert.is(node.host.namespace.run('ping', ['-c', '1', '-W', '1', '127.0.0.1']).code, 0);
});

run();
