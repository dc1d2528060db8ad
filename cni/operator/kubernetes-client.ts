// The official client of the Kubernetes API (@kubernetes/client-node), which only `install` needs, and only in a cluster.
//
// It is no part of the bundle: in the startup snapshot it would make every call of a runtime 16 ms longer (imported as a
// whole, 48). It lies in the executable as an asset, a script of its own that nobody reads until it is asked for, which
// costs no call anything. So it is not imported by name here, and its types are the few that are used of it.

/** The name of the asset; build.mjs puts it there. */
const ASSET = 'kubernetes-client.cjs';
const PACKAGE: string = '@kubernetes/client-node';

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

/** From the executable, or from node_modules when run from source. Takes 0.2 s. */
export async function loadKubernetesClient(): Promise<KubernetesClient> {
  const sea = process.getBuiltinModule('node:sea');
  if (!sea.isSea()) return (await import(PACKAGE)) as KubernetesClient;
  const { compileFunction } = process.getBuiltinModule('node:vm');
  const script = compileFunction(sea.getAsset(ASSET, 'utf8'), ['module', 'exports', 'require'], { filename: ASSET });
  const module = { exports: {} };
  script(module, module.exports, requireBuiltin);
  return module.exports as KubernetesClient;
}

/** What the script does without where it is not there (native helpers of its WebSockets), it asks for in a `try`. */
function requireBuiltin(name: string): object {
  const module = process.getBuiltinModule(name);
  if (module === undefined) throw new Error(`There is no module "${name}"`);
  return module;
}
