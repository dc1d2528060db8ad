// The run directory holds what root's processes go by. One that others can write to is not trusted: ADD, CHECK, STATUS and
// GC refuse it, and DEL goes by the names and marks of what is there, as if the records were lost.

import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import * as assert from 'uvu/assert';
import { attachBesideNeighbour, mustBeAsBefore } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import type { Host } from '../harness/host.ts';
import { mustEnd, mustTell } from '../harness/operator-command.ts';
import { addPod, checkPod, delPod } from '../harness/pod.ts';
import { findLink } from '../harness/referee.ts';
import { mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';

const { test, run } = cases('unsafe run directory');
const ABSENT: Reference = { absent: 'a run directory' };
const SOMEBODY = 65534;

type Spoil = (host: Host) => void;

/** Put a symbolic link in the place of a directory, to where it is from now on. */
function linkTo(path: string): void {
  renameSync(path, `${path}-elsewhere`);
  symlinkSync(`${path}-elsewhere`, path);
}

const UNSAFE: readonly (readonly [string, RegExp, Spoil])[] = [
  ["somebody's", /"\S+\/run": it belongs to user 65534/, ({ runDir }) => chownSync(runDir, SOMEBODY, SOMEBODY)],
  ['writable for all', /"\S+\/run": its mode is 777/, ({ runDir }) => chmodSync(runDir, 0o777)],
  ['writable for a group', /"\S+\/run": its mode is 770/, ({ runDir }) => chmodSync(runDir, 0o770)],
  ['sticky, as /tmp is', /"\S+\/run": its mode is 1777/, ({ runDir }) => chmodSync(runDir, 0o1777)],
  ['a symbolic link', /"\S+\/run": it is a symbolic link/, ({ runDir }) => linkTo(runDir)],
  [
    "with somebody's records",
    /"\S+\/attachments": it belongs to user 65534/,
    ({ runDir }) => chownSync(`${runDir}/attachments`, SOMEBODY, SOMEBODY),
  ],
  [
    'with records behind a symbolic link',
    /"\S+\/attachments": it is a symbolic link/,
    ({ runDir }) => linkTo(`${runDir}/attachments`),
  ],
  [
    "with a network's records that all can write",
    /"\S+\/attachments\/pods": its mode is 722/,
    ({ runDir }) => chmodSync(`${runDir}/attachments/pods`, 0o722),
  ],
  [
    "with a network's records behind a symbolic link",
    /"\S+\/attachments\/pods": it is a symbolic link/,
    ({ runDir }) => linkTo(`${runDir}/attachments/pods`),
  ],
];

test(
  'ADD, CHECK, GC and repair refuse it with code 5 and change nothing, whatever is wrong with it',
  ABSENT,
  (host) => {
    const pod = addPod(host, host.config());
    const later = { config: withPrevResult(pod.config, pod.result), container: pod.namespace };
    const other = { config: pod.config, container: host.addContainer() };
    for (const [what, says, spoil] of UNSAFE) {
      const sound = `${host.folder}/sound`;
      host.namespace.mustRun('cp', ['-a', host.runDir, sound]);
      spoil(host);
      const before = host.snapshot();
      mustRefuse(host, 'ADD', other, 5, says);
      mustRefuse(host, 'CHECK', later, 5, says);
      mustRefuse(
        host,
        'GC',
        { config: { ...pod.config, cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] } },
        5,
        says,
      );
      assert.match(mustEnd(host, ['repair'], 1).stderr, says, what);
      mustBeEmpty(host.changesSince(before), `changed when it is ${what}`);
      host.namespace.mustRun('rm', ['-rf', host.runDir, `${host.runDir}-elsewhere`]);
      renameSync(sound, host.runDir);
    }
    checkPod(host, pod);
    delPod(host, pod);
  },
);

test('STATUS says with code 50 that ADD would refuse it', ABSENT, (host) => {
  mkdirSync(host.runDir);
  chmodSync(host.runDir, 0o777);
  mustRefuse(host, 'STATUS', { config: host.config({ cniVersion: '1.1.0' }) }, 50, /run": its mode is 777/);
});

test('doctor names it, and what to do', ABSENT, (host) => {
  addPod(host, host.config());
  chmodSync(host.runDir, 0o777);
  const findings = JSON.parse(mustEnd(host, ['doctor', '--json'], 1).stdout) as {
    level: string;
    what: string;
    remedy?: { readonly commands: readonly string[] };
  }[];
  const finding = findings.find(({ what }) => /its mode is 777/.test(what));
  assert.is(finding?.level, 'fail');
  assert.equal(finding?.remedy?.commands, [`chown root:root ${host.runDir}`, `chmod go-w ${host.runDir}`]);
});

test('DEL removes what is of the container by its names and marks, and obeys no record there', ABSENT, (host) => {
  const attached = attachBesideNeighbour(host);
  const { pod, neighbour, later } = attached;
  const dir = `${host.runDir}/attachments/pods`;
  // Planted: DEL of the pod would take the neighbour's link and elements.
  const path = `${dir}/${pod.name}.eth0.json`;
  const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  const neighbours = JSON.parse(readFileSync(`${dir}/${neighbour.name}.eth0.json`, 'utf8')) as Record<string, unknown>;
  host.namespace.ip('link', 'add', 'uplink0', 'type', 'veth', 'peer', 'name', 'uplink1');
  writeFileSync(path, JSON.stringify({ ...record, objects: { bridge: 'cni0', hostInterface: 'uplink0' } }));
  chmodSync(dir, 0o777);
  mustPass(host, 'DEL', { config: later, container: pod });
  assert.ok(findLink(host.namespace, 'uplink0'));
  assert.ok(findLink(host.namespace, (neighbours.objects as { hostInterface: string }).hostInterface));
  mustBeAsBefore(
    host,
    attached,
    /uplink|pods(-\S+)?(\/\S+\.json)?\b.*(file|folder)|^[+-] (file|folder) \S+\/attachments/,
  );
  assert.ok(readdirSync(dir).includes(`${pod.name}.eth0.json`), 'nothing is deleted there');
  mustPass(host, 'DEL', { config: later, container: pod });
});

test('a directory of root’s that others may read is as good as a private one', ABSENT, (host) => {
  mkdirSync(host.runDir);
  chmodSync(host.runDir, 0o755);
  const pod = addPod(host, host.config());
  checkPod(host, pod);
  const outcome = host.invoke('DEL', {
    ...pod.invocation,
    config: withPrevResult(pod.config, pod.result),
    env: { PODLINK_RUN_DIR: `${host.runDir}//` },
  });
  assert.is(outcome.code, 0);
  assert.is(outcome.stderr, '');
});

for (const [what, changes] of [
  ['a path for a network', { network: '../../../etc' }],
  ['a path for a container', { containerId: '../c' }],
  ['an option for a container', { containerId: '--all' }],
  ['a command for an interface', { ifname: 'x;reboot' + '/' }],
  ['an escape sequence for an interface', { ifname: '\u001b[2J' }],
  ['an interface of 16 bytes', { ifname: 'a'.repeat(16) }],
  ['no text for a network', { network: 7 }],
  ['a path for a bridge', { objects: { bridge: '../all', hostInterface: 'veth0' } }],
] as const) {
  test(`a record with ${what} counts as none, and makes no file`, ABSENT, (host) => {
    const pod = addPod(host, host.config());
    const path = `${host.runDir}/attachments/pods/${pod.namespace.name}.eth0.json`;
    const record = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(`${host.runDir}/attachments/pods/planted.eth0.json`, JSON.stringify({ ...record, ...changes }), {
      mode: 0o600,
    });
    const before = host.snapshot();
    const [listed, ...others] = mustTell<{ containerId: string }[]>(host, ['attachment', 'ls']);
    assert.equal([listed?.containerId, others], [pod.namespace.name, []]);
    mustEnd(host, ['repair'], 0);
    mustBeEmpty(host.changesSince(before), 'changed');
    delPod(host, pod);
  });
}

run();
