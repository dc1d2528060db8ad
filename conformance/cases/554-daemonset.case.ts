// The DaemonSet's manifest is whole, and its init container, run as written there in a root with podlink alone, asks the
// Kubernetes API for the addresses of the node's pods.

import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { KubernetesApi, type Nodes } from '../harness/kubernetes-api.ts';
import { EXECUTABLE } from '../harness/plugin.ts';

const { test, run } = cases('DaemonSet');

const NO_MANIFEST = { absent: 'a manifest of this kind' } as const;
const MANIFEST = fileURLToPath(new URL('../../cni/operator/install/daemonset.yaml', import.meta.url));

interface Named {
  readonly name: string;
}
interface Container extends Named {
  readonly resources: { readonly limits?: { readonly memory?: string } };
  readonly args: readonly string[];
  readonly env: readonly (Named & { valueFrom: { fieldRef: { fieldPath: string } } })[];
  readonly volumeMounts: readonly (Named & { mountPath: string })[];
}
interface PodSpec {
  readonly serviceAccountName: string;
  readonly hostNetwork: boolean;
  readonly tolerations: readonly object[];
  readonly automountServiceAccountToken: boolean;
  readonly securityContext: object;
  readonly initContainers: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly (Named & { hostPath?: { path: string }; projected?: { sources: readonly object[] } })[];
}
interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly object[];
  readonly roleRef?: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly object[];
  readonly spec?: { selector: { matchLabels: object }; template: { metadata: { labels: object }; spec: PodSpec } };
}

/** The manifests in the file, by kind. */
function readManifests(): ReadonlyMap<string, Manifest> {
  // Its types are TypeScript's own affair; what is used of it is one function.
  const { loadAllYaml } = createRequire(import.meta.url)('@kubernetes/client-node') as {
    loadAllYaml(text: string): unknown[];
  };
  // As plain objects: it makes them of classes of its own.
  const manifests = JSON.parse(JSON.stringify(loadAllYaml(readFileSync(MANIFEST, 'utf8')))) as Manifest[];
  return new Map(manifests.map((manifest) => [manifest.kind, manifest]));
}

function podSpec(): PodSpec {
  const spec = readManifests().get('DaemonSet')?.spec;
  assert.ok(spec);
  assert.equal(spec.selector.matchLabels, spec.template.metadata.labels);
  return spec.template.spec;
}

function installer(): Container {
  const [container] = podSpec().initContainers;
  assert.ok(container);
  return container;
}

test('its parts fit together', NO_MANIFEST, () => {
  const manifests = readManifests();
  assert.equal([...manifests.keys()], ['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'DaemonSet']);
  const { serviceAccountName, hostNetwork, tolerations, volumes } = podSpec();
  const account = manifests.get('ServiceAccount')?.metadata;
  assert.equal(account, { name: serviceAccountName, namespace: manifests.get('DaemonSet')?.metadata.namespace });
  assert.equal(manifests.get('ClusterRole')?.rules, [{ apiGroups: [''], resources: ['nodes'], verbs: ['get'] }]);
  const binding = manifests.get('ClusterRoleBinding');
  assert.is(binding?.roleRef?.name, manifests.get('ClusterRole')?.metadata.name);
  assert.equal(binding?.subjects, [{ kind: 'ServiceAccount', ...account }]);
  assert.is(hostNetwork, true, 'there is no other network yet');
  assert.equal(tolerations, [{ operator: 'Exists' }]);

  const { args, env, volumeMounts } = installer();
  assert.equal(env, [{ name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }]);
  const pathOf = (mounted: string) => {
    const name = volumeMounts.find(({ mountPath }) => mountPath === mounted)?.name;
    return volumes.find((volume) => volume.name === name)?.hostPath?.path;
  };
  assert.is(pathOf(args[0] ?? ''), '/opt/cni/bin');
  assert.is(pathOf(args[args.indexOf('--conf-dir') + 1] ?? ''), '/etc/cni/net.d');
});

test('only the init container has a token, and every container has limits and a seccomp profile', NO_MANIFEST, () => {
  const spec = podSpec();
  assert.is(spec.automountServiceAccountToken, false);
  assert.equal(spec.securityContext, { seccompProfile: { type: 'RuntimeDefault' } });
  const account = readManifests().get('ServiceAccount') as { automountServiceAccountToken?: boolean };
  assert.is(account.automountServiceAccountToken, false);
  const token = spec.volumes.find(({ projected }) => projected);
  const places = (containers: readonly Container[]) =>
    containers.flatMap(({ volumeMounts = [] }) =>
      volumeMounts.filter(({ name }) => name === token?.name).map(({ mountPath }) => mountPath),
    );
  assert.equal(places(spec.initContainers), ['/var/run/secrets/kubernetes.io/serviceaccount']);
  assert.equal(places(spec.containers), []);
  const names = token?.projected?.sources.flatMap((source) => Object.keys(source));
  assert.equal(names, ['serviceAccountToken', 'configMap', 'downwardAPI']);
  for (const { resources } of [...spec.initContainers, ...spec.containers]) assert.ok(resources.limits?.memory);
});

const NODES: Nodes = {
  'node-1': {
    status: 200,
    body: { kind: 'Node', spec: { podCIDR: '10.9.3.0/24', podCIDRs: ['10.9.3.0/24', 'fd00:9:3::/64'] } },
  },
  bare: { status: 200, body: { kind: 'Node', spec: {} } },
  strange: { status: 200, body: { kind: 'Node', spec: { podCIDRs: ['10.9.3.0'] } } },
  forbidden: { status: 403, body: { kind: 'Status', code: 403 } },
  broken: { status: 500, body: { kind: 'Status', code: 500 } },
};

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run the init container in a root of its own with podlink in it. The API has to answer meanwhile, so nothing waits here. */
function runInitContainer(root: string, env: Record<string, string>): Promise<Ended> {
  const { args, volumeMounts } = installer();
  for (const { mountPath } of volumeMounts) mkdirSync(join(root, mountPath), { recursive: true });
  mkdirSync(join(root, 'proc'), { recursive: true });
  if (!existsSync(join(root, 'podlink'))) copyFileSync(EXECUTABLE, join(root, 'podlink'));
  const enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';
  const words = ['--mount', '--pid', '--fork', '--', 'sh', '-c', enter, root, '/podlink', 'install', ...args];
  return new Promise((resolve, reject) => {
    const child = spawn('unshare', words, {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

async function withApi(host: Host, body: (api: KubernetesApi, root: string) => Promise<void>): Promise<void> {
  const api = await KubernetesApi.start(host.folder, NODES);
  try {
    await body(api, join(host.folder, 'root'));
  } finally {
    await api.stop();
  }
}

test("its init container installs podlink and the node's own addresses, and does so once", NO_MANIFEST, (host) =>
  withApi(host, async (api, root) => {
    api.mountAccount(root);
    const { code, stdout, stderr } = await runInitContainer(root, { ...api.env, NODE_NAME: 'node-1' });
    assert.is(code, 0, stdout + stderr);
    assert.equal(api.requests, ['GET /api/v1/nodes/node-1']);
    const path = join(root, 'host/etc/cni/net.d/10-podlink.conflist');
    const { plugins } = JSON.parse(readFileSync(path, 'utf8')) as { plugins: { ipam: { ranges: object } }[] };
    assert.equal(plugins[0]?.ipam.ranges, [[{ subnet: '10.9.3.0/24' }], [{ subnet: 'fd00:9:3::/64' }]]);
    const again = await runInitContainer(root, { ...api.env, NODE_NAME: 'node-1' });
    assert.match(again.stdout, /already installed/, again.stderr);
  }),
);

const REFUSALS: readonly (readonly [nodeName: string | undefined, says: RegExp])[] = [
  [undefined, /NODE_NAME is not set.*spec\.nodeName/],
  ['absent', /Cannot read node "absent" from the Kubernetes API: there is no such node \(HTTP 404\)/],
  ['forbidden', /the service account may not: it needs "get" on "nodes".*HTTP 403/],
  ['broken', /HTTP 500/],
  ['bare', /node "bare" has no pod CIDR: .*--allocate-node-cidrs/],
  ['strange', /"10\.9\.3\.0": must be in CIDR notation/],
];
test('what the API does not tell is said, and nothing is installed', NO_MANIFEST, (host) =>
  withApi(host, async (api, root) => {
    api.mountAccount(root);
    for (const [name, says] of REFUSALS) {
      const env = { ...api.env, ...(name === undefined ? {} : { NODE_NAME: name }) };
      const { code, stdout, stderr } = await runInitContainer(root, env);
      assert.is.not(code, 0, stdout);
      assert.match(stderr, says);
      assert.is(stderr.trim().split('\n').length, 1, stderr);
    }
    api.mountAccount(root, 'of somebody else');
    const stranger = await runInitContainer(root, { ...api.env, NODE_NAME: 'node-1' });
    assert.match(stranger.stderr, /the service account is not accepted \(HTTP 401\)/);
    const env = { ...api.env, NODE_NAME: 'node-1' };
    await api.stop();
    assert.match((await runInitContainer(root, env)).stderr, /Cannot read node "node-1".*ECONNREFUSED/);
    assert.not(existsSync(join(root, 'host/opt/cni/bin/podlink')));
  }),
);

test('without a service account it says what is missing', NO_MANIFEST, (host) =>
  withApi(host, async (api, root) => {
    const { code, stderr } = await runInitContainer(root, { ...api.env, NODE_NAME: 'node-1' });
    assert.is(code, 1);
    assert.match(stderr, /Cannot read node "node-1".*serviceaccount/);
  }),
);

run();
