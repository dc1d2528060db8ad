import { readdirSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Sandbox } from '../attachment/attachment.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { identityOf, openOwnNetns } from '../kernel/netns.ts';
import { add } from './add.ts';
import { closeSandbox, findSandbox, isAsRecorded, openRecordedSandbox, SandboxOnDemand } from './sandbox.ts';
import { FakeNode } from './testing/fake-node.ts';

const test = suite<{ node: FakeNode }>('sandbox');

/** Run work that must leave nothing open. */
function closing<Value>(work: () => Value): Value {
  const before = readdirSync('/proc/self/fd').length;
  const value = work();
  assert.is(readdirSync('/proc/self/fd').length, before, 'something stays open');
  return value;
}

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

const OTHER = { netnsIdentity: '4:1' };

async function recordOf(node: FakeNode, changes: Partial<AttachmentRecord> = {}): Promise<AttachmentRecord> {
  if (!node.record) await add(node.request(), node.context);
  const { record } = node;
  assert.ok(record);
  return { ...record, ...changes };
}

/** Whether DEL finds the sandbox, and how often it warns. */
function find(node: FakeNode, changes: object, record?: AttachmentRecord): [found: boolean, warnings: number] {
  const warnings: string[] = [];
  const request = { ...node.request('DEL'), ...changes };
  return closing(() => {
    const sandbox = findSandbox(request, record, (text) => void warnings.push(text));
    closeSandbox(sandbox);
    return [sandbox !== undefined, warnings.length];
  });
}

test('findSandbox() has none without CNI_NETNS, or with nothing at the path, and says nothing of it', ({ node }) => {
  assert.equal(find(node, { netns: '' }), [false, 0]);
  assert.equal(find(node, { netns: '/nowhere' }), [false, 0]);
  assert.equal(find(node, { netns: '/proc/self/status/below' }), [false, 0]);
});

test('findSandbox() has none where the path is no namespace of a network, and warns', ({ node }) => {
  assert.equal(find(node, { netns: '/proc/self/ns/uts' }), [false, 1]);
  assert.equal(find(node, { netns: '/proc/self/status' }), [false, 1]);
});

test('findSandbox() goes by the record: our own namespace is the container’s if that says so, and no other is', async ({
  node,
}) => {
  const record = await recordOf(node);
  assert.equal(find(node, { netnsOverride: false }, record), [true, 0]);
  assert.equal(find(node, { netnsOverride: true }, { ...record, ...OTHER }), [false, 0]);
});

test('findSandbox() without a record takes our own for the container’s only where the runtime says so', ({ node }) => {
  assert.equal(find(node, { netnsOverride: false }), [false, 0]);
  assert.equal(find(node, { netnsOverride: true }), [true, 0]);
});

test('openRecordedSandbox() opens the namespace on record, and none that is there in its place', async ({ node }) => {
  const isThere = async (changes: Partial<AttachmentRecord>): Promise<boolean> => {
    const record = await recordOf(node, changes);
    return closing(() => {
      const sandbox = openRecordedSandbox(record);
      closeSandbox(sandbox);
      return sandbox !== undefined;
    });
  };
  assert.is(await isThere({}), true);
  assert.is(await isThere(OTHER), false);
  for (const netns of ['/nowhere', '/proc/self/ns/uts', '/proc/self/status'])
    assert.is(await isThere({ netns }), false);
});

test('isAsRecorded() of a shared namespace asks for the shared one, and not for the container’s own', async ({
  node,
}) => {
  const netns = openOwnNetns();
  const identity = identityOf(netns);
  const own = await recordOf(node);
  assert.is(isAsRecorded(netns, own), true);
  assert.is(isAsRecorded(netns, { ...own, ...OTHER, objects: { sharedNetns: identity } }), true);
  assert.is(isAsRecorded(netns, { ...own, objects: { sharedNetns: '4:1' } }), false);
  netns.close();
});

test('SandboxOnDemand opens when it is asked first, once, and also remembers that there is none', () => {
  let count = 0;
  let closed = 0;
  const sandbox = { path: '', netns: { close: () => closed++ } } as unknown as Sandbox;
  const some = new SandboxOnDemand(() => {
    count++;
    return sandbox;
  });
  assert.is(count, 0);
  assert.is(some.get(), sandbox);
  assert.is(some.get(), sandbox);
  some.close();
  assert.equal([count, closed], [1, 1]);

  const none = new SandboxOnDemand(() => {
    count++;
    return undefined;
  });
  assert.equal([none.get(), none.get(), count], [undefined, undefined, 2]);
  none.close();

  new SandboxOnDemand(() => sandbox).close();
  assert.is(closed, 1, 'what was not opened is not closed');
});

test.run();
