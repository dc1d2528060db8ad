// A client of the Container Runtime Interface: what a kubelet asks of a runtime, over its Unix socket.

import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { credentials, type Client, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { CgroupTree } from './cgroup.ts';
import { BOX } from './image.ts';

/** RunPodSandbox waits for plugins, and forty of them at once for two processors. */
const CALL_TIMEOUT_MS = 90_000;
const EXEC_TIMEOUT_SECONDS = 15;
/** Kubernetes namespace of a pod that names none. */
const NAMESPACE = 'shop';

export interface PortMapping {
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
  readonly container_port: number;
  readonly host_port: number;
  readonly host_ip?: string;
}

export interface PodOptions {
  readonly namespace?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly portMappings?: readonly PortMapping[];
  /** Name of the runtime in containerd's configuration; the default one when absent. */
  readonly handler?: string;
}

/** A pod sandbox that runs. */
export interface Pod {
  readonly id: string;
  readonly name: string;
  /** What CreateContainer wants to have again. */
  readonly config: object;
}

export interface PodStatus {
  readonly state: 'SANDBOX_READY' | 'SANDBOX_NOTREADY';
  /** As the kubelet would report it; empty when the runtime knows none. */
  readonly ip: string;
  readonly additionalIps: readonly string[];
  /** Of the sandbox's process; 0 when it has ended. */
  readonly pid: number;
  /** What the runtime passed as CNI_NETNS. */
  readonly netns: string;
}

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

type Reply = Readonly<Record<string, unknown>>;
type Method = (
  request: object,
  options: { deadline: number },
  done: (error: ServiceError | null, reply: Reply) => void,
) => void;

export class CriClient {
  readonly #service: Client;

  constructor(socket: string) {
    const definition = loadSync(fileURLToPath(new URL('cri.proto', import.meta.url)), {
      keepCase: true,
      longs: Number,
      enums: String,
      defaults: true,
    });
    const { RuntimeService } = (loadPackageDefinition(definition) as unknown as ServicePackage).runtime.v1;
    this.#service = new RuntimeService(`unix://${socket}`, credentials.createInsecure());
  }

  close(): void {
    this.#service.close();
  }

  /** RunPodSandbox with a network namespace of its own. Throws Error with the runtime's words. */
  async run(name: string, options: PodOptions = {}): Promise<Pod> {
    const config = {
      metadata: { name, uid: randomUUID(), namespace: options.namespace ?? NAMESPACE, attempt: 0 },
      hostname: name,
      annotations: options.annotations ?? {},
      port_mappings: options.portMappings ?? [],
      dns_config: { servers: ['127.0.0.53'] },
      linux: { cgroup_parent: CgroupTree.own().path, security_context: { namespace_options: {} } },
    };
    const reply = await this.#call('RunPodSandbox', { config, runtime_handler: options.handler ?? '' });
    return { id: String(reply.pod_sandbox_id), name, config };
  }

  /** StopPodSandbox. Throws Error with the runtime's words. */
  async stop(pod: Pod): Promise<void> {
    await this.#call('StopPodSandbox', { pod_sandbox_id: pod.id });
  }

  /** RemovePodSandbox. Throws Error with the runtime's words. */
  async remove(pod: Pod): Promise<void> {
    await this.#call('RemovePodSandbox', { pod_sandbox_id: pod.id });
  }

  /** Both, as the kubelet does when a pod is deleted. */
  async stopAndRemove(pod: Pod): Promise<void> {
    await this.stop(pod);
    await this.remove(pod);
  }

  async status(pod: Pod): Promise<PodStatus> {
    const reply = (await this.#call('PodSandboxStatus', { pod_sandbox_id: pod.id, verbose: true })) as unknown as {
      status: { state: PodStatus['state']; network: { ip: string; additional_ips: { ip: string }[] } | null };
      info: { info: string };
    };
    const info = JSON.parse(reply.info.info) as {
      pid?: number;
      runtimeSpec?: { linux: { namespaces: { type: string; path?: string }[] } };
    };
    return {
      state: reply.status.state,
      ip: reply.status.network?.ip ?? '',
      additionalIps: (reply.status.network?.additional_ips ?? []).map(({ ip }) => ip),
      pid: info.pid ?? 0,
      netns: info.runtimeSpec?.linux.namespaces.find(({ type }) => type === 'network')?.path ?? '',
    };
  }

  /** The pod sandboxes the runtime knows, of whatever state. */
  async list(): Promise<string[]> {
    const { items } = (await this.#call('ListPodSandbox', {})) as { items: { id: string }[] };
    return items.map(({ id }) => id);
  }

  /** Whether the runtime says that pods can be networked: it has read a configuration. */
  async isNetworkReady(): Promise<boolean> {
    const { status } = (await this.#call('Status', {})) as {
      status: { conditions: { type: string; status: boolean }[] };
    };
    return status.conditions.some(({ type, status: isReady }) => type === 'NetworkReady' && isReady);
  }

  /** Start an app container in a pod. Returns its ID. */
  async startContainer(pod: Pod, command: readonly string[], name = 'app'): Promise<string> {
    const { container_id } = await this.#call('CreateContainer', {
      pod_sandbox_id: pod.id,
      sandbox_config: pod.config,
      config: { metadata: { name, attempt: 0 }, image: { image: BOX }, command },
    });
    await this.#call('StartContainer', { container_id });
    return String(container_id);
  }

  /** Run a program in a container to its end. */
  async exec(container: string, ...command: string[]): Promise<ExecResult> {
    const reply = await this.#call('ExecSync', {
      container_id: container,
      cmd: command,
      timeout: EXEC_TIMEOUT_SECONDS,
    });
    return { stdout: String(reply.stdout), stderr: String(reply.stderr), code: Number(reply.exit_code) };
  }

  #call(method: string, request: object): Promise<Reply> {
    const service = this.#service as unknown as Readonly<Record<string, Method>>;
    return new Promise((resolve, reject) => {
      service[method]?.(request, { deadline: Date.now() + CALL_TIMEOUT_MS }, (error, reply) => {
        if (error) reject(new Error(`${method}: ${error.details || error.message}`));
        else resolve(reply);
      });
    });
  }
}

interface ServicePackage {
  readonly runtime: {
    readonly v1: { readonly RuntimeService: new (...args: ConstructorParameters<typeof Client>) => Client };
  };
}
