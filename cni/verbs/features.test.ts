// Several features of one attachment, taken through their steps together, and what each hears of the container's others.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ConnectedAttachment } from '../attachment/attachment.ts';
import { KeptRecord } from '../attachment/kept-record.ts';
import { lockAttachment } from '../attachment/lock.ts';
import type { AttachmentRecord } from '../attachment/record.ts';
import { findRecord, writeRecord } from '../attachment/record-store.ts';
import { NO_UNDO } from '../attachment/undo-stack.ts';
import type { Feature, FeatureObjects, FeatureRequest } from '../features/feature.ts';
import { masqueradeElements } from '../features/masquerade/masquerade-elements.ts';
import { MASQUERADE_RULESET } from '../features/masquerade/masquerade-ruleset.ts';
import { identityOf, type Netns, openOwnNetns } from '../kernel/netns.ts';
import type { Context } from './context.ts';
import {
  applyFeatures,
  checkFeatures,
  featureLinks,
  featureRemovals,
  NO_TRACES,
  planFeatures,
  prepareEarly,
  prepareFeatures,
  recordOf,
  removeOwnElements,
  tracesOfRecord,
} from './features.ts';
import { FakeNode } from './testing/fake-node.ts';

const test = suite<{ node: FakeNode; netns: Netns; log: string[] }>('features');

test.before.each((context) => {
  context.node = new FakeNode();
  context.netns = openOwnNetns();
  context.log = [];
});
test.after.each(({ node, netns }) => {
  node.remove();
  netns.close();
});

const KEY = { network: 'pods', containerId: 'c1', ifname: 'eth0' };
const REQUEST = {} as FeatureRequest;

/** A feature that notes its steps. `address`: it has elements of nftables for it. */
function featureOf(name: string, log: string[], address?: string): Feature {
  const note = (step: string): void => void log.push(`${name} ${step}`);
  return {
    name,
    rulesets: [],
    plan: () => ({
      early: {
        objects: () => (address === undefined ? { early: name } : undefined),
        setNamespace: () => note('namespace'),
        setInterface: () => note('interface'),
      },
      objects: () => ({ of: name }),
      apply: (_, objects) => note(`apply ${JSON.stringify(objects)}`),
      nftables: () => ({
        rulesets: [MASQUERADE_RULESET],
        elements: address === undefined ? [] : masqueradeElements([address]),
      }),
      settle: () => note('settle'),
      check: () => [{ code: 'forwarding-off', subject: name }],
    }),
    links: ({ objects }) => [{ name: `${name}0`, kind: objects ? 'ifb' : 'dummy' }],
    remove: (_, { objects, listOthers }) => note(`remove ${JSON.stringify([objects, listOthers?.()])}`),
  };
}

function attachmentOf(node: FakeNode, netns: Netns): ConnectedAttachment {
  return {
    key: KEY,
    host: node.context,
    sandbox: { path: netns.path, netns },
    objects: {},
    undo: NO_UNDO,
    bridge: undefined,
    gateway: undefined,
    hostInterface: undefined,
    mac: undefined,
    addresses: ['10.9.0.2/24'],
  };
}

function recordOfKey(netns: Netns, changes: Partial<AttachmentRecord> = {}): AttachmentRecord {
  return {
    version: 1,
    state: 'adding',
    ...KEY,
    netns: netns.path,
    netnsIdentity: identityOf(netns),
    mode: 'bridge',
    objects: {},
    addresses: [],
    features: {},
    elements: [],
    config: {},
    cniArgs: '',
    created: '2026-01-01T00:00:00.000Z',
    ...changes,
  };
}

function write(node: FakeNode, record: AttachmentRecord): KeptRecord {
  // Makes the folders, too.
  const lock = lockAttachment(node.runDir, record);
  writeRecord(node.runDir, record);
  lock.release();
  return new KeptRecord(node.runDir, record);
}

function contextWith(node: FakeNode, features: readonly Feature[]): Context {
  return Object.assign(Object.create(node.context), { parts: { features, findMode: () => undefined } });
}

test('planFeatures() leaves out features that are asked for nothing', ({ log }) => {
  const idle: Feature = { ...featureOf('idle', log), plan: () => undefined };
  const planned = planFeatures([featureOf('a', log), idle, featureOf('b', log)], REQUEST);
  assert.equal(
    planned.map(({ feature }) => feature.name),
    ['a', 'b'],
  );
});

test('all features are applied, then all elements added in one batch, then all settled', ({ node, netns, log }) => {
  const planned = planFeatures([featureOf('a', log, '10.9.0.2/24'), featureOf('b', log, '10.9.0.3/24')], REQUEST);
  const work = prepareFeatures(node.context, attachmentOf(node, netns), planned);
  assert.equal(log, [], 'nothing is done yet');
  const record = write(node, recordOfKey(netns));
  // The rules are there already; only the elements are new.
  applyFeatures(node.context, { ...work, planned: [] }, record);
  removeOwnElements(node.context, KEY, { objects: undefined, elements: work.nftables.elements });
  node.context.fakeNft.beforeBatch = () => log.push('batch');
  applyFeatures(node.context, work, record);
  assert.equal(log, ['a apply {"of":"a"}', 'b apply {"of":"b"}', 'batch', 'a settle', 'b settle']);
  assert.equal(node.elements, ['pods/c1/eth0', 'pods/c1/eth0']);
});

test('a feature that fails to apply keeps the next ones from it, and the elements out', ({ node, netns, log }) => {
  const broken: Feature = {
    ...featureOf('broken', log),
    plan: () => ({
      apply: () => {
        throw new Error('no qdisc');
      },
    }),
  };
  const planned = planFeatures([featureOf('a', log, '10.9.0.2/24'), broken, featureOf('b', log)], REQUEST);
  const work = prepareFeatures(node.context, attachmentOf(node, netns), planned);
  assert.throws(() => applyFeatures(node.context, work, write(node, recordOfKey(netns))), /no qdisc/);
  assert.equal(log, ['a apply {"of":"a"}']);
  assert.equal(node.elements, []);
});

test('recordOf() has the objects by feature, and the elements; tracesOfRecord() reads them again', ({
  node,
  netns,
  log,
}) => {
  const planned = planFeatures([featureOf('a', log, '10.9.0.2/24'), featureOf('b', log)], REQUEST);
  const work = prepareFeatures(node.context, attachmentOf(node, netns), planned);
  const recorded = recordOf(work);
  assert.equal(recorded.features, { a: { of: 'a' }, b: { of: 'b' } });
  assert.equal(
    recorded.elements.map(({ set, key }) => `${set} ${key}`),
    ['masquerade_v4 0a090002', 'masquerade_except_v4 0a0900020a090000'],
  );
  const traces = tracesOfRecord(recorded);
  assert.equal(traces.objects, recorded.features);
  assert.equal(
    traces.elements.map(({ set, key }) => `${set.name} ${key.toHex()}`),
    ['masquerade_v4 0a090002', 'masquerade_except_v4 0a0900020a090000'],
  );
});

test('prepareEarly() names only features that are about to change the namespace, and takes all through one step', ({
  node,
  netns,
  log,
}) => {
  const planned = planFeatures([featureOf('a', log), featureOf('b', log, '10.9.0.2/24')], REQUEST);
  const early = prepareEarly(node.context, attachmentOf(node, netns), planned, []);
  assert.equal([early?.objects, log], [{ a: { early: 'a' } }, []]);
  early?.setNamespace();
  early?.setInterface();
  assert.equal(log, ['a namespace', 'b namespace', 'a interface', 'b interface']);
});

test('prepareEarly() is nothing where no feature does anything early', ({ node, netns, log }) => {
  const late: Feature = { ...featureOf('late', log), plan: () => ({}) };
  const planned = planFeatures([late], REQUEST);
  assert.is(prepareEarly(node.context, attachmentOf(node, netns), planned, []), undefined);
});

/** Records beside the container's own, and whether a feature of the container hears of them. */
const OTHERS: readonly (readonly [string, Partial<AttachmentRecord>, atAdd: boolean, atRemoval: boolean])[] = [
  ['another interface', { ifname: 'net1', state: 'complete' }, true, true],
  ['another network', { network: 'others', state: 'complete' }, true, true],
  ['one whose ADD is not at its end', { ifname: 'net1' }, true, false],
  ['one of another container', { containerId: 'c2', state: 'complete' }, false, false],
  ['one in another namespace', { ifname: 'net1', state: 'complete', netnsIdentity: '4:1' }, false, false],
  ['one without the feature', { ifname: 'net1', state: 'complete', features: { b: {} } }, false, false],
];
for (const [what, changes, atAdd, atRemoval] of OTHERS) {
  const told = (hears: boolean): string => (hears ? 'told' : 'not told');
  test(`of ${what} a feature is ${told(atAdd)} at ADD, and ${told(atRemoval)} at a removal`, ({ node, netns, log }) => {
    write(node, recordOfKey(netns, { features: { a: { own: true } } }));
    write(node, recordOfKey(netns, { features: { a: { n: 1 } }, ...changes }));
    let heard: readonly FeatureObjects[] | undefined;
    const curious: Feature = {
      ...featureOf('a', log),
      plan: () => ({
        objects: (_, listOthers) => {
          heard = listOthers?.();
          return {};
        },
      }),
      remove: (_, { listOthers }) => {
        heard = listOthers?.();
      },
    };
    prepareFeatures(node.context, attachmentOf(node, netns), planFeatures([curious], REQUEST));
    assert.equal(heard, atAdd ? [{ n: 1 }] : []);
    const [removal] = featureRemovals(contextWith(node, [curious]), KEY, NO_TRACES, () => netns);
    removal?.remove();
    assert.equal(heard, atRemoval ? [{ n: 1 }] : []);
  });
}

test('a feature hears of others oldest first', ({ node, netns, log }) => {
  const complete = { state: 'complete' } as const;
  write(node, recordOfKey(netns, { ...complete, ifname: 'a', created: '2026-03', features: { a: { n: 3 } } }));
  write(node, recordOfKey(netns, { ...complete, ifname: 'b', created: '2026-01', features: { a: { n: 1 } } }));
  write(node, recordOfKey(netns, { ...complete, ifname: 'c', created: '2026-02', features: { a: { n: 2 } } }));
  const [removal] = featureRemovals(contextWith(node, [featureOf('a', log)]), KEY, NO_TRACES, () => netns);
  removal?.remove();
  assert.equal(log, ['a remove [null,[{"n":1},{"n":2},{"n":3}]]']);
});

test('featureRemovals() asks the features on record alone; without a record, each', ({ node, log }) => {
  const context = contextWith(node, [featureOf('a', log), featureOf('b', log)]);
  const removed = (objects: Readonly<Record<string, FeatureObjects>> | undefined): string[] => {
    log.length = 0;
    for (const { remove } of featureRemovals(context, KEY, { objects, elements: [] }, () => undefined)) remove();
    return [...log];
  };
  assert.equal(removed({ b: { n: 1 } }), ['b remove [{"n":1},[]]']);
  assert.equal(removed({}), []);
  assert.equal(removed(undefined), ['a remove [null,[]]', 'b remove [null,[]]']);
});

test('featureLinks() are those on record; without a record, all that there may be', ({ log }) => {
  const features = [featureOf('a', log), featureOf('b', log)];
  assert.equal(featureLinks(KEY, { objects: { b: {} }, elements: [] }, features), [{ name: 'b0', kind: 'ifb' }]);
  assert.equal(featureLinks(KEY, NO_TRACES, features), [
    { name: 'a0', kind: 'dummy' },
    { name: 'b0', kind: 'dummy' },
  ]);
});

test('a removal opens the sandbox only for a feature that looks into it', ({ node, netns, log }) => {
  let opened = 0;
  const open = (): Netns => {
    opened++;
    return netns;
  };
  const idle: Feature = { ...featureOf('idle', log), remove: () => undefined };
  const curious: Feature = { ...featureOf('b', log), remove: (_, { sandbox }) => assert.is(sandbox, netns) };
  const [first, second] = featureRemovals(contextWith(node, [idle, curious]), KEY, NO_TRACES, open);
  first?.remove();
  assert.is(opened, 0);
  second?.remove();
  assert.is(opened, 1);
});

test('checkFeatures() joins what each feature finds with what is wrong in nftables', ({ node, netns, log }) => {
  const attachment = attachmentOf(node, netns);
  const planned = planFeatures([featureOf('a', log, '10.9.0.2/24'), featureOf('b', log)], REQUEST);
  const work = prepareFeatures(node.context, attachment, planned);
  const record = write(node, recordOfKey(netns));
  applyFeatures(node.context, work, record);
  const codes = () => checkFeatures(node.context, attachment, planned).map(({ code, subject }) => `${code} ${subject}`);
  assert.equal(codes(), ['forwarding-off a', 'forwarding-off b']);
  removeOwnElements(node.context, KEY, { objects: {}, elements: work.nftables.elements });
  assert.equal(
    codes().map((code) => code.split(' ')[0]),
    ['forwarding-off', 'forwarding-off', 'element-gone', 'element-gone'],
  );
});

test('checkFeatures() of features without elements asks nothing of nftables', ({ node, netns, log }) => {
  const planned = planFeatures([featureOf('a', log)], REQUEST);
  const { questions } = node.context.fakeNft.asked;
  checkFeatures(node.context, attachmentOf(node, netns), planned);
  assert.is(node.context.fakeNft.asked.questions, questions);
});

test('applyFeatures() takes elements that wait no more off the record', ({ node, netns, log }) => {
  const planned = planFeatures([featureOf('a', log, '10.9.0.2/24')], REQUEST);
  const work = prepareFeatures(node.context, attachmentOf(node, netns), planned);
  const record = write(node, recordOfKey(netns, { waiting: recordOf(work).elements }));
  applyFeatures(node.context, work, record);
  assert.is(findRecord(node.runDir, KEY)?.waiting, undefined);
});

test('removeOwnElements() leaves what has another owner by now', ({ node, netns, log }) => {
  const attachment = attachmentOf(node, netns);
  const planned = planFeatures([featureOf('a', log, '10.9.0.2/24')], REQUEST);
  const work = prepareFeatures(node.context, attachment, planned);
  applyFeatures(node.context, work, write(node, recordOfKey(netns)));
  removeOwnElements(node.context, { ...KEY, containerId: 'c2' }, { objects: {}, elements: work.nftables.elements });
  assert.equal(node.elements, ['pods/c1/eth0']);
});

test.run();
