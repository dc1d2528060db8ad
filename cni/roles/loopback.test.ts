// The loopback role where there is no namespace to work in, or nothing to change. (What it does in one: the conformance suite.)

import { networkInterfaces } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FakeNode } from '../verbs/testing/fake-node.ts';
import { failureOf } from '../verbs/testing/failure.ts';
import { addLoopback, checkLoopback } from './loopback.ts';
import { chooseRole } from './role-table.ts';

const test = suite<{ node: FakeNode }>('loopback');

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

test('a namespace that is not there, or is none, is refused with code 4 by ADD and CHECK', async ({ node }) => {
  for (const netns of ['/nowhere', '/proc/self/ns/uts', '/proc/self/status']) {
    const request = { ...node.request(), netns };
    assert.is((await failureOf(Promise.try(() => addLoopback(request)))).code, 4, netns);
    assert.is((await failureOf(Promise.try(() => checkLoopback(request)))).code, 4, netns);
  }
});

test('DEL, GC and STATUS touch nothing, and need no namespace: a pod may share its `lo` with the host', ({ node }) => {
  const role = chooseRole('loopback', () => '');
  const request = { ...node.request('DEL'), netns: '/nowhere' };
  const before = networkInterfaces();
  assert.is(role.del(request, node.context), undefined);
  assert.is(role.gc(node.networkRequest('GC', { 'cni.dev/valid-attachments': [] }), node.context), undefined);
  assert.is(role.status(node.networkRequest('STATUS'), node.context), undefined);
  assert.equal(networkInterfaces(), before);
  assert.equal(node.steps, []);
});

test('a prevResult that is torn is refused before the namespace is looked at', async ({ node }) => {
  const request = node.request('ADD', { prevResult: { cniVersion: '1.1.0', interfaces: 'torn' } });
  let failure: unknown;
  await Promise.try(() => addLoopback({ ...request, netns: '/nowhere' })).catch((error: unknown) => {
    failure = error;
  });
  assert.match(String(failure), /interfaces/);
});

test.run();
