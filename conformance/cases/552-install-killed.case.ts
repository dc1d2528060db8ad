// `install` and `uninstall` killed at each call that changes a directory: every plugin is the old one or the new one, none
// is missing, and the next run goes on to the same end.

import { appendFileSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { run as runProgram } from '../harness/command.ts';
import { type FolderState, stateOf } from '../harness/folder-state.ts';
import type { Host } from '../harness/host.ts';
import { strace } from '../harness/interruption.ts';
import { NO_COMMANDS } from '../harness/operator-command.ts';
import { EXECUTABLE, REFERENCE_FOLDER } from '../harness/plugin.ts';

const { test, run } = cases('install, killed');

const CALLS = ['rename', 'link', 'symlink', 'unlink'] as const;
const NAMES = ['bin/podlink', 'bin/loopback', 'bin/host-local', 'net.d/10-podlink.conflist'];

/** A node with an older podlink, stock plugins, and somebody's configuration under our name. */
function oldNode(host: Host): string {
  const node = join(host.folder, 'old');
  for (const folder of ['bin', 'net.d']) mkdirSync(join(node, folder), { recursive: true });
  copyFileSync(EXECUTABLE, join(node, 'bin/podlink'));
  appendFileSync(join(node, 'bin/podlink'), 'of another build');
  for (const name of ['loopback', 'host-local']) copyFileSync(join(REFERENCE_FOLDER, name), join(node, 'bin', name));
  writeFileSync(join(node, 'net.d/10-podlink.conflist'), '{}');
  return node;
}

type Act = (node: string, under?: readonly string[]) => ReturnType<typeof runProgram>;

const install: Act = (node, under = []) => {
  const args = ['--force', '--conf-dir', join(node, 'net.d'), '--subnet', '10.9.0.0/16'];
  return execute(under, ['install', join(node, 'bin'), ...args]);
};

const uninstall: Act = (node, under = []) =>
  execute(under, ['uninstall', join(node, 'bin'), '--conf-dir', join(node, 'net.d')]);

function execute(under: readonly string[], args: readonly string[]): ReturnType<typeof runProgram> {
  const [program = EXECUTABLE, ...rest] = [...under, EXECUTABLE, ...args];
  return runProgram(program, rest, { env: { PATH: '/usr/bin:/bin', PODLINK_RUN_DIR: '/nonexistent' } });
}

function mustEnd(act: Act, node: string): void {
  const { code, stdout, stderr } = act(node);
  assert.is(code, 0, stdout + stderr);
}

/** Kill a run at each call of each kind that changes something; a fresh copy of the node each time. */
function killAtEach(host: Host, from: string, act: Act, judge: (node: string, when: string) => void): void {
  const node = join(host.folder, 'node');
  const trace = join(host.folder, 'trace');
  const renew = () => {
    rmSync(node, { recursive: true, force: true });
    cpSync(from, node, { recursive: true, verbatimSymlinks: true });
  };
  renew();
  assert.is(act(node, strace('-e', `trace=${CALLS.join()}`, '-o', trace)).code, 0);
  const calls = [...readFileSync(trace, 'utf8').matchAll(/^\d+ +(\w+)\(.*\) += (\S+)/gm)];
  for (const call of CALLS) {
    const results = calls.filter(([, name]) => name === call).map(([, , result]) => result);
    results.forEach((result, i) => {
      if (result !== '0') return; // an unlink of what is not there
      renew();
      const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${i + 1}`, '-o', '/dev/null'];
      const { code, signal, stdout } = act(node, strace(...inject));
      assert.ok(signal === 'SIGKILL' || code === 137, `ends with ${code}: ${stdout}`);
      judge(node, `killed at ${call} ${i + 1}`);
    });
  }
  assert.ok(calls.filter(([, , result]) => result === '0').length >= 6, 'too few calls to be the whole of it');
}

function withoutManifest(state: FolderState): Record<string, string> {
  return Object.fromEntries([...state].filter(([name]) => name !== 'bin/.podlink-installed.json'));
}

test(
  'install: each plugin is the old or the new one; run again it goes on; uninstall leads back',
  NO_COMMANDS,
  (host) => {
    const from = oldNode(host);
    const before = stateOf(from);
    const reference = join(host.folder, 'reference');
    cpSync(from, reference, { recursive: true });
    mustEnd(install, reference);
    const after = stateOf(reference);
    killAtEach(host, from, install, (node, when) => {
      const state = stateOf(node);
      for (const name of NAMES) {
        const found = state.get(name) ?? 'missing';
        assert.ok([before.get(name), after.get(name)].includes(found), `${when}: ${name} is ${found}`);
      }
      const killed = join(host.folder, 'killed');
      rmSync(killed, { recursive: true, force: true });
      cpSync(node, killed, { recursive: true, verbatimSymlinks: true });
      mustEnd(install, node);
      assert.equal(withoutManifest(stateOf(node)), withoutManifest(after), `${when}: install again`);
      if (!state.has('bin/.podlink-installed.json')) return;
      mustEnd(uninstall, killed);
      // podlink was there before without being on record: it counts as installed, and goes.
      const { 'bin/podlink': _, ...others } = Object.fromEntries(before);
      assert.equal(Object.fromEntries(stateOf(killed)), others, `${when}: uninstall`);
    });
  },
);

test('uninstall: run again it goes on to the same end', NO_COMMANDS, (host) => {
  const from = oldNode(host);
  rmSync(join(from, 'bin/podlink'));
  const before = stateOf(from);
  mustEnd(install, from);
  const installed = stateOf(from);
  killAtEach(host, from, uninstall, (node, when) => {
    const state = stateOf(node);
    for (const name of ['bin/loopback', 'bin/host-local']) {
      const found = state.get(name) ?? 'missing';
      assert.ok([before.get(name), installed.get(name)].includes(found), `${when}: ${name} is ${found}`);
    }
    if (state.has('bin/.podlink-installed.json')) mustEnd(uninstall, node);
    assert.equal(stateOf(node), before, when);
  });
});

run();
