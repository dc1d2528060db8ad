// Writes call-profile.txt anew: which functions of the bundle run when a runtime calls. No build of Podlink runs this; who
// has changed much of what an ADD does runs it, and commits what it has written.
//
// usage: npm run profile
//
// Must be run by root: it attaches containers in namespaces of its own, and takes them away again.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleMain } from './bundle.ts';
import { findFunctions, selectProfiled } from './call-profile.ts';
import { wrapBundle } from './snapshot-script.ts';

const PROFILE = join(import.meta.dirname, 'call-profile.txt');
const HEADER =
  '# The functions that calls of runtimes run. Written by "npm run profile"; call-profile.ts says what for.';

if (process.getuid?.() !== 0) {
  console.error('profile: it attaches containers, which only root may: run it as root');
  process.exit(1);
}

const folder = mkdtempSync(join(tmpdir(), 'podlink-profile-'));
const [host = '', resident = '', pod = ''] = ['host', 'pod0', 'pod1'].map(
  (part) => `podlink-profile-${process.pid}-${part}`,
);
const bundleFile = join(folder, 'podlink.cjs');
const coverageFile = join(folder, 'coverage.json');
const profiled = new Set<number>();

/** Run the bundle once. `coverage`: keep which functions ran, by where they end. */
function call(command: string, namespace: string, config: object, coverage: 'keep' | 'ignore'): void {
  const program = [process.execPath, join(import.meta.dirname, 'profiled-call.ts'), bundleFile, coverageFile];
  const input = JSON.stringify({ cniVersion: '1.1.0', name: 'profile', type: 'podlink', ...config });
  const env = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: namespace,
    CNI_NETNS: `/run/netns/${namespace}`,
    CNI_IFNAME: 'eth0',
    CNI_PATH: folder,
    PODLINK_RUN_DIR: join(folder, 'run'),
    PATH: process.env.PATH,
  };
  execFileSync('nsenter', [`--net=/run/netns/${host}`, '--', ...program], {
    input,
    env,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  if (coverage === 'keep') for (const end of JSON.parse(readFileSync(coverageFile, 'utf8'))) profiled.add(end);
}

/** A pod's network as a kubelet asks for it. */
function podNetwork(subnets: readonly string[], port: number): object {
  return {
    bridge: 'cni0',
    isDefaultGateway: true,
    hairpinMode: true,
    ipMasq: true,
    ipam: { type: 'host-local', dataDir: join(folder, 'ipam'), ranges: subnets.map((subnet) => [{ subnet }]) },
    sysctl: { 'net.core.somaxconn': '500' },
    runtimeConfig: {
      portMappings: ['tcp', 'udp'].map((protocol) => ({ hostPort: port, containerPort: 80, protocol })),
      bandwidth: { ingressRate: 80e6, ingressBurst: 8e6, egressRate: 80e6, egressBurst: 8e6 },
    },
  };
}

/** Take everything away again, whatever of it is there. */
function cleanUp(): void {
  rmSync(folder, { recursive: true, force: true });
  for (const name of [host, resident, pod]) {
    const path = `/run/netns/${name}`;
    // An ADD in host mode that was stopped leaves its mount over the namespace's, and ip takes only one off.
    while (spawnSync('umount', [path], { stdio: 'ignore' }).status === 0);
    if (existsSync(path)) spawnSync('ip', ['netns', 'del', name], { stdio: 'inherit' });
  }
}

process.on('exit', cleanUp);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));
const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'));
const bundle = await bundleMain(join(import.meta.dirname, '../..'), version);
writeFileSync(bundleFile, wrapBundle(bundle));
for (const name of [host, resident, pod]) execFileSync('ip', ['netns', 'add', name]);

for (const subnets of [['10.77.0.0/16'], ['10.77.0.0/16', 'fd00:77::/64']]) {
  // The first finds no bridge and no table, which happens once on a node.
  call('ADD', resident, podNetwork(subnets, 8080), 'ignore');
  call('ADD', pod, podNetwork(subnets, 8081), 'keep');
  call('STATUS', pod, podNetwork(subnets, 8081), 'keep');
  call('DEL', pod, podNetwork(subnets, 8081), 'keep');
  call('DEL', pod, podNetwork(subnets, 8081), 'keep');
  call('DEL', resident, podNetwork(subnets, 8080), 'ignore');
}
for (const mode of ['host', 'none']) {
  call('ADD', pod, { mode }, 'keep');
  call('DEL', pod, { mode }, 'keep');
}
call('VERSION', pod, {}, 'keep');

const functions = findFunctions(bundle);
const names = functions.flatMap(({ name, end }) => (name !== '' && profiled.has(end) ? [name] : []));
const profile = `${[HEADER, ...[...new Set(names)].sort()].join('\n')}\n`;
writeFileSync(PROFILE, profile);
const compiled = selectProfiled(bundle, profile).length;
console.log(`of ${functions.length} functions ${profiled.size} have run, and ${compiled} have one of their names`);
