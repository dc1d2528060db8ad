// A node as a kubelet finds it: a host with a cable to the outside, containerd, and podlink as its network plugin in
// every mode.

import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from '../harness/namespace.ts';
import type { Config } from '../harness/document.ts';
import { Host } from '../harness/host.ts';
import { Containerd, type Network } from './containerd.ts';
import type { CriClient, Pod } from './cri.ts';
import { leftSince, type Look, lookAround } from './leftovers.ts';
import { SCRATCH } from './own-machine.ts';
import { addressTexts, clientCommand, interfaceNames, serverCommand } from './probe.ts';
import type { RuntimeMachine } from './runtime-case.ts';

/** What the host is reached by from outside: see Host.addOutside(). */
export const HOST_ADDRESS = '203.0.113.1';
/** The pod whose namespace the handler `container` gives a share of. */
export const TARGET = 'target';

/** Annotations by which a pod chooses its mode. */
export function choose(mode: string, target?: string): Record<string, string> {
  return { 'podlink.dev/mode': mode, ...(target === undefined ? {} : { 'podlink.dev/target': target }) };
}

export interface NodeOptions {
  /** The program that is installed as `loopback`; podlink when absent. */
  readonly loopback?: string;
  /** Another default network, made from the one described at start(). */
  readonly network?: (config: Config) => Network;
}

export class KubernetesNode implements RuntimeMachine {
  readonly host: Host;
  readonly outside: Namespace;
  readonly containerd: Containerd;
  #before: Look = new Set();

  private constructor(host: Host, outside: Namespace, containerd: Containerd) {
    this.host = host;
    this.outside = outside;
    this.containerd = containerd;
  }

  /**
   * Start a node. Its networks: `pods` for every pod, a bridge where a pod may choose another mode but host; and by the
   * runtime handlers `host`, `none` and `container` one in each mode.
   */
  static async start(options: NodeOptions = {}): Promise<KubernetesNode> {
    const host = new Host();
    try {
      const outside = host.addOutside();
      host.namespace.ip('route', 'add', 'default', 'via', '203.0.113.2');
      outside.ip('route', 'add', '10.77.0.0/24', 'via', HOST_ADDRESS);
      if (options.loopback) {
        rmSync(join(host.pluginFolder, 'loopback'));
        symlinkSync(options.loopback, join(host.pluginFolder, 'loopback'));
      }
      const network = bridgeNetwork(host);
      const containerd = await Containerd.start({
        host: host.namespace,
        folder: join(SCRATCH, 'c'),
        pluginFolder: host.pluginFolder,
        network: options.network?.(network) ?? [network],
        handlers: {
          host: sharingNetwork('hosts', { mode: 'host' }),
          none: sharingNetwork('nones', { mode: 'none' }),
          container: sharingNetwork('sharers', { mode: 'container', target: `pod:shop/${TARGET}` }),
        },
      });
      const node = new KubernetesNode(host, outside, containerd);
      node.#before = lookAround(host);
      return node;
    } catch (error) {
      host.remove();
      throw error;
    }
  }

  get cri(): CriClient {
    return this.containerd.cri;
  }

  findLeftovers(): string[] {
    return leftSince(this.#before, this.host);
  }

  async reset(): Promise<void> {
    for (const id of await this.cri.list()) {
      const pod: Pod = { id, name: id, config: {} };
      // The case that has failed is reported; what is still in the way of this pod's end is part of that.
      await this.cri.stopAndRemove(pod).catch(() => undefined);
    }
    this.#before = lookAround(this.host);
  }

  async remove(): Promise<void> {
    await this.containerd.remove();
    this.host.remove();
  }

  /** The network namespace of the host, as a link in /proc names it. */
  get hostNetns(): string {
    return this.host.namespace.mustRun('readlink', ['/proc/self/ns/net']).trim();
  }

  /** The network namespace a container is in. */
  async netnsOf(container: string): Promise<string> {
    return (await this.mustExec(container, 'readlink', '/proc/self/ns/net')).trim();
  }

  /** Run a program in a container that must succeed; gives its standard output. */
  async mustExec(container: string, ...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.cri.exec(container, ...command);
    if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  /** A container in the pod that does nothing but wait for mustExec(). */
  startBox(pod: Pod): Promise<string> {
    return this.cri.startContainer(pod, ['/bin/sleep', '2147483647']);
  }

  /** A container in the pod that serves the pod's hostname as a page. */
  startServer(pod: Pod, port: number, address = '0.0.0.0'): Promise<string> {
    return this.cri.startContainer(pod, serverCommand(port, address), `server-${port}`);
  }

  /** What a server answers to a container; empty when nobody does. */
  async ask(container: string, address: string, port: number): Promise<string> {
    const { stdout } = await this.cri.exec(container, ...clientCommand(address, port));
    return stdout.trim();
  }

  /** The names of the interfaces a container sees. */
  async interfacesOf(container: string): Promise<string[]> {
    return interfaceNames(await this.mustExec(container, 'ip', '-o', 'link'));
  }

  /** The IPv4 addresses a container sees. */
  async addressesOf(container: string): Promise<string[]> {
    return addressTexts(await this.mustExec(container, 'ip', '-o', '-4', 'addr'));
  }
}

function bridgeNetwork(host: Host): Config {
  return host.config({
    isDefaultGateway: true,
    allowModes: ['bridge', 'container', 'none'],
    overrides: [
      { pod: 'kube-system/*', mode: 'host' },
      { pod: 'shop/cart-sidecar', mode: 'container', target: 'pod:shop/cart' },
    ],
    capabilities: { portMappings: true, 'io.kubernetes.cri.pod-annotations': true },
  });
}

function sharingNetwork(name: string, keys: Config): Network {
  return [{ cniVersion: '1.0.0', name, type: 'podlink', ...keys, capabilities: { portMappings: true } }];
}
