import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { toCniError } from '../protocol/errors.ts';
import { deleteRecord, findRecord } from '../attachment/record-store.ts';
import { lockAttachment } from '../attachment/lock.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { beginRecord, findSharing, refuseOthers } from './sole-attachment.ts';

const test = suite<{ runDir: string }>('sole attachment');

test.before.each((context) => {
  context.runDir = mkdtempSync(join(tmpdir(), 'podlink-sole-'));
});
test.after.each(({ runDir }) => rmSync(runDir, { recursive: true }));

function record(network: string, mode: string, changes: Partial<AttachmentRecord> = {}): AttachmentRecord {
  const isSharing = mode === 'host' || mode === 'container';
  return {
    version: 1,
    state: 'adding',
    network,
    containerId: 'c1',
    ifname: 'eth0',
    netns: '/run/netns/c1',
    netnsIdentity: '4:4026532000',
    mode,
    objects: isSharing ? { sharedNetns: '4:1', target: mode } : {},
    addresses: [],
    features: {},
    elements: [],
    config: { name: network, type: 'podlink' },
    cniArgs: '',
    created: '2026-01-01T00:00:00.000Z',
    ...changes,
  };
}

/** Begin an ADD as add() does; gives the error's code, 0 without one. */
function begin(runDir: string, value: AttachmentRecord): number {
  const lock = lockAttachment(runDir, value);
  try {
    beginRecord(runDir, value);
    return 0;
  } catch (error) {
    deleteRecord(runDir, value);
    return toCniError(error).code;
  } finally {
    lock.release();
  }
}

const MODES = ['bridge', 'host', 'container', 'none'];

for (const first of MODES) {
  for (const second of MODES) {
    const isRefused = first !== 'bridge' || second !== 'bridge';
    test(`beginRecord() ${isRefused ? 'refuses' : 'allows'} ${second} after ${first}`, ({ runDir }) => {
      assert.is(begin(runDir, record('one', first)), 0);
      assert.is(begin(runDir, record('two', second, { ifname: 'eth1' })), isRefused ? 102 : 0);
      assert.is(findRecord(runDir, record('two', second, { ifname: 'eth1' })) === undefined, isRefused);
      assert.ok(findRecord(runDir, record('one', first)), 'the first stays');
      deleteRecord(runDir, record('one', first));
      assert.is(begin(runDir, record('two', second, { ifname: 'eth1' })), 0, 'once the first is gone');
    });
  }
}

test('beginRecord() looks at the same container in the same place only', ({ runDir }) => {
  assert.is(begin(runDir, record('one', 'host')), 0);
  assert.is(begin(runDir, record('two', 'bridge', { containerId: 'c2' })), 0);
  assert.is(begin(runDir, record('two', 'bridge', { containerId: 'c1.eth0' })), 0);
  assert.is(begin(runDir, record('two', 'bridge', { netns: '/run/netns/anew' })), 0, 'one that was started anew');
});

test('beginRecord() of a mode with an interface locks nothing where no container is in another mode', ({ runDir }) => {
  assert.is(begin(runDir, record('one', 'bridge')), 0);
  assert.not.ok(existsSync(join(runDir, 'locks')));
  refuseOthers(runDir, record('two', 'host'));
  assert.not.ok(existsSync(join(runDir, 'locks')));
});

test('findSharing() finds by which record a container runs in another namespace, and looks only where one does', ({
  runDir,
}) => {
  const sharing = record('hosts', 'host');
  assert.is(findSharing(runDir, 'c1', sharing.netns), undefined);
  assert.is(begin(runDir, sharing), 0);
  assert.equal(findSharing(runDir, 'c1', sharing.netns), sharing);
  assert.is(findSharing(runDir, 'c1', '/run/netns/another'), undefined);
  assert.is(findSharing(runDir, 'c2', sharing.netns), undefined);
  deleteRecord(runDir, sharing);
  assert.is(findSharing(runDir, 'c1', sharing.netns), undefined);
});

test.run();
