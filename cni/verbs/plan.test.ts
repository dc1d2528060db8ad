import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lockAttachment } from '../attachment/lock.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { writeRecord } from '../attachment/record-store.ts';
import type { Feature, FeatureRequest } from '../features/feature.ts';
import { identityOf, openOwnNetns } from '../kernel/netns.ts';
import { thrownOf } from '../kernel/testing/thrown.ts';
import { DEFAULT_MODE, findMode } from '../modes/mode-registry.ts';
import type { Mode, ModePlan, ModeRequest, Peer } from '../modes/mode.ts';
import { CniError } from '../protocol/errors.ts';
import { FieldError } from '../protocol/fields.ts';
import { type Plan, planRequest } from './plan.ts';
import { sourceOfRequest } from './plan-source.ts';
import { FakeNode } from './testing/fake-node.ts';

const test = suite<{ node: FakeNode; asked: Asked }>('plan');

/** What mode and feature are asked. */
interface Asked {
  mode?: ModeRequest;
  feature?: FeatureRequest;
  order: string[];
}

test.before.each((context) => {
  context.node = new FakeNode();
  context.asked = { order: [] };
});
test.after.each(({ node }) => node.remove());

/** Plan a request with the modes that there are, of which only the traits are theirs, and one feature. */
function plan(node: FakeNode, asked: Asked, more: Readonly<Record<string, unknown>> = {}, args: object = {}): Plan {
  const feature: Feature = {
    name: 'fake',
    rulesets: [],
    plan(request) {
      asked.feature = request;
      asked.order.push('feature');
      return undefined;
    },
  };
  const parts = {
    features: [feature],
    findMode(name: string): Mode | undefined {
      const mode = findMode(name);
      return mode && { ...mode, plan: (request) => planOf(request, asked) };
    },
  };
  const request = { ...node.request('ADD', more), args: new Map(Object.entries(args)) };
  return planRequest(sourceOfRequest(request, node.context), { runDir: node.runDir, parts });
}

function planOf(request: ModeRequest, asked: Asked): ModePlan {
  asked.mode = request;
  asked.order.push('mode');
  return {} as ModePlan;
}

test('the mode is asked first, then each feature, and IPAM not yet', ({ node, asked }) => {
  const { ipam, features } = plan(node, asked, node.foreign);
  assert.equal(asked.order, ['mode', 'feature']);
  assert.ok(ipam);
  assert.equal([features, node.steps], [[], []]);
});

/** The mode of a configuration, whether it has an IPAM then, and the traits that features hear of. */
const MODES: readonly (readonly [string, object, boolean, Partial<FeatureRequest>])[] = [
  ['bridge', {}, true, { hasOwnInterface: true, hasBridge: true, sharesNamespace: false, isConfigured: true }],
  ['host', { mode: 'host' }, false, { hasOwnInterface: false, sharesNamespace: true, isConfigured: true }],
  ['none', { mode: 'none' }, false, { hasOwnInterface: false, sharesNamespace: false, isConfigured: true }],
  [
    'host',
    { overrides: [{ pod: 'shop/*', mode: 'host' }] },
    false,
    { hasOwnInterface: false, sharesNamespace: true, isConfigured: false },
  ],
];
for (const [name, config, hasIpam, traits] of MODES) {
  test(`mode ${name} by ${JSON.stringify(config)} ${hasIpam ? 'has' : 'has no'} IPAM, and features hear of its traits`, ({
    node,
    asked,
  }) => {
    const args = { K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: 'web' };
    const { mode, ipam } = plan(node, asked, { ...node.foreign, ...config }, args);
    assert.is(mode.name, name);
    assert.equal([ipam !== undefined, asked.mode?.hasIpam], [hasIpam, hasIpam]);
    assert.is(asked.feature?.mode, name);
    for (const [trait, value] of Object.entries(traits)) {
      assert.is(asked.feature?.[trait as keyof FeatureRequest], value, trait);
    }
  });
}

test('a mode without an interface does not even look at what IPAM is configured', ({ node, asked }) => {
  const { ipam } = plan(node, asked, { mode: 'none', ipam: { subnet: '10.0.0.0/8' } });
  assert.is(ipam, undefined);
});

test('a mode that is not among the parts counts as the default', ({ node }) => {
  const parts = { features: [], findMode: () => undefined };
  const request = node.request('ADD', { mode: 'none' });
  assert.is(planRequest(sourceOfRequest(request, node.context), { runDir: node.runDir, parts }).mode, DEFAULT_MODE);
});

test('a wish of the pod that the operator does not allow is refused with code 4, before the mode is asked', ({
  node,
  asked,
}) => {
  const error = thrownOf(CniError, () => plan(node, asked, {}, { MODE: 'host' }));
  assert.equal([error.code, asked.order], [4, []]);
});

/** Configurations that nobody could serve, and the key that the error names. */
const REFUSED: readonly (readonly [string, object])[] = [
  ['name', { name: 'n'.repeat(256) }],
  ['plugins', { type: '', plugins: [] }],
  ['ipam.type', { ipam: { subnet: '10.0.0.0/8' } }],
  ['ipam.type', { ipam: { type: 'podlink' } }],
  ['log', { log: 'relative' }],
  ['mode', { mode: 'of-old' }],
];
for (const [key, config] of REFUSED) {
  test(`"${key}" in ${JSON.stringify(config).slice(0, 40)} is refused before mode and features are asked`, ({
    node,
    asked,
  }) => {
    const error = thrownOf(FieldError, () => plan(node, asked, config as Record<string, unknown>));
    assert.match(error.message, `"${key}`);
    assert.equal(asked.order, []);
  });
}

test('a name of 255 characters names a directory still', ({ node, asked }) => {
  plan(node, asked, { name: 'n'.repeat(255) });
  assert.equal(asked.order, ['mode', 'feature']);
});

test('an `ipam` without keys, or of an empty type, asks for none', ({ node, asked }) => {
  for (const ipam of [undefined, {}, { type: '' }]) assert.is(plan(node, asked, { ipam }).ipam, undefined);
});

test("the configuration's DNS settings and the runtime's are kept apart", ({ node, asked }) => {
  const { dns } = plan(node, asked, { dns: { domain: 'a' }, runtimeConfig: { dns: { servers: ['10.0.0.1'] } } });
  assert.equal(dns, { configured: { domain: 'a' }, requested: { nameservers: ['10.0.0.1'] } });
});

test('peers are the complete attachments of all networks, as their records describe them', ({ node, asked }) => {
  const netns = openOwnNetns();
  const record: AttachmentRecord = {
    version: 1,
    state: 'complete',
    network: 'pods',
    containerId: 'c7',
    ifname: 'eth0',
    netns: '/run/netns/c7',
    netnsIdentity: identityOf(netns),
    mode: 'bridge',
    objects: {},
    addresses: [],
    features: {},
    elements: [],
    config: {},
    cniArgs: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web',
    created: '2026-01-01T00:00:00.000Z',
  };
  const others: readonly Partial<AttachmentRecord>[] = [
    {},
    { containerId: 'c8', state: 'adding' },
    { containerId: 'c9', network: 'hosts', objects: { sharedNetns: '4:1' }, cniArgs: '', netnsIdentity: '4:1' },
  ];
  for (const changes of others) {
    const one = { ...record, ...changes };
    const lock = lockAttachment(node.runDir, one);
    writeRecord(node.runDir, one);
    lock.release();
  }
  plan(node, asked);
  const find = (which: (peer: Peer) => boolean = () => true): Peer[] =>
    (asked.mode?.findPeers(which) ?? []).toSorted((a, b) => (a.containerId < b.containerId ? -1 : 1));
  assert.equal(
    find().map(({ isItsNetns, ...peer }) => ({ ...peer, isOurs: isItsNetns(netns) })),
    [
      {
        containerId: 'c7',
        podNamespace: 'shop',
        podName: 'web',
        netnsPath: '/run/netns/c7',
        isSharer: false,
        created: '2026-01-01T00:00:00.000Z',
        isOurs: true,
      },
      {
        containerId: 'c9',
        podNamespace: '',
        podName: '',
        netnsPath: '/run/netns/c7',
        isSharer: true,
        created: '2026-01-01T00:00:00.000Z',
        isOurs: false,
      },
    ],
  );
  assert.equal(
    find(({ isSharer }) => isSharer).map(({ containerId }) => containerId),
    ['c9'],
  );
  netns.close();
});

test.run();
