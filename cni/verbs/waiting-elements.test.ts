// Elements that two interfaces of one container want: who waits, and who gets the place that becomes free.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lockAttachment } from '../attachment/lock.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { findRecord, writeRecord } from '../attachment/record-store.ts';
import { applyElements, ownedBy } from '../features/elements/owned-elements.ts';
import { masqueradeElements } from '../features/masquerade/masquerade-elements.ts';
import { MASQUERADE_RULESET } from '../features/masquerade/masquerade-ruleset.ts';
import type { Element } from '../kernel/nftables/element.ts';
import { FakeNode } from './testing/fake-node.ts';
import { removeWithHeirs, stopWaiting, waitingOnRecord } from './waiting-elements.ts';

const test = suite<{ node: FakeNode }>('elements that wait');

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

const keyOf = (ifname: string, containerId = 'c1') => ({ network: 'pods', containerId, ifname });
const FIRST = keyOf('eth0');
const WANTED: readonly Element[] = masqueradeElements(['10.9.0.2/24']);

function attach(node: FakeNode, key: ReturnType<typeof keyOf>, changes: Partial<AttachmentRecord> = {}): void {
  const lock = lockAttachment(node.runDir, key);
  writeRecord(node.runDir, {
    version: 1,
    state: 'complete',
    ...key,
    netns: '/run/netns/c1',
    netnsIdentity: '4:1',
    mode: 'bridge',
    objects: {},
    addresses: [],
    features: {},
    elements: [],
    config: {},
    cniArgs: '',
    created: '2026-01-01T00:00:00.000Z',
    ...changes,
  });
  lock.release();
}

const WAITING = { waiting: waitingOnRecord(WANTED).waiting ?? [] };

function has(node: FakeNode): void {
  attach(node, FIRST);
  applyElements(node.context.nft, FIRST, { rulesets: [MASQUERADE_RULESET], elements: WANTED });
}

function lose(node: FakeNode): void {
  removeWithHeirs(node.context, ownedBy(FIRST, WANTED));
}

test('who waits gets the place of a sibling that goes, in the same batch', ({ node }) => {
  has(node);
  attach(node, keyOf('net1'), WAITING);
  const { batches } = node.context.fakeNft.asked;
  lose(node);
  assert.equal(node.elements, ['pods/c1/net1']);
  assert.is(node.context.fakeNft.asked.batches, batches + 1);
});

test('of several that wait the one that came first gets it', ({ node }) => {
  has(node);
  attach(node, keyOf('net1'), { ...WAITING, created: '2026-03-01T00:00:00.000Z' });
  attach(node, keyOf('net2'), { ...WAITING, created: '2026-02-01T00:00:00.000Z' });
  lose(node);
  assert.equal(node.elements, ['pods/c1/net2']);
});

test('another container inherits nothing', ({ node }) => {
  has(node);
  attach(node, keyOf('net1', 'c2'), WAITING);
  lose(node);
  assert.equal(node.elements, []);
});

test('who goes at the same time inherits nothing', ({ node }) => {
  has(node);
  attach(node, keyOf('net1'), WAITING);
  removeWithHeirs(node.context, [...ownedBy(FIRST, WANTED), ...ownedBy(keyOf('net1'), WANTED)]);
  assert.equal(node.elements, []);
});

test('what is another’s by now is not inherited', ({ node }) => {
  has(node);
  attach(node, keyOf('net1'), WAITING);
  const stranger = keyOf('eth0', 'c2');
  applyElements(node.context.nft, stranger, { rulesets: [MASQUERADE_RULESET], elements: WANTED });
  lose(node);
  assert.equal(node.elements, ['pods/c2/eth0']);
});

test('who stops waiting is off the record, and inherits nothing', ({ node }) => {
  has(node);
  attach(node, keyOf('net1'), WAITING);
  stopWaiting(node.context, keyOf('net1'));
  assert.is(findRecord(node.runDir, keyOf('net1'))?.waiting, undefined);
  lose(node);
  assert.equal(node.elements, []);
});

test('who stops waiting makes the ruleset another, so that a removal that has counted on it looks again', ({
  node,
}) => {
  has(node);
  attach(node, keyOf('net1'), WAITING);
  const { generation } = node.context.fakeNft;
  stopWaiting(node.context, keyOf('net1'));
  assert.ok(node.context.fakeNft.generation > generation);
});

test('stopWaiting() of one that does not wait asks nothing of nftables', ({ node }) => {
  has(node);
  attach(node, keyOf('net2'), WAITING);
  attach(node, keyOf('net1'));
  const { batches, questions } = node.context.fakeNft.asked;
  stopWaiting(node.context, keyOf('net1'));
  assert.equal(node.context.fakeNft.asked, { batches, questions });
});

test('an heir that cannot be served keeps no removal from it', ({ node }) => {
  has(node);
  const [source] = WAITING.waiting;
  assert.ok(source);
  // Of a set that is not there.
  attach(node, keyOf('net1'), { waiting: [source, { ...source, set: 'portmap_of_old' }] });
  lose(node);
  assert.not.ok(node.elements.includes('pods/c1/eth0'));
});

test.run();
