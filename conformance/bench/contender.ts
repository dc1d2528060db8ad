// Who is measured: a host of its own, pods on it, and the calls that attach them and take them off again.
//
// The pods' namespaces are made once and used in every round: the kernel is still busy for a while after one is removed.
// One pod stays attached throughout, so that every ADD finds a bridge with a port, and rules.

import { join } from 'node:path';
import type { Config } from '../harness/document.ts';
import { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { EXECUTABLE, REFERENCE_FOLDER } from '../harness/plugin.ts';
import { SCRATCH } from '../runtimes/own-machine.ts';
import type { Batch, Call, Ending, Sequence } from './call.ts';
import { Caller } from './caller.ts';
import { CNI_VERSION, NETWORK, type Task } from './network.ts';

export interface BenchPod {
  /** 0 is the one that stays. */
  readonly slot: number;
  readonly container: Namespace;
  /** New for every attachment. */
  readonly id: string;
}

/** The calls of one contender. */
export interface Protocol {
  attach(host: Host, pod: BenchPod): Sequence;
  /** `result`: what the last call of attach() printed. */
  detach(host: Host, pod: BenchPod, result: unknown): Sequence;
}

interface AttachedPod extends BenchPod {
  readonly result: unknown;
}

export class Contender {
  readonly name: string;
  readonly host: Host;
  readonly #caller: Caller;
  readonly #protocol: Protocol;
  readonly #containers: Namespace[] = [];
  #attached: readonly AttachedPod[] = [];
  #round = 0;

  private constructor(name: string, host: Host, caller: Caller, protocol: Protocol) {
    this.name = name;
    this.host = host;
    this.#caller = caller;
    this.#protocol = protocol;
  }

  /** Make a host with one pod, which stays. Throws Error when that cannot be attached. */
  static async start(name: string, protocol: Protocol): Promise<Contender> {
    // The records of attachments belong to /run, which is memory on a node; reservations stay on the disk.
    const host = new Host({ runBelow: join(SCRATCH, 'run') });
    let caller: Caller | undefined;
    try {
      caller = await Caller.start(host.namespace);
      const contender = new Contender(name, host, caller, protocol);
      await contender.#attachResident();
      return contender;
    } catch (error) {
      await caller?.stop();
      host.remove();
      throw error;
    }
  }

  /** The pod that stays. */
  get resident(): BenchPod {
    const container = this.#container(0);
    return { slot: 0, container, id: container.name };
  }

  async #attachResident(): Promise<void> {
    const batch = await this.#caller.run([this.#protocol.attach(this.host, this.resident)]);
    this.#mustSucceed('attach its first pod', batch);
  }

  /** Attach `count` pods, all at once. Throws Error when one fails, unless that may be. */
  async attach(count = 1, options: { mayFail?: boolean } = {}): Promise<Batch> {
    this.#round++;
    const pods = Array.from({ length: count }, (_, i): BenchPod => {
      const container = this.#container(i + 1);
      return { slot: i + 1, container, id: `${container.name}-${this.#round}` };
    });
    const batch = await this.#caller.run(pods.map((pod) => this.#protocol.attach(this.host, pod)));
    if (!options.mayFail) this.#mustSucceed('attach a pod', batch);
    this.#attached = pods.map((pod, i) => ({ ...pod, result: resultOf(batch.endings[i]) }));
    return batch;
  }

  /** Take off the pods that attach() has attached, or failed to. */
  async detach(options: { mayFail?: boolean } = {}): Promise<Batch> {
    const batch = await this.#caller.run(
      this.#attached.map((pod) => this.#protocol.detach(this.host, pod, pod.result)),
    );
    this.#attached = [];
    if (!options.mayFail) this.#mustSucceed('take a pod off', batch);
    return batch;
  }

  async remove(): Promise<void> {
    await this.#caller.stop();
    this.host.remove();
  }

  #container(slot: number): Namespace {
    const known = this.#containers[slot];
    if (known) return known;
    const made = this.host.addContainer(`pod${slot}`);
    this.#containers[slot] = made;
    return made;
  }

  #mustSucceed(what: string, { endings }: Batch): void {
    const failures = endings.flatMap(({ failure }) => failure ?? []);
    if (failures.length > 0) throw new Error(`${this.name} cannot ${what}: ${failures.join('\n')}`);
  }
}

function resultOf(ending: Ending | undefined): unknown {
  return ending === undefined || ending.failure !== undefined ? undefined : JSON.parse(ending.stdout);
}

export interface PodlinkOptions {
  /** Variables on top. */
  readonly env?: Readonly<Record<string, string>>;
  /** Another build than the one in dist. */
  readonly program?: string;
}

/** podlink, one call for all of it. */
export function podlink(task: Pick<Task, 'ours'>, { env = {}, program = EXECUTABLE }: PodlinkOptions = {}): Protocol {
  return cni(
    (host, slot) => [task.ours(host, slot)],
    () => program,
    (host) => ({ PODLINK_RUN_DIR: host.runDir, ...env }),
  );
}

/** The reference plugins, called one after the other as libcni does. */
export function reference(task: Task): Protocol {
  return cni(
    (host, slot) => task.reference(host, slot),
    ({ type = '' }) => join(REFERENCE_FOLDER, type),
    // The IPAM plugin is looked for in the one, iptables in the other.
    () => ({ CNI_PATH: REFERENCE_FOLDER, PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }),
  );
}

function cni(
  configsOf: (host: Host, slot: number) => readonly Config[],
  programOf: (config: Config) => string,
  envOf: (host: Host) => Readonly<Record<string, string>>,
): Protocol {
  const callOf =
    (command: string, host: Host, pod: BenchPod, more: object = {}) =>
    (config: Config): Call => ({
      program: programOf(config),
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: pod.id,
        CNI_NETNS: pod.container.path,
        CNI_IFNAME: 'eth0',
        CNI_PATH: host.pluginFolder,
        ...envOf(host),
      },
      input: { cniVersion: CNI_VERSION, name: NETWORK, ...config, ...more },
    });
  return {
    attach: (host, pod) => ({
      calls: configsOf(host, pod.slot).map(callOf('ADD', host, pod)),
      handsOn: true,
    }),
    // In the opposite order, each with what the whole chain gave.
    detach: (host, pod, prevResult) => ({
      calls: configsOf(host, pod.slot)
        .toReversed()
        .map(callOf('DEL', host, pod, prevResult === undefined ? {} : { prevResult })),
      handsOn: false,
    }),
  };
}
