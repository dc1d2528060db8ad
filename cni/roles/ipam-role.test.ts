// podlink's IPAM as a plugin of its own, as another plugin calls it.

import { existsSync, rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { IpamDriver, IpamRequest } from '../../ipam/driver.ts';
import { hostLocal } from '../../ipam/local/host-local.ts';
import { CniError, toCniError } from '../protocol/errors.ts';
import { FakeNode } from '../verbs/testing/fake-node.ts';
import { failureOf } from '../verbs/testing/failure.ts';
import { ipamRole } from './ipam-role.ts';

const test = suite<{ node: FakeNode }>('an IPAM role');

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

const ROLE = ipamRole(hostLocal);

type Json = Readonly<Record<string, unknown>>;

async function addressOf(node: FakeNode, containerId: string, more: Json = {}): Promise<unknown> {
  const text = await ROLE.add({ ...node.request('ADD', more), containerId }, node.context);
  return (JSON.parse(text) as { ips?: { address: string }[] }).ips?.[0]?.address;
}

async function codeOf(work: () => unknown): Promise<number> {
  try {
    await work();
    return 0;
  } catch (error) {
    return toCniError(error).code;
  }
}

/** A driver that notes what it is asked, and fails where a test wants it. */
function driverOf(log: string[], failure?: Error): IpamDriver {
  const note = (step: string, { owner, netnsPath = '' }: Partial<IpamRequest>, more = ''): void => {
    log.push([step, ...Object.values(owner ?? {}), netnsPath, more].filter((word) => word !== '').join(' '));
    if (failure) throw failure;
  };
  return {
    ...hostLocal,
    prepare: (request) => {
      note('prepare', request);
      return { allocate: () => ({ ips: [], routes: [], dns: {} }) };
    },
    release: (request) => note('release', request),
    check: (request, ips) => note('check', request, JSON.stringify(ips)),
    status: (request) => note('status', { owner: { containerId: '', ifname: '', ...request.owner } }),
    collect: (request, valid) => {
      note('collect', { owner: { containerId: '', ifname: '', ...request.owner } }, JSON.stringify(valid));
      return [];
    },
  };
}

test('add() gives each container its address, and release() makes it free for nobody else than asked', async ({
  node,
}) => {
  assert.is(await addressOf(node, 'c1'), '10.1.0.2/24');
  assert.is(await addressOf(node, 'c2'), '10.1.0.3/24');
  await ROLE.del({ ...node.request('DEL'), containerId: 'c1' }, node.context);
  assert.equal(node.addresses, ['10.1.0.3']);
});

test('an IPAM role makes neither record nor lock nor link: the attachment is its caller’s', async ({ node }) => {
  await addressOf(node, 'c1');
  await ROLE.del(node.request('DEL'), node.context);
  assert.equal([existsSync(node.runDir), node.steps], [false, []]);
});

test('del() succeeds twice, and where there never was an ADD', async ({ node }) => {
  await ROLE.del(node.request('DEL'), node.context);
  await addressOf(node, 'c1');
  for (let i = 0; i < 2; i++) await ROLE.del(node.request('DEL'), node.context);
  assert.equal(node.addresses, []);
});

test('check() fails when the address of prevResult is not reserved', async ({ node }) => {
  const prevResult = JSON.parse(await ROLE.add(node.request(), node.context)) as Json;
  const request = node.request('CHECK', { prevResult });
  await ROLE.check(request, node.context);
  rmSync(node.dataDir, { recursive: true });
  assert.is.not(await codeOf(() => ROLE.check(request, node.context)), 0);
});

test('gc() keeps what the runtime names, and does nothing without a list', async ({ node }) => {
  await addressOf(node, 'c1');
  await addressOf(node, 'c2');
  await ROLE.gc(node.networkRequest('GC'), node.context);
  assert.is(node.addresses.length, 2);
  const valid = [{ containerID: 'c2', ifname: 'eth0' }];
  await ROLE.gc(node.networkRequest('GC', { 'cni.dev/valid-attachments': valid }), node.context);
  assert.equal(node.addresses, ['10.1.0.3']);
  await ROLE.gc(node.networkRequest('GC', { 'cni.dev/valid-attachments': [] }), node.context);
  assert.equal(node.addresses, []);
});

test('status() answers 50 when there is no free address, and 0 again when there is', async ({ node }) => {
  const ipam = { type: 'host-local', dataDir: node.dataDir, subnet: '10.1.0.0/30' };
  const ask = () => codeOf(() => ROLE.status(node.networkRequest('STATUS', { ipam }), node.context));
  assert.is(await ask(), 0);
  await addressOf(node, 'c1', { ipam });
  assert.is(await ask(), 50);
  await ROLE.del(node.request('DEL', { ipam }), node.context);
  assert.is(await ask(), 0);
});

test('every verb wants a configuration with `ipam`', async ({ node }) => {
  const none = { ipam: undefined, 'cni.dev/valid-attachments': [] };
  const verbs = [
    () => ROLE.add(node.request('ADD', none), node.context),
    () => ROLE.del(node.request('DEL', none), node.context),
    () => ROLE.check(node.request('CHECK', none), node.context),
    () => ROLE.gc(node.networkRequest('GC', none), node.context),
    () => ROLE.status(node.networkRequest('STATUS', none), node.context),
  ];
  for (const verb of verbs) assert.is(await codeOf(verb), 7);
});

test('add() refuses CNI_ARGS that cannot be read, and routes that the version cannot say', async ({ node }) => {
  const request = { ...node.request(), malformedArg: 'x' };
  assert.is(await codeOf(() => ROLE.add(request, node.context)), 4);
  const ipam = { type: 'host-local', dataDir: node.dataDir, subnet: '10.1.0.0/24' };
  const routes = [{ dst: '10.2.0.0/16', mtu: 1400 }];
  const old = node.request('ADD', { cniVersion: '0.2.0', ipam: { ...ipam, routes } });
  assert.is(await codeOf(() => ROLE.add(old, node.context)), 7);
  assert.equal(node.addresses, []);
});

test('the driver hears of the attachment and its namespace; of the network alone where the verb is about that', async ({
  node,
}) => {
  const log: string[] = [];
  const role = ipamRole(driverOf(log));
  const prevResult = {
    cniVersion: '1.1.0',
    interfaces: [
      { name: 'eth0', sandbox: '/proc/self/ns/net' },
      { name: 'eth9', sandbox: '/proc/self/ns/net' },
    ],
    ips: [
      { address: '10.1.0.2/24', interface: 0 },
      { address: '10.8.0.2/24', interface: 1 },
    ],
  };
  await role.add(node.request(), node.context);
  await role.del(node.request('DEL'), node.context);
  await role.check(node.request('CHECK', { prevResult }), node.context);
  await role.check(node.request('CHECK'), node.context);
  const valid = [{ containerID: 'c2', ifname: 'eth0' }];
  await role.gc(node.networkRequest('GC', { 'cni.dev/valid-attachments': valid }), node.context);
  await role.status(node.networkRequest('STATUS'), node.context);
  assert.equal(log, [
    'prepare pods c1 eth0 /proc/self/ns/net',
    'release pods c1 eth0 /proc/self/ns/net',
    // Another plugin's interface has addresses of its own.
    'check pods c1 eth0 /proc/self/ns/net [{"address":"10.1.0.2/24","interface":0}]',
    'check pods c1 eth0 /proc/self/ns/net []',
    'collect pods [{"network":"pods","containerId":"c2","ifname":"eth0"}]',
    'status pods',
  ]);
});

test('a failure keeps its code, and that of status() is 50', async ({ node }) => {
  const role = ipamRole(driverOf([], new CniError(11, 'the server is away')));
  assert.is((await failureOf(Promise.try(() => role.add(node.request(), node.context)))).code, 11);
  assert.is((await failureOf(Promise.try(() => role.del(node.request('DEL'), node.context)))).code, 11);
  const error = await failureOf(Promise.try(() => role.status(node.networkRequest('STATUS'), node.context)));
  assert.equal([error.code, error.message], [50, 'Network "pods" cannot serve ADD: the server is away']);
});

test.run();
