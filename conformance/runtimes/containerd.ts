// A containerd of the suite's own: its root, state, socket, plugins and network configurations in one folder, its
// daemon in the namespace that plays the host.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mustRun, run } from '../harness/command.ts';
import type { Config } from '../harness/document.ts';
import type { Namespace } from '../harness/namespace.ts';
import { CriClient, type Pod } from './cri.ts';
import { Daemon } from './daemon.ts';
import { imageArchives, PAUSE } from './image.ts';

/** containerd keeps what the kubelet made in this namespace of its own. */
const CONTAINERD_NAMESPACE = 'k8s.io';
const RUNC = 'io.containerd.runc.v2';
const NETWORK_TIMEOUT_MS = 10_000;

export interface ContainerdOptions {
  readonly host: Namespace;
  /** Folder for everything; made. Its path is short: Unix sockets allow 108 bytes. */
  readonly folder: string;
  readonly pluginFolder: string;
  /** The default network. */
  readonly network: Network;
  /** Networks that a pod gets by its runtime handler, as by a RuntimeClass. */
  readonly handlers?: Readonly<Record<string, Network>>;
}

/** The configuration of a network's plugin, and of those that are chained behind it. */
export type Network = readonly [Config, ...Config[]];

export class Containerd {
  readonly cri: CriClient;
  readonly #options: ContainerdOptions;
  readonly #socket: string;
  #daemon: Daemon | undefined;

  private constructor(options: ContainerdOptions) {
    this.#options = options;
    this.#socket = join(options.folder, 'c.sock');
    this.cri = new CriClient(this.#socket);
  }

  /** Write the configuration, start the daemon, load the images, wait for the networks. */
  static async start(options: ContainerdOptions): Promise<Containerd> {
    mkdirSync(options.folder, { recursive: true });
    const containerd = new Containerd(options);
    containerd.setNetwork(options.network);
    for (const [handler, network] of Object.entries(options.handlers ?? {})) containerd.setNetwork(network, handler);
    writeFileSync(join(options.folder, 'config.toml'), containerd.#configuration());
    await containerd.startDaemon();
    for (const archive of imageArchives()) containerd.#ctr('images', 'import', '--snapshotter', 'overlayfs', archive);
    await containerd.#waitForNetwork();
    return containerd;
  }

  /** Put a network into the folder that the daemon watches, in place of the one that is there. */
  setNetwork(network: Network, handler?: string): void {
    const folder = this.#networkFolder(handler);
    mkdirSync(folder, { recursive: true });
    const [{ cniVersion, name, ...plugin }, ...chained] = network;
    const text = JSON.stringify({ cniVersion, name, plugins: [plugin, ...chained] });
    // Whole or not at all: the daemon reads at any time.
    writeFileSync(join(folder, '.10.tmp'), text);
    renameSync(join(folder, '.10.tmp'), join(folder, '10-suite.conflist'));
  }

  /** Start the daemon, also after stopDaemon(): it finds the pods again that go on without it. */
  async startDaemon(): Promise<void> {
    this.#daemon = await Daemon.start({
      host: this.#options.host,
      program: 'containerd',
      args: ['-c', join(this.#options.folder, 'config.toml')],
      log: join(this.#options.folder, 'log'),
      isReady: async () => (await this.cri.list()).length >= 0,
    });
  }

  async stopDaemon(): Promise<void> {
    await this.#daemon?.stop();
  }

  /** Everything it has written. */
  get log(): string {
    return this.#daemon?.log ?? '';
  }

  /** Kill the process of a pod's sandbox, as the kernel does when memory runs out, and wait until that is known. */
  async killSandbox(pod: Pod): Promise<void> {
    this.#ctr('tasks', 'kill', '--signal', 'SIGKILL', pod.id);
    const deadline = Date.now() + NETWORK_TIMEOUT_MS;
    while ((await this.cri.status(pod)).state !== 'SANDBOX_NOTREADY') {
      if (Date.now() > deadline) throw new Error(`Pod "${pod.name}" is still ready after its sandbox was killed`);
      await sleep(50);
    }
  }

  /** Stop everything and end the daemon. Pods that a failed case has left are taken away by force. */
  async remove(): Promise<void> {
    for (const task of this.#listed('tasks')) this.#tryCtr('tasks', 'rm', '--force', task);
    for (const container of this.#listed('containers')) this.#tryCtr('containers', 'rm', container);
    this.cri.close();
    await this.stopDaemon();
    // Mounts below its folder would keep it from being removed.
    run('umount', ['--recursive', '--quiet', join(this.#options.folder, 'state')]);
  }

  #networkFolder(handler?: string): string {
    return join(this.#options.folder, handler === undefined ? 'net.d' : `net-${handler}.d`);
  }

  #ctrArgs(args: readonly string[]): string[] {
    return ['--address', this.#socket, '--namespace', CONTAINERD_NAMESPACE, ...args];
  }

  #ctr(...args: string[]): string {
    return mustRun('ctr', this.#ctrArgs(args));
  }

  #tryCtr(...args: string[]): void {
    run('ctr', this.#ctrArgs(args));
  }

  #listed(kind: string): string[] {
    return run('ctr', this.#ctrArgs([kind, 'ls', '--quiet']))
      .stdout.split('\n')
      .filter(Boolean);
  }

  async #waitForNetwork(): Promise<void> {
    const deadline = Date.now() + NETWORK_TIMEOUT_MS;
    while (!(await this.cri.isNetworkReady())) {
      if (Date.now() > deadline) throw new Error(`containerd does not take the network configuration: ${this.log}`);
      await sleep(20);
    }
  }

  #configuration(): string {
    const { folder, pluginFolder, handlers = {} } = this.#options;
    const cri = '[plugins."io.containerd.grpc.v1.cri"';
    const unused = ['snapshotter.v1.aufs', 'snapshotter.v1.btrfs', 'snapshotter.v1.devmapper', 'snapshotter.v1.zfs'];
    const runtimes = Object.keys(handlers).flatMap((handler) => [
      `${cri}.containerd.runtimes.${handler}]`,
      `runtime_type = "${RUNC}"`,
      `cni_conf_dir = "${this.#networkFolder(handler)}"`,
    ]);
    return [
      'version = 2',
      `root = "${folder}/root"`,
      `state = "${folder}/state"`,
      `disabled_plugins = [${[...unused, 'internal.v1.opt'].map((name) => `"io.containerd.${name}"`).join(', ')}]`,
      '[grpc]',
      `address = "${this.#socket}"`,
      '[ttrpc]',
      `address = "${this.#socket}.ttrpc"`,
      `${cri}]`,
      `sandbox_image = "${PAUSE}"`,
      'disable_apparmor = true',
      // Without CAP_SYS_RESOURCE the kubelet's oom_score_adj of -998 cannot be set, and runc dies.
      'restrict_oom_score_adj = true',
      `${cri}.cni]`,
      `bin_dir = "${pluginFolder}"`,
      `conf_dir = "${this.#networkFolder()}"`,
      `${cri}.containerd]`,
      'snapshotter = "overlayfs"',
      `${cri}.containerd.runtimes.runc]`,
      `runtime_type = "${RUNC}"`,
      ...runtimes,
      '',
    ].join('\n');
  }
}
