import { readdirSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CniError, ERR_PLUGIN_NOT_AVAILABLE, toCniError } from '../protocol/errors.ts';
import { add } from './add.ts';
import { status } from './status.ts';
import { failureOf } from './testing/failure.ts';
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

test('status() asks IPAM first: it is what may have something against the configuration', async ({ node }) => {
  await status(node.networkRequest('STATUS', node.foreign), node.context);
  assert.equal(node.steps, ['mode plan', 'ipam STATUS', 'mode status']);
});

/** The code that a foreign IPAM plugin answers, and STATUS's: only what STATUS may answer is passed on. */
const ANSWERS: readonly (readonly [number, number])[] = [
  [50, 50],
  [51, 51],
  [7, 7],
  [11, 50],
  [4, 50],
  [999, 50],
];
for (const [answer, expected] of ANSWERS) {
  test(`status() answers ${expected} when an IPAM plugin answers ${answer}, and asks nobody else`, async ({ node }) => {
    node.ipam.fail('STATUS', answer, 'not now');
    const request = node.networkRequest('STATUS', node.foreign);
    const error = await failureOf(status(request, node.context));
    assert.is(error.code, expected);
    assert.match(error.message, /not now/);
    if (answer !== expected) assert.match(error.message, /^Network "pods" cannot serve ADD: /);
    assert.equal(node.steps, ['mode plan', 'ipam STATUS']);
  });
}

test('status() does not ask an IPAM plugin that knows no STATUS, in versions before 1.1.0', async ({ node }) => {
  await status(node.networkRequest('STATUS', { ...node.foreign, cniVersion: '1.0.0' }), node.context);
  assert.equal(node.steps, ['mode plan', 'mode status']);
});

test('status() answers 50 when the kernel lacks what the rules need', async () => {
  const whole = new FakeNode({ isWhole: true });
  whole.context.fakeNft.lacks.add('masq');
  assert.is(await codeOf(status(whole.networkRequest('STATUS'), whole.context)), ERR_PLUGIN_NOT_AVAILABLE);
  whole.context.fakeNft.lacks.clear();
  assert.is(await codeOf(status(whole.networkRequest('STATUS'), whole.context)), undefined);
  whole.remove();
});

test('status() says of a configuration that no ADD could use that it is wrong, and asks nobody', async ({ node }) => {
  const errorOf = async (more: Readonly<Record<string, unknown>>): Promise<unknown> => {
    try {
      await status(node.networkRequest('STATUS', more), node.context);
      return undefined;
    } catch (error) {
      return toCniError(error).code;
    }
  };
  assert.is(await errorOf({ ingressPolicy: 'same-bridge' }), 7);
  assert.is(await errorOf({ ipam: { type: 'loopback' } }), 7);
  assert.is(await errorOf({ ipam: { type: 'host-local', subnet: 'x' } }), 7);
  assert.not.ok(node.steps.includes('mode status'));
});

test('status() leaves the folder of the records, and neither address nor lock', async ({ node }) => {
  await status(node.networkRequest('STATUS'), node.context);
  assert.equal(readdirSync(node.runDir, { recursive: true }), ['attachments']);
  assert.equal(node.addresses, []);
});

test.run();
