// Repair of several attachments, of which one may damage another; and what of a repair goes on record. (One attachment:
// repair.test.ts.)

import { rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttachmentRecord } from '../attachment/record.ts';
import { findRecord, listAllRecords, writeRecord } from '../attachment/record-store.ts';
import { applyElements } from '../features/elements/owned-elements.ts';
import { masqueradeElements } from '../features/masquerade/masquerade-elements.ts';
import { MASQUERADE_RULESET } from '../features/masquerade/masquerade-ruleset.ts';
import { CniError } from '../protocol/errors.ts';
import { add } from './add.ts';
import { removeOwnElements, tracesOfRecord } from './features.ts';
import { repairAttachments } from './repair.ts';
import { FakeNode } from './testing/fake-node.ts';

const test = suite<{ node: FakeNode; whole: FakeNode }>('repair of several');

test.before.each((context) => {
  context.node = new FakeNode();
  context.whole = new FakeNode({ isWhole: true });
});
test.after.each(({ node, whole }) => {
  node.remove();
  whole.remove();
});

async function attach(node: FakeNode, ...networks: readonly string[]): Promise<AttachmentRecord[]> {
  for (const name of networks) await add(node.request('ADD', { name }), node.context);
  node.forget();
  return listAllRecords(node.runDir).sort((a, b) => (a.network < b.network ? -1 : 1));
}

async function outcomes(node: FakeNode, records: readonly AttachmentRecord[]): Promise<string[]> {
  const repairs = await repairAttachments(records, node.context, []);
  return repairs.map(({ record, outcome, left }) =>
    [record.network, outcome, ...left.map(({ code }) => code)].join(' '),
  );
}

test('two networks that want one bridge to be two things: the one that is damaged by the other has failed', async ({
  node,
}) => {
  const records = await attach(node, 'a', 'b');
  node.damaged.add('b');
  node.mend = (network) => {
    node.damaged.clear();
    // To make the bridge again as one wants it takes it from the other.
    node.damaged.add(network === 'a' ? 'b' : 'a');
  };
  assert.equal(await outcomes(node, records), ['a failed bridge-gone forwarding-off', 'b repaired']);
});

test('one that was sound, and was damaged by the repair of a later one, has failed', async ({ node }) => {
  const records = await attach(node, 'a', 'b', 'c');
  node.damaged.add('c');
  node.mend = () => {
    node.damaged.clear();
    node.damaged.add('a');
  };
  assert.equal(await outcomes(node, records), ['a failed bridge-gone forwarding-off', 'b sound', 'c repaired']);
});

test('where nothing was repaired, each is looked at once', async ({ node }) => {
  const records = await attach(node, 'a', 'b');
  assert.equal(await outcomes(node, records), ['a sound', 'b sound']);
  assert.is(node.steps.filter((step) => step === 'mode check').length, 2);
});

test('one that cannot be repaired keeps no other from it', async ({ node }) => {
  const records = await attach(node, 'a', 'b', 'c');
  for (const network of ['a', 'b', 'c']) node.damaged.add(network);
  let count = 0;
  node.beforeStep = (step) => {
    if (step !== 'mode repair') return;
    if (++count === 2) node.failures.set(step, new Error('somebody has the name'));
    else node.failures.clear();
  };
  const result = await outcomes(node, records);
  assert.equal([result[0], result[2]], ['a repaired', 'c repaired']);
  assert.match(result[1] ?? '', /^b failed repair-failed/);
});

test('a configuration on record that no plan can be made from any more has failed, and says why', async ({ node }) => {
  const [record] = await attach(node, 'pods');
  assert.ok(record);
  const broken = { ...record, config: { ...record.config, ipam: { type: 'loopback' } } };
  writeRecord(node.runDir, broken);
  const [repair] = await repairAttachments([broken], node.context, []);
  assert.equal([repair?.outcome, repair?.left[0]?.code], ['failed', 'repair-failed']);
  assert.match(String(repair?.left[0]?.found), /ipam\.type/);
  assert.equal(node.steps, []);
});

test("an error's note, which the runtime is not told, is told to who repairs", async ({ node }) => {
  const records = await attach(node, 'pods');
  node.isDamaged = true;
  node.failures.set('mode repair', new CniError(102, 'no', '', { note: 'held by container "c9"' }));
  const [repair] = await repairAttachments(records, node.context, []);
  assert.is(repair?.left[0]?.found, 'no (held by container "c9")');
});

test('an attachment that was made anew between the two looks is not judged by the first', async ({ node }) => {
  const [first, second] = await attach(node, 'a', 'b');
  assert.ok(first && second);
  node.damaged.add('b');
  node.mend = () => {
    node.damaged.clear();
    node.damaged.add('a');
    writeRecord(node.runDir, { ...first, created: '2030-01-01T00:00:00.000Z' });
  };
  assert.equal(await outcomes(node, [first, second]), ['a sound', 'b repaired']);
});

test('an address that IPAM has lost is no work of mode and features: it is left, and told', async ({ node }) => {
  const records = await attach(node, 'pods');
  rmSync(node.dataDir, { recursive: true });
  assert.equal(await outcomes(node, records), ['pods failed address-management-failed']);
});

test('elements that somebody has flushed are added again, and another attachment keeps its own', async ({ whole }) => {
  const [record] = await attach(whole, 'pods');
  await add({ ...whole.request('ADD'), containerId: 'c2' }, whole.context);
  assert.ok(record);
  removeOwnElements(whole.context, record, tracesOfRecord(record));
  assert.equal(whole.elements, ['pods/c2/eth0']);
  assert.equal(await outcomes(whole, [record]), ['pods repaired']);
  assert.equal(whole.elements.toSorted(), ['pods/c1/eth0', 'pods/c2/eth0']);
});

test('rules that somebody has deleted are there again, with the elements as they were', async ({ whole }) => {
  const records = await attach(whole, 'pods');
  for (const chain of whole.context.fakeNft.state.get('podlink')?.chains.values() ?? []) chain.rules = [];
  assert.equal(await outcomes(whole, records), ['pods repaired']);
  const chains = [...(whole.context.fakeNft.state.get('podlink')?.chains.values() ?? [])];
  assert.ok(chains.some(({ rules }) => rules.length > 0));
  assert.equal(whole.elements, ['pods/c1/eth0']);
});

test('rules that somebody has put into another order are put back', async ({ whole }) => {
  const records = await attach(whole, 'pods');
  const chain = () => whole.context.fakeNft.state.get('podlink')?.chains.get('masquerade_v4');
  const before = chain()?.rules.map((rule) => Buffer.from(rule).toString('hex'));
  assert.ok(before && before.length > 1);
  chain()?.rules.reverse();
  assert.equal(await outcomes(whole, records), ['pods repaired']);
  assert.equal(
    chain()?.rules.map((rule) => Buffer.from(rule).toString('hex')),
    before,
  );
});

test('a record that has all its elements is not searched for others', async ({ whole }) => {
  const [record] = await attach(whole, 'pods');
  assert.ok(record);
  const elements = masqueradeElements(['10.99.0.1/24']);
  applyElements(whole.context.nft, record, { rulesets: [MASQUERADE_RULESET], elements });
  whole.isDamaged = true;
  assert.equal(await outcomes(whole, [record]), ['pods repaired']);
  assert.is(findRecord(whole.runDir, record)?.elements.length, 2);
});

test('another ADD of the same name is not the attachment that was to be repaired', async ({ node }) => {
  const [record] = await attach(node, 'pods');
  assert.ok(record);
  node.isDamaged = true;
  assert.equal(await outcomes(node, [{ ...record, created: '2020-01-01T00:00:00.000Z' }]), []);
  assert.equal(node.steps, []);
});

test('the record of version 0.1.0 gets all elements that have its comment, once', async ({ whole }) => {
  const [record] = await attach(whole, 'pods');
  assert.ok(record);
  const { hasAllElements: _, ...old } = { ...record, elements: [] };
  writeRecord(whole.runDir, old);
  whole.isDamaged = true;
  await repairAttachments([old], whole.context, []);
  const repaired = findRecord(whole.runDir, record);
  assert.is(repaired?.hasAllElements, true);
  assert.equal(repaired?.elements.map(({ set }) => set).sort(), ['masquerade_except_v4', 'masquerade_v4']);
});

test('a repair writes no record where there is nothing new to write', async ({ whole }) => {
  const [record] = await attach(whole, 'pods');
  assert.ok(record);
  whole.isDamaged = true;
  assert.equal(await outcomes(whole, [record]), ['pods repaired']);
  assert.equal(findRecord(whole.runDir, record), record);
});

test('what the mode has made otherwise than before goes on record', async ({ node }) => {
  const [record] = await attach(node, 'pods');
  assert.ok(record);
  node.isDamaged = true;
  const interfaces = [{ name: 'eth0', mac: '02:00:00:00:00:99', sandbox: '/proc/self/ns/net' }];
  node.repaired = { interfaces, ips: [], routes: [], dns: {} };
  assert.equal(await outcomes(node, [record]), ['pods repaired']);
  assert.equal(findRecord(node.runDir, record)?.result?.interfaces, interfaces);
  assert.equal(findRecord(node.runDir, record)?.result?.ips, record.result?.ips, 'the addresses are as they were');
});

test.run();
