// Sharing a namespace, called directly: the mount over CNI_NETNS comes and goes exactly once, whatever a runtime does
// between the calls, and nothing is unmounted that is not podlink's.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { mustRun } from '../harness/command.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { linksOf } from '../harness/referee.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';
import {
  ABSENT,
  addToHost,
  addToTarget,
  HOST_MODE,
  identityAt,
  mountsAt,
  type Sharer,
} from '../runtimes/sharing-fixture.ts';

enterOwnMachine();
const { test, run } = cases('sharing, called directly');
const MODES: readonly (readonly [string, (host: Host) => Sharer])[] = [
  ['host', addToHost],
  ['container', addToTarget],
];

for (const [mode, add] of MODES) {
  test(
    `${mode}: ADD puts one mount over CNI_NETNS, and DEL takes that off, however often it is called`,
    ABSENT,
    (host) => {
      const { sharer, invocation, own } = add(host);
      assert.is(mountsAt(sharer.path), 2);
      assert.is.not(identityAt(sharer.path), own);
      for (let i = 0; i < 3; i += 1) {
        mustPass(host, 'DEL', invocation);
        assert.is(mountsAt(sharer.path), 1, "the runtime's own mount stays");
        assert.is(identityAt(sharer.path), own);
      }
      mustPass(host, 'DEL', { ...invocation, netns: '' });
      assert.is(mountsAt(sharer.path), 1);
    },
  );

  test(`${mode}: DEL without CNI_NETNS takes the mount off that is on record`, ABSENT, (host) => {
    const { sharer, invocation, own } = add(host);
    mustPass(host, 'DEL', { ...invocation, netns: '' });
    assert.is(mountsAt(sharer.path), 1);
    assert.is(identityAt(sharer.path), own);
  });

  test(`${mode}: DEL with a plain file at the path succeeds and leaves it`, ABSENT, (host) => {
    const { sharer, invocation } = add(host);
    mustRun('umount', [sharer.path]);
    mustRun('umount', [sharer.path]);
    writeFileSync(sharer.path, "somebody's");
    mustPass(host, 'DEL', invocation);
    mustPass(host, 'DEL', invocation);
    assert.is(readFileSync(sharer.path, 'utf8'), "somebody's");
    rmSync(sharer.path);
    mustPass(host, 'DEL', invocation);
  });

  test(`${mode}: DEL with the file gone succeeds`, ABSENT, (host) => {
    const { sharer, invocation } = add(host);
    mustRun('umount', [sharer.path]);
    mustRun('umount', [sharer.path]);
    rmSync(sharer.path);
    mustPass(host, 'DEL', invocation);
    mustPass(host, 'DEL', invocation);
  });

  test(`${mode}: DEL leaves a mount that the runtime put over ours`, ABSENT, (host) => {
    const { sharer, invocation } = add(host);
    const other = host.addContainer('other');
    mustRun('mount', ['--bind', other.path, sharer.path]);
    mustPass(host, 'DEL', invocation);
    assert.is(mountsAt(sharer.path), 3);
    assert.is(identityAt(sharer.path), identityAt(other.path));
  });

  test(`${mode}: DEL leaves the shared namespace where it is all that is mounted`, ABSENT, (host) => {
    const { sharer, invocation } = add(host);
    const shared = identityAt(sharer.path);
    // Below ours nothing lies any more: the one mount is not the second one, so it is the runtime's.
    const kept = join(host.folder, 'kept');
    writeFileSync(kept, '');
    mustRun('mount', ['--bind', sharer.path, kept]);
    mustRun('umount', [sharer.path]);
    mustRun('umount', [sharer.path]);
    mustRun('mount', ['--bind', kept, sharer.path]);
    mustRun('umount', [kept]);
    mustPass(host, 'DEL', invocation);
    assert.is(mountsAt(sharer.path), 1);
    assert.is(identityAt(sharer.path), shared);
  });

  test(`${mode}: a second ADD is refused and stacks nothing`, ABSENT, (host) => {
    const { sharer, invocation, own } = add(host);
    mustRefuse(host, 'ADD', invocation, 102, /attached already/);
    assert.is(mountsAt(sharer.path), 2);
    mustPass(host, 'DEL', invocation);
    assert.is(identityAt(sharer.path), own);
  });

  test(
    `${mode}: an ADD under another network, where the shared namespace is to be seen already, is refused`,
    ABSENT,
    (host) => {
      const { sharer, invocation } = add(host);
      const config = { ...(invocation.config as Config), name: 'second' };
      mustRefuse(host, 'ADD', { ...invocation, config }, 102, /in a shared namespace already/);
      assert.is(mountsAt(sharer.path), 2);
      mustPass(host, 'DEL', invocation);
      assert.is(mountsAt(sharer.path), 1);
    },
  );

  test(`${mode}: CNI_NETNS that nothing is mounted on is refused`, ABSENT, async (host) => {
    const { invocation } = add(host);
    const other = host.addContainer('other');
    const before = host.snapshot();
    const child = spawn('nsenter', [...other.enterArgs(), 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      child.stdin.write('inside');
      await once(child.stdout, 'data');
      const refused = { ...invocation, container: other, netns: `/proc/${child.pid}/ns/net` };
      mustRefuse(host, 'ADD', refused, 4, /is not a mounted namespace file/);
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    mustBeEmpty(host.changesSince(before), 'changed');
  });

  test(`${mode}: nothing in the shared namespace changes`, ABSENT, (host) => {
    host.addOutside();
    const { invocation } = add(host);
    const during = host.snapshot().filter((line) => !/^(file|folder|sharer) /.test(line));
    mustPass(host, 'DEL', invocation);
    const after = host.snapshot().filter((line) => !/^(file|folder|sharer) /.test(line));
    assert.equal(during, after);
  });

  test(`${mode}: CHECK passes, and tells when the mount is gone`, ABSENT, (host) => {
    const { sharer, invocation, result } = add(host);
    const checked = { ...invocation, config: withPrevResult(invocation.config as Config, result) };
    mustPass(host, 'CHECK', checked);
    mustRun('umount', [sharer.path]);
    mustRefuse(host, 'CHECK', checked, 101, /does not show the/);
  });
}

test('the record is written before the mount is made', ABSENT, (host) => {
  const sharer = host.addContainer('sharer');
  const trace = join(host.folder, 'trace');
  const under = ['strace', '-f', '-qq', '-e', 'trace=mount,rename,renameat,renameat2', '-o', trace];
  mustAdd(host, { config: HOST_MODE, container: sharer, under });
  const calls = readFileSync(trace, 'utf8')
    .split('\n')
    .flatMap((line) => /\b(mount|rename)\w*\(/.exec(line)?.[1] ?? []);
  // As `adding` first, and completed at the end.
  assert.equal(calls, ['rename', 'mount', 'rename']);
  mustPass(host, 'DEL', { config: HOST_MODE, container: sharer });
});

test('container: CHECK says that the target is gone', ABSENT, (host) => {
  const { invocation, result, target, targetInvocation } = addToTarget(host);
  mustPass(host, 'DEL', targetInvocation);
  const checked = { ...invocation, config: withPrevResult(invocation.config as Config, result) };
  const { msg } = mustRefuse(host, 'CHECK', checked, 101, new RegExp(`Target "container:${target.name}"`, 'i'));
  assert.match(msg, /gone|not there/);
  mustPass(host, 'DEL', invocation);
});

test("container: the target's DEL does not mind that somebody shares it", ABSENT, (host) => {
  const { sharer, targetInvocation, target } = addToTarget(host);
  mustPass(host, 'DEL', targetInvocation);
  mustPass(host, 'DEL', targetInvocation);
  const left = linksOf(sharer).map(({ ifname }) => ifname);
  assert.equal(left, ['lo']);
  assert.is(identityAt(sharer.path), identityAt(target.path));
});

test('container: another network gives no interface to one that runs in the namespace of another', ABSENT, (host) => {
  const { sharer, invocation, target } = addToTarget(host);
  const second = { config: host.config({ name: 'second', bridge: 'cni1' }), container: sharer, ifname: 'net1' };
  const before = linksOf(target).map(({ ifname }) => ifname);
  mustRefuse(host, 'ADD', second, 102, /runs in the network namespace of "container:.*", in which nothing is changed/);
  assert.equal(
    linksOf(target).map(({ ifname }) => ifname),
    before,
  );
  mustPass(host, 'DEL', invocation);
  mustAdd(host, second);
  mustPass(host, 'DEL', second);
});

run();
