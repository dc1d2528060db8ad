// Docker, the model for the modes: a dockerd of the suite's own in the namespace that plays the host.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun, type Output, run } from '../harness/command.ts';
import { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { CgroupTree } from './cgroup.ts';
import { Daemon } from './daemon.ts';
import { imageArchives } from './image.ts';
import { SCRATCH } from './own-machine.ts';

const COMMAND_TIMEOUT_MS = 60_000;

export class DockerNode {
  readonly host: Host;
  readonly outside: Namespace;
  readonly #folder = join(SCRATCH, 'docker');
  #daemon: Daemon | undefined;

  private constructor(host: Host) {
    this.host = host;
    this.outside = host.addOutside();
    host.namespace.ip('route', 'add', 'default', 'via', '203.0.113.2');
  }

  /** Start the daemon and load the images. Throws Error with the end of its log when it does not come up. */
  static async start(): Promise<DockerNode> {
    const node = new DockerNode(new Host());
    try {
      mkdirSync(node.#folder, { recursive: true });
      node.#daemon = await Daemon.start({
        host: node.host.namespace,
        program: 'dockerd',
        args: node.#arguments(),
        log: join(node.#folder, 'log'),
        isReady: () => node.run('version').code === 0,
      });
      for (const archive of imageArchives()) node.must('load', '--quiet', '--input', archive);
      return node;
    } catch (error) {
      await node.remove();
      throw error;
    }
  }

  /** Run a docker command. */
  run(...args: string[]): Output {
    return run('docker', args, { env: this.#env(), timeoutMs: COMMAND_TIMEOUT_MS });
  }

  /** Run a docker command that must succeed, and give its standard output. */
  must(...args: string[]): string {
    return mustRun('docker', args, { env: this.#env(), timeoutMs: COMMAND_TIMEOUT_MS });
  }

  /** Remove every container and stop the daemon. */
  async remove(): Promise<void> {
    if (this.#daemon) {
      const containers = this.run('ps', '--all', '--quiet').stdout.split('\n').filter(Boolean);
      if (containers.length > 0) this.run('rm', '--force', '--volumes', ...containers);
      await this.#daemon.stop();
      // It leaves a mount of its own namespace behind.
      run('umount', ['--quiet', join(this.#folder, 'exec/netns/default')]);
    }
    this.host.remove();
  }

  #env(): NodeJS.ProcessEnv {
    return { ...process.env, DOCKER_HOST: `unix://${this.#folder}/d.sock`, DOCKER_CONFIG: this.#folder };
  }

  #arguments(): string[] {
    const at = (name: string): string => join(this.#folder, name);
    return [
      ...[
        '--data-root',
        at('root'),
        '--exec-root',
        at('exec'),
        '--pidfile',
        at('pid'),
        '--host',
        `unix://${at('d.sock')}`,
      ],
      ...['--storage-driver', 'overlay2', '--exec-opt', 'native.cgroupdriver=cgroupfs'],
      ...['--cgroup-parent', CgroupTree.own().path, ...oomScoreArguments(), '--bip', '10.244.10.1/24'],
    ];
  }
}

/** Until version 25 dockerd adjusts its own score, which takes CAP_SYS_RESOURCE; from 26 on it has no such option. */
function oomScoreArguments(): string[] {
  const [, major] = /version (\d+)\./.exec(mustRun('dockerd', ['--version'], { timeoutMs: COMMAND_TIMEOUT_MS })) ?? [];
  return Number(major) < 26 ? ['--oom-score-adjust', '0'] : [];
}
