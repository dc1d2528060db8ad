// GC among links and elements, with records and without, and while others come and go. (Which attachments are valid: gc.test.ts.)

import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lockAttachment } from '../attachment/lock.ts';
import { hostInterfaceAlias, hostInterfaceName, ifbName } from '../attachment/marks.ts';
import { deleteRecord, findRecord, writeRecord } from '../attachment/record-store.ts';
import { EPERM } from '../kernel/errno.ts';
import { add } from './add.ts';
import { gc } from './gc.ts';
import { FakeNode } from './testing/fake-node.ts';
import { failuresOf } from './testing/failure.ts';

const test = suite<{ node: FakeNode }>('GC in the kernel');

test.before.each((context) => {
  context.node = new FakeNode({ isWhole: true });
});
test.after.each(({ node }) => node.remove());

const keyOf = (containerId: string, network = 'pods') => ({ network, containerId, ifname: 'eth0' });

/** Attach containers to a network. */
async function attach(node: FakeNode, containerIds: readonly string[], network = 'pods'): Promise<void> {
  const ipam = {
    type: 'host-local',
    dataDir: node.dataDir,
    subnet: network === 'pods' ? '10.1.0.0/24' : '10.2.0.0/24',
  };
  for (const containerId of containerIds) {
    await add({ ...node.request('ADD', { name: network, ipam }), containerId }, node.context);
  }
  node.forget();
}

function collect(node: FakeNode, valid: readonly string[]): Promise<void> {
  const attachments = valid.map((containerID) => ({ containerID, ifname: 'eth0' }));
  return gc(node.networkRequest('GC', { 'cni.dev/valid-attachments': attachments }), node.context);
}

const linksOf = (...containerIds: readonly string[]): string[] =>
  containerIds.flatMap((id) => [hostInterfaceName(keyOf(id)), ifbName(keyOf(id))]).sort();

test('the links of all stale attachments go in one request, before anything else of them does', async ({ node }) => {
  await attach(node, ['c1', 'c2', 'c3', 'c4']);
  await collect(node, ['c4']);
  assert.equal(node.context.links.names, linksOf('c4'));
  assert.is(node.steps.filter((step) => step === 'links gone').length, 1);
  assert.is(node.steps[0], 'links gone');
  assert.is(node.steps.filter((step) => step === 'feature remove').length, 3);
  assert.equal(node.elements, ['pods/c4/eth0']);
  assert.is(node.addresses.length, 1);
});

test('what has no record goes by its marks: links by their aliases, elements by their comments', async ({ node }) => {
  await attach(node, ['c1', 'c2']);
  for (const id of ['c1', 'c2']) deleteRecord(node.runDir, keyOf(id));
  await collect(node, ['c2']);
  assert.equal(node.context.links.names, linksOf('c2'));
  assert.equal(node.elements, ['pods/c2/eth0']);
  assert.is(node.addresses.length, 1);
});

test('links of another network stay, and those whose name is not made from what the alias says', async ({ node }) => {
  const { links } = node.context;
  const other = keyOf('c1', 'others');
  links.add({ name: hostInterfaceName(other), kind: 'veth', alias: hostInterfaceAlias(other) });
  links.add({ name: 'renamed0', kind: 'veth', alias: hostInterfaceAlias(keyOf('c1')) });
  links.add({ name: hostInterfaceName(keyOf('c2')), kind: 'veth', alias: hostInterfaceAlias(keyOf('c2')) });
  await collect(node, []);
  assert.equal(links.names, [hostInterfaceName(other), 'renamed0'].sort());
});

test('attachments of another network stay as they are', async ({ node }) => {
  await attach(node, ['c1']);
  await attach(node, ['c1'], 'others');
  await collect(node, []);
  assert.is(findRecord(node.runDir, keyOf('c1', 'others'))?.state, 'complete');
  assert.equal(node.elements, ['others/c1/eth0']);
  assert.is(node.record, undefined);
});

test('another interface of a container that is valid is stale all the same', async ({ node }) => {
  await attach(node, ['c1']);
  await add({ ...node.request(), ifname: 'net1' }, node.context);
  await collect(node, ['c1']);
  assert.is(node.record?.state, 'complete');
  assert.is(findRecord(node.runDir, { ...keyOf('c1'), ifname: 'net1' }), undefined);
});

test('what could not be removed stays on record, for the next GC', async ({ node }) => {
  await attach(node, ['c1', 'c2']);
  node.context.links.refusals.set('links gone', EPERM);
  const failures = await failuresOf(collect(node, []));
  // All links at once, and those of each attachment; after that they are on record still, and not without an owner.
  assert.is(failures.length, 3);
  for (const failure of failures) assert.match(failure, /delete the . links/);
  assert.is(node.record?.state, 'complete');
  assert.is(findRecord(node.runDir, keyOf('c2'))?.state, 'complete');
  node.context.links.refusals.clear();
  await collect(node, []);
  assert.equal([node.context.links.names, node.elements, node.addresses], [[], [], []]);
});

test('one that cannot be removed keeps no other from it, and all failures are told', async ({ node }) => {
  await attach(node, ['c1', 'c2']);
  let count = 0;
  node.beforeStep = (step) => {
    if (step !== 'mode detach') return;
    if (++count === 1) node.failures.set('mode detach', new Error('the first is busy'));
    else node.failures.clear();
  };
  assert.equal(await failuresOf(collect(node, [])), ['the first is busy']);
  assert.is(node.record?.state, 'complete', 'in the order of their names');
  assert.is(findRecord(node.runDir, keyOf('c2')), undefined);
});

test('an ADD that begins while GC is busy is on no list, and stays', async ({ node }) => {
  await attach(node, ['c1']);
  let record: typeof node.record;
  node.beforeStep = (step) => {
    if (step !== 'mode detach' || record) return;
    record = findRecord(node.runDir, keyOf('c1'));
    assert.ok(record);
    const links = node.context.links;
    links.add({ name: hostInterfaceName(keyOf('c9')), kind: 'veth', alias: hostInterfaceAlias(keyOf('c9')) });
    writeRecord(node.runDir, { ...record, ...keyOf('c9'), state: 'adding', created: new Date().toISOString() });
  };
  await collect(node, []);
  assert.is(findRecord(node.runDir, keyOf('c9'))?.state, 'adding');
  assert.equal(node.context.links.names, [hostInterfaceName(keyOf('c9'))]);
});

/** What may have happened to the record of c2 between the list and its lock, and whether GC then removes it. */
const MEANWHILE: readonly (readonly [string, (node: FakeNode) => void, isLeft: boolean])[] = [
  ['nothing', () => undefined, false],
  [
    'another ADD of the same name',
    (node) => {
      const record = findRecord(node.runDir, keyOf('c2'));
      if (record) writeRecord(node.runDir, { ...record, created: new Date().toISOString() });
    },
    true,
  ],
];
for (const [what, happens, isLeft] of MEANWHILE) {
  test(`the record is read again under the lock: after ${what} it is ${isLeft ? 'left' : 'removed'}`, async ({
    node,
  }) => {
    await attach(node, ['c1', 'c2']);
    let isDone = false;
    // Asked for when the removal of c1 is made up, while c2 is not locked yet.
    node.beforeMode = () => {
      if (!isDone) happens(node);
      isDone = true;
    };
    await collect(node, []);
    assert.ok(isDone);
    assert.is(findRecord(node.runDir, keyOf('c2')) !== undefined, isLeft);
    assert.equal(node.context.links.names, isLeft ? linksOf('c2') : []);
    assert.equal(node.elements, isLeft ? ['pods/c2/eth0'] : []);
  });
}

test('an ADD that goes on record after GC has begun, and before it has read the records, stays', async ({ node }) => {
  await attach(node, ['c1']);
  const { record } = node;
  assert.ok(record);
  const { readdirSync } = fs;
  let isDone = false;
  fs.readdirSync = ((...args: Parameters<typeof readdirSync>) => {
    if (!isDone) writeRecord(node.runDir, { ...record, ...keyOf('c9'), created: new Date().toISOString() });
    isDone = true;
    return readdirSync(...args);
  }) as typeof readdirSync;
  syncBuiltinESMExports();
  try {
    await collect(node, []);
  } finally {
    fs.readdirSync = readdirSync;
    syncBuiltinESMExports();
  }
  assert.equal([node.record, findRecord(node.runDir, keyOf('c9'))?.containerId], [undefined, 'c9']);
});

test('a record of the future is from before the clock was set back: it is stale', async ({ node }) => {
  await attach(node, ['c1']);
  const { record } = node;
  assert.ok(record);
  writeRecord(node.runDir, { ...record, created: new Date(Date.now() + 86_400_000).toISOString() });
  await collect(node, []);
  assert.is(node.record, undefined);
});

test('GC lets go of all locks, whatever fails', async ({ node }) => {
  await attach(node, ['c1', 'c2']);
  node.failures.set('mode detach', new Error('busy'));
  await failuresOf(collect(node, []));
  for (const id of ['c1', 'c2']) lockAttachment(node.runDir, keyOf(id), 0).release();
});

test('a foreign IPAM plugin is asked to collect after the links have gone; one of before 1.1.0 is not', async ({
  node,
}) => {
  await add(node.request('ADD', node.foreign), node.context);
  for (const cniVersion of ['1.1.0', '1.0.0']) {
    node.forget();
    const request = node.networkRequest('GC', { ...node.foreign, cniVersion, 'cni.dev/valid-attachments': [] });
    await gc(request, node.context);
    assert.is(node.steps.includes('ipam GC'), cniVersion === '1.1.0');
    if (cniVersion === '1.1.0') assert.ok(node.steps.indexOf('links gone') < node.steps.indexOf('ipam GC'));
  }
});

test('an IPAM that cannot collect is told, with whatever else fails', async ({ node }) => {
  await add(node.request('ADD', node.foreign), node.context);
  node.ipam.fail('GC', 11, 'the server is away');
  node.failures.set('feature remove', new Error('the sysctl'));
  const request = node.networkRequest('GC', { ...node.foreign, 'cni.dev/valid-attachments': [] });
  const failures = await failuresOf(gc(request, node.context));
  assert.equal(
    failures.map((failure) => /the sysctl|the server is away/.exec(failure)?.[0]),
    ['the sysctl', 'the server is away'],
  );
});

test('a configuration whose IPAM is broken by now is told, after all else is removed', async ({ node }) => {
  await attach(node, ['c1']);
  const request = node.networkRequest('GC', { ipam: { type: 'loopback' }, 'cni.dev/valid-attachments': [] });
  assert.match((await failuresOf(gc(request, node.context))).join(), /ipam\.type/);
  assert.equal([node.record, node.context.links.names, node.elements], [undefined, [], []]);
});

test.run();
