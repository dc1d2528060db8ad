// Which parts CHECK asks, what it tells them, and which failures of theirs it takes for findings. (Its codes: check.test.ts.)

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findRecord, writeRecord } from '../attachment/record-store.ts';
import { CniError } from '../protocol/errors.ts';
import { add } from './add.ts';
import { check, findProblemsOnRecord } from './check.ts';
import { removeOwnElements, tracesOfRecord } from './features.ts';
import { FakeNode } from './testing/fake-node.ts';
import { failureOf } from './testing/failure.ts';

const test = suite<{ node: FakeNode; whole: FakeNode }>("CHECK's parts");

test.before.each((context) => {
  context.node = new FakeNode();
  context.whole = new FakeNode({ isWhole: true });
});
test.after.each(({ node, whole }) => {
  node.remove();
  whole.remove();
});

type Json = Readonly<Record<string, unknown>>;

/** Attach, and give the request of the CHECK that follows. */
async function attached(node: FakeNode, more: Json = {}) {
  const prevResult = JSON.parse(await add(node.request('ADD', { ...node.foreign, ...more }), node.context)) as Json;
  node.forget();
  return { prevResult, request: node.request('CHECK', { ...node.foreign, ...more, prevResult }) };
}

function enodev(): Error {
  return Object.assign(new Error('Cannot get link "eth0": ENODEV'), { code: 'ENODEV', errno: 19, syscall: 'netlink' });
}

test('mode, features and IPAM are asked, in this order', async ({ node }) => {
  const { request } = await attached(node);
  await check(request, node.context);
  assert.equal(node.steps, ['mode plan', 'mode check', 'feature check', 'ipam CHECK']);
});

test('what one of them finds keeps no other from being asked', async ({ node }) => {
  const { request } = await attached(node);
  node.isDamaged = true;
  node.ipam.fail('CHECK', 11, 'the reservation is gone');
  const error = await failureOf(check(request, node.context));
  assert.is(error.code, 101);
  assert.match(error.message, /the reservation is gone/);
  assert.equal(node.steps, ['mode plan', 'mode check', 'feature check', 'ipam CHECK']);
});

test('an interface that vanishes while it is looked at is a finding, and the others are asked', async ({ node }) => {
  const { request } = await attached(node);
  node.failures.set('mode check', enodev());
  assert.is((await failureOf(check(request, node.context))).code, 101);
  assert.equal(node.steps.slice(-2), ['feature check', 'ipam CHECK']);
  node.failures.clear();
  node.failures.set('feature check', enodev());
  assert.is((await failureOf(check(request, node.context))).code, 101);
});

test('another failure to look is no finding: it keeps its code, and nothing stays locked or open', async ({ node }) => {
  const { request } = await attached(node);
  node.failures.set('mode check', new CniError(100, 'the kernel refuses'));
  const error = await failureOf(check(request, node.context));
  assert.equal([error.code, error.message], [100, 'the kernel refuses']);
});

test('an element of nftables that is missing is a finding', async ({ whole }) => {
  const { request } = await attached(whole);
  await check(request, whole.context);
  const { record } = whole;
  assert.ok(record);
  removeOwnElements(whole.context, record, tracesOfRecord(record));
  assert.is((await failureOf(check(request, whole.context))).code, 101);
});

test('a later plugin may have added addresses: features and IPAM hear of our own', async ({ whole }) => {
  const { prevResult } = await attached(whole);
  const ips = [...(prevResult.ips as Json[]), { address: '192.0.2.9/24', interface: 0 }];
  const request = whole.request('CHECK', { ...whole.foreign, prevResult: { ...prevResult, ips } });
  // With the other address, an element for it would be missed.
  await check(request, whole.context);
});

test('a result of before 0.3.0 tells nothing of interfaces; the record does', async ({ node }) => {
  const { request } = await attached(node, { cniVersion: '0.2.0' });
  const forty = { ...request.config.fields.raw, cniVersion: '0.4.0' };
  const asked = node.request('CHECK', forty);
  await check(asked, node.context);
  assert.equal(node.steps, ['mode plan', 'mode check', 'feature check', 'ipam CHECK']);
});

test('without the record nobody can tell whose frames the rules must be about: features are not asked', async ({
  node,
}) => {
  const { request } = await attached(node, { cniVersion: '0.2.0' });
  const { record } = node;
  assert.ok(record);
  writeRecord(node.runDir, { ...record, version: 99 as 1 });
  assert.is(findRecord(node.runDir, record), undefined);
  await check(node.request('CHECK', { ...request.config.fields.raw, cniVersion: '0.4.0' }), node.context);
  assert.equal(node.steps, ['mode plan', 'mode check', 'ipam CHECK']);
});

test('another namespace at the path is a finding, though all in it is well', async ({ node }) => {
  const { request } = await attached(node);
  const { record } = node;
  assert.ok(record);
  writeRecord(node.runDir, { ...record, netnsIdentity: '4:1' });
  assert.is((await failureOf(check(request, node.context))).code, 101);
});

test('our own namespace is the container’s only where the runtime or the record says so', async ({ node }) => {
  const { request } = await attached(node);
  const asked = { ...request, netnsOverride: false };
  assert.is((await failureOf(check(asked, node.context))).code, 8);
  const { record } = node;
  assert.ok(record);
  const own = record.netnsIdentity;
  writeRecord(node.runDir, { ...record, objects: { ...record.objects, sharedNetns: own } });
  await check(asked, node.context);
});

test("the host's interfaces have the MAC addresses on record, which a repair may have changed since", async ({
  node,
}) => {
  const { prevResult } = await attached(node);
  const { record } = node;
  assert.ok(record?.result);
  const [own] = record.result.interfaces;
  assert.ok(own);
  const onRecord = [
    { name: 'fake0', mac: '02:00:00:00:00:aa' },
    // The host has one of that name, too.
    { name: own.name, mac: '02:00:00:00:00:cc' },
    { ...own, mac: '02:00:00:00:00:bb' },
  ];
  writeRecord(node.runDir, { ...record, result: { ...record.result, interfaces: onRecord } });
  const told = [{ name: 'fake0', mac: '02:00:00:00:00:01' }, { name: 'other0', mac: '02:00:00:00:00:02' }, own];
  const ips = [{ address: '10.9.0.2/24', interface: 2 }];
  const request = node.request('CHECK', { ...node.foreign, prevResult: { ...prevResult, interfaces: told, ips } });
  await check(request, node.context);
  assert.equal(
    node.expected?.interfaces.map(({ mac }) => mac),
    ['02:00:00:00:00:aa', '02:00:00:00:00:02', own.mac],
    'but the container’s own is as the runtime was told',
  );
});

test('prevResult is asked for before the sandbox is', async ({ node }) => {
  await attached(node);
  const request = { ...node.request('CHECK', node.foreign), netns: '/nowhere' };
  assert.is((await failureOf(check(request, node.context))).code, 7);
});

test('findProblemsOnRecord() finds the same by the record alone, and asks the same parts', async ({ node }) => {
  await attached(node);
  const { record } = node;
  assert.ok(record);
  node.isDamaged = true;
  node.ipam.fail('CHECK', 11, 'the reservation is gone');
  const found = await findProblemsOnRecord(record, node.context, [node.ipam.path]);
  assert.equal(
    found.map(({ code }) => code),
    ['bridge-gone', 'forwarding-off', 'address-management-failed'],
  );
  assert.equal(node.steps, ['mode plan', 'mode check', 'feature check', 'ipam CHECK']);
});

test('findProblemsOnRecord() of a namespace that is gone finds that, and asks nobody', async ({ node }) => {
  await attached(node);
  const { record } = node;
  assert.ok(record);
  for (const changes of [{ netns: '/nowhere' }, { netnsIdentity: '4:1' }, { netns: '/proc/self/ns/uts' }]) {
    const found = await findProblemsOnRecord({ ...record, ...changes }, node.context, []);
    assert.equal(
      found.map(({ code }) => code),
      ['namespace-gone'],
    );
  }
  assert.equal(node.steps, []);
});

test.run();
