// Podman with its CNI backend: configuration, storage and networks in one folder, every command run in the namespace
// that plays the host.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun, type Output, run } from '../harness/command.ts';
import type { Config } from '../harness/document.ts';
import { Host } from '../harness/host.ts';
import { CgroupTree } from './cgroup.ts';
import { imageArchives } from './image.ts';
import { leftSince, type Look, lookAround } from './leftovers.ts';
import { SCRATCH } from './own-machine.ts';
import type { RuntimeMachine } from './runtime-case.ts';

const COMMAND_TIMEOUT_MS = 60_000;

/** What `podman inspect` tells of a container. */
export interface Inspection {
  readonly Id: string;
  readonly State: { readonly Pid: number; readonly Running: boolean };
  readonly NetworkSettings: { readonly Networks?: Readonly<Record<string, { readonly IPAddress: string }>> };
}

export class PodmanNode implements RuntimeMachine {
  readonly host: Host;
  readonly #folder = join(SCRATCH, 'podman');
  #before: Look = new Set();

  private constructor(host: Host) {
    this.host = host;
  }

  /** A node with `network` as Podman's default network. */
  static start(network: (host: Host) => Config): PodmanNode {
    const host = new Host();
    try {
      const node = new PodmanNode(host);
      host.addOutside();
      host.namespace.ip('route', 'add', 'default', 'via', '203.0.113.2');
      const first = network(host);
      mkdirSync(join(node.#folder, 'tmp'), { recursive: true });
      writeFileSync(join(node.#folder, 'containers.conf'), node.#configuration(String(first.name)));
      node.setNetwork(first);
      for (const archive of imageArchives()) node.must('load', '--quiet', '--input', archive);
      const backend = node.must('info', '--format', '{{.Host.NetworkBackend}}').trim();
      if (backend !== 'cni') throw new Error(`Podman uses the network backend "${backend}" and not CNI`);
      node.#before = lookAround(host);
      return node;
    } catch (error) {
      host.remove();
      throw error;
    }
  }

  /** Make a network known, or put it in place of the one of that name. */
  setNetwork({ cniVersion, name, ...plugin }: Config): void {
    const folder = join(this.#folder, 'net.d');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${name}.conflist`), JSON.stringify({ cniVersion, name, plugins: [plugin] }));
  }

  /** Run a Podman command. */
  run(...args: string[]): Output {
    return run('nsenter', this.#args(args), { env: this.#env(), timeoutMs: COMMAND_TIMEOUT_MS });
  }

  /** Run a Podman command that must succeed, and give its standard output. */
  must(...args: string[]): string {
    return mustRun('nsenter', this.#args(args), { env: this.#env(), timeoutMs: COMMAND_TIMEOUT_MS });
  }

  inspect(name: string): Inspection {
    const [inspection] = JSON.parse(this.must('inspect', '--type', 'container', name)) as Inspection[];
    if (!inspection) throw new Error(`Podman knows no container "${name}"`);
    return inspection;
  }

  /** Run a program in a container that must succeed. */
  exec(name: string, ...command: string[]): string {
    return this.must('exec', name, ...command);
  }

  findLeftovers(): string[] {
    return leftSince(this.#before, this.host);
  }

  async reset(): Promise<void> {
    // The case that has failed is reported; what is still in the way of its containers' end is part of that.
    this.run('rm', '--force', '--all', '--time', '0');
    this.#before = lookAround(this.host);
  }

  async remove(): Promise<void> {
    this.run('rm', '--force', '--all', '--time', '0');
    this.host.remove();
  }

  #env(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      CONTAINERS_CONF: join(this.#folder, 'containers.conf'),
      TMPDIR: join(this.#folder, 'tmp'),
    };
  }

  #args(args: readonly string[]): string[] {
    const at = (name: string): string => join(this.#folder, name);
    return [
      ...this.host.namespace.enterArgs(),
      ...['podman', '--root', at('root'), '--runroot', at('runroot'), '--tmpdir', at('tmp/libpod')],
      ...['--storage-driver', 'overlay', ...args],
    ];
  }

  #configuration(defaultNetwork: string): string {
    return [
      '[containers]',
      'default_ulimits = []',
      'log_driver = "k8s-file"',
      '[network]',
      'network_backend = "cni"',
      `cni_plugin_dirs = ["${this.host.pluginFolder}"]`,
      `network_config_dir = "${join(this.#folder, 'net.d')}"`,
      `default_network = "${defaultNetwork}"`,
      '[engine]',
      'cgroup_manager = "cgroupfs"',
      'events_logger = "file"',
      'runtime = "runc"',
      '',
    ].join('\n');
  }
}

/** Options of `podman run` that every container of the suite gets. */
export function runOptions(): string[] {
  return ['--detach', '--cgroup-parent', CgroupTree.own().path];
}
