// A name that is no role's: every verb is refused, and DEL takes away what is podlink's and nothing else.

import { chmodSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hostInterfaceAlias, hostInterfaceName } from '../attachment/marks.ts';
import { deleteRecord } from '../attachment/record-store.ts';
import { add } from '../verbs/add.ts';
import { FakeNode } from '../verbs/testing/fake-node.ts';
import { failureOf } from '../verbs/testing/failure.ts';
import { unknownRole } from './unknown-role.ts';

const test = suite<{ node: FakeNode }>('a name that is no role');

test.before.each((context) => {
  context.node = new FakeNode({ isWhole: true });
});
test.after.each(({ node }) => node.remove());

const KEY = { network: 'pods', containerId: 'c1', ifname: 'eth0' };
const ROLE = unknownRole('bridge2', 'which "type" asks for');
const TYPE = { type: 'bridge2' };

/** prevResult of another plugin's ADD, whose veth is on the host. */
const PREVIOUS = { prevResult: { cniVersion: '1.1.0', interfaces: [{ name: 'veth9' }] } };

async function del(node: FakeNode, more: Readonly<Record<string, unknown>> = {}): Promise<void> {
  await ROLE.del(node.request('DEL', { ...TYPE, ...more }), node.context);
}

test('the refusal names the name, where it comes from, and what there is', async ({ node }) => {
  const { code, message } = await failureOf(Promise.try(() => ROLE.add(node.request('ADD', TYPE), node.context)));
  assert.is(code, 7);
  for (const word of ['no "bridge2"', 'which "type" asks for', 'podlink, loopback, host-local, static, podlink-etcd']) {
    assert.ok(message.includes(word), word);
  }
});

test('DEL succeeds where nothing is left, and says that it removes nothing of another plugin', async ({ node }) => {
  await del(node);
  assert.match(node.warnings.join(), /podlink is no "bridge2".*nothing else/);
});

test('DEL is refused while a veth is there that another plugin reports, which keeps what podlink has', async ({
  node,
}) => {
  node.context.links.add({ name: 'veth9', kind: 'veth' });
  const { code, message } = await failureOf(del(node, PREVIOUS));
  assert.is(code, 7);
  assert.match(message, /What "bridge2" has made may be left of this container/);
  assert.equal([node.steps, node.context.links.names], [[], ['veth9']]);
});

test('DEL succeeds where what is reported is gone, is no veth, or is in the container', async ({ node }) => {
  await del(node, PREVIOUS);
  node.context.links.add({ name: 'veth9', kind: 'bridge' });
  await del(node, PREVIOUS);
  node.context.links.add({ name: 'eth7', kind: 'veth' });
  const interfaces = [{ name: 'eth7', sandbox: '/run/netns/c1' }];
  await del(node, { prevResult: { cniVersion: '1.1.0', interfaces } });
});

test('DEL is refused where prevResult is torn: it tells of something, and nobody knows of what', async ({ node }) => {
  const prevResult = { cniVersion: '1.1.0', interfaces: 'torn' };
  assert.is((await failureOf(del(node, { prevResult }))).code, 7);
});

test('DEL removes what an ADD under this name has made, by its record', async ({ node }) => {
  await add(node.request('ADD', TYPE), node.context);
  // That the host's end is reported is no reason to refuse: it is our own.
  const interfaces = [{ name: hostInterfaceName(KEY) }];
  await del(node, { prevResult: { cniVersion: '1.1.0', interfaces } });
  assert.equal([node.record, node.context.links.names, node.elements, node.addresses], [undefined, [], [], []]);
});

test('DEL removes it by its record where its link has lost the mark, or is gone', async ({ node }) => {
  await add(node.request('ADD', TYPE), node.context);
  node.context.links.lose(hostInterfaceName(KEY));
  node.context.links.add({ name: 'veth9', kind: 'veth' });
  await del(node, PREVIOUS);
  assert.equal([node.record, node.elements, node.context.links.names], [undefined, [], ['veth9']]);
});

test('DEL removes it without a record, too, by the mark of its link', async ({ node }) => {
  await add(node.request('ADD', TYPE), node.context);
  deleteRecord(node.runDir, KEY);
  const interfaces = [{ name: hostInterfaceName(KEY) }];
  await del(node, { prevResult: { cniVersion: '1.1.0', interfaces } });
  assert.equal([node.context.links.names, node.elements], [[], []]);
});

test('a link of that name without our mark is not ours', async ({ node }) => {
  const name = hostInterfaceName(KEY);
  node.context.links.add({ name, kind: 'veth', alias: hostInterfaceAlias({ ...KEY, containerId: 'c2' }) });
  const prevResult = { cniVersion: '1.1.0', interfaces: [{ name }] };
  assert.is((await failureOf(del(node, { prevResult }))).code, 7);
  assert.equal(node.context.links.names, [name]);
});

test('a record in a directory that others can write to does not make it ours', async ({ node }) => {
  await add(node.request('ADD', TYPE), node.context);
  node.context.links.lose(hostInterfaceName(KEY));
  node.context.links.add({ name: 'veth9', kind: 'veth' });
  chmodSync(node.runDir, 0o777);
  assert.is((await failureOf(del(node, PREVIOUS))).code, 7);
  chmodSync(node.runDir, 0o700);
});

test('DEL as an IPAM plugin of the name touches nothing: its caller has the lock and the attachment', async ({
  node,
}) => {
  await add(node.request('ADD', TYPE), node.context);
  const { record } = node;
  node.forget();
  await del(node, { ipam: { type: 'bridge2' }, ...PREVIOUS });
  assert.equal([node.steps, node.record, node.addresses], [[], record, ['10.1.0.2']]);
});

test.run();
