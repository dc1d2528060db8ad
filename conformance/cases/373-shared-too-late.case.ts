// Mode host or container where the mount over CNI_NETNS comes too late or cannot be used: a process is in the namespace
// already, or the container has a user namespace of its own. Refused before anything changes.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { mustRun, run as runCommand } from '../harness/command.ts';
import type { Config } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse } from '../harness/verdict.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import { ABSENT, containerMode, HOST_MODE, identityAt, mountsAt } from '../runtimes/sharing-fixture.ts';

enterOwnMachine();
const { test, run } = cases('a shared namespace that comes too late');

/** Start a program that waits, and wait until it runs. */
async function startWaiting(program: string, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(program, [...args, 'sh', '-c', 'echo runs; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** A namespace file as a runtime makes it, for the network namespace of a user namespace of its own. */
interface UserContainer {
  readonly path: string;
  readonly init: ChildProcess;
  remove(): Promise<void>;
}

async function startUserContainer(host: Host, name: string): Promise<UserContainer> {
  const init = await startWaiting('unshare', ['--user', '--net', '--map-root-user']);
  const path = join(host.folder, name);
  writeFileSync(path, '');
  mustRun('mount', ['--bind', `/proc/${init.pid}/ns/net`, path]);
  return {
    path,
    init,
    async remove() {
      if (init.exitCode === null && init.signalCode === null) await end(init);
      while (mountsAt(path) > 0) mustRun('umount', ['--lazy', path]);
    },
  };
}

/** The network of a mode, and a target for it. */
function networkOf(host: Host, mode: string): Config {
  if (mode === 'host') return HOST_MODE;
  const target = host.addContainer('target');
  mustAdd(host, { config: host.config(), container: target });
  return containerMode(`container:${target.name}`);
}

function mustStayAlone(host: Host, invocation: Invocation, code: number, reason: RegExp): void {
  const path = invocation.netns ?? invocation.container?.path ?? '';
  const [own, before] = [identityAt(path), host.snapshot()];
  mustRefuse(host, 'ADD', invocation, code, reason);
  assert.is(mountsAt(path), 1, 'nothing is mounted');
  assert.is(identityAt(path), own);
  mustBeEmpty(host.leftSince(before), 'changed');
  mustPass(host, 'DEL', invocation);
}

for (const mode of ['host', 'container']) {
  test(`${mode}: a process that is in the namespace already is named, and refused`, ABSENT, async (host) => {
    const config = networkOf(host, mode);
    const container = host.addContainer('inhabited');
    const child = await startWaiting('nsenter', container.enterArgs());
    try {
      const reason = new RegExp(`process ${child.pid} \\(cat\\) is in the namespace of ".*" already`);
      mustStayAlone(host, { config, container }, 4, reason);
    } finally {
      await end(child);
    }
    mustAdd(host, { config, container });
    mustPass(host, 'DEL', { config, container });
  });

  test(
    `${mode}: a user namespace of the container's own is refused, with or without a process in it`,
    ABSENT,
    async (host) => {
      const config = networkOf(host, mode);
      const user = await startUserContainer(host, 'user');
      try {
        const invocation = { config, containerId: 'user', netns: user.path };
        mustStayAlone(host, invocation, 7, /user namespace of the container's own/);
        await end(user.init);
        mustStayAlone(host, invocation, 7, /user namespace of the container's own/);
      } finally {
        await user.remove();
      }
    },
  );
}

test('bridge and none take a container with a user namespace and a process in it', ABSENT, async (host) => {
  const user = await startUserContainer(host, 'user');
  try {
    for (const config of [host.config(), { cniVersion: '1.0.0', name: 'nones', type: 'podlink', mode: 'none' }]) {
      const invocation = { config, containerId: 'user', netns: user.path };
      mustAdd(host, invocation);
      mustPass(host, 'DEL', invocation);
    }
  } finally {
    await user.remove();
  }
});

test('container: a target with a user namespace is shared by a container without one', ABSENT, async (host) => {
  const user = await startUserContainer(host, 'user');
  const sharer = host.addContainer('sharer');
  const target = { config: host.config(), containerId: 'user', netns: user.path };
  const sharing = { config: containerMode('container:user'), container: sharer };
  try {
    mustAdd(host, target);
    mustAdd(host, sharing);
    assert.is(identityAt(sharer.path), identityAt(user.path));
    const entered = runCommand('nsenter', [`--net=${sharer.path}`, '--', 'readlink', '/proc/self/ns/net']);
    assert.is(entered.stdout.trim(), mustRun('readlink', [`/proc/${user.init.pid}/ns/net`]).trim());
    mustPass(host, 'DEL', sharing);
    mustPass(host, 'DEL', target);
  } finally {
    await user.remove();
  }
});

test('container: both with a user namespace of their own, once nothing runs in it yet', ABSENT, async (host) => {
  const [target, sharer] = [await startUserContainer(host, 'target'), await startUserContainer(host, 'sharer')];
  const attached = { config: host.config(), containerId: 'target', netns: target.path };
  const sharing = { config: containerMode('container:target'), containerId: 'sharer', netns: sharer.path };
  try {
    mustAdd(host, attached);
    // As under containerd 1.7, which starts the container before it asks for a network.
    mustStayAlone(host, sharing, 4, new RegExp(`process ${sharer.init.pid} \\(cat\\)`));
    // As under containerd 2.
    await end(sharer.init);
    mustAdd(host, sharing);
    assert.is(identityAt(sharer.path), identityAt(target.path));
    mustPass(host, 'DEL', sharing);
    mustPass(host, 'DEL', attached);
  } finally {
    await target.remove();
    await sharer.remove();
  }
});

test('a thread of the runtime that was in the namespace, and has gone, is no process in it', ABSENT, (host) => {
  const container = host.addContainer('entered');
  container.mustRun('true', []);
  mustAdd(host, { config: HOST_MODE, container });
  assert.match(readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(container.name));
  mustPass(host, 'DEL', { config: HOST_MODE, container });
});

run();
