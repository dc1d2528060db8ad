// A host port whose owner is gone without a DEL: who asks for it next gets it, and the late DEL takes nothing from him.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { mustSay, NO_COMMANDS, podlink } from '../harness/operator-command.ts';
import { ownedElementsOf } from '../harness/owned-element.ts';
import { refusalOf, resultOf } from '../harness/verdict.ts';
import { addWholePod, checkWholePod, delWholePod, invokeWhole, podOf } from '../harness/whole-chain.ts';

const { test, run } = cases('host ports of containers that are gone');

const OURS: Reference = { absent: 'a refusal of taken ports' };
const PORTS = [
  { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
  ...[8000, 8001, 8002].map((port) => ({ hostPort: port, containerPort: port, protocol: 'tcp' })),
];

function network(host: Host, portMappings: readonly object[] = PORTS, more: Config = {}): Config {
  return host.config({ isDefaultGateway: true, ipMasq: true, runtimeConfig: { portMappings }, ...more });
}

/** The host's end of a container's veth pair goes with the namespace, but the kernel takes its time. */
function removeNamespace(host: Host, container: Namespace): void {
  const isThere = (): boolean => /veth/.test(host.namespace.mustRun('ip', ['-br', 'link', 'show', 'type', 'veth']));
  container.remove();
  for (let i = 0; isThere(); i++) {
    if (i === 200) throw new Error('The interface of the removed namespace stays');
    host.namespace.mustRun('sleep', ['0.05']);
  }
}

function holdersOf(host: Host): Record<string, string> {
  const ports = ownedElementsOf(host.namespace).filter(({ set }) => /^portmap_any/.test(set));
  return Object.fromEntries(ports.map(({ key, owner }) => [key, owner]));
}

test(
  'a port of a namespace that is gone is taken over with a warning; the late DEL leaves it to the new owner',
  OURS,
  (host) => {
    const [first, container] = [addWholePod(host, network(host)), host.addContainer()];
    removeNamespace(host, first.namespace);
    const config = network(host, [
      { hostPort: 8080, containerPort: 80 },
      { hostPort: 8001, containerPort: 1 },
    ]);
    const outcome = invokeWhole(host, 'ADD', { config, container });
    const second = podOf({ config, container }, container, resultOf(outcome, config));
    assert.match(outcome.stderr, `host ports 8000-8002/tcp, 8080/tcp from container "${first.namespace.name}"`);
    assert.match(outcome.stderr, /its interface is gone/);
    const owner = `pods/${container.name}/eth0`;
    assert.equal(holdersOf(host), { 'tcp . 8080': owner, 'tcp . 8001': owner });
    checkWholePod(host, second);
    // The record of the first is there still, for its DEL.
    assert.match(mustSay(host, ['attachment', 'ls', '--no-trunc']), first.namespace.name);
    delWholePod(host, first);
    assert.equal(holdersOf(host), { 'tcp . 8080': owner, 'tcp . 8001': owner });
    checkWholePod(host, second);
  },
);

test('also where the record is gone with the namespace, or another namespace is at the path', OURS, (host) => {
  const first = addWholePod(host, network(host));
  removeNamespace(host, first.namespace);
  host.namespace.mustRun('rm', ['-r', join(host.runDir, 'attachments')]);
  const second = addWholePod(host, network(host));
  const name = second.namespace.name;
  removeNamespace(host, second.namespace);
  // As when a process ID is used again.
  const third = host.addContainer('again');
  const record = join(host.runDir, 'attachments', 'pods', `${name}.eth0.json`);
  const text = readFileSync(record, 'utf8').replaceAll(second.namespace.path, third.path);
  host.namespace.mustRun('tee', [record], { input: text });
  const fourth = addWholePod(host, network(host));
  assert.is(holdersOf(host)['tcp . 8080'], `pods/${fourth.namespace.name}/eth0`);
});

test('an owner whose path is gone, but not its namespace, keeps the port: code 11', OURS, (host) => {
  const first = addWholePod(host, network(host));
  // A process keeps the namespace alive without the path that CNI knows.
  const holder = host.namespace.mustRun('bash', [
    '-c',
    `nsenter --net=${first.namespace.path} sleep 60 >/dev/null 2>&1 & echo $!`,
  ]);
  try {
    host.namespace.mustRun('umount', [first.namespace.path]);
    const outcome = host.invoke('ADD', { config: network(host), container: host.addContainer() });
    refusalOf(outcome, 'ADD', 11, /runtime will try again/);
    assert.is(holdersOf(host)['tcp . 8080'], `pods/${first.namespace.name}/eth0`);
  } finally {
    process.kill(Number(holder.trim()));
  }
});

test('the call log names the owner, beside what the runtime was told', OURS, (host) => {
  const log = join(host.folder, 'calls.log');
  const first = addWholePod(host, network(host));
  const config = network(host, PORTS, { log });
  const outcome = host.invoke('ADD', { config, container: host.addContainer() });
  refusalOf(outcome, 'ADD', 11, /Cannot map host port/);
  const line = JSON.parse(readFileSync(log, 'utf8').trim()) as { error: { msg: string; note: string } };
  assert.match(line.error.note, `container "${first.namespace.name}"`);
  assert.not.match(line.error.msg, first.namespace.name);
});

test('attachment ls --port tells the operator who has a port', NO_COMMANDS, (host) => {
  const pod = addWholePod(host, network(host));
  addWholePod(host, network(host, [{ hostPort: 9000, containerPort: 80, protocol: 'udp' }]));
  const list = (port: string): string[] => {
    const rows = JSON.parse(mustSay(host, ['attachment', 'ls', '--port', port, '--json'])) as { containerId: string }[];
    return rows.map(({ containerId }) => containerId);
  };
  for (const port of ['8080', '8080/tcp', '8080/TCP', '8001']) assert.equal(list(port), [pod.namespace.name], port);
  for (const port of ['8080/udp', '8003', '9000/tcp']) assert.equal(list(port), [], port);
  assert.is(list('9000').length, 1);
  for (const wrong of ['0', '65536', 'http', '80/icmp', '80/tcp/x', '']) {
    assert.is(podlink(host, ['attachment', 'ls', '--port', wrong]).code, 2, wrong);
  }
});

run();
