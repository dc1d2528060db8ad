import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writeRecord } from '../attachment/record-store.ts';
import { add } from './add.ts';
import { del } from './del.ts';
import { repairAttachments } from './repair.ts';
import { FakeNode } from './testing/fake-node.ts';

const test = suite<{ node: FakeNode }>('repair');

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

function recordOf(node: FakeNode): NonNullable<FakeNode['record']> {
  const { record } = node;
  if (!record) throw new Error('There is no record');
  return record;
}

test('repairAttachments() leaves what is sound alone', async ({ node }) => {
  await add(node.request(), node.context);
  const record = recordOf(node);
  node.forget();
  const [repair, ...others] = await repairAttachments([record], node.context, []);
  assert.equal([repair?.outcome, repair?.found, others], ['sound', [], []]);
  assert.equal(node.steps, ['mode plan', 'mode check', 'feature check']);
  assert.equal(node.record, record);
});

test('repairAttachments() has the mode and the features make again what is missing, and looks at it twice', async ({
  node,
}) => {
  await add(node.request(), node.context);
  node.isDamaged = true;
  node.forget();
  const [repair] = await repairAttachments([recordOf(node)], node.context, []);
  assert.equal(
    [repair?.outcome, repair?.found.map(({ code }) => code), repair?.left],
    ['repaired', ['bridge-gone', 'forwarding-off'], []],
  );
  const looks = ['mode check', 'feature check'];
  const work = ['mode repair', 'feature objects', 'feature apply', 'feature settle'];
  assert.equal(node.steps, ['mode plan', ...looks, ...work, ...looks, 'mode plan', ...looks]);
});

test('repairAttachments() goes on with the features when the mode cannot', async ({ node }) => {
  await add(node.request(), node.context);
  node.isDamaged = true;
  node.failures.set('mode repair', new Error('somebody has the name'));
  const [repair] = await repairAttachments([recordOf(node)], node.context, []);
  assert.is(repair?.outcome, 'failed');
  assert.ok(node.steps.includes('feature apply'));
  assert.ok(repair?.left.some(({ found }) => found === 'somebody has the name'));
});

test('repairAttachments() puts a new object on record before it is made, and keeps what ADD has noted', async ({
  node,
}) => {
  await add(node.request(), node.context);
  const record = recordOf(node);
  writeRecord(node.runDir, { ...record, features: { other: { original: '1' } } });
  node.isDamaged = true;
  await repairAttachments([recordOf(node)], node.context, []);
  const expected = { other: { original: '1' }, fake: { made: 'thing' } };
  assert.equal(node.seen.get('feature apply')?.features, expected);
  assert.equal(recordOf(node).features, expected);
});

test('repairAttachments() removes what a killed ADD has left', async ({ node }) => {
  await add(node.request(), node.context);
  writeRecord(node.runDir, { ...recordOf(node), state: 'adding' });
  node.forget();
  const [repair] = await repairAttachments([recordOf(node)], node.context, []);
  assert.is(repair?.outcome, 'removed');
  assert.equal(node.steps, ['mode detach', 'feature remove']);
  assert.is(node.record, undefined);
});

test('repairAttachments() has nothing to say of an attachment that a DEL has removed meanwhile', async ({ node }) => {
  await add(node.request(), node.context);
  const record = recordOf(node);
  await del(node.request('DEL'), node.context);
  assert.equal(await repairAttachments([record], node.context, []), []);
});

test('repairAttachments() changes nothing where another namespace is at the path', async ({ node }) => {
  await add(node.request(), node.context);
  const record = { ...recordOf(node), netnsIdentity: '4:1' };
  writeRecord(node.runDir, record);
  node.isDamaged = true;
  node.forget();
  const [repair] = await repairAttachments([record], node.context, []);
  assert.equal([repair?.outcome, repair?.left[0]?.code], ['failed', 'namespace-gone']);
  assert.equal(node.steps, []);
});

test.run();
