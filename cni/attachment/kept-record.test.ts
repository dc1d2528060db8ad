import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { joinElements, KeptRecord } from './kept-record.ts';
import { lockAttachment } from './lock.ts';
import type { AttachmentRecord, RecordedElement } from './record.ts';
import { findRecord } from './record-store.ts';

const test = suite<{ runDir: string; kept: KeptRecord }>('kept record');

const KEY = { network: 'pods', containerId: 'c1', ifname: 'eth0' };
const RECORD: AttachmentRecord = {
  version: 1,
  state: 'adding',
  ...KEY,
  netns: '/run/netns/c1',
  netnsIdentity: '4:1',
  mode: 'bridge',
  objects: {},
  addresses: [],
  features: {},
  elements: [],
  config: {},
  cniArgs: '',
  created: '2026-01-01T00:00:00Z',
};
const elementOf = (key: string, data?: string): RecordedElement => ({
  family: 1,
  set: 's',
  key,
  ...(data !== undefined && { data }),
});

test.before.each((context) => {
  context.runDir = join(mkdtempSync(join(tmpdir(), 'podlink-kept-')), 'run');
  // Makes the folders.
  lockAttachment(context.runDir, KEY);
  context.kept = new KeptRecord(context.runDir, RECORD);
});
test.after.each(({ runDir }) => rmSync(join(runDir, '..'), { recursive: true }));

test('change() is on disk when it returns, and takes a key off', ({ runDir, kept }) => {
  kept.change({ addresses: ['10.1.0.2/24'], waiting: [elementOf('01')] });
  assert.equal(findRecord(runDir, KEY), kept.current);
  assert.equal(kept.current.addresses, ['10.1.0.2/24']);
  kept.change({ waiting: undefined });
  assert.is('waiting' in kept.current, false);
  assert.equal(findRecord(runDir, KEY), kept.current);
});

test('change() leaves the record as it was when it cannot be written', ({ runDir, kept }) => {
  rmSync(runDir, { recursive: true });
  assert.throws(() => kept.change({ state: 'complete' }), /ENOENT/);
  assert.is(kept.current.state, 'adding');
});

test('add() joins work with what is on record', ({ kept }) => {
  kept.change({ elements: [elementOf('01')], features: { a: { n: 1 } } });
  kept.add({ elements: [elementOf('01'), elementOf('02')], features: { a: { n: 2 }, b: {} } }, { addresses: ['x'] });
  assert.equal(kept.current.elements, [elementOf('01'), elementOf('02')]);
  assert.equal(kept.current.features, { a: { n: 2 }, b: {} });
  assert.equal(kept.current.addresses, ['x']);
});

test('add() keeps what was noted of an object of a complete attachment, and writes nothing that is not new', ({
  runDir,
  kept,
}) => {
  kept.change({ state: 'complete', features: { a: { original: '1' } } });
  kept.add({ elements: [], features: { a: { original: '2' } } });
  assert.equal(kept.current.features, { a: { original: '1' } });
  rmSync(runDir, { recursive: true });
  kept.add({ elements: [], features: { a: { original: '2' } } });
  assert.throws(() => kept.add({ elements: [elementOf('01')], features: {} }), /ENOENT/);
});

test('add() keeps what was noted of an object also where something else is new', ({ runDir, kept }) => {
  kept.change({ state: 'complete', features: { a: { original: '1' } } });
  kept.add({ elements: [elementOf('01')], features: { a: { original: '2' }, b: {} } });
  assert.equal(findRecord(runDir, KEY)?.features, { a: { original: '1' }, b: {} });
});

test('joinElements() has each place once: the first stays', () => {
  const first = elementOf('01', 'aa');
  assert.equal(joinElements([first], [elementOf('01', 'bb'), elementOf('02')]), [first, elementOf('02')]);
});

test.run();
