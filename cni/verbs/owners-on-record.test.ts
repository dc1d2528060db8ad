// The owners of elements of nftables, as an ADD that meets their elements sees them: itself, a sibling, somebody who is gone, or
// somebody who is connected and keeps what he has.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hostInterfaceAlias, hostInterfaceName, ownerComment } from '../attachment/marks.ts';
import { lockAttachment } from '../attachment/lock.ts';
import { deleteRecord, findRecord, writeRecord } from '../attachment/record-store.ts';
import { add } from './add.ts';
import { ownersOnRecord } from './owners-on-record.ts';
import { FakeNode } from './testing/fake-node.ts';
import { failureOf } from './testing/failure.ts';

const test = suite<{ node: FakeNode }>('owners of elements');

test.before.each((context) => {
  context.node = new FakeNode({ isWhole: true });
});
test.after.each(({ node }) => node.remove());

const KEY = { network: 'pods', containerId: 'c1', ifname: 'eth0' };
const HOST_END = hostInterfaceName(KEY);

/** Attach a container with the one address that the fake plugin has. */
async function attach(node: FakeNode, containerId: string, network = 'pods'): Promise<void> {
  await add({ ...node.request('ADD', { ...node.foreign, name: network }), containerId }, node.context);
}

for (const network of ['pods', 'others']) {
  test(`an ADD in network ${network} for an address that a connected container has is refused, and takes nothing`, async ({
    node,
  }) => {
    await attach(node, 'c1');
    const before = node.context.links.names;
    const error = await failureOf(attach(node, 'c2', network));
    assert.is(error.code, 102);
    assert.match(error.message, /a container of network "pods" is connected with the same address/);
    assert.match(error.message, network === 'pods' ? /recreate one of the two/ : /give one of them another subnet/);
    // Whoever started this one may read the error; that other container is for the operator.
    assert.not.match(error.message + error.details, /c1/);
    assert.match(node.warnings.join(), /belongs to interface "eth0" of container "c1" in network "pods"/);
    assert.equal([node.elements, node.context.links.names], [['pods/c1/eth0'], before]);
    assert.is(findRecord(node.runDir, { network, containerId: 'c2', ifname: 'eth0' }), undefined);
  });
}

test('what somebody who is gone has left is taken over', async ({ node }) => {
  await attach(node, 'c1');
  node.context.links.lose(HOST_END);
  await attach(node, 'c2');
  assert.equal(node.elements, ['pods/c2/eth0']);
});

test('without a record it is the link that tells whether he is gone', async ({ node }) => {
  await attach(node, 'c1');
  deleteRecord(node.runDir, KEY);
  assert.is((await failureOf(attach(node, 'c2'))).code, 102);
  node.context.links.lose(HOST_END);
  await attach(node, 'c2');
  assert.equal(node.elements, ['pods/c2/eth0']);
});

test('somebody whose link has another name by now is connected still: its alias tells', async ({ node }) => {
  await attach(node, 'c1');
  node.context.links.lose(HOST_END);
  node.context.links.add({ name: 'renamed0', kind: 'veth', alias: hostInterfaceAlias(KEY) });
  assert.is((await failureOf(attach(node, 'c2'))).code, 102);
});

test('a link of another kind in the place of his is not his', async ({ node }) => {
  await attach(node, 'c1');
  node.context.links.lose(HOST_END);
  node.context.links.add({ name: HOST_END, kind: 'dummy', alias: hostInterfaceAlias(KEY) });
  await attach(node, 'c2');
  assert.equal(node.elements, ['pods/c2/eth0']);
});

test('relationOf() tells oneself, siblings, those that are gone, and others', async ({ node }) => {
  await attach(node, 'c1');
  const relationTo = (from: typeof KEY): string =>
    ownersOnRecord(node.context, from).relationOf(ownerComment(KEY)) ?? '';
  const other = { ...KEY, containerId: 'c2' };
  assert.is(relationTo(KEY), 'self');
  assert.is(relationTo({ ...KEY, ifname: 'net1' }), 'sibling');
  assert.is(relationTo(other), 'other');
  node.context.links.lose(HOST_END);
  assert.is(relationTo(other), 'gone');
});

test('relationOf() of a mode without an interface is never gone: no link can tell', async ({ node }) => {
  await attach(node, 'c1');
  const { record } = node;
  assert.ok(record);
  node.context.links.lose(HOST_END);
  writeRecord(node.runDir, { ...record, objects: {} });
  assert.is(ownersOnRecord(node.context, { ...KEY, containerId: 'c2' }).relationOf(ownerComment(KEY)), 'other');
});

test('relationOf() finds the owner of a comment that is cut by all records', async ({ node }) => {
  await attach(node, 'c1');
  const { record } = node;
  assert.ok(record);
  const long = { ...KEY, containerId: 'c'.repeat(300) };
  const comment = ownerComment(long);
  assert.ok(comment.length < 300, 'it is cut');
  const relation = (): string => ownersOnRecord(node.context, { ...KEY, containerId: 'c2' }).relationOf(comment);
  assert.is(relation(), 'other', 'nobody knows whose it is');
  const lock = lockAttachment(node.runDir, long);
  writeRecord(node.runDir, { ...record, ...long, objects: { hostInterface: 'gone0' } });
  lock.release();
  assert.is(relation(), 'gone');
  assert.is(ownersOnRecord(node.context, { ...long, ifname: 'net1' }).relationOf(comment), 'sibling');
  writeRecord(node.runDir, { ...record, ...long, objects: { hostInterface: HOST_END } });
  assert.is(relation(), 'other');
});

test('each owner is looked at once, however many elements he has', async ({ node }) => {
  await attach(node, 'c1');
  const owners = ownersOnRecord(node.context, { ...KEY, containerId: 'c2' });
  assert.is(owners.relationOf(ownerComment(KEY)), 'other');
  node.context.links.lose(HOST_END);
  assert.is(owners.relationOf(ownerComment(KEY)), 'other');
});

test.run();
