// Docker's four modes and podlink's, side by side: what a container sees in each, what becomes of its published ports,
// and what is left when the container whose network it shares has gone. Prints the rows of README's table.

import * as assert from 'uvu/assert';
import type { Output } from '../harness/command.ts';
import type { Namespace } from '../harness/namespace.ts';
import { DockerNode } from '../runtimes/docker.ts';
import { BOX } from '../runtimes/image.ts';
import { HOST_ADDRESS, KubernetesNode, TARGET } from '../runtimes/kubernetes-node.ts';
import { leftSince, lookAround } from '../runtimes/leftovers.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { addressTexts, clientCommand, interfaceNames, serverCommand } from '../runtimes/probe.ts';
import { failureOf, type RuntimeMachine, runtimeCases } from '../runtimes/runtime-case.ts';

enterOwnMachine();

/** What the table tells of one mode. */
interface Row {
  readonly mode: string;
  readonly interfaces: string;
  readonly addresses: string;
  readonly publishedPort: string;
  readonly targetStops: string;
}

const CONTAINER_PORT = 80;
const HOST_PORT = 8080;
const PORTS = { portMappings: [{ container_port: CONTAINER_PORT, host_port: HOST_PORT }] };
const rows = new Map<string, readonly Row[]>();

/** Nothing is kept between the two: each starts a host and a runtime of its own, and removes them. */
const before = lookAround();
const noMachine: RuntimeMachine = {
  findLeftovers: () => leftSince(before),
  reset: async () => undefined,
  remove: async () => undefined,
};
const { test, run } = runtimeCases('modes as in Docker', async () => noMachine);

/** What a container says of its network, told by whose it is. */
function describe(links: string, addresses: string, host: Namespace, target?: readonly [string, string]) {
  const [names, ips] = [interfaceNames(links), addressTexts(addresses)];
  const isHost = names.join() === interfaceNames(host.mustRun('ip', ['-o', 'link'])).join();
  const isHosts = ips.join() === addressTexts(host.mustRun('ip', ['-o', '-4', 'addr'])).join();
  const isTarget = target && names.join() === interfaceNames(target[0]).join();
  const isTargets = target && ips.join() === addressTexts(target[1]).join();
  const own = ips.filter((ip) => ip !== '127.0.0.1/8');
  return {
    interfaces: isHost ? "the host's" : isTarget ? "the target's" : names.join(', '),
    addresses: isHosts
      ? "the host's"
      : isTargets
        ? "the target's"
        : own.length === 0
          ? '127.0.0.1'
          : `${own.length} of its own`,
  };
}

function asked(outside: Namespace, port: number, tries: number): Output {
  const [program = '', ...args] = clientCommand(HOST_ADDRESS, port, tries);
  return outside.run(program, args);
}

/** Whether an outside machine reaches a container at the host's address and the published port. */
function reachOf(outside: Namespace): string {
  return asked(outside, HOST_PORT, 15).code === 0 ? "reached at the host's address" : 'without effect';
}

/** Likewise when it must not be reached, without waiting for it. */
function deadOf(outside: Namespace): string {
  return asked(outside, HOST_PORT, 2).code === 0 ? "reached at the host's address" : 'without effect';
}

function reportOf(warning: boolean, effect: string): string {
  return effect === 'without effect' ? (warning ? 'discarded with a warning' : 'discarded') : effect;
}

async function observeDocker(): Promise<readonly Row[]> {
  const node = await DockerNode.start();
  const { host, outside } = node;
  const publish = ['--publish', `${HOST_PORT}:${CONTAINER_PORT}`];
  const start = (name: string, network: string, options: readonly string[] = publish): Output =>
    node.run(
      'run',
      '--detach',
      '--name',
      name,
      '--network',
      network,
      ...options,
      BOX,
      ...serverCommand(CONTAINER_PORT),
    );
  const must = (output: Output): Output => {
    assert.is(output.code, 0, output.stderr);
    return output;
  };
  const see = (name: string): [string, string] => [
    node.must('exec', name, 'ip', '-o', 'link'),
    node.must('exec', name, 'ip', '-o', '-4', 'addr'),
  ];
  try {
    must(start('bridged', 'bridge'));
    const bridge = { ...describe(...see('bridged'), host.namespace), publishedPort: reachOf(outside) };
    node.must('rm', '--force', 'bridged');

    const hosted = must(start('hosted', 'host'));
    const hostPort = reportOf(/Published ports are discarded/.test(hosted.stderr), deadOf(outside));
    assert.is(asked(outside, CONTAINER_PORT, 15).code, 0, 'the port it listens on is reached');
    const hostRow = { ...describe(...see('hosted'), host.namespace), publishedPort: hostPort };
    node.must('rm', '--force', 'hosted');

    must(start('lonely', 'none'));
    const none = { ...describe(...see('lonely'), host.namespace), publishedPort: reportOf(false, deadOf(outside)) };
    node.must('rm', '--force', 'lonely');

    must(start(TARGET, 'bridge', []));
    const refused = start('refused', `container:${TARGET}`);
    assert.is.not(refused.code, 0);
    assert.match(refused.stderr, /conflicting options: port publishing and the container type network mode/);
    must(node.run('run', '--detach', '--name', 'sharer', '--network', `container:${TARGET}`, BOX, 'sleep', '1000'));
    const sharing = describe(...see('sharer'), host.namespace, see(TARGET));
    node.must('stop', '--time', '0', TARGET);
    const after = describe(...see('sharer'), host.namespace);
    return [
      { mode: 'bridge', ...bridge, targetStops: '' },
      { mode: 'host', ...hostRow, targetStops: '' },
      { mode: 'container', ...sharing, publishedPort: 'refused', targetStops: `keeps ${after.interfaces}` },
      { mode: 'none', ...none, targetStops: '' },
    ];
  } finally {
    await node.remove();
  }
}

async function observePodlink(): Promise<readonly Row[]> {
  const node = await KubernetesNode.start();
  const { host, outside, cri } = node;
  const see = async (container: string): Promise<[string, string]> => [
    await node.mustExec(container, 'ip', '-o', 'link'),
    await node.mustExec(container, 'ip', '-o', '-4', 'addr'),
  ];
  try {
    const b = await cri.run('bridged', PORTS);
    const inB = await node.startServer(b, CONTAINER_PORT);
    const bridge = { ...describe(...(await see(inB)), host.namespace), publishedPort: reachOf(outside) };
    await cri.stopAndRemove(b);

    const h = await cri.run('hosted', { handler: 'host', ...PORTS });
    const inH = await node.startServer(h, CONTAINER_PORT);
    const warned = /Published ports are discarded when using host/.test(node.containerd.log);
    const hostPort = reportOf(warned, deadOf(outside));
    assert.is(asked(outside, CONTAINER_PORT, 15).code, 0, 'the port it listens on is reached');
    const hostRow = { ...describe(...(await see(inH)), host.namespace), publishedPort: hostPort };
    await cri.stopAndRemove(h);

    const n = await cri.run('lonely', { handler: 'none', ...PORTS });
    const inN = await node.startServer(n, CONTAINER_PORT);
    const none = {
      ...describe(...(await see(inN)), host.namespace),
      publishedPort: reportOf(false, deadOf(outside)),
    };
    await cri.stopAndRemove(n);

    const target = await cri.run(TARGET);
    const inTarget = await node.startServer(target, CONTAINER_PORT);
    const refused = await failureOf(cri.run('refused', { handler: 'container', ...PORTS }));
    assert.match(refused, /conflicting options: port publishing and the container type network mode/i);
    const sharer = await cri.run('sharer', { handler: 'container' });
    const inSharer = await node.startBox(sharer);
    const sharing = describe(...(await see(inSharer)), host.namespace, await see(inTarget));
    await cri.stopAndRemove(target);
    const after = describe(...(await see(inSharer)), host.namespace);
    await cri.stopAndRemove(sharer);
    return [
      { mode: 'bridge', ...bridge, targetStops: '' },
      { mode: 'host', ...hostRow, targetStops: '' },
      { mode: 'container', ...sharing, publishedPort: 'refused', targetStops: `keeps ${after.interfaces}` },
      { mode: 'none', ...none, targetStops: '' },
    ];
  } finally {
    await node.remove();
  }
}

/** What the four modes must be like: what README says of Docker's. */
const EXPECTED: readonly Row[] = [
  {
    mode: 'bridge',
    interfaces: 'eth0, lo',
    addresses: '1 of its own',
    publishedPort: "reached at the host's address",
    targetStops: '',
  },
  {
    mode: 'host',
    interfaces: "the host's",
    addresses: "the host's",
    publishedPort: 'discarded with a warning',
    targetStops: '',
  },
  {
    mode: 'container',
    interfaces: "the target's",
    addresses: "the target's",
    publishedPort: 'refused',
    targetStops: 'keeps lo',
  },
  { mode: 'none', interfaces: 'lo', addresses: '127.0.0.1', publishedPort: 'discarded', targetStops: '' },
];

for (const [name, observe] of [
  ['Docker', observeDocker],
  ['podlink under containerd', observePodlink],
] as const) {
  test(`${name}: what a container sees in each mode`, async () => {
    const seen = await observe();
    rows.set(name, seen);
    assert.equal(seen, EXPECTED);
  });
}

test("podlink's modes are Docker's", async () => {
  const [docker, podlink] = [rows.get('Docker'), rows.get('podlink under containerd')];
  assert.ok(docker && podlink, 'one of the two was not observed');
  assert.equal(podlink, docker);
  console.log('\n| mode | interfaces | addresses | a published port | the target stops |\n|---|---|---|---|---|');
  for (const row of podlink) console.log(`| ${Object.values(row).join(' | ')} |`);
});

run();
