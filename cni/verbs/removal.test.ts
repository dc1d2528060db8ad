// What DEL takes away, in which order, and from what it knows that: with a record and without. (The verb itself: del.test.ts.)

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hostInterfaceAlias, hostInterfaceName, ifbName } from '../attachment/marks.ts';
import { deleteRecord, writeRecord } from '../attachment/record-store.ts';
import { EPERM } from '../kernel/errno.ts';
import { DEFAULT_MODE } from '../modes/mode-registry.ts';
import { noneMode } from '../modes/none.ts';
import { add } from './add.ts';
import { del } from './del.ts';
import { findOwnLinks, removalOfRecord, removalOfRequest } from './removal.ts';
import { FakeNode, type Step } from './testing/fake-node.ts';
import { failuresOf } from './testing/failure.ts';

const test = suite<{ node: FakeNode }>('removal');

test.before.each((context) => {
  context.node = new FakeNode({ isWhole: true });
});
test.after.each(({ node }) => node.remove());

const KEY = { network: 'pods', containerId: 'c1', ifname: 'eth0' };
const HOST_END = hostInterfaceName(KEY);
const IFB = ifbName(KEY);
const ORDER: readonly Step[] = ['port off', 'elements', 'links gone', 'mode detach', 'feature remove', 'ipam DEL'];

/** An attachment with links, elements and an address of the plugin that notes its verbs. */
async function attach(node: FakeNode): Promise<void> {
  await add(node.request('ADD', node.foreign), node.context);
  assert.equal(node.context.links.names, [HOST_END, IFB].sort());
  assert.is(node.elements.length, 1);
  node.forget();
}

test('the port is closed first, then elements and links go, then the rest, and last the address and the record', async ({
  node,
}) => {
  await attach(node);
  await del(node.request('DEL', node.foreign), node.context);
  assert.equal(node.steps, ORDER);
  // The links go in one request, and the address is free only when nothing can answer for it any more.
  assert.equal([node.context.links.names, node.elements], [[], []]);
  assert.is(node.ipam.seenBy('DEL')?.state, 'complete', 'the record outlives all else');
  assert.is(node.record, undefined);
});

/** Each step, how a test makes it fail, and what the error says. */
const FAILURES: readonly (readonly [step: Step, breakIt: (node: FakeNode) => void, message: RegExp])[] = [
  ['port off', ({ context }) => context.links.refusals.set('port off', EPERM), /disable bridge port/],
  ['elements', (node) => node.failures.set('elements', new Error('nftables is broken')), /nftables is broken/],
  ['links gone', ({ context }) => context.links.refusals.set('links gone', EPERM), /delete the 2 links/],
  ['mode detach', (node) => node.failures.set('mode detach', new Error('the mode is broken')), /the mode is broken/],
  ['feature remove', (node) => node.failures.set('feature remove', new Error('the sysctl')), /the sysctl/],
  ['ipam DEL', ({ ipam }) => ipam.fail('DEL', 11, 'the server is away'), /the server is away/],
];
for (const [step, breakIt, message] of FAILURES) {
  test(`when "${step}" fails, every other step is taken, and the record stays for the next DEL`, async ({ node }) => {
    await attach(node);
    breakIt(node);
    const failures = await failuresOf(del(node.request('DEL', node.foreign), node.context));
    assert.is(failures.length, 1);
    assert.match(failures[0] ?? '', message);
    // IPAM is asked twice: by the record, and by the configuration of DEL.
    assert.equal([...new Set(node.steps)], ORDER);
    assert.is(node.record?.state, 'complete');

    node.failures.clear();
    node.context.links.refusals.clear();
    node.ipam.mend();
    await del(node.request('DEL', node.foreign), node.context);
    assert.equal([node.context.links.names, node.elements, node.record], [[], [], undefined]);
  });
}

test('all failures are told, in the order of the steps', async ({ node }) => {
  await attach(node);
  for (const [, breakIt] of FAILURES) breakIt(node);
  const failures = await failuresOf(del(node.request('DEL', node.foreign), node.context));
  assert.is(failures.length, FAILURES.length);
  for (const [i, [, , message]] of FAILURES.entries()) assert.match(failures[i] ?? '', message);
});

test('a port that is down already, or gone, is no failure', async ({ node }) => {
  await attach(node);
  const ENETDOWN = 100;
  node.context.links.refusals.set('port off', ENETDOWN);
  await del(node.request('DEL', node.foreign), node.context);
  assert.is(node.record, undefined);
});

test('a link that is no port of a bridge is not asked to close', async ({ node }) => {
  await attach(node);
  node.context.links.lose(HOST_END);
  node.context.links.add({ name: HOST_END, kind: 'veth', alias: hostInterfaceAlias(KEY) });
  await del(node.request('DEL', node.foreign), node.context);
  assert.equal(node.steps, ORDER.slice(1));
});

test('the mode hears whether its link was there: only without does it get the sandbox to look in', async ({ node }) => {
  await attach(node);
  await del(node.request('DEL', node.foreign), node.context);
  assert.equal(
    node.detachments.map(({ hadLinks, hadSandbox }) => ({ hadLinks, hadSandbox })),
    [{ hadLinks: true, hadSandbox: false }],
  );
  await attach(node);
  node.context.links.lose(HOST_END);
  await del(node.request('DEL', node.foreign), node.context);
  assert.equal(
    node.detachments.map(({ hadLinks, hadSandbox }) => ({ hadLinks, hadSandbox })),
    [{ hadLinks: false, hadSandbox: true }],
  );
});

test("links of the same name that are another's stay: of another kind, or with another alias", async ({ node }) => {
  await attach(node);
  for (const name of [HOST_END, IFB]) node.context.links.lose(name);
  node.context.links.add({ name: HOST_END, kind: 'dummy', alias: hostInterfaceAlias(KEY) });
  node.context.links.add({ name: IFB, kind: 'ifb', alias: 'somebody else' });
  await del(node.request('DEL', node.foreign), node.context);
  assert.equal(node.context.links.names, [HOST_END, IFB].sort());
  assert.not.ok(node.steps.includes('links gone'));
});

test('findOwnLinks() tells the links of the mode from those of features', async ({ node }) => {
  await attach(node);
  const { ofMode, ofFeatures } = findOwnLinks(node.context, removalOfRequest(node.request('DEL'), node.context));
  assert.equal([ofMode.map(({ name }) => name), ofFeatures.map(({ name }) => name)], [[HOST_END], [IFB]]);
});

test('without a record links are found by their names, and elements by their comments', async ({ node }) => {
  await attach(node);
  deleteRecord(node.runDir, KEY);
  await del(node.request('DEL', node.foreign), node.context);
  assert.equal(node.steps, ORDER);
  assert.equal([node.context.links.names, node.elements], [[], []]);
});

test('without a record a host end that somebody has renamed is found by its alias', async ({ node }) => {
  await attach(node);
  deleteRecord(node.runDir, KEY);
  node.context.links.lose(HOST_END);
  node.context.links.add({ name: 'renamed0', kind: 'veth', alias: hostInterfaceAlias(KEY) });
  assert.is(removalOfRequest(node.request('DEL'), node.context).objects.hostInterface, 'renamed0');
  node.context.links.add({ name: HOST_END, kind: 'veth', alias: hostInterfaceAlias(KEY) });
  assert.is(removalOfRequest(node.request('DEL'), node.context).objects.hostInterface, undefined, 'with its own name');
});

test("elements of another attachment stay, though they are on this one's record", async ({ node }) => {
  await attach(node);
  const { record } = node;
  assert.ok(record);
  // The one element is another's by now: its address went to another container.
  await del(node.request('DEL', node.foreign), node.context);
  await add({ ...node.request('ADD', node.foreign), containerId: 'c2' }, node.context);
  writeRecord(node.runDir, record);
  await del(node.request('DEL', node.foreign), node.context);
  assert.equal(node.elements, ['pods/c2/eth0']);
});

test('host interfaces that prevResult reports are passed on to the mode, and those in a sandbox are not', async ({
  node,
}) => {
  const prevResult = {
    cniVersion: '1.1.0',
    interfaces: [{ name: 'host0' }, { name: 'eth0', sandbox: '/run/netns/x' }],
  };
  await del(node.request('DEL', { prevResult }), node.context);
  assert.equal(node.detachments[0]?.reported, ['host0']);
});

test('a prevResult that is torn reports nothing, and is no failure', async ({ node }) => {
  await del(node.request('DEL', { prevResult: { cniVersion: '1.1.0', interfaces: 'torn' } }), node.context);
  assert.equal(node.detachments[0]?.reported, []);
});

test('removalOfRecord() goes by the mode on record; one that podlink no longer has counts as the default', async ({
  node,
}) => {
  await attach(node);
  const { record } = node;
  assert.ok(record);
  const context = Object.assign(Object.create(node.context), {
    parts: { features: [], findMode: (name: string) => (name === 'none' ? noneMode : undefined) },
  });
  assert.equal(removalOfRecord({ ...record, mode: 'none' }, context, []).modes, [noneMode]);
  assert.equal(removalOfRecord({ ...record, mode: 'of-old' }, context, []).modes, [DEFAULT_MODE]);
});

test('removalOfRequest() of a mode without an interface has the default mode look, too', ({ node }) => {
  const context = Object.assign(Object.create(node.context), {
    parts: { features: [], findMode: (name: string) => (name === 'none' ? noneMode : DEFAULT_MODE) },
  });
  const modesOf = (mode: string) => removalOfRequest(node.request('DEL', { mode }), context).modes;
  assert.equal(modesOf('none'), [noneMode, DEFAULT_MODE]);
  assert.equal(modesOf('bridge'), [DEFAULT_MODE]);
  assert.equal(modesOf('no such mode'), [DEFAULT_MODE], 'a configuration that is broken by now');
  assert.match(node.warnings.join(), /mode/);
});

test('a record of version 0.1.0 may lack elements: those with its comment are looked for', async ({ node }) => {
  await attach(node);
  const { record } = node;
  assert.ok(record);
  const { hasAllElements: _, ...old } = { ...record, elements: [] };
  writeRecord(node.runDir, old);
  await del(node.request('DEL', node.foreign), node.context);
  assert.equal(node.elements, []);
});

test('a record that has all its elements is believed: nothing else is looked for', async ({ node }) => {
  await attach(node);
  const { record } = node;
  assert.ok(record);
  writeRecord(node.runDir, { ...record, elements: [] });
  const { questions } = node.context.fakeNft.asked;
  await del(node.request('DEL', node.foreign), node.context);
  assert.is(node.context.fakeNft.asked.questions, questions);
});

test("where the IPAM on record cannot release, that of DEL's configuration does, and the operator is told", async ({
  node,
}) => {
  node.ipam.copyTo('of-old');
  await add(node.request('ADD', { ipam: { type: 'of-old' } }), node.context);
  node.forget();
  node.ipam.lose('of-old');
  await del(node.request('DEL', node.foreign), node.context);
  assert.is(node.steps.at(-1), 'ipam DEL');
  assert.match(node.warnings.join(), /of-old.*the configuration of DEL is used instead/);
  assert.is(node.record, undefined);
});

test("where the configuration on record cannot be read any more, DEL's own releases the address", async ({ node }) => {
  await attach(node);
  const { record } = node;
  assert.ok(record);
  writeRecord(node.runDir, { ...record, config: { ...record.config, ipam: { type: 'loopback' } } });
  await del(node.request('DEL', node.foreign), node.context);
  assert.equal([node.steps.at(-1), node.record], ['ipam DEL', undefined]);
  assert.match(node.warnings.join(), /ipam\.type/);
});

test('an attachment that has no address on record asks no IPAM that DEL has by now', async ({ node }) => {
  await add(node.request('ADD', { ipam: undefined }), node.context);
  node.forget();
  await del(node.request('DEL', node.foreign), node.context);
  assert.not.ok(node.steps.includes('ipam DEL'));
});

test('where neither IPAM can release, the failure of the second is told, and the record stays', async ({ node }) => {
  node.ipam.copyTo('of-old');
  await add(node.request('ADD', { ipam: { type: 'of-old' } }), node.context);
  node.ipam.lose('of-old');
  node.ipam.fail('DEL', 11, 'the server is away');
  const failures = await failuresOf(del(node.request('DEL', node.foreign), node.context));
  assert.is(failures.length, 1);
  assert.match(failures[0] ?? '', /the server is away/);
  assert.is(node.record?.state, 'complete');
});

test('without a record there is one IPAM alone, and its failure is told', async ({ node }) => {
  await attach(node);
  deleteRecord(node.runDir, KEY);
  node.ipam.fail('DEL', 11, 'the server is away');
  const failures = await failuresOf(del(node.request('DEL', node.foreign), node.context));
  assert.is(failures.length, 1);
  assert.equal(node.steps, ORDER);
});

test.run();
