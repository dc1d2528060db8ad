import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lockAttachment } from '../attachment/lock.ts';
import { writeRecord } from '../attachment/record-store.ts';
import { add } from './add.ts';
import { gc } from './gc.ts';
import { FakeNode } from './testing/fake-node.ts';

const test = suite<{ node: FakeNode }>('GC');

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

const KEPT = [{ containerID: 'c1', ifname: 'eth0' }];

function filesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

async function collect(node: FakeNode, valid: readonly object[] | undefined): Promise<void> {
  node.forget();
  const more = valid === undefined ? {} : { 'cni.dev/valid-attachments': valid };
  await gc(node.networkRequest('GC', more), node.context);
}

test('gc() keeps the attachments that the runtime names', async ({ node }) => {
  await add(node.request(), node.context);
  const { record } = node;
  await collect(node, KEPT);
  assert.equal([node.steps, node.record, node.addresses], [[], record, ['10.1.0.2']]);
});

test('gc() removes the others, their addresses and their records', async ({ node }) => {
  await add(node.request(), node.context);
  await collect(node, [{ containerID: 'c2', ifname: 'eth0' }]);
  assert.equal(node.steps, ['mode detach', 'feature remove']);
  assert.equal([node.record, node.addresses], [undefined, []]);
});

test('gc() removes nothing without a list, which is not an empty one', async ({ node }) => {
  await add(node.request(), node.context);
  const { record } = node;
  await collect(node, undefined);
  assert.equal([node.steps, node.record], [[], record]);
  await collect(node, []);
  assert.is(node.record, undefined);
});

test('gc() tells of what it cannot remove, goes on, and keeps the record', async ({ node }) => {
  await add(node.request(), node.context);
  const { record } = node;
  assert.ok(record);
  writeRecord(node.runDir, { ...record, containerId: 'c2' });
  node.failures.set('mode detach', new Error('the link is busy'));
  let failure: unknown;
  await collect(node, []).catch((error: unknown) => {
    failure = error;
  });
  assert.ok(failure instanceof AggregateError);
  assert.equal(
    node.steps.filter((step) => step === 'mode detach'),
    ['mode detach', 'mode detach'],
  );
  assert.is(node.record?.state, 'complete');
});

test('gc() removes files of calls that were killed, and leaves those of one that is busy', async ({ node }) => {
  await add(node.request(), node.context);
  const folder = join(node.runDir, 'attachments/pods');
  mkdirSync(folder, { recursive: true });
  for (const name of ['c9.eth0.lock', 'c9.eth0.json.tmp']) writeFileSync(join(folder, name), '');
  const busy = lockAttachment(node.runDir, { network: 'pods', containerId: 'c5', ifname: 'eth0' });
  await collect(node, KEPT);
  assert.equal(filesIn(folder), ['c1.eth0.json', 'c5.eth0.lock']);
  busy.release();
});

test.run();
