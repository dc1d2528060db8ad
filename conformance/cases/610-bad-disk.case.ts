// Disks that are full, read-only, damaged or locked: every call has an answer with a code, a failed ADD leaves nothing,
// and what a DEL could not finish the next one does.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type Attachment, attachBesideNeighbour, mustBeAsBefore, networkInUse } from '../harness/attachment.ts';
import { cases, type Reference } from '../harness/case.ts';
import { mustRun, run as runProgram } from '../harness/command.ts';
import type { ErrorDocument } from '../harness/document.ts';
import type { Host } from '../harness/host.ts';
import { findLink } from '../harness/referee.ts';
import { mustAdd, mustBeEmpty, mustPass, mustRefuse, withPrevResult } from '../harness/verdict.ts';
import { enterOwnMachine } from '../runtimes/own-machine.ts';

enterOwnMachine();
const { test, run } = cases('bad disk');
const ABSENT: Reference = { absent: 'records, and a store that is durable' };
/** What only stays until the next call: see harness/fault-scene.ts. */
const HARMLESS = /^\+ other |last_reserved_ip\.\d+ |\/\.podlink\/|^\+ file \S+\/\.filling |\.lock ""$/;

/** Small enough to be full soon, and large enough for a few attachments. */
const SMALL = 'size=512k,nr_inodes=200';

/** Put a file system of its own in the place of a folder that is in use, with what is in there, for a while. */
function withOwnDisk(folder: string, work: () => void): void {
  mkdirSync(folder, { recursive: true });
  const kept = `${folder}.kept`;
  mustRun('cp', ['-a', folder, kept]);
  mustRun('mount', ['-t', 'tmpfs', '-o', SMALL, 'bad-disk', folder]);
  mustRun('cp', ['-a', `${kept}/.`, folder]);
  rmSync(kept, { recursive: true });
  try {
    work();
  } finally {
    mustRun('umount', ['--lazy', folder]);
  }
}

const DISKS = {
  'has no room': {
    spoil: (folder: string) => void runProgram('dd', ['if=/dev/zero', `of=${folder}/.filling`, 'bs=4k']),
    mend: (folder: string) => rmSync(join(folder, '.filling')),
  },
  'has no inodes': {
    spoil(folder: string) {
      mkdirSync(join(folder, '.filling'));
      for (let i = 0; ; i++) {
        try {
          writeFileSync(join(folder, '.filling', String(i)), '');
        } catch {
          return; // that was the last one
        }
      }
    },
    mend: (folder: string) => rmSync(join(folder, '.filling'), { recursive: true }),
  },
  'is read-only': {
    spoil: (folder: string) => void mustRun('mount', ['-o', 'remount,ro', folder]),
    mend: (folder: string) => void mustRun('mount', ['-o', 'remount,rw', folder]),
  },
} as const;

const FOLDERS = {
  'the run directory': ({ runDir }: Host) => runDir,
  'the data directory': ({ dataDir }: Host) => dataDir,
} as const;

function mustBeAsBeforeButFor(host: Host, before: Attachment['before'], what: string): void {
  mustBeEmpty(
    host.changesSince(before).filter((line) => !HARMLESS.test(line)),
    what,
  );
}

for (const [where, folderOf] of Object.entries(FOLDERS)) {
  for (const [how, { spoil, mend }] of Object.entries(DISKS)) {
    test(`${where} ${how}: ADD says so with a code and leaves nothing`, ABSENT, (host) => {
      const { config } = networkInUse(host);
      const folder = folderOf(host);
      withOwnDisk(folder, () => {
        const invocation = { config, container: host.addContainer('pod') };
        const before = host.snapshot();
        spoil(folder);
        const outcome = host.invoke('ADD', invocation);
        const error = outcome.json as ErrorDocument;
        assert.is(outcome.code, 1, outcome.stdout);
        assert.is(error.code, 5, outcome.stdout);
        mend(folder);
        mustBeAsBeforeButFor(host, before, 'left by the ADD');
        mustAdd(host, invocation);
        mustPass(host, 'DEL', invocation);
        mustBeAsBeforeButFor(host, before, 'left by the next DEL');
      });
    });

    test(`${where} ${how}: DEL takes away what it can, and all of it when the disk is well again`, ABSENT, (host) => {
      const attached = attachBesideNeighbour(host);
      const folder = folderOf(host);
      withOwnDisk(folder, () => {
        const invocation = { config: attached.later, container: attached.pod };
        spoil(folder);
        const outcome = host.invoke('DEL', invocation);
        if (outcome.code !== 0) assert.ok([5, 104].includes((outcome.json as ErrorDocument).code), outcome.stdout);
        assert.is(findLink(attached.pod, 'eth0'), undefined, 'the interface is gone in any case');
        mend(folder);
        mustPass(host, 'DEL', invocation);
        mustBeAsBeforeButFor(host, attached.before, 'left by the second DEL');
      });
    });
  }
}

const DAMAGES: Readonly<Record<string, (path: string, text: string) => void>> = {
  empty: (path) => writeFileSync(path, ''),
  torn: (path, text) => writeFileSync(path, text.slice(0, text.length / 2)),
  'zero bytes': (path, text) => writeFileSync(path, '\0'.repeat(text.length)),
  garbage: (path) => writeFileSync(path, Buffer.from('7f454c46fffe00c328a0a1', 'hex')),
  "somebody else's": (path, text) => {
    writeFileSync(path, text);
    chownSync(path, 65_534, 65_534);
  },
  'a symbolic link to nowhere': (path) => symlinkSync('nowhere', path),
  gone: () => undefined,
};

for (const [what, damage] of Object.entries(DAMAGES)) {
  test(`a record that is ${what}: DEL removes everything all the same`, ABSENT, (host) => {
    const attached = attachBesideNeighbour(host);
    const path = join(host.runDir, 'attachments', 'pods', `${attached.pod.name}.eth0.json`);
    const text = readFileSync(path, 'utf8');
    rmSync(path);
    damage(path, text);
    mustPass(host, 'DEL', { config: attached.later, container: attached.pod });
    mustBeAsBefore(host, attached);
  });

  test(
    `reservations and index that are ${what}: nobody gets an address twice, and DEL still finds its own`,
    ABSENT,
    (host) => {
      const attached = attachBesideNeighbour(host);
      const first = addressesIn(host);
      for (const entry of readdirSync(join(host.dataDir, '.podlink'), { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const path = join(entry.parentPath, entry.name);
        const text = readFileSync(path, 'latin1');
        rmSync(path);
        damage(path, text);
      }
      const other = host.addContainer('other');
      const result = mustAdd(host, { config: attached.config, container: other });
      for (const { address } of result.ips ?? []) assert.not(first.includes(address.split('/')[0] ?? ''), address);
      mustPass(host, 'DEL', { config: attached.later, container: attached.pod });
      mustPass(host, 'DEL', { config: withPrevResult(attached.config, result), container: other });
      mustBeEmpty(
        addressesIn(host).filter((address) => !first.includes(address)),
        'addresses that stay reserved',
      );
      assert.is(addressesIn(host).length, first.length - 2, 'the two of the pod are free');
    },
  );
}

function addressesIn(host: Host): string[] {
  return readdirSync(join(host.dataDir, 'pods')).filter((name) => /^[\da-f]+[.:]/.test(name));
}

test('a directory where the record goes: ADD and DEL say which path, and nothing else is left', ABSENT, (host) => {
  const { config } = networkInUse(host);
  const pod = host.addContainer('pod');
  const path = join(host.runDir, 'attachments', 'pods', `${pod.name}.eth0.json`);
  const before = host.snapshot();
  mkdirSync(path);
  mustRefuse(host, 'ADD', { config, container: pod }, 5, /eth0\.json/);
  rmSync(path, { recursive: true });
  mustBeAsBeforeButFor(host, before, 'left by the ADD');
});

for (const [what, make] of Object.entries({
  'a directory': (path: string) => mkdirSync(path),
  'an empty file': (path: string) => writeFileSync(path, ''),
  'half a file': (path: string) => writeFileSync(path, 'somebo'),
  'a symbolic link': (path: string) => symlinkSync('/etc/passwd', path),
})) {
  test(`${what} under the next address: it is passed over, and stays`, ABSENT, (host) => {
    const { config } = networkInUse(host);
    const path = join(host.dataDir, 'pods', '10.77.0.3');
    make(path);
    const result = mustAdd(host, { config, container: host.addContainer('pod') });
    assert.is(result.ips?.[0]?.address, '10.77.0.4/24');
    mustPass(host, 'DEL', { config, container: host.addContainer('nobody') });
    assert.ok(readdirSync(join(host.dataDir, 'pods')).includes('10.77.0.3'));
  });
}

for (const [name, make] of [
  ['last_reserved_ip.0', (path: string) => writeFileSync(path, '\0\0\0')],
  ['last_reserved_ip.0', (path: string) => mkdirSync(path)],
  ['lock', (path: string) => mkdirSync(path)],
  ['.podlink-temporary', (path: string) => writeFileSync(path, 'left by a crash')],
  ['../.podlink/pods/owners', (path: string) => writeFileSync(path, '')],
  ['../.podlink/pods/taken', (path: string) => writeFileSync(path, '')],
  ['../.podlink', (path: string) => writeFileSync(path, '')],
] as const) {
  test(`"${name}" of the store replaced: ADD and DEL go on`, ABSENT, (host) => {
    const { config } = networkInUse(host);
    const path = join(host.dataDir, 'pods', name);
    rmSync(path, { recursive: true, force: true });
    make(path);
    const invocation = { config, container: host.addContainer('pod') };
    const taken = addressesIn(host);
    const { ips = [] } = mustAdd(host, invocation);
    for (const { address } of ips) assert.not(taken.includes(address.split('/')[0] ?? ''), address);
    mustPass(host, 'DEL', invocation);
    assert.equal(addressesIn(host).sort(), taken.sort());
  });
}

test('a lock that is held for ever: code 11 in time, nothing is left, and nothing else waits', ABSENT, async (host) => {
  const { config } = networkInUse(host);
  const invocation = { config, container: host.addContainer('pod') };
  const before = host.snapshot();
  const holder = spawn('flock', [join(host.dataDir, 'pods', 'lock'), 'sleep', '120'], {
    stdio: 'ignore',
    detached: true,
  });
  try {
    await once(holder, 'spawn');
    const isFree = () => runProgram('flock', ['--nonblock', join(host.dataDir, 'pods', 'lock'), 'true']).code === 0;
    for (const deadline = performance.now() + 5000; isFree(); )
      assert.ok(performance.now() < deadline, 'no lock is held');
    process.kill(-(holder.pid ?? 0), 'SIGSTOP');
    const started = performance.now();
    mustRefuse(host, 'ADD', invocation, 11, /another process has held its lock for 10 s/);
    assert.ok(performance.now() - started < 20_000, 'the deadline is 10 s');
    mustBeAsBeforeButFor(host, before, 'left by the ADD');
    mustPass(host, 'STATUS', { config: { ...config, cniVersion: '1.1.0' } });
  } finally {
    process.kill(-(holder.pid ?? 0), 'SIGKILL');
    await once(holder, 'exit');
  }
  mustAdd(host, invocation);
});

test(
  'a clock that was set back: records and reservations from the future are used and removed like others',
  ABSENT,
  (host) => {
    const attached = attachBesideNeighbour(host);
    const path = join(host.runDir, 'attachments', 'pods', `${attached.pod.name}.eth0.json`);
    const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...record, created: '2099-01-01T00:00:00.000Z' }));
    const future = Date.UTC(2099, 0) / 1000;
    for (const name of addressesIn(host)) utimesSync(join(host.dataDir, 'pods', name), future, future);
    const invocation = { config: attached.later, container: attached.pod };
    mustPass(host, 'CHECK', invocation);
    mustRefuse(host, 'ADD', { ...invocation, config: attached.config }, 102, /attached already/);
    const other = host.addContainer('other');
    mustAdd(host, { config: attached.config, container: other });
    mustPass(host, 'DEL', { config: attached.config, container: other });
    mustPass(host, 'DEL', invocation);
    assert.not(existsSync(path));
    mustBeAsBeforeButFor(host, attached.before, 'left by the DEL');
  },
);

run();
