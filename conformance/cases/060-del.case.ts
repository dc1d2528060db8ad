// DEL removes everything of an attachment, whatever has become of its namespace, its configuration and its parts
// meanwhile, and nothing else: a neighbour in the same network keeps all that it has.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Attachment, attachBesideNeighbour, mustBeAsBefore } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import { mustRun } from '../harness/command.ts';
import type { Host, Invocation } from '../harness/host.ts';
import { findLink, portsOf } from '../harness/referee.ts';
import { canPing } from '../harness/traffic.ts';
import { mustPass, mustRefuse } from '../harness/verdict.ts';

const { test, run } = cases('DEL');

/** What a runtime sends normally. */
function normal({ pod, later }: Attachment): Invocation {
  return { config: later, container: pod };
}

const MASQUERADING_STAYS: Reference = {
  differs: 'its masquerading rules stay, since it finds the addresses on the link alone',
  seen: /not as it was before the ADD(.|\n)*POSTROUTING/,
};

/** A DEL under adverse conditions: what happens before it, and what it is told. Run twice, it succeeds twice. */
function adverse(title: string, reference: Reference, prepare: (host: Host, attached: Attachment) => Invocation): void {
  test(title, reference, (host) => {
    const attached = attachBesideNeighbour(host);
    const invocation = prepare(host, attached);
    mustPass(host, 'DEL', invocation);
    mustBeAsBefore(host, attached);
    mustPass(host, 'DEL', invocation);
    mustBeAsBefore(host, attached);
  });
}

adverse('removes everything, and does so again when there is nothing left', 'same', (_, attached) => normal(attached));

adverse('without CNI_NETNS', MASQUERADING_STAYS, (_, attached) => ({ ...normal(attached), netns: '' }));

adverse('without the variable CNI_NETNS', MASQUERADING_STAYS, (_, attached) => ({
  ...normal(attached),
  env: { CNI_NETNS: undefined },
}));

adverse("with the host's end set down by somebody", 'same', (host, attached) => {
  host.namespace.ip('link', 'set', attached.result.interfaces?.[1]?.name ?? '', 'down');
  return normal(attached);
});

adverse('with the namespace gone', MASQUERADING_STAYS, (_, attached) => {
  attached.pod.remove();
  return normal(attached);
});

adverse('with the namespace and prevResult gone', MASQUERADING_STAYS, (_, { pod, config }) => {
  pod.remove();
  return { config, container: pod };
});

adverse(
  'with a plain file at CNI_NETNS',
  { differs: 'it refuses the file and releases nothing', seen: /unknown FS magic/ },
  (host, attached) => {
    const path = join(host.folder, 'file');
    writeFileSync(path, 'no namespace');
    return { ...normal(attached), netns: path };
  },
);

adverse(
  'with a FIFO at CNI_NETNS, without waiting for a writer',
  { differs: 'it refuses the file and releases nothing', seen: /unknown FS magic/ },
  (host, attached) => {
    const path = join(host.folder, 'fifo');
    mustRun('mkfifo', [path]);
    return { ...normal(attached), netns: path };
  },
);

adverse(
  'with a namespace of another kind at CNI_NETNS',
  { differs: 'it refuses the file and releases nothing', seen: /error switching to ns/ },
  (_, attached) => ({ ...normal(attached), netns: '/proc/self/ns/uts' }),
);

adverse('without prevResult', 'same', (_, { pod, config }) => ({ config, container: pod }));

for (const [what, prevResult] of [
  ['null', null],
  ['empty', {}],
  ['of another shape', { cniVersion: '1.0.0', ips: 'none', interfaces: [7] }],
  ['of a version that does not exist', { cniVersion: '7.0.0', ips: [{ address: '10.77.0.3/24' }] }],
] as const) {
  adverse(`with a prevResult that is ${what}`, 'same', (_, { pod, config }) => ({
    config: { ...config, prevResult },
    container: pod,
  }));
}

test('a configuration torn in the middle is refused with code 6 and costs nothing', 'same', (host) => {
  const attached = attachBesideNeighbour(host);
  const attachedState = host.snapshot();
  const torn = JSON.stringify(attached.later).slice(0, -20);
  mustRefuse(
    host,
    'DEL',
    { config: torn, container: attached.pod, program: 'podlink' },
    6,
    /unmarshall network config/,
  );
  assert.equal(host.changesSince(attachedState), []);
  mustPass(host, 'DEL', normal(attached));
  mustBeAsBefore(host, attached);
});

test('the bridge stays with its address when its last container goes, and serves the next', 'same', (host) => {
  const config = host.config({ isDefaultGateway: true });
  const attached = attachBesideNeighbour(host, config);
  mustPass(host, 'DEL', normal(attached));
  mustPass(host, 'DEL', { config, container: attached.neighbour });
  assert.equal(portsOf(host.namespace, 'cni0'), []);
  assert.ok(findLink(host.namespace, 'cni0'));
  const next = attachBesideNeighbour(host, config);
  assert.ok(canPing(next.pod, '10.77.0.1'));
});

test('of one interface leaves the other of the same container in the same network', 'same', (host) => {
  const config = host.config({ isDefaultGateway: true });
  const attached = attachBesideNeighbour(host, config);
  const second: Invocation = { config: { ...config, isDefaultGateway: false, isGateway: true }, ifname: 'net.1' };
  const withOne = host.snapshot();
  const invocation = { ...second, container: attached.pod };
  assert.is(host.invoke('ADD', invocation).code, 0);
  mustPass(host, 'DEL', invocation);
  mustBeAsBefore(host, { pod: attached.pod, before: withOne });
  assert.ok(canPing(attached.pod, '10.77.0.1'));
});

test('of a container nobody knows succeeds and makes nothing', 'same', (host) => {
  const attached = attachBesideNeighbour(host);
  const state = host.snapshot();
  const stranger = { ...normal(attached), containerId: 'never-seen' };
  mustPass(host, 'DEL', { ...stranger, netns: '' });
  mustPass(host, 'DEL', { ...stranger, netns: '', ifname: 'eth9', config: attached.config });
  assert.equal(host.changesSince(state), []);
  const fresh = host.config({ name: 'unused', ipam: host.hostLocal(['10.99.0.0/24']) });
  mustPass(host, 'DEL', { config: fresh, containerId: 'never-seen', netns: '' });
  const made = host.changesSince(state).filter((line) => !line.includes('/unused'));
  assert.equal(made, []);
});

run();
