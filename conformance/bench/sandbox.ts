// Whole pods: what a kubelet asks of containerd, with everything else that a pod needs. Two containerds in turns, one with
// podlink (also as its `loopback`), one with the reference plugins.

import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../harness/document.ts';
import { Host } from '../harness/host.ts';
import { REFERENCE_FOLDER } from '../harness/plugin.ts';
import { Containerd, type Network } from '../runtimes/containerd.ts';
import { SCRATCH } from '../runtimes/own-machine.ts';
import { CHAIN, CNI_VERSION, NETWORK, portsOf } from './network.ts';
import type { Row } from './report.ts';

const CHAINED = ['bridge', 'portmap', 'bandwidth', 'firewall', 'tuning', 'host-local', 'loopback'];
/** The kubelet's way to hand over limits. */
const LIMITS = { 'kubernetes.io/ingress-bandwidth': '80M', 'kubernetes.io/egress-bandwidth': '80M' };

const STEPS = ['RunPodSandbox', 'StopPodSandbox', 'RemovePodSandbox'] as const;
type Times = Record<(typeof STEPS)[number], number[]>;

export async function measureSandbox(rounds: number): Promise<Row[]> {
  const nodes: PodNode[] = [];
  try {
    nodes.push(await PodNode.start('podlink'));
    nodes.push(await PodNode.start('reference'));
    for (let round = 0; round <= rounds; round++) {
      for (const node of round % 2 === 0 ? nodes : nodes.toReversed()) await node.runPod(round);
    }
    return STEPS.map((step): Row => {
      const [ours = [], peer = []] = nodes.map(({ times }) => times[step]);
      return {
        section: 'sandbox',
        id: step,
        what: step,
        unit: 'ms',
        ours,
        peer,
        isCharted: step !== 'RemovePodSandbox',
      };
    });
  } finally {
    for (const node of nodes) await node.remove();
  }
}

class PodNode {
  readonly times: Times = { RunPodSandbox: [], StopPodSandbox: [], RemovePodSandbox: [] };
  readonly #host: Host;
  readonly #containerd: Containerd;

  private constructor(host: Host, containerd: Containerd) {
    this.#host = host;
    this.#containerd = containerd;
  }

  static async start(who: 'podlink' | 'reference'): Promise<PodNode> {
    const host = new Host();
    try {
      const isOurs = who === 'podlink';
      const containerd = await Containerd.start({
        host: host.namespace,
        folder: join(SCRATCH, isOurs ? 'p' : 'r'),
        pluginFolder: isOurs ? host.pluginFolder : referenceFolder(host),
        network: networkOf(isOurs ? [CHAIN.ours(host, 1)] : CHAIN.reference(host, 1)),
      });
      return new PodNode(host, containerd);
    } catch (error) {
      host.remove();
      throw error;
    }
  }

  /** One pod from beginning to end. The first does not count. */
  async runPod(round: number): Promise<void> {
    const { cri } = this.#containerd;
    const timed = async <Result>(step: keyof Times, work: Promise<Result>): Promise<Result> => {
      const started = performance.now();
      const result = await work;
      if (round > 0) this.times[step].push(performance.now() - started);
      return result;
    };
    const port_mappings = portsOf(1).map(({ hostPort, containerPort }) => ({
      host_port: hostPort,
      container_port: containerPort,
    }));
    const pod = await timed(
      'RunPodSandbox',
      cri.run(`pod${round}`, { portMappings: port_mappings, annotations: LIMITS }),
    );
    await timed('StopPodSandbox', cri.stop(pod));
    await timed('RemovePodSandbox', cri.remove(pod));
  }

  async remove(): Promise<void> {
    await this.#containerd.remove();
    this.#host.remove();
  }
}

function referenceFolder(host: Host): string {
  const folder = join(host.folder, 'reference');
  mkdirSync(folder);
  for (const name of CHAINED) symlinkSync(join(REFERENCE_FOLDER, name), join(folder, name));
  return folder;
}

/** The entries as in a conflist: what `runtimeConfig` has in it comes from the runtime, for the capability of that name. */
function networkOf(configs: readonly Config[]): Network {
  const entries = configs.map(({ runtimeConfig = {}, ...keys }): Config => {
    const names = Object.keys(runtimeConfig as object);
    return { ...keys, capabilities: Object.fromEntries(names.map((name) => [name, true])) };
  });
  const [first, ...chained] = entries;
  return [{ ...first, cniVersion: CNI_VERSION, name: NETWORK }, ...chained];
}
