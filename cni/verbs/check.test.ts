import { rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writeRecord } from '../attachment/record-store.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { del } from './del.ts';
import { failureOf } from './testing/failure.ts';
import { FakeNode } from './testing/fake-node.ts';

const test = suite<{ node: FakeNode }>('CHECK');

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

test('check() asks mode, features and IPAM, and changes nothing', async ({ node }) => {
  const prevResult = JSON.parse(await add(node.request(), node.context));
  const { record } = node;
  node.forget();
  await check(node.request('CHECK', { prevResult }), node.context);
  assert.equal(node.steps, ['mode plan', 'mode check', 'feature check']);
  assert.equal(node.record, record);
});

test('check() tells of all that is wrong at once, and of the address that is gone', async ({ node }) => {
  const prevResult = JSON.parse(await add(node.request(), node.context));
  rmSync(node.dataDir, { recursive: true });
  node.isDamaged = true;
  const error = await failureOf(check(node.request('CHECK', { prevResult }), node.context));
  assert.is(error.code, 101);
  assert.match(error.message, /bridge "fake0" is gone; the host does not forward IPv4; .*10\.1\.0\.2/);
  assert.match(error.message, /run `podlink repair`, or recreate the pod$/);
});

test('check() wants prevResult', async ({ node }) => {
  await add(node.request(), node.context);
  const error = await failureOf(check(node.request('CHECK'), node.context));
  assert.equal([error.code, /prevResult/.test(error.message)], [7, true]);
});

test('check() says that an ADD has not come to its end', async ({ node }) => {
  const prevResult = JSON.parse(await add(node.request(), node.context));
  const { record } = node;
  assert.ok(record);
  writeRecord(node.runDir, { ...record, state: 'adding' });
  const error = await failureOf(check(node.request('CHECK', { prevResult }), node.context));
  assert.match(error.message, /its ADD did not come to its end/);
});

test('check() serves an attachment without a record by its configuration', async ({ node }) => {
  const prevResult = JSON.parse(await add(node.request('ADD', { ipam: undefined }), node.context));
  await del(node.request('DEL', { ipam: undefined }), node.context);
  node.forget();
  await check(node.request('CHECK', { prevResult, ipam: undefined }), node.context);
  assert.equal(node.steps, ['mode plan', 'mode check', 'feature check']);
});

test.run();
