// The kernel gives the inode of a namespace that is gone to the next one that anybody makes. An attachment on record is not
// taken for whatever has its inode by now: nothing is repaired, put back, joined or called alive there.

import { readFileSync, writeFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { cases, type Reference } from '../harness/case.ts';
import { mustRun } from '../harness/command.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustTell } from '../harness/operator-command.ts';
import { addPod, checkPod, delPod, type Pod } from '../harness/pod.ts';
import { mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';
import { containerMode, identityAt } from '../runtimes/sharing-fixture.ts';
import { skip } from '../suite/skip.ts';

const { test, run } = cases('namespaces with one inode');
const ABSENT: Reference = { absent: 'records' };
const SOMAXCONN = 'net/core/somaxconn';

interface RecordText {
  netnsIdentity: string;
  netnsCookie?: string;
}

function recordPath(host: Host, { namespace }: Pod): string {
  return `${host.runDir}/attachments/pods/${namespace.name}.eth0.json`;
}

function rewrite(host: Host, pod: Pod, change: (record: RecordText) => object): void {
  const path = recordPath(host, pod);
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')) as RecordText)));
}

function hasCookie(host: Host, pod: Pod): boolean {
  return (JSON.parse(readFileSync(recordPath(host, pod), 'utf8')) as RecordText).netnsCookie !== undefined;
}

/** Put another namespace, with the same inode by the record, in the place of the pod's, and set it up like the pod's. */
function replaceNamespace(host: Host, pod: Pod): void {
  const { name, path } = pod.namespace;
  mustRun('ip', ['netns', 'del', name]);
  // The kernel deletes the host's end of the pair a while after the namespace: not in the midst of the test.
  host.namespace.run('ip', ['link', 'del', pod.result.interfaces?.[1]?.name ?? '']);
  mustRun('ip', ['netns', 'add', name]);
  pod.namespace.setSysctl(SOMAXCONN, '500');
  // Which inode the kernel takes is not for a test to say.
  rewrite(host, pod, (record) => ({ ...record, netnsIdentity: identityAt(path) }));
}

const NO_COOKIE = 'this kernel has no SO_NETNS_COOKIE (Linux 5.14)';

function withReplaced(title: string, body: (host: Host, pod: Pod) => void): void {
  test(title, ABSENT, (host) => {
    const pod = addPod(host, host.config({ sysctl: { 'net.core.somaxconn': '500' } }));
    if (!hasCookie(host, pod)) {
      skip(title, NO_COOKIE);
      return;
    }
    replaceNamespace(host, pod);
    body(host, pod);
  });
}

withReplaced('CHECK says that the path shows another', (host, pod) => {
  const later = { ...pod.invocation, config: withPrevResult(pod.config, pod.result) };
  mustRefuse(host, 'CHECK', later, 101, /shows another network namespace than at ADD/);
});

withReplaced('DEL leaves its sysctls alone', (host, pod) => {
  delPod(host, pod);
  assert.is(pod.namespace.sysctl(SOMAXCONN), '500');
});

withReplaced('repair changes nothing in it, and says that the attachment’s own is gone', (host) => {
  const before = host.snapshot();
  assert.match(mustEnd(host, ['repair'], 1).stdout, /left: its network namespace .* is gone, or another/);
  mustBeEmpty(host.changesSince(before), 'changed');
});

withReplaced('lists call the attachment stale, and gc removes it', (host, pod) => {
  const [listed] = mustTell<{ state: string }[]>(host, ['attachment', 'ls']);
  assert.is(listed?.state, 'stale');
  const collected = mustTell<{ kind: string; outcome: string }[]>(host, ['gc']);
  assert.equal(collected.map(({ kind, outcome }) => [kind, outcome])[0], ['attachment', 'removed']);
  assert.is(pod.namespace.sysctl(SOMAXCONN), '500');
});

withReplaced('another container does not join it as its target', (host, pod) => {
  const sharer = { config: containerMode(`container:${pod.namespace.name}`), container: host.addContainer() };
  mustRefuse(host, 'ADD', sharer, 11, /its network namespace is gone/);
});

test('a record of version 0.1.0, which knows the file alone, serves as it did', ABSENT, (host) => {
  const pod = addPod(host, host.config({ sysctl: { 'net.core.somaxconn': '500' } }));
  rewrite(host, pod, ({ netnsCookie: _, ...record }) => record);
  checkPod(host, pod);
  assert.is(mustTell<{ state: string }[]>(host, ['attachment', 'ls'])[0]?.state, 'complete');
  const sharer = { config: containerMode(`container:${pod.namespace.name}`), container: host.addContainer() };
  assert.is(host.invoke('ADD', sharer).code, 0);
  mustPass(host, 'DEL', sharer);
  delPod(host, pod);
  assert.is.not(pod.namespace.sysctl(SOMAXCONN), '500');
});

run();
