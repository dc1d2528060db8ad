// DEL removes everything of an attachment also when the configuration it is called with is broken by now, or when
// somebody has taken parts of the attachment away by hand.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Attachment, attachBesideNeighbour, mustBeAsBefore } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import { mustPass } from '../harness/verdict.ts';

const { test, run } = cases('DEL of what is broken');

/** What a runtime sends normally. */
function normal({ pod, later }: Attachment): Invocation {
  return { config: later, container: pod };
}

const MASQUERADING_STAYS: Reference = {
  differs: 'its masquerading rules stay, since it finds the addresses on the link alone',
  seen: /not as it was before the ADD(.|\n)*POSTROUTING/,
};

/** A DEL after something has gone wrong, and one more with a sound configuration, which finds nothing left to do. */
function adverse(title: string, reference: Reference, prepare: (host: Host, attached: Attachment) => Invocation): void {
  test(title, reference, (host) => {
    const attached = attachBesideNeighbour(host);
    mustPass(host, 'DEL', prepare(host, attached));
    mustBeAsBefore(host, attached);
    mustPass(host, 'DEL', normal(attached));
    mustBeAsBefore(host, attached);
  });
}

const NO_RECORD: Reference = { differs: 'it keeps no record: it fails with the configuration', seen: /DEL fails/ };
const BROKEN: readonly (readonly [string, Config, Reference])[] = [
  ['"ipam" is gone', { ipam: undefined }, { differs: 'the addresses stay reserved', seen: /not as it was/ }],
  ['"ipam" is a number', { ipam: 5 }, NO_RECORD],
  ['"ipam.ranges" is a word', { ipam: { type: 'host-local', ranges: 'all' } }, NO_RECORD],
  ['"ipam.type" is a plugin that does not exist', { ipam: { type: 'no-such-plugin' } }, NO_RECORD],
  ['"ipam.dataDir" is another', { ipam: { type: 'host-local', dataDir: '/nowhere' } }, NO_RECORD],
  ['"mode" is unknown', { mode: 'astral' }, 'same'],
  ['"mode" is a number', { mode: 5 }, 'same'],
  ['"bridge" is another', { bridge: 'other0' }, 'same'],
  ['"bridge" is no name', { bridge: '../..' }, 'same'],
  ['"vlan" and "mtu" are out of range', { vlan: 9999, mtu: -3 }, NO_RECORD],
  ['"ipMasq" is gone', { ipMasq: undefined }, MASQUERADING_STAYS],
  ['"runtimeConfig" is a word', { runtimeConfig: 'none' }, NO_RECORD],
];
for (const [what, change, reference] of BROKEN) {
  adverse(`with a configuration that is broken by now: ${what}`, reference, (_, { pod, later }) => ({
    config: { ...later, ...change },
    container: pod,
  }));
}

adverse('with the link deleted by hand before', MASQUERADING_STAYS, (_, attached) => {
  attached.pod.ip('link', 'del', 'eth0');
  return normal(attached);
});

adverse(
  'with the link renamed by hand before',
  { differs: 'it finds the link by name', seen: /not as it was/ },
  (_, a) => {
    a.pod.ip('link', 'set', 'eth0', 'down');
    a.pod.ip('link', 'set', 'eth0', 'name', 'renamed0');
    return normal(a);
  },
);

adverse("with the host's end renamed and off the bridge", 'same', (host, attached) => {
  const name = attached.result.interfaces?.[1]?.name ?? '';
  host.namespace.ip('link', 'set', name, 'nomaster');
  host.namespace.ip('link', 'set', name, 'down');
  host.namespace.ip('link', 'set', name, 'name', 'elsewhere0');
  return normal(attached);
});

adverse('with the reservations removed by hand before', 'same', (host, attached) => {
  for (const { address } of attached.result.ips ?? []) rmSync(join(host.dataDir, 'pods', address.split('/')[0] ?? ''));
  return normal(attached);
});

test('with the nftables table removed by hand before', { absent: 'a table of its own' }, (host) => {
  const attached = attachBesideNeighbour(host);
  host.namespace.mustRun('nft', ['delete', 'table', 'inet', 'podlink']);
  const withoutTable = attached.before.filter((line) => !line.startsWith('host nft '));
  mustPass(host, 'DEL', normal(attached));
  mustBeAsBefore(host, { ...attached, before: withoutTable });
});

test('with the bridge removed by hand before', 'same', (host) => {
  const attached = attachBesideNeighbour(host);
  host.namespace.ip('link', 'del', 'cni0');
  mustPass(host, 'DEL', normal(attached));
  const left = host.snapshot().filter((line) => line.includes(attached.pod.name) || line.startsWith('pod link eth0'));
  assert.equal(left, [], 'left of the pod');
});

run();
