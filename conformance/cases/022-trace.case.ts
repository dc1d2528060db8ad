// PODLINK_TRACE: the phases of a call and their times on standard error, and nothing else of it different.

import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import { refusalOf, resultOf } from '../harness/verdict.ts';

const { test, run } = cases('PODLINK_TRACE');
const ABSENT: Reference = { absent: 'a trace' };
const TRACED = { PODLINK_TRACE: '1' };

/** The names of the phases. Fails when there is not just one line, or when its times do not add up to the total. */
function phasesOf(stderr: string, command: string): string {
  const match = /^podlink: (\w+): (.+), total (\d+\.\d\d) ms\n$/.exec(stderr);
  assert.is(match?.[1], command, `standard error: ${stderr}`);
  const phases = (match?.[2] ?? '').split(', ').map((phase) => /^(.+) (\d+\.\d\d)$/.exec(phase) ?? []);
  const sum = phases.reduce((total, [, , ms]) => total + Number(ms), 0);
  assert.ok(Math.abs(sum - Number(match?.[3])) < 0.2, `the phases take ${sum} ms: ${stderr}`);
  return phases.map(([, name]) => name).join();
}

/** The phases that tell the steps of a call apart, with whatever there is between them. */
const inOrder = (...phases: string[]) => new RegExp(`^${phases.join(',(.*,)?')}$`);

test('tells of ADD, CHECK and DEL how long each phase took', ABSENT, (host) => {
  const config = host.config({ isDefaultGateway: true, ipMasq: true });
  const invocation = { config, container: host.addContainer(), env: TRACED };
  const added = host.invoke('ADD', invocation);
  const result = resultOf(added, config);
  const steps = ['plan', 'record', 'ipam', 'mode', 'nft', 'record again'];
  assert.match(phasesOf(added.stderr, 'ADD'), inOrder('start', 'parse', ...steps, 'print'));
  const later = { ...invocation, config: { ...config, prevResult: result } };
  const checked = host.invoke('CHECK', later);
  assert.equal([checked.code, checked.stdout], [0, '']);
  assert.match(phasesOf(checked.stderr, 'CHECK'), inOrder('start', 'parse', 'check', 'print'));
  const deleted = host.invoke('DEL', later);
  assert.equal([deleted.code, deleted.stdout], [0, '']);
  assert.match(phasesOf(deleted.stderr, 'DEL'), inOrder('start', 'parse', 'find', 'link', 'ipam', 'print'));
});

test('tells of each feature that works outside of nftables', ABSENT, (host) => {
  const rates = { ingressRate: 80e6, ingressBurst: 8e6, egressRate: 80e6, egressBurst: 8e6 };
  const config = host.config({ macspoofchk: true, ...rates });
  const { stderr } = host.invoke('ADD', { config, container: host.addContainer(), env: TRACED });
  assert.match(phasesOf(stderr, 'ADD'), inOrder('start', 'parse', 'mode', 'bandwidth', 'macspoof', 'nft', 'print'));
});

test('tells of a refused call how far it came', ABSENT, (host) => {
  const config = host.config({ mode: 'astral' });
  const refused = host.invoke('ADD', { config, container: host.addContainer(), env: TRACED });
  refusalOf(refused, 'ADD', 7, /"mode"/);
  assert.is(phasesOf(refused.stderr, 'ADD'), 'start,parse,failure');
  const unreadable = host.invoke('ADD', { config: '{', container: host.addContainer(), env: TRACED });
  refusalOf(unreadable, 'ADD', 6, /unmarshall/);
  assert.is(phasesOf(unreadable.stderr, 'request'), 'start,failure');
});

test('tells of an ADD that fails on the way how long it took to get there, and back', ABSENT, (host) => {
  const container = host.addContainer();
  container.mustRun('ip', ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other']);
  const failed = host.invoke('ADD', { config: host.config(), container, env: TRACED });
  refusalOf(failed, 'ADD', 102, /already exists/);
  assert.match(phasesOf(failed.stderr, 'ADD'), inOrder('start', 'parse', 'record', 'failing step', 'undo', 'failure'));
});

test('without it standard error stays empty', ABSENT, (host) => {
  const config = host.config({ isDefaultGateway: true, ipMasq: true });
  for (const env of [{}, { PODLINK_TRACE: '' }]) {
    const invocation = { config, container: host.addContainer(), env };
    for (const command of ['ADD', 'DEL', 'VERSION'] as const) {
      const { code, stderr } = host.invoke(command, invocation);
      assert.equal([code, stderr], [0, ''], command);
    }
  }
});

run();
