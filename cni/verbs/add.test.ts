import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writeRecord } from '../attachment/record-store.ts';
import { CniError } from '../protocol/errors.ts';
import { add } from './add.ts';
import { failureOf } from './testing/failure.ts';
import { FakeNode, type Step } from './testing/fake-node.ts';

const test = suite<{ node: FakeNode }>('ADD');

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

const ALL_STEPS: readonly Step[] = [
  'mode plan',
  'feature early objects',
  'feature namespace',
  'feature interface',
  'mode attach',
  'feature objects',
  'feature apply',
  'feature settle',
];

test('add() takes the steps in order, and returns the result as text', async ({ node }) => {
  const result = JSON.parse(await add(node.request(), node.context));
  assert.equal(node.steps, ALL_STEPS);
  assert.is(result.cniVersion, '1.1.0');
  assert.equal(result.ips, [{ address: '10.1.0.2/24', gateway: '10.1.0.1', interface: 0 }]);
  assert.equal(node.addresses, ['10.1.0.2']);
});

test('add() has on record what a step is about to make, before the step', async ({ node }) => {
  await add(node.request(), node.context);
  assert.is(node.seen.get('mode plan'), undefined);
  assert.is(node.seen.get('feature early objects')?.state, 'adding');
  assert.equal(node.seen.get('feature namespace')?.features, { fake: { early: true } });
  assert.equal(node.seen.get('mode attach')?.objects, { bridge: 'fake0' });
  assert.equal(node.seen.get('feature apply')?.features, { fake: { made: 'thing' } });
  assert.equal(node.seen.get('feature apply')?.addresses, ['10.1.0.2/24']);
  assert.is(node.record?.state, 'complete');
  assert.equal(node.record?.result?.interfaces[0]?.name, 'eth0');
});

/** A step that fails, and what takes back the steps before it. */
const FAILURES: readonly (readonly [failing: Step, undone: readonly Step[]])[] = [
  ['mode plan', []],
  ['feature early objects', []],
  ['feature namespace', ['feature remove']],
  ['feature interface', ['mode undo', 'feature remove']],
  ['mode attach', ['mode undo', 'feature remove']],
  ['feature objects', ['mode undo', 'feature remove']],
  ['feature apply', ['feature remove', 'mode undo', 'feature remove']],
  ['feature settle', ['feature remove', 'mode undo', 'feature remove']],
];
for (const [failing, undone] of FAILURES) {
  test(`add() takes everything back, last first, when "${failing}" fails`, async ({ node }) => {
    node.failures.set(failing, new CniError(111, `${failing} fails`));
    const error = await failureOf(add(node.request(), node.context));
    assert.equal([error.code, error.message], [111, `${failing} fails`]);
    assert.equal(node.steps.slice(node.steps.indexOf(failing) + 1), undone);
    assert.is(node.record, undefined);
    assert.equal(node.addresses, []);

    // Nothing is in the way of the next one.
    node.failures.clear();
    await add(node.request(), node.context);
    assert.is(node.record?.state, 'complete');
  });
}

test('add() leaves the record, and says what could not be taken back', async ({ node }) => {
  node.failures.set('feature apply', new CniError(111, 'no room'));
  node.failures.set('mode undo', new Error('still busy'));
  const error = await failureOf(add(node.request(), node.context));
  assert.is(error.code, 111);
  assert.match(error.message, /^no room; and not everything could be taken back: run DEL for container "c1"/);
  assert.match(error.details, /Cannot undo the mode: still busy/);
  assert.is(node.record?.state, 'adding');
  assert.equal(node.addresses, [], 'the steps behind the one that fails are taken');
});

test('add() refuses an attachment that is there already, and leaves it as it is', async ({ node }) => {
  await add(node.request(), node.context);
  const { record } = node;
  node.forget();
  const error = await failureOf(add(node.request(), node.context));
  assert.is(error.code, 102);
  assert.match(error.message, /is attached already since .* \(run DEL first\)/);
  assert.equal(node.steps, ['mode plan']);
  assert.equal(node.record, record);
  assert.equal(node.addresses, ['10.1.0.2']);
});

test('add() removes what a killed ADD has left before it begins', async ({ node }) => {
  await add(node.request(), node.context);
  const { record } = node;
  assert.ok(record);
  writeRecord(node.runDir, { ...record, state: 'adding' });
  node.forget();
  await add(node.request(), node.context);
  assert.equal(node.steps, ['mode plan', 'mode detach', 'feature remove', ...ALL_STEPS.slice(1)]);
  assert.is(node.record?.state, 'complete');
  assert.is(node.addresses.length, 1);
});

test('add() takes back a result that the version has no words for', async ({ node }) => {
  const error = await failureOf(add(node.request('ADD', { cniVersion: '0.2.0', ipam: undefined }), node.context));
  assert.is(error.code, 1);
  assert.ok(node.steps.includes('feature settle'));
  assert.is(node.seen.get('mode undo')?.state, 'adding', 'nobody has been told that it is complete');
  assert.equal(node.steps.slice(-3), ['feature remove', 'mode undo', 'feature remove']);
  assert.is(node.record, undefined);
});

test('add() refuses an interface that an earlier plugin of the list has made, before it changes anything', async ({
  node,
}) => {
  const prevResult = { cniVersion: '1.1.0', interfaces: [{ name: 'eth0', sandbox: '/proc/self/ns/net' }] };
  const error = await failureOf(add(node.request('ADD', { prevResult }), node.context));
  assert.is(error.code, 7);
  assert.equal(node.steps, ['mode plan']);
  assert.is(existsSync(node.runDir), false);
});

test('add() changes nothing when no record can be written', async ({ node }) => {
  writeFileSync(node.runDir, 'a file in the place of the run directory');
  let failure: unknown;
  await add(node.request(), node.context).catch((error: unknown) => {
    failure = error;
  });
  assert.ok(failure instanceof Error);
  assert.equal(node.steps, ['mode plan']);
  assert.equal(node.addresses, []);
  rmSync(node.runDir);
});

test.run();
