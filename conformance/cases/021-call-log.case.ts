// The call log (`log`): one line of JSON for every call, and never a reason for a call to fail.

import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { addPod, checkPod, delPod } from '../harness/pod.ts';
import { mustAdd, mustPass, mustRefuse, resultOf } from '../harness/verdict.ts';

const { test, run } = cases('call log');
const ABSENT: Reference = { absent: 'a log of calls' };

interface Line {
  readonly time: string;
  readonly command: string;
  readonly network: string;
  readonly cniVersion: string;
  readonly containerId?: string;
  readonly ifname?: string;
  readonly netns?: string;
  readonly pod?: string;
  readonly ms: number;
  readonly phases: Readonly<Record<string, number>>;
  readonly error?: { readonly code: number; readonly msg: string; readonly details: string };
}

const logOf = (host: Host) => join(host.folder, 'calls.jsonl');

function network(host: Host, more: Config = {}): Config {
  return host.config({ cniVersion: '1.1.0', isDefaultGateway: true, ipMasq: true, log: logOf(host), ...more });
}

/** The log's lines. Each ends in a newline, and is one JSON object. */
function linesOf(path: string): Line[] {
  const text = readFileSync(path, 'utf8');
  assert.ok(text.endsWith('\n'), `the last line is torn: ${text}`);
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

/** The phases of a call, in their order, which must be what the time was spent on. */
function phasesOf({ phases, ms }: Line): string {
  const sum = Object.values(phases).reduce((total, each) => total + each, 0);
  for (const [name, each] of Object.entries(phases)) assert.ok(each >= 0, `phase ${name} took ${each} ms`);
  // Each is rounded to a hundredth.
  assert.ok(ms > 1 && Math.abs(sum - ms) < 0.2, `phases of ${sum} ms in a call of ${ms} ms`);
  return Object.keys(phases).join();
}

test('tells of every call what was asked for and how long its phases took', ABSENT, (host) => {
  const config = network(host);
  const args = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart';
  const started = Date.now();
  const pod = addPod(host, config, { args });
  checkPod(host, pod);
  mustPass(host, 'STATUS', { config });
  mustPass(host, 'GC', {
    config: { ...config, 'cni.dev/valid-attachments': [{ containerID: pod.namespace.name, ifname: 'eth0' }] },
  });
  delPod(host, pod);

  const lines = linesOf(logOf(host));
  assert.equal(
    lines.map(({ command }) => command),
    ['ADD', 'CHECK', 'STATUS', 'GC', 'DEL'],
  );
  const phases = lines.map(phasesOf);
  for (const each of phases) assert.match(each, /^start,parse,(.*,)?print$/);
  assert.match(phases[0] ?? '', /,plan,record,ipam,(.*,)?mode,(.*,)?nft,(.*,)?record again,/);
  assert.match(phases[4] ?? '', /,find,(.*,)?link,(.*,)?ipam,/);
  for (const { command, time, network: name, cniVersion, error, ms, phases: _, ...attachment } of lines) {
    assert.equal([name, cniVersion, error], ['pods', '1.1.0', undefined], command);
    assert.ok(Date.parse(time) >= started && Date.parse(time) <= Date.now(), `time ${time}`);
    const known = { containerId: pod.namespace.name, ifname: 'eth0', netns: pod.namespace.path, pod: 'shop/cart' };
    assert.equal(attachment, ['STATUS', 'GC'].includes(command) ? {} : known, command);
  }
});

test("tells of a call that fails, with the phases it came to and the runtime's error", ABSENT, (host) => {
  const config = network(host);
  const pod = addPod(host, config);
  const invocation = { config, container: host.addContainer() };
  const taken = mustRefuse(host, 'ADD', { ...invocation, args: 'IgnoreUnknown=1;IP=10.77.0.2' }, 102, /held by/);
  const unknown = mustRefuse(host, 'ADD', { ...invocation, config: { ...config, mode: 'astral' } }, 7, /"mode"/);
  pod.namespace.ip('addr', 'flush', 'dev', 'eth0');
  const damaged = mustRefuse(
    host,
    'CHECK',
    { config: { ...config, prevResult: pod.result }, container: pod.namespace },
    101,
    /10\.77\.0\.2\/24/,
  );
  const [, ...lines] = linesOf(logOf(host));
  assert.equal(
    lines.map(({ command, error }) => [command, error?.code, error?.msg, error?.details]),
    [
      ['ADD', 102, taken.msg, taken.details ?? ''],
      ['ADD', 7, unknown.msg, unknown.details ?? ''],
      ['CHECK', 101, damaged.msg, damaged.details ?? ''],
    ],
  );
  const phases = lines.map(phasesOf);
  assert.match(phases[0] ?? '', /^start,parse,plan,record,(.*,)?failure$/);
  for (const each of phases.slice(1)) assert.match(each, /^start,parse,(.*,)?failure$/);
});

test('is for root alone, and begins anew when it is rotated', ABSENT, (host) => {
  const config = network(host);
  const pod = addPod(host, config);
  assert.is(statSync(logOf(host)).mode & 0o777, 0o600);
  renameSync(logOf(host), `${logOf(host)}.1`);
  delPod(host, pod);
  assert.equal(
    linesOf(`${logOf(host)}.1`).map(({ command }) => command),
    ['ADD'],
  );
  assert.equal(
    linesOf(logOf(host)).map(({ command }) => command),
    ['DEL'],
  );
  chmodSync(logOf(host), 0o640);
  mustPass(host, 'STATUS', { config });
  assert.is(linesOf(logOf(host)).length, 2);
  assert.is(statSync(logOf(host)).mode & 0o777, 0o640, 'what the administrator has chosen');
});

test('has whole lines of calls at the same time', ABSENT, async (host) => {
  const config = network(host, { dns: { search: ['x'.repeat(2000)] } });
  const containers = Array.from({ length: 8 }, () => host.addContainer());
  const ending = Promise.all(containers.map((container) => host.start('ADD', { config, container })));
  for (const outcome of await ending) resultOf(outcome, config);
  const ids = linesOf(logOf(host)).map(({ containerId }) => containerId);
  assert.equal(ids.sort(), containers.map(({ name }) => name).sort());
});

for (const [what, prepare] of [
  ['in a folder that does not exist', () => '/nowhere/calls.jsonl'],
  ['that is a folder', () => '/'],
  ['on a full disk', () => '/dev/full'],
  [
    'that is a link, which somebody may have put there',
    (host: Host) => {
      writeFileSync(join(host.folder, 'precious'), 'precious');
      symlinkSync('precious', join(host.folder, 'link'));
      return join(host.folder, 'link');
    },
  ],
] as const) {
  test(`a log ${what} is a warning and nothing else`, ABSENT, (host) => {
    const config = network(host, { log: prepare(host) });
    const container = host.addContainer();
    const before = host.snapshot();
    const added = host.invoke('ADD', { config, container });
    const result = resultOf(added, config);
    assert.match(added.stderr, /^podlink: Cannot write the call log: .+\n$/);
    const later = { config: { ...config, prevResult: result }, container };
    for (const command of ['CHECK', 'DEL'] as const) {
      const { code, stdout, stderr } = host.invoke(command, later);
      assert.equal([code, stdout], [0, ''], command);
      assert.match(stderr, /^podlink: Cannot write the call log: .+\n$/);
    }
    assert.equal(host.leftSince(before), []);
    const { stderr } = host.invoke('ADD', { config: { ...config, mtu: 1 }, container });
    assert.match(stderr, /Cannot write the call log/, 'of a call that is refused');
    if (what.startsWith('that is a link')) assert.is(readFileSync(join(host.folder, 'precious'), 'utf8'), 'precious');
  });
}

test('a log that is no absolute path is refused with code 7, but by DEL', ABSENT, (host) => {
  mkdirSync(join(host.folder, 'relative'));
  for (const log of ['relative/calls.jsonl', 7]) {
    const invocation = { config: network(host, { log }), container: host.addContainer() };
    const before = host.snapshot();
    mustRefuse(host, 'ADD', invocation, 7, /"log": must be (an absolute path|a string)/);
    mustRefuse(host, 'STATUS', invocation, 7, /"log": must be (an absolute path|a string)/);
    assert.equal(host.changesSince(before), []);
    mustAdd(host, { ...invocation, config: network(host) });
    mustPass(host, 'DEL', invocation);
    assert.equal(host.leftSince(before), []);
  }
});

test('other roles keep it, too; VERSION is no call to log', ABSENT, (host) => {
  const config = { cniVersion: '1.0.0', name: 'lo', type: 'loopback', log: logOf(host) };
  mustAdd(host, { config, container: host.addContainer(), ifname: 'lo' });
  const lease = host.config({ type: 'host-local', log: logOf(host) });
  mustPass(host, 'DEL', { config: lease, container: host.addContainer() });
  assert.is(host.invoke('VERSION', { config: lease }).code, 0);
  assert.equal(
    linesOf(logOf(host)).map((line) => [line.command, line.network, line.ifname]),
    [
      ['ADD', 'lo', 'lo'],
      ['DEL', 'pods', 'eth0'],
    ],
  );
});

run();
