// VERSION: answered by whatever name it is run as, whatever is on standard input, and without touching anything.

import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases } from '../harness/case.ts';
import { run as runProgram } from '../harness/command.ts';
import type { Outcome } from '../harness/host.ts';
import { AGAINST_REFERENCE, EXECUTABLE, ROLES } from '../harness/plugin.ts';
import { mustBeEmpty } from '../harness/verdict.ts';

const { test, run } = cases('the verb VERSION', { shared: true });

const OURS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];
/** What the reference of Debian lacks is the newest. */
const VERSIONS = AGAINST_REFERENCE ? OURS.slice(0, -1) : OURS;
const NEWEST = AGAINST_REFERENCE ? '1.0.0' : '1.1.0';

function mustAnswer(outcome: Outcome, cniVersion: string): void {
  assert.is(outcome.code, 0, `VERSION fails: ${outcome.stdout}${outcome.stderr}`);
  assert.is(outcome.stderr, '', 'VERSION prints on stderr');
  assert.equal(JSON.parse(outcome.stdout), { cniVersion, supportedVersions: VERSIONS });
}

const ECHO = {
  differs: 'the specification wants the version of the input; the reference always answers in its newest',
  seen: /cniVersion/,
} as const;

test('VERSION answers in the version of its input, for each there is', ECHO, (host) => {
  const before = host.snapshot();
  for (const cniVersion of OURS) mustAnswer(host.invoke('VERSION', { config: { cniVersion } }), cniVersion);
  mustBeEmpty(host.changesSince(before), 'changed by VERSION');
});

for (const role of ROLES.keys()) {
  test(`VERSION is answered as ${role}`, 'same', (host) => {
    mustAnswer(host.invoke('VERSION', { config: { cniVersion: NEWEST }, program: role }), NEWEST);
  });
}

test('VERSION is answered whatever is on standard input', 'same', (host) => {
  const inputs = ['', '{', '[]', 'null', '"1.0.0"', '{"cniVersion":7}', '{"cniVersion":"9.9.9"}', '\u0000\ufffd', '{}'];
  for (const config of inputs) mustAnswer(host.invoke('VERSION', { config }), NEWEST);
});

test('VERSION is answered with standard input closed', 'same', (host) => {
  const program = join(host.pluginFolder, AGAINST_REFERENCE ? 'bridge' : 'podlink');
  const env = { CNI_COMMAND: 'VERSION', PODLINK_RUN_DIR: host.runDir };
  const closed = runProgram('sh', ['-c', `exec "${program}" <&-`], { env: { ...env, PATH: '/usr/bin:/bin' } });
  mustAnswer({ ...closed, json: undefined }, NEWEST);
});

test('VERSION is answered while nothing comes on standard input and nobody closes it', 'same', (host) => {
  const program = join(host.pluginFolder, AGAINST_REFERENCE ? 'bridge' : 'podlink');
  const env = { CNI_COMMAND: 'VERSION', PODLINK_RUN_DIR: host.runDir, PATH: '/usr/bin:/bin' };
  const fifo = join(host.folder, 'never-closed');
  const open = runProgram('sh', ['-c', `mkfifo "${fifo}"; exec 3<>"${fifo}"; exec "${program}" <&3`], { env });
  mustAnswer({ ...open, json: undefined }, NEWEST);
  assert.ok(open.ms < 5000, `took ${open.ms} ms`);
});

test('VERSION needs no other variable, and minds none', 'same', (host) => {
  for (const env of [
    { CNI_PATH: undefined },
    { CNI_NETNS: 'dummy', CNI_IFNAME: 'dummy', CNI_PATH: 'dummy' },
    { CNI_CONTAINERID: '../x', CNI_NETNS: 'relative', CNI_IFNAME: 'a/b', CNI_ARGS: ';;=' },
  ])
    mustAnswer(host.invoke('VERSION', { config: { cniVersion: NEWEST }, env }), NEWEST);
});

test('a copy under another name answers too', { absent: 'one executable for several roles' }, (host) => {
  copyFileSync(EXECUTABLE, join(host.pluginFolder, 'renamed'));
  mustAnswer(host.invoke('VERSION', { config: { cniVersion: '1.0.0' }, program: 'renamed' }), '1.0.0');
});

test('VERSION makes no file', 'same', (host) => {
  mustAnswer(host.invoke('VERSION', { config: { cniVersion: NEWEST } }), NEWEST);
  assert.not.ok(existsSync(host.runDir));
  assert.not.ok(existsSync(host.dataDir));
});

test('a signal that comes while input is awaited does not end a call', {
  absent: 'a runtime whose signals matter',
}, (host) => {
  const program = join(host.pluginFolder, 'podlink');
  const fifo = join(host.folder, 'input');
  // SIGUSR1: Node handles it, and without SA_RESTART.
  const script = `mkfifo "${fifo}"
"${program}" < "${fifo}" & pid=$!
exec 4> "${fifo}"
sleep 0.5; kill -USR1 $pid; sleep 0.2
cat >&4; exec 4>&-; wait $pid`;
  const { code, stdout } = host.namespace.run('sh', ['-c', script], {
    input: JSON.stringify(host.config({ cniVersion: '1.1.0' })),
    env: { CNI_COMMAND: 'STATUS', CNI_PATH: host.pluginFolder, PODLINK_RUN_DIR: host.runDir, PATH: '/usr/bin:/bin' },
  });
  assert.is(code, 0, stdout);
});

run();
