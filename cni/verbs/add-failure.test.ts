// ADD that is refused before anything changes, or taken back after: what of it must be left, and what must not. (The steps that
// modes and features take: add.test.ts.)

import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lockAttachment } from '../attachment/lock.ts';
import { deleteRecord, writeRecord } from '../attachment/record-store.ts';
import { EPERM } from '../kernel/errno.ts';
import { LockTimeoutError } from '../kernel/flock.ts';
import { CniError } from '../protocol/errors.ts';
import { FieldError } from '../protocol/fields.ts';
import { add } from './add.ts';
import { del } from './del.ts';
import { FakeNode, type Step } from './testing/fake-node.ts';
import { failureOf, failuresOf } from './testing/failure.ts';

const test = suite<{ node: FakeNode; whole: FakeNode }>('ADD that fails');

test.before.each((context) => {
  context.node = new FakeNode();
  context.whole = new FakeNode({ isWhole: true });
});
test.after.each(({ node, whole }) => {
  node.remove();
  whole.remove();
});

const KEY = { network: 'pods', containerId: 'c1', ifname: 'eth0' };

function filesOf(node: FakeNode): string[] {
  const folder = join(node.runDir, 'attachments/pods');
  return existsSync(folder) ? readdirSync(folder) : [];
}

test('IPAM is asked when the record is there, and the mode and features when IPAM has answered', async ({ node }) => {
  await add(node.request('ADD', node.foreign), node.context);
  assert.equal(node.steps.slice(0, 3), ['mode plan', 'ipam ADD', 'feature early objects']);
  assert.equal(
    [node.ipam.seenBy('ADD')?.state, node.ipam.seenBy('ADD')?.objects, node.ipam.seenBy('ADD')?.addresses],
    ['adding', { bridge: 'fake0' }, []],
  );
  assert.equal(node.record?.addresses, ['10.9.0.2/24']);
});

test('when IPAM has no address, neither mode nor features are asked, and the record goes', async ({ node }) => {
  node.ipam.fail('ADD', 11, 'there is no free address');
  const error = await failureOf(add(node.request('ADD', node.foreign), node.context));
  assert.equal([error.code, /there is no free address/.test(error.message)], [11, true]);
  // A foreign plugin's ADD that fails is followed by its DEL, once.
  assert.equal(node.steps, ['mode plan', 'ipam ADD', 'ipam DEL']);
  assert.equal([node.record, filesOf(node)], [undefined, []]);
});

test('an answer of IPAM that cannot be used is taken back, too', async ({ node }) => {
  node.ipam.give({ ips: [] });
  const error = await failureOf(add(node.request('ADD', node.foreign), node.context));
  assert.is(error.code, 103);
  assert.equal(node.steps, ['mode plan', 'ipam ADD', 'ipam DEL']);
  assert.is(node.record, undefined);
});

test('addresses are released after everything else is taken back', async ({ node }) => {
  node.failures.set('feature settle', new CniError(111, 'no'));
  await failureOf(add(node.request('ADD', node.foreign), node.context));
  assert.equal(node.steps.slice(-4), ['feature remove', 'mode undo', 'feature remove', 'ipam DEL']);
  assert.is(node.ipam.seenBy('DEL')?.state, 'adding', 'the record goes last');
});

test('an address that cannot be released stays on record, and the error says so', async ({ node }) => {
  node.failures.set('mode attach', new CniError(111, 'no link'));
  node.ipam.fail('DEL', 11, 'the server is away');
  const error = await failureOf(add(node.request('ADD', node.foreign), node.context));
  assert.is(error.code, 111);
  assert.match(error.message, /^no link; and not everything could be taken back: run DEL for container "c1"/);
  assert.match(error.details, /Cannot release the addresses: .*the server is away/);
  assert.is(node.record?.state, 'adding');
  node.ipam.mend();
  await del(node.request('DEL', node.foreign), node.context);
  assert.is(node.record, undefined);
});

test('a refusal because the container has an address already leaves it that address', async ({ node }) => {
  await add(node.request(), node.context);
  deleteRecord(node.runDir, KEY);
  let failure: unknown;
  await add(node.request(), node.context).catch((error: unknown) => {
    failure = error;
  });
  assert.ok(failure instanceof Error, 'the ADD is refused');
  assert.equal(node.addresses, ['10.1.0.2']);
});

test('elements are on record before they are in nftables, and a failure after them takes them out', async ({
  whole,
}) => {
  const known: number[] = [];
  whole.beforeStep = (step) => {
    if (step === 'elements' && whole.elements.length === 0) known.push(whole.record?.elements.length ?? 0);
    if (step === 'feature settle') known.push(whole.elements.length);
  };
  whole.failures.set('feature settle', new CniError(111, 'no'));
  await failureOf(add(whole.request(), whole.context));
  // Before the record there is only the rehearsal of the rules. An address has an element, and an exception.
  assert.equal(known.slice(-2), [2, 1]);
  assert.equal([whole.elements, whole.context.links.names], [[], []]);
  const after = whole.steps.slice(whole.steps.indexOf('feature settle') + 1);
  assert.equal(after, ['elements', 'feature remove', 'mode undo', 'feature remove']);
  assert.is(whole.record, undefined);
});

test('elements that cannot be taken out leave the record, with their names', async ({ whole }) => {
  whole.failures.set('feature settle', new CniError(111, 'no'));
  whole.beforeStep = (step) => {
    if (step === 'feature settle') whole.failures.set('elements', new Error('nftables is broken'));
  };
  const error = await failureOf(add(whole.request(), whole.context));
  assert.match(error.details, /Cannot remove the elements of nftables: nftables is broken/);
  assert.is(whole.record?.elements.length, 2);
  assert.equal(whole.addresses, [], 'the address is released all the same');
});

test('a kernel without what the rules need is refused before anything changes', async ({ whole }) => {
  whole.context.fakeNft.lacks.add('masq');
  const error = await failureOf(add(whole.request(), whole.context));
  assert.is(error.code, 100);
  assert.equal([existsSync(whole.runDir), whole.addresses], [false, []]);
  assert.not.ok(whole.steps.includes('mode attach'));
});

/** Requests that ADD has something against, and the code of its error. */
const REFUSALS: readonly (readonly [string, object, object, number])[] = [
  ['a key that promises protection podlink does not give', { ingressPolicy: 'same-bridge' }, {}, 7],
  ['an IPAM type that is no plugin', { ipam: { type: 'nowhere' } }, {}, 7],
  ['an IPAM type that makes interfaces', { ipam: { type: 'loopback' } }, {}, 7],
  ['a subnet that is none', { ipam: { type: 'host-local', subnet: 'x' } }, {}, 7],
  ['CNI_ARGS that cannot be read', {}, { malformedArg: 'x' }, 4],
];
for (const [what, config, changes, code] of REFUSALS) {
  test(`${what} is refused before anything changes`, async ({ node }) => {
    let failure: unknown;
    const request = { ...node.request('ADD', config as Record<string, unknown>), ...changes };
    await add(request, node.context).catch((error: unknown) => {
      failure = error;
    });
    assert.is(failure instanceof FieldError ? 7 : (failure as CniError).code, code);
    assert.equal([existsSync(node.runDir), node.addresses], [false, []]);
    assert.not.ok(node.steps.includes('ipam ADD'));
  });
}

test('a namespace that is not there, or is no namespace, leaves neither record nor lock', async ({ node }) => {
  for (const netns of [join(node.dataDir, 'gone'), '/proc/self/ns/uts', '/proc/self/status']) {
    const error = await failureOf(add({ ...node.request(), netns }, node.context));
    assert.is(error.code, 4, netns);
    assert.equal([node.record, filesOf(node), node.addresses], [undefined, [], []]);
  }
});

test('our own namespace is refused with code 8 where nobody says that it is meant', async ({ node }) => {
  const error = await failureOf(add({ ...node.request(), netnsOverride: false }, node.context));
  assert.is(error.code, 8);
  assert.equal([node.steps, node.record], [['mode plan'], undefined]);
});

test('the attachment is locked through all steps, the undo included, and free after', async ({ node }) => {
  const free: Step[] = [];
  node.beforeStep = (step) => {
    if (step === 'mode plan') return;
    try {
      lockAttachment(node.runDir, KEY, 0).release();
      free.push(step);
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error;
    }
  };
  node.failures.set('feature settle', new CniError(111, 'no'));
  await failureOf(add(node.request(), node.context));
  assert.ok(node.steps.includes('mode undo'));
  node.failures.clear();
  await add(node.request(), node.context);
  assert.equal(free, []);
  assert.equal(filesOf(node), ['c1.eth0.json'], 'the lock goes');
});

test('the undo gets a connection to nftables that has lost no answer', async ({ node }) => {
  node.failures.set('feature settle', new CniError(111, 'no'));
  await failureOf(add(node.request(), node.context));
  assert.is(node.context.renewals, 1);
});

test('nothing stays open, whether an ADD succeeds or fails', async ({ node }) => {
  const countOpen = (): number => readdirSync('/proc/self/fd').length;
  await add(node.request(), node.context);
  const before = countOpen();
  node.failures.set('mode attach', new CniError(111, 'no'));
  await failureOf(add({ ...node.request(), containerId: 'c2' }, node.context));
  await failureOf(add(node.request(), node.context));
  node.failures.clear();
  await add({ ...node.request(), containerId: 'c3' }, node.context);
  assert.is(countOpen(), before);
});

test('what a killed ADD left is removed though the namespace of this one is not there', async ({ node }) => {
  await add(node.request(), node.context);
  const { record } = node;
  assert.ok(record);
  writeRecord(node.runDir, { ...record, state: 'adding' });
  const error = await failureOf(add({ ...node.request(), netns: join(node.dataDir, 'gone') }, node.context));
  assert.is(error.code, 4);
  assert.equal([node.record, node.addresses], [undefined, []]);
});

test('what a killed ADD left and cannot be removed stops this one, and stays on record', async ({ node }) => {
  await add(node.request(), node.context);
  const { record } = node;
  assert.ok(record);
  writeRecord(node.runDir, { ...record, state: 'adding' });
  node.forget();
  node.failures.set('mode detach', new Error('the link is busy'));
  assert.equal(await failuresOf(add(node.request(), node.context)), ['the link is busy']);
  assert.not.ok(node.steps.includes('mode attach'));
  assert.is(node.record?.state, 'adding');
});

test('a record that is torn is no attachment: ADD begins anew', async ({ node }) => {
  await add(node.request('ADD', { ipam: undefined }), node.context);
  writeFileSync(join(node.runDir, 'attachments/pods/c1.eth0.json'), '{"version": 1');
  await add(node.request('ADD', { ipam: undefined }), node.context);
  assert.is(node.record?.state, 'complete');
});

test('a link that cannot be undone leaves the record, and DEL takes away all that is left', async ({ whole }) => {
  whole.failures.set('feature apply', new CniError(111, 'no qdisc'));
  whole.failures.set('mode undo', new Error('the link is busy'));
  const error = await failureOf(add(whole.request(), whole.context));
  assert.match(error.details, /the link is busy/);
  assert.is(whole.context.links.names.length, 1);
  whole.failures.clear();
  whole.context.links.refusals.set('links gone', EPERM);
  assert.is((await failuresOf(del(whole.request('DEL'), whole.context))).length, 1);
  assert.is(whole.record?.state, 'adding');
  whole.context.links.refusals.clear();
  await del(whole.request('DEL'), whole.context);
  assert.equal([whole.context.links.names, whole.record], [[], undefined]);
});

test.run();
