// The addresses that Kubernetes has given a node for its pods: spec.podCIDRs of the Node object.
// https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/
//
// Asked with the service account of the pod that `install` runs in; it needs `get` on `nodes`. Which node it is on the
// pod knows by the downward API, in NODE_NAME.

import { isObject } from '../../protocol/fields.ts';
import type { Environment } from '../../protocol/request.ts';
import { CommandError } from '../cli/command.ts';
import { loadKubernetesClient } from './kubernetes-client.ts';

const TIMEOUT_MS = 15_000;

/** Whether the process runs in a pod of a cluster: Kubernetes sets these for every container. */
export function isInCluster(env: Environment): boolean {
  return Boolean(env.KUBERNETES_SERVICE_HOST) && Boolean(env.KUBERNETES_SERVICE_PORT);
}

/** The pod CIDRs of this node, one or two. `pathPrefix`: for tests, before the path of the service account. Throws CommandError. */
export async function readPodCidrs(env: Environment, pathPrefix = ''): Promise<string[]> {
  const name = env.NODE_NAME;
  if (!name) {
    throw new CommandError(
      'NODE_NAME is not set, so the node to ask Kubernetes about is not known: set it from the field spec.nodeName, or give --subnet',
    );
  }
  const { KubeConfig, CoreV1Api } = await loadKubernetesClient();
  let node: unknown;
  try {
    const config = new KubeConfig();
    config.loadFromCluster(pathPrefix);
    node = await beforeTimeout(config.makeApiClient(CoreV1Api).readNode({ name }));
  } catch (error) {
    throw new CommandError(`Cannot read node "${name}" from the Kubernetes API: ${describe(error)}`, { cause: error });
  }
  const cidrs = podCidrsOf(node);
  if (cidrs.length > 0) return cidrs;
  throw new CommandError(
    `node "${name}" has no pod CIDR: let the controller manager allocate them (--allocate-node-cidrs), or give --subnet`,
  );
}

/** podCIDRs has one for each family; clusters before 1.16 know podCIDR only. */
export function podCidrsOf(node: unknown): string[] {
  const spec = isObject(node) && isObject(node.spec) ? node.spec : {};
  const { podCIDRs, podCIDR } = spec;
  const cidrs: unknown[] = Array.isArray(podCIDRs) && podCIDRs.length > 0 ? podCIDRs : [podCIDR];
  return cidrs.filter((cidr) => typeof cidr === 'string' && cidr !== '') as string[];
}

async function beforeTimeout<Value>(promise: Promise<Value>): Promise<Value> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer for ${TIMEOUT_MS / 1000} seconds`)), TIMEOUT_MS);
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** What is behind an HTTP status, or the reason why there was none; the client puts the whole exchange into its message. */
function describe(error: unknown): string {
  const code = isObject(error) ? error.code : undefined;
  if (code === 401) return 'the service account is not accepted (HTTP 401)';
  if (code === 403) return 'the service account may not: it needs "get" on "nodes", as in daemonset.yaml (HTTP 403)';
  if (code === 404) return 'there is no such node (HTTP 404)';
  if (typeof code === 'number') return `HTTP ${code}`;
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  return cause instanceof Error && cause.message !== '' ? `${message}: ${cause.message}` : message;
}
