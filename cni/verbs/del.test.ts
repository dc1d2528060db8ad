import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { add } from './add.ts';
import { del } from './del.ts';
import { FakeNode } from './testing/fake-node.ts';

const test = suite<{ node: FakeNode }>('DEL');

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

test('del() removes what the mode, then what the features have made, then the addresses, last the record', async ({
  node,
}) => {
  await add(node.request(), node.context);
  node.forget();
  await del(node.request('DEL'), node.context);
  assert.equal(node.steps, ['mode detach', 'feature remove']);
  assert.is(node.seen.get('feature remove')?.state, 'complete');
  assert.equal([node.record, node.addresses], [undefined, []]);
});

test('del() succeeds a second time, and without an ADD before it', async ({ node }) => {
  await del(node.request('DEL'), node.context);
  await add(node.request(), node.context);
  await del(node.request('DEL'), node.context);
  node.forget();
  await del(node.request('DEL'), node.context);
  // Without a record every part looks for what is its.
  assert.equal(node.steps, ['mode detach', 'feature remove']);
  assert.equal(node.warnings, []);
});

test('del() takes every step whatever fails, tells of all, and keeps the record for the next', async ({ node }) => {
  await add(node.request(), node.context);
  node.forget();
  node.failures.set('mode detach', new Error('the link is busy'));
  node.failures.set('feature remove', new Error('the sysctl is read-only'));
  let failure: unknown;
  await del(node.request('DEL'), node.context).catch((error: unknown) => {
    failure = error;
  });
  assert.ok(failure instanceof AggregateError);
  assert.equal(
    failure.errors.map(({ message }: Error) => message),
    ['the link is busy', 'the sysctl is read-only'],
  );
  assert.equal(node.addresses, []);
  assert.is(node.record?.state, 'complete');

  node.failures.clear();
  await del(node.request('DEL'), node.context);
  assert.is(node.record, undefined);
});

test('del() goes by the record, whatever the configuration is by now', async ({ node }) => {
  await add(node.request(), node.context);
  await del(node.request('DEL', { ipam: { type: 'host-local', dataDir: '/nowhere', subnet: 'x' } }), node.context);
  assert.equal([node.record, node.addresses], [undefined, []]);
});

test('del() removes what it finds when the record is torn', async ({ node }) => {
  await add(node.request(), node.context);
  writeFileSync(join(node.runDir, 'attachments/pods/c1.eth0.json'), '{"version": 1');
  node.forget();
  await del(node.request('DEL'), node.context);
  assert.equal(node.steps, ['mode detach', 'feature remove']);
  assert.equal(node.addresses, []);
});

test('del() does not obey records in a directory that others can write to, and says so', async ({ node }) => {
  await add(node.request(), node.context);
  chmodSync(node.runDir, 0o777);
  node.forget();
  await del(node.request('DEL'), node.context);
  assert.equal(node.steps, ['mode detach', 'feature remove']);
  assert.is(node.warnings.length, 2);
  assert.match(node.warnings[0] ?? '', /Cannot trust .* its mode is 777 .*: going on without a lock$/);
  assert.match(node.warnings[1] ?? '', /going on without the record$/);
  assert.equal(node.addresses, []);
  chmodSync(node.runDir, 0o700);
});

test('del() does not fail for want of a namespace', async ({ node }) => {
  await add(node.request(), node.context);
  await del({ ...node.request('DEL'), netns: '' }, node.context);
  assert.is(node.record, undefined);
  await add(node.request(), node.context);
  mkdirSync(join(node.dataDir, 'empty'));
  await del({ ...node.request('DEL'), netns: join(node.dataDir, 'empty/gone') }, node.context);
  assert.is(node.record, undefined);
});

test.run();
