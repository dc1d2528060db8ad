// DEL after the records in /run are lost (a first run after an upgrade, a wiped /run): it goes by the configuration,
// prevResult, the interface, the reservations, and the names of podlink's own links.

import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Attachment, attachBesideNeighbour, everyFeature, mustBeAsBefore } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { Config } from '../harness/document.ts';
import type { Host, Invocation } from '../harness/host.ts';
import { ownedElementsOf } from '../harness/owned-element.ts';
import { linksOf } from '../harness/referee.ts';
import { mustPass } from '../harness/verdict.ts';

const { test, run } = cases('DEL without a record');
const ABSENT: Reference = { absent: 'records' };

/** The pod's record is lost, the neighbour's stays where it is. */
function loseRecord(host: Host, { pod }: Attachment): void {
  rmSync(join(host.runDir, 'attachments', 'pods', `${pod.name}.eth0.json`));
}

function recordless(title: string, prepare: (host: Host, attached: Attachment) => Invocation): void {
  test(title, ABSENT, (host) => {
    const attached = attachBesideNeighbour(host);
    loseRecord(host, attached);
    const invocation = prepare(host, attached);
    mustPass(host, 'DEL', invocation);
    mustBeAsBefore(host, attached);
    mustPass(host, 'DEL', invocation);
  });
}

recordless('removes everything', (_, { pod, later }) => ({ config: later, container: pod }));

recordless('without CNI_NETNS', (_, { pod, later }) => ({ config: later, container: pod, netns: '' }));

recordless('with the namespace gone', (_, { pod, later }) => {
  pod.remove();
  return { config: later, container: pod };
});

recordless('without prevResult', (_, { pod, config }) => ({ config, container: pod }));

recordless('with a torn prevResult', (_, { pod, config }) => ({
  config: { ...config, prevResult: { cniVersion: '1.0.0', ips: [{ address: '10.77.' }] } },
  container: pod,
}));

recordless('without prevResult and without CNI_NETNS', (_, { pod, config }) => ({ config, container: pod, netns: '' }));

recordless('without prevResult, with the namespace gone', (_, { pod, config }) => {
  pod.remove();
  return { config, container: pod };
});

recordless('with an unknown mode in the configuration', (_, { pod, later }) => ({
  config: { ...later, mode: 'astral' },
  container: pod,
}));

recordless('with the link deleted by hand before', (_, { pod, later }) => {
  pod.ip('link', 'del', 'eth0');
  return { config: later, container: pod };
});

for (const [what, text] of [
  ['empty', ''],
  ['torn', '{"version":1,"state":"complete","network":"po'],
  ["another version's", '{"version":99}'],
] as const) {
  recordless(`with a record that is ${what}`, (host, { pod, later }) => {
    writeFileSync(join(host.runDir, 'attachments', 'pods', `${pod.name}.eth0.json`), text);
    return { config: later, container: pod };
  });
}

/** Each feature has its own elements and links, and none is told what they are. */
for (const [what, prepare] of [
  ['by prevResult', ({ pod, later }) => ({ config: later, container: pod })],
  [
    'without prevResult, with the namespace gone',
    ({ pod, config }) => {
      pod.remove();
      return { config, container: pod };
    },
  ],
  [
    'without runtimeConfig, keys and CNI_NETNS',
    ({ pod, config: { cniVersion, name, type, ipam } }) => ({
      config: { cniVersion, name, type, ipam } as Config,
      container: pod,
      netns: '',
    }),
  ],
  [
    'with keys and capabilities that cannot be read',
    ({ pod, later }) => {
      const runtimeConfig = { portMappings: [{ hostPort: -1 }], bandwidth: 'none' };
      return { config: { ...later, icc: 'no', internal: 7, macspoofchk: [], runtimeConfig }, container: pod };
    },
  ],
] as readonly (readonly [string, (attached: Attachment) => Invocation])[]) {
  test(`removes the elements and the ifb of every feature ${what}`, ABSENT, (host) => {
    const attached = attachBesideNeighbour(host, everyFeature(9000), everyFeature(8000));
    const owner = `pods/${attached.pod.name}/eth0`;
    const sets = new Set(ownedElementsOf(host.namespace).flatMap((each) => (each.owner === owner ? each.set : [])));
    for (const feature of ['masquerade_', 'portmap_', 'isolation_', 'macspoof_'])
      assert.ok(
        [...sets].some((set) => set.startsWith(feature)),
        `no element in a set ${feature}…`,
      );
    assert.is(linksOf(host.namespace).filter(({ linkinfo }) => linkinfo?.info_kind === 'ifb').length, 2);
    loseRecord(host, attached);
    const invocation = prepare(attached);
    mustPass(host, 'DEL', invocation);
    mustBeAsBefore(host, attached);
    mustPass(host, 'DEL', invocation);
    mustBeAsBefore(host, attached);
  });
}

test('removes everything when the whole run directory is gone', ABSENT, (host) => {
  const attached = attachBesideNeighbour(host);
  rmSync(host.runDir, { recursive: true });
  const isRunFile = new RegExp(`(file|folder) ${host.runDir}`);
  mustPass(host, 'DEL', { config: attached.later, container: attached.pod });
  const before = attached.before.filter((line) => !isRunFile.test(line));
  for (const name of readdirSync(join(host.runDir, 'attachments'))) throw new Error(`There is a folder ${name}`);
  rmSync(host.runDir, { recursive: true });
  mustBeAsBefore(host, { pod: attached.pod, before });
});

run();
