// Podman with the CNI backend: the same modes as networks of their own.

import * as assert from 'uvu/assert';
import { BOX } from '../runtimes/image.ts';
import { HOST_ADDRESS } from '../runtimes/kubernetes-node.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { PodmanNode, runOptions } from '../runtimes/podman.ts';
import { addressTexts, clientCommand, interfaceNames, serverCommand } from '../runtimes/probe.ts';
import { runtimeCases } from '../runtimes/runtime-case.ts';

enterOwnMachine();
const PORTS = { portMappings: true };
const { test, run } = runtimeCases('podman: modes', async () => {
  const node = PodmanNode.start((host) => host.config({ isDefaultGateway: true }));
  node.setNetwork({ cniVersion: '1.0.0', name: 'hosts', type: 'podlink', mode: 'host', capabilities: PORTS });
  node.setNetwork({ cniVersion: '1.0.0', name: 'nones', type: 'podlink', mode: 'none' });
  return node;
});

/** A container in a network that serves its hostname. */
function start(node: PodmanNode, name: string, network: string, port = 8080): void {
  const options = [...runOptions(), '--name', name, '--hostname', name, '--network', network];
  node.must('run', ...options, BOX, ...serverCommand(port));
}

/** A network in container mode whose target is a container that runs. */
function setSharers(node: PodmanNode, target: string): void {
  const { Id } = node.inspect(target);
  node.setNetwork({
    cniVersion: '1.0.0',
    name: 'sharers',
    type: 'podlink',
    mode: 'container',
    capabilities: PORTS,
    target: `container:${Id}`,
  });
}

function netnsOf(node: PodmanNode, name: string): string {
  return node.exec(name, 'readlink', '/proc/self/ns/net').trim();
}

function interfacesOf(node: PodmanNode, name: string): string[] {
  return interfaceNames(node.exec(name, 'ip', '-o', 'link'));
}

function ask(node: PodmanNode, name: string, address: string, port = 8080): string {
  return node.run('exec', name, ...clientCommand(address, port)).stdout.trim();
}

function end(node: PodmanNode, ...names: string[]): void {
  for (const name of names) node.must('rm', '--force', '--time', '0', name);
}

test('bridge: two containers talk', async (node) => {
  start(node, 'a', 'pods');
  start(node, 'b', 'pods');
  const ip = node.inspect('a').NetworkSettings.Networks?.pods?.IPAddress ?? '';
  assert.match(ip, /^10\.77\.0\./);
  assert.equal(interfacesOf(node, 'b'), ['eth0', 'lo']);
  node.exec('b', 'ping', '-c', '1', '-W', '3', ip);
  assert.is(ask(node, 'b', ip), 'a');
  end(node, 'a', 'b');
});

test("host: a container runs in the host's namespace", async (node) => {
  start(node, 'h', 'hosts');
  const hostNetns = node.host.namespace.mustRun('readlink', ['/proc/self/ns/net']).trim();
  assert.is(netnsOf(node, 'h'), hostNetns);
  start(node, 'b', 'pods', 8081);
  assert.is(ask(node, 'b', HOST_ADDRESS), 'h');
  end(node, 'h', 'b');
});

test('container: two containers have one network, localhost works both ways', async (node) => {
  start(node, 'target', 'pods', 8080);
  setSharers(node, 'target');
  start(node, 'sharer', 'sharers', 8081);
  assert.is(netnsOf(node, 'sharer'), netnsOf(node, 'target'));
  assert.is(ask(node, 'sharer', '127.0.0.1', 8080), 'target');
  assert.is(ask(node, 'target', '127.0.0.1', 8081), 'sharer');
  end(node, 'sharer');
  assert.is(ask(node, 'target', '127.0.0.1', 8080), 'target', 'its lo is still up');
  end(node, 'target');
});

test('container: the target is removed first, and the sharer keeps lo alone', async (node) => {
  start(node, 'target', 'pods', 8080);
  setSharers(node, 'target');
  start(node, 'sharer', 'sharers', 8081);
  end(node, 'target');
  assert.equal(interfacesOf(node, 'sharer'), ['lo']);
  assert.is(ask(node, 'sharer', '127.0.0.1', 8081), 'sharer');
  end(node, 'sharer');
});

test('container: a target that is gone is refused with the reason', async (node) => {
  start(node, 'target', 'pods');
  setSharers(node, 'target');
  end(node, 'target');
  const output = node.run('run', ...runOptions(), '--name', 'sharer', '--network', 'sharers', BOX, 'true');
  assert.is.not(output.code, 0);
  assert.match(output.stderr, /Target "container:[0-9a-f]+" .* is not there \(yet\)/);
  node.run('rm', '--force', '--time', '0', 'sharer');
});

test('published ports are discarded in host mode and refused in container mode', async (node) => {
  const publish = [...runOptions(), '--publish', '8080:80'];
  const hosted = node.run('run', ...publish, '--name', 'h', '--network', 'hosts', BOX, ...serverCommand(8081));
  assert.is(hosted.code, 0, hosted.stderr);
  // Podman keeps a plugin's warnings to itself, and holds the host port with a socket that nobody answers on.
  assert.is(ask(node, 'h', HOST_ADDRESS, 8081), node.exec('h', 'hostname').trim());
  assert.is(node.run('exec', 'h', ...clientCommand(HOST_ADDRESS, 8080, 2)).code, 1);
  start(node, 'target', 'pods');
  setSharers(node, 'target');
  const sharer = node.run('run', ...publish, '--name', 's', '--network', 'sharers', BOX, 'true');
  assert.is.not(sharer.code, 0);
  assert.match(sharer.stderr, /Conflicting options: port publishing and the container type network mode/);
  node.run('rm', '--force', '--time', '0', 's');
  end(node, 'h', 'target');
});

test('none: a container has lo and nothing else', async (node) => {
  start(node, 'n', 'nones');
  assert.equal(interfacesOf(node, 'n'), ['lo']);
  assert.equal(addressTexts(node.exec('n', 'ip', '-o', '-4', 'addr')), ['127.0.0.1/8']);
  assert.is(ask(node, 'n', '127.0.0.1'), 'n');
  end(node, 'n');
});

test('stop and start again: each mode is attached anew', async (node) => {
  for (const [name, network] of [
    ['a', 'pods'],
    ['h', 'hosts'],
    ['n', 'nones'],
  ] as const) {
    start(node, name, network, 8090);
    const before = interfacesOf(node, name);
    node.must('stop', '--time', '0', name);
    node.must('start', name);
    assert.equal(interfacesOf(node, name), before, network);
    end(node, name);
  }
});

run();
