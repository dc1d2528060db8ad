// DEL when CNI_NETNS does not name the attachment's own namespace any more: /proc/PID/ns/net names whatever process has
// the number by now, the host's own included. Nothing is done inside a namespace that is another's, and everything that
// can be told without it goes.

import { rmSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { type Attachment, attachBesideNeighbour, everyFeature, mustBeAsBefore } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import { mustRun } from '../harness/command.ts';
import type { Config } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import type { Namespace } from '../harness/namespace.ts';
import { addPod, delPod } from '../harness/pod.ts';
import { findLink } from '../harness/referee.ts';
import { mustAdd, mustBeEmpty, mustPass, withPrevResult } from '../harness/verdict.ts';
import { addToTarget, containerMode, HOST_MODE } from '../runtimes/sharing-fixture.ts';

const { test, run } = cases('DEL in a namespace that is not its own');

const ABSENT: Reference = { absent: 'records, ports and sysctls in one plugin' };
const SOMAXCONN = 'net/core/somaxconn';
const SYSCTL: Config = { sysctl: { 'net.core.somaxconn': '500' } };

/** All records of the node are lost, as after /run was wiped. */
function loseRecords(host: Host): void {
  rmSync(`${host.runDir}/attachments`, { recursive: true });
}

/** A record of the neighbour's is no concern of what is told here. */
const RECORDS = /^[+-] (file|folder) \S+\/attachments/;

const NOTHING: Config = {};

/** DEL without a record whose CNI_NETNS is the host's own: twice, with links in the host that must stay. */
function recordless(
  title: string,
  prepare: (host: Host, attached: Attachment) => Invocation,
  own: Config = NOTHING,
): void {
  test(`without a record, with the host's own namespace at CNI_NETNS: ${title}`, ABSENT, (host) => {
    // What DEL would take away in the container if it took this for the container.
    host.namespace.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'uplink0');
    const rules = own === NOTHING ? NOTHING : everyFeature(9000);
    const attached = attachBesideNeighbour(host, rules, own);
    const invocation = prepare(host, attached);
    loseRecords(host);
    for (const netns of [host.namespace.path, '/proc/self/ns/net']) {
      mustPass(host, 'DEL', { ...invocation, netns });
      mustBeAsBefore(host, attached, RECORDS);
    }
    assert.is(findLink(attached.pod, 'eth0'), undefined);
  });
}

recordless('everything goes', (_, { pod, later }) => ({ config: later, container: pod }));

recordless(
  'the elements and the ifb of every feature go',
  (_, { pod, config }) => ({ config, container: pod }),
  everyFeature(8000),
);

recordless(
  'the elements of every feature go by a configuration that asks for none',
  (_, { pod, config: { cniVersion, name, type, ipam } }) => ({
    config: { cniVersion, name, type, ipam } as Config,
    container: pod,
  }),
  everyFeature(8000),
);

recordless('a veth pair that was renamed goes by its alias', (host, { pod, config, result }) => {
  const hostEnd = result.interfaces?.[1]?.name ?? '';
  host.namespace.ip('link', 'set', hostEnd, 'down');
  host.namespace.ip('link', 'set', hostEnd, 'name', 'renamed0');
  return { config, container: pod };
});

recordless('everything goes when prevResult names links of the host', (_, { pod, config, result }) => {
  const names = ['eth0', 'uplink0', 'cni0', 'lo'];
  const interfaces = [...(result.interfaces ?? []), ...names.map((name) => ({ name }))];
  return { config: withPrevResult(config, { ...result, interfaces }), container: pod };
});

for (const [mode, more] of [
  ['none', { mode: 'none' }],
  ['host', { mode: 'host' }],
  ['container', { mode: 'container', target: 'container:neighbour' }],
] as const) {
  recordless(`everything goes by a configuration that says mode "${mode}" by now`, (_, { pod, config }) => ({
    config: { ...config, ...more },
    container: pod,
  }));
}

test('without a record, what was never made is removed with success, in every mode and role', ABSENT, (host) => {
  const { config } = attachBesideNeighbour(host);
  const before = host.snapshot();
  for (const [program, asked] of [
    ['podlink', config],
    ['podlink', HOST_MODE],
    ['podlink', containerMode('container:nobody')],
    ['podlink', { ...HOST_MODE, name: 'lonely', mode: 'none' }],
    ['loopback', { cniVersion: '1.0.0', name: 'lo', type: 'loopback' }],
    ['host-local', config],
  ] as const) {
    for (const netns of [host.namespace.path, '/proc/self/ns/net'])
      mustPass(host, 'DEL', { config: asked, program, containerId: 'never-seen', netns });
  }
  const made = host.changesSince(before).filter((line) => !RECORDS.test(line) && !/folder/.test(line));
  mustBeEmpty(made, 'changed');
});

test(
  'with a record of mode none, host and container, DEL succeeds in the own namespace of the host',
  ABSENT,
  (host) => {
    const { sharer, invocation, targetInvocation } = addToTarget(host);
    const lonely = host.addContainer('lonely');
    const hosted = host.addContainer('hosted');
    const none = { config: { ...HOST_MODE, name: 'lonely', mode: 'none', ...SYSCTL }, container: lonely };
    mustAdd(host, none);
    mustAdd(host, { config: HOST_MODE, container: hosted });
    for (const each of [invocation, none, { config: HOST_MODE, container: hosted }, targetInvocation])
      mustPass(host, 'DEL', { ...each, netns: host.namespace.path });
    assert.is(sharer.ipJson('link').length, 1);
    assert.is.not(lonely.sysctl(SOMAXCONN), '500', 'the namespace on record is still at its path');
  },
);

/** A pod with a sysctl, and the namespace that has got its place. `mode`: of the pod's network. */
function replaced(host: Host, mode: Config): { pod: Namespace; other: Namespace; invocation: Invocation } {
  const config = host.config({ ...SYSCTL, ...mode });
  const [pod, other] = [addPod(host, config), addPod(host, config)];
  return {
    pod: pod.namespace,
    other: other.namespace,
    invocation: { ...pod.invocation, config: withPrevResult(config, pod.result), netns: other.namespace.path },
  };
}

for (const [what, mode] of [
  ['bridge', {}],
  ['none', { mode: 'none', ipam: {} }],
] as const) {
  test(
    `in mode ${what} sysctls of another container at CNI_NETNS stay, and those of its own go back`,
    ABSENT,
    (host) => {
      const { pod, other, invocation } = replaced(host, mode);
      mustPass(host, 'DEL', invocation);
      assert.is(other.sysctl(SOMAXCONN), '500');
      assert.is.not(pod.sysctl(SOMAXCONN), '500', 'its own namespace is at the path on record');
    },
  );

  test(`in mode ${what} sysctls of another container at CNI_NETNS stay when its own is gone`, ABSENT, (host) => {
    const { pod, other, invocation } = replaced(host, mode);
    pod.remove();
    mustPass(host, 'DEL', invocation);
    assert.is(other.sysctl(SOMAXCONN), '500');
  });
}

test('an interface of the same name in another container at CNI_NETNS stays', ABSENT, (host) => {
  const { other, invocation } = replaced(host, {});
  mustPass(host, 'DEL', invocation);
  mustPass(host, 'DEL', invocation);
  assert.ok(findLink(other, 'eth0'));
});

test('sysctls of another container stay when its namespace covers the path since', ABSENT, (host) => {
  const config = host.config(SYSCTL);
  const [target, pod] = [addPod(host, config), addPod(host, config)];
  mustRun('mount', ['--bind', target.namespace.path, pod.namespace.path]);
  try {
    delPod(host, pod);
    assert.is(target.namespace.sysctl(SOMAXCONN), '500');
    assert.ok(findLink(target.namespace, 'eth0'));
  } finally {
    mustRun('umount', [pod.namespace.path]);
  }
  assert.is(findLink(pod.namespace, 'eth0'), undefined);
});

run();
