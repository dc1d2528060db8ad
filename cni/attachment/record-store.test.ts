import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deleteRecord, findRecord, listRecords, writeRecord } from './record-store.ts';
import { lockAttachment } from './lock.ts';
import type { AttachmentRecord } from './record.ts';

const test = suite<{ runDir: string }>('attachment record');

test.before.each((context) => {
  context.runDir = mkdtempSync(join(tmpdir(), 'podlink-record-'));
});
test.after.each(({ runDir }) => rmSync(runDir, { recursive: true }));

function record(changes: Partial<AttachmentRecord> = {}): AttachmentRecord {
  return {
    version: 1,
    state: 'adding',
    network: 'pods',
    containerId: 'c1',
    ifname: 'eth0',
    netns: '/run/netns/c1',
    netnsIdentity: '4:4026532000',
    mode: 'bridge',
    objects: { bridge: 'cni0', hostInterface: 'veth0123456789a' },
    addresses: ['10.1.2.3/24'],
    features: { bandwidth: { ifb: 'ifb0123456789a' } },
    elements: [{ family: 1, set: 'masquerade_v4', key: '0a010203' }],
    config: { name: 'pods', type: 'podlink' },
    cniArgs: 'K8S_POD_NAME=a',
    created: '2026-01-01T00:00:00.000Z',
    ...changes,
  };
}

/** Write a record the way ADD does, with the attachment locked. */
function write(runDir: string, value: AttachmentRecord): void {
  const lock = lockAttachment(runDir, value);
  writeRecord(runDir, value);
  lock.release();
}

test('findRecord() returns what writeRecord() wrote, and the second write replaces the first', ({ runDir }) => {
  write(runDir, record());
  assert.equal(findRecord(runDir, record()), record());
  write(runDir, record({ state: 'complete' }));
  assert.is(findRecord(runDir, record())?.state, 'complete');
  assert.equal(readdirSync(join(runDir, 'attachments/pods')), ['c1.eth0.json']);
});

test('writeRecord() keeps records from others: mode 0600', ({ runDir }) => {
  write(runDir, record());
  assert.is(statSync(join(runDir, 'attachments/pods/c1.eth0.json')).mode & 0o777, 0o600);
});

test('records of IDs and interface names that share their dots are apart', ({ runDir }) => {
  const one = record({ containerId: 'a.b', ifname: 'c' });
  const other = record({ containerId: 'a', ifname: 'b.c' });
  write(runDir, one);
  write(runDir, other);
  assert.equal(findRecord(runDir, one), one);
  assert.equal(findRecord(runDir, other), other);
  assert.equal(readdirSync(join(runDir, 'attachments/pods')).sort(), ['a.b%2Ec.json', 'a.b.c.json']);
});

test('a container ID longer than a file name can be has a record', ({ runDir }) => {
  const long = record({ containerId: `x${'y'.repeat(400)}` });
  const other = record({ containerId: `x${'y'.repeat(399)}z` });
  write(runDir, long);
  assert.equal(findRecord(runDir, long), long);
  assert.is(findRecord(runDir, other), undefined);
});

test('deleteRecord() succeeds when the record is gone', ({ runDir }) => {
  write(runDir, record());
  deleteRecord(runDir, record());
  deleteRecord(runDir, record());
  assert.is(findRecord(runDir, record()), undefined);
});

for (const [what, text] of [
  ['an empty file', ''],
  ['a torn record', JSON.stringify(record()).slice(0, 100)],
  ['another JSON document', '{"a":1}'],
  ['a record of another version', JSON.stringify({ ...record(), version: 99 })],
  ['a list', '[]'],
] as const) {
  test(`findRecord() takes ${what} for no record`, ({ runDir }) => {
    write(runDir, record());
    writeFileSync(join(runDir, 'attachments/pods/c1.eth0.json'), text);
    assert.is(findRecord(runDir, record()), undefined);
    assert.equal(listRecords(runDir, 'pods'), []);
  });
}

test('listRecords() returns the records of one network only', ({ runDir }) => {
  write(runDir, record());
  write(runDir, record({ containerId: 'c2' }));
  write(runDir, record({ network: 'other' }));
  assert.equal(
    listRecords(runDir, 'pods')
      .map(({ containerId }) => containerId)
      .sort(),
    ['c1', 'c2'],
  );
  assert.equal(listRecords(runDir, 'nothing'), []);
});

test('lockAttachment() keeps a second caller out until the first is done, and leaves no file', ({ runDir }) => {
  const lock = lockAttachment(runDir, record());
  assert.throws(
    () => lockAttachment(runDir, record(), 20),
    (error: Error) => error.name === 'LockTimeoutError',
  );
  const another = lockAttachment(runDir, record({ ifname: 'eth1' }), 20);
  another.release();
  lock.release();
  lockAttachment(runDir, record(), 20).release();
  assert.not(existsSync(join(runDir, 'attachments/pods')));
});

test('findRecord() takes a FIFO in the place of a record for none, and does not wait for it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'podlink-fifo-'));
  try {
    mkdirSync(join(folder, 'attachments/pods'), { recursive: true, mode: 0o700 });
    execFileSync('mkfifo', [join(folder, 'attachments/pods/c1.eth0.json')]);
    assert.is(findRecord(folder, { network: 'pods', containerId: 'c1', ifname: 'eth0' }), undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();
