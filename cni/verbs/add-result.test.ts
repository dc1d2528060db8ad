// The result of an ADD: ours, joined with that of the plugins before it, in the version that was asked for; and what of it goes on
// record.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { add } from './add.ts';
import { FakeNode } from './testing/fake-node.ts';

const test = suite<{ node: FakeNode }>("ADD's result");

test.before.each((context) => {
  context.node = new FakeNode();
});
test.after.each(({ node }) => node.remove());

type Json = Readonly<Record<string, unknown>>;

async function resultOf(node: FakeNode, more: Json = {}): Promise<Json & { dns?: Json }> {
  return JSON.parse(await add(node.request('ADD', { ...node.foreign, ...more }), node.context));
}

const PREVIOUS = {
  cniVersion: '1.1.0',
  interfaces: [{ name: 'other0' }, { name: 'eth7', sandbox: '/proc/self/ns/net' }],
  ips: [{ address: '192.0.2.5/24', interface: 1 }],
  routes: [{ dst: '198.51.100.0/24' }],
  dns: { nameservers: ['192.0.2.53'] },
};
const OWN = { name: 'eth0', mac: '02:00:00:00:00:01', sandbox: '/proc/self/ns/net' };

test('with a plugin before it, both results are there, and each address points at its own interface', async ({
  node,
}) => {
  node.ipam.give({
    ips: [{ address: '10.9.0.2/24', gateway: '10.9.0.1' }, { address: 'fd00::2/64' }],
    routes: [{ dst: '0.0.0.0/0' }],
  });
  const { interfaces, ips, routes, dns } = await resultOf(node, { prevResult: PREVIOUS });
  assert.equal(interfaces, [...PREVIOUS.interfaces, OWN]);
  assert.equal(ips, [
    ...PREVIOUS.ips,
    { address: '10.9.0.2/24', gateway: '10.9.0.1', interface: 2 },
    { address: 'fd00::2/64', interface: 2 },
  ]);
  assert.equal(routes, [...PREVIOUS.routes, { dst: '0.0.0.0/0' }]);
  assert.equal(dns, PREVIOUS.dns, 'we have none of our own');
});

test('our own DNS settings take the place of those before, as a whole', async ({ node }) => {
  node.ipam.give({ ips: [{ address: '10.9.0.2/24' }], dns: { domain: 'ours.example' } });
  const { dns } = await resultOf(node, { prevResult: PREVIOUS });
  assert.equal(dns, { domain: 'ours.example' });
});

test("on record is what is ours, without the plugins' before", async ({ node }) => {
  await resultOf(node, { prevResult: PREVIOUS });
  const { record } = node;
  assert.equal(record?.result?.interfaces, [OWN]);
  assert.equal(record?.result?.ips, [{ address: '10.9.0.2/24', gateway: '10.9.0.1', interface: 0 }]);
  assert.is('prevResult' in (record?.config ?? {}), false);
  assert.is(record?.config.name, 'pods');
});

const IPAM_DNS = { nameservers: ['10.9.0.53'], domain: 'ipam.example' };

/** The configuration's `dns`, the runtime's, and what the result has where IPAM has its own. */
const DNS: readonly (readonly [string, Json | undefined, Json | undefined, Json])[] = [
  ['none', undefined, undefined, IPAM_DNS],
  ['an empty one', {}, undefined, IPAM_DNS],
  ['one of the configuration', { search: ['a.example'] }, undefined, { search: ['a.example'] }],
  ['one list of the runtime', undefined, { servers: ['10.0.0.1'] }, { ...IPAM_DNS, nameservers: ['10.0.0.1'] }],
  [
    'both',
    { nameservers: ['10.0.0.2'], search: ['a.example'] },
    { searches: ['b.example'] },
    { nameservers: ['10.0.0.2'], search: ['b.example'] },
  ],
];
for (const [what, configured, requested, expected] of DNS) {
  test(`DNS settings of IPAM, and ${what}`, async ({ node }) => {
    node.ipam.give({ ips: [{ address: '10.9.0.2/24' }], dns: IPAM_DNS });
    const { dns } = await resultOf(node, {
      ...(configured && { dns: configured }),
      ...(requested && { runtimeConfig: { dns: requested } }),
    });
    assert.equal(dns, expected);
  });
}

test('without IPAM the result has the interface alone', async ({ node }) => {
  const { interfaces, ips } = await resultOf(node, { ipam: undefined });
  assert.equal([interfaces, ips ?? []], [[OWN], []]);
  assert.equal(node.record?.addresses, []);
});

test('the result is in the version that was asked for', async ({ node }) => {
  const { cniVersion, ip4 } = await resultOf(node, { cniVersion: '0.2.0' });
  assert.equal([cniVersion, (ip4 as Json).ip], ['0.2.0', '10.9.0.2/24']);
});

test('CNI_ARGS are on record as the runtime gave them: a later repair makes its plan from them', async ({ node }) => {
  const args = new Map([
    ['K8S_POD_NAMESPACE', 'shop'],
    ['K8S_POD_NAME', 'web'],
  ]);
  await add({ ...node.request(), args }, node.context);
  assert.is(node.record?.cniArgs, 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web');
});

test.run();
