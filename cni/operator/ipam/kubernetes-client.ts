// The official client of the Kubernetes API (@kubernetes/client-node), which only `install` needs, and only in a cluster.
//
// It is no part of the bundle (packed-script.ts). So it is not imported by name here, and its types are the few that are
// used of it.

import { loadScript } from '../../verbs/packed-script.ts';

export interface KubernetesClient {
  readonly KubeConfig: new () => {
    /** From the service account that is mounted into every pod; `pathPrefix` goes before its path. */
    loadFromCluster(pathPrefix?: string): void;
    makeApiClient(api: KubernetesClient['CoreV1Api']): NodeApi;
  };
  readonly CoreV1Api: new (configuration: never) => NodeApi;
}

export interface NodeApi {
  readNode(request: { name: string }): Promise<unknown>;
}

/** Takes 0.2 s. */
export async function loadKubernetesClient(): Promise<KubernetesClient> {
  return (await loadScript('kubernetes-client.cjs')) as KubernetesClient;
}
