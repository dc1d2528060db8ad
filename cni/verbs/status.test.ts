import { writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CniError, ERR_PLUGIN_NOT_AVAILABLE } from '../protocol/errors.ts';
import { add } from './add.ts';
import { status } from './status.ts';
import { FakeNode } from './testing/fake-node.ts';

const test = suite<{ node: FakeNode }>('STATUS');

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

async function codeOf(work: Promise<unknown>): Promise<number | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof CniError) return error.code;
    throw error;
  }
}

test('status() asks the mode, and makes nothing of an attachment', async ({ node }) => {
  await status(node.networkRequest('STATUS'), node.context);
  assert.equal(node.steps, ['mode plan', 'mode status']);
  assert.is(node.record, undefined);
});

test('status() answers 50 when something of the node is in the way', async ({ node }) => {
  node.failures.set('mode status', new CniError(102, 'the name is taken'));
  assert.is(await codeOf(status(node.networkRequest('STATUS'), node.context)), ERR_PLUGIN_NOT_AVAILABLE);
});

test('status() answers 50 when no record can be written', async ({ node }) => {
  writeFileSync(node.runDir, 'a file');
  assert.is(await codeOf(status(node.networkRequest('STATUS'), node.context)), ERR_PLUGIN_NOT_AVAILABLE);
});

test('status() answers 50 when there is no free address', async ({ node }) => {
  const ipam = { type: 'host-local', dataDir: node.dataDir, subnet: '10.1.0.0/30' };
  await add(node.request('ADD', { ipam }), node.context);
  assert.is(await codeOf(status(node.networkRequest('STATUS', { ipam }), node.context)), ERR_PLUGIN_NOT_AVAILABLE);
});

test.run();
