// DEL after the records in /run are lost (a first run after an upgrade, a wiped /run): it goes by the configuration,
// prevResult, the interface, the reservations, and the names of podlink's own links.

import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Attachment, attachBesideNeighbour, mustBeAsBefore } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { Host, Invocation } from '../harness/host.ts';
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
