import { sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FakeNftables } from '../../kernel/nftables/fake-nftables.ts';
import { thrownOf } from '../../kernel/testing/thrown.ts';
import { type AttachmentKey, parseNetworkConfig } from '../../protocol/config.ts';
import { CniError } from '../../protocol/errors.ts';
import { ownersByComment } from '../elements/element-owners.ts';
import type { NftablesState } from '../feature.ts';
import { applyElements, checkElements, ownedBy, removeElements } from '../elements/owned-elements.ts';
import { portmapFeature } from './portmap.ts';
import { ownerComment } from '../../attachment/marks.ts';

const test = suite('conflicts of port mappings');

const range = (first: number, last: number, extra: object = {}) =>
  Array.from({ length: last - first + 1 }, (_, i) => ({ hostPort: first + i, containerPort: first + i, ...extra }));

function keyOf(containerId: string, ifname = 'eth0'): AttachmentKey {
  return { network: ifname === 'eth0' ? 'pods' : `net-${ifname}`, containerId, ifname };
}

function stateOf(key: AttachmentKey, address: string, portMappings: unknown): NftablesState {
  const text = JSON.stringify({ cniVersion: '1.1.0', name: 'pods', type: 'podlink', runtimeConfig: { portMappings } });
  const plan = portmapFeature.plan({
    key,
    config: parseNetworkConfig(text),
    cniArgs: new Map(),
    mode: 'bridge',
    isConfigured: true,
    hasOwnInterface: true,
    hasBridge: true,
    sharesNamespace: false,
    warn: () => undefined,
  });
  const attachment = {
    key,
    bridge: undefined,
    gateway: undefined,
    hostInterface: 'veth0',
    mac: '02:00:00:00:00:05',
    addresses: [address],
  };
  const state = plan?.nftables?.(attachment);
  if (!state) throw new Error('Cannot find what the plan wants');
  return state;
}

function apply(fake: FakeNftables, containerId: string, address: string, portMappings: unknown): void {
  const key = keyOf(containerId);
  applyElements(fake.connection, key, stateOf(key, address, portMappings));
}

/** The owners of the ports of all addresses, IPv4, by the port; those of ranges by the first. */
function ownersOf(fake: FakeNftables): Record<number, string | undefined> {
  const sets = ['portmap_any_v4', 'portmap_any_range_v4'];
  const entries = sets.flatMap((set) => Object.entries(fake.elementsOf('podlink', set)));
  return Object.fromEntries(entries.map(([key, owner]) => [Number.parseInt(key.slice(8, 12), 16), owner]));
}

test('a port of all addresses is asked for as often with 100 others on the node as with none', () => {
  const fake = new FakeNftables();
  apply(fake, 'first', '10.22.0.5/16', range(1, 1));
  const cost = (containerId: string, address: string, hostPort: number) => {
    const before = { ...fake.asked };
    apply(fake, containerId, address, [{ hostPort, containerPort: 80 }]);
    return [fake.asked.batches - before.batches, fake.asked.questions - before.questions];
  };
  const alone = cost('alone', '10.22.0.6/16', 2);
  for (let i = 0; i < 100; i++) apply(fake, `c${i}`, `10.22.1.${i}/16`, range(1000 + 10 * i, 1000 + 10 * i));
  assert.equal(cost('last', '10.22.0.7/16', 3), alone);
});

test('maps of single addresses are listed once, and not at all when the kernel says that they are empty', () => {
  const fake = new FakeNftables();
  const key = keyOf('c1');
  const listings = (): number => {
    const before = fake.asked.questions;
    const claims = [80, 81, 82].map((hostPort) => ({ hostPort, containerPort: 1, hostIP: '0.0.0.0' }));
    const { claim } = stateOf(key, '10.22.0.6/16', claims);
    assert.is(claim?.(fake.connection, ownersByComment(key)).generation, fake.generation);
    // The generation, the numbers of elements in two maps, and each of three ports in two maps.
    return fake.asked.questions - before - 1 - 2 - 3 * 2;
  };
  apply(fake, 'first', '10.22.0.5/16', range(1, 1));
  assert.is(listings(), 2);
  fake.tellsElementCounts = true;
  assert.is(listings(), 0);
  apply(fake, 'second', '10.22.0.7/16', [{ hostPort: 90, containerPort: 1, hostIP: '192.0.2.1' }]);
  assert.is(listings(), 1);
  apply(fake, 'third', '10.22.0.8/16', [{ hostPort: 82, containerPort: 1, hostIP: '192.0.2.1' }]);
  assert.throws(listings, /82\/tcp: another container that is running has 192\.0\.2\.1:82\/tcp/);
});

test('of many ports as much is asked as of fewer', () => {
  const fake = new FakeNftables();
  const mappings = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ hostPort: 2 * i + 1, containerPort: 2 }));
  const cost = (containerId: string, count: number): number => {
    const before = fake.asked.questions;
    const key = keyOf(containerId);
    applyElements(fake.connection, key, stateOf(key, '10.22.0.6/16', mappings(count)));
    removeElements(fake.connection, ownedBy(key, stateOf(key, '10.22.0.6/16', mappings(count)).elements));
    return fake.asked.questions - before;
  };
  const few = cost('few', 400);
  assert.is(cost('many', 1200), few);
});

test('who has the port is told to the operator alone, even if the comment is not ours', () => {
  const fake = new FakeNftables();
  apply(fake, 'c1', '10.22.0.4/16', range(90, 90));
  const error = thrownOf(CniError, () => apply(fake, 'c2', '10.22.0.6/16', range(90, 90)));
  assert.is(error.code, 11);
  assert.match(
    error.message,
    /^Cannot map host port 90\/tcp: another container .*runtime will try again.*ls --port 90"/,
  );
  assert.not.match(`${error.message} ${error.details}`, /c1|pods|gc/);
  assert.match(error.note, /90\/tcp is mapped to container "c1" \(network "pods", interface "eth0"\)/);
  apply(fake, 'x'.repeat(150), '10.22.0.5/16', range(80, 80));
  const { note } = thrownOf(CniError, () => apply(fake, 'c2', '10.22.0.6/16', range(80, 80)));
  assert.match(note, /mapped to "pods\/x+~[0-9a-f]+"/);
});

test('an attachment has its own ports again', () => {
  const fake = new FakeNftables();
  const mappings = [...range(80, 90), { hostPort: 8080, containerPort: 80, hostIP: '192.0.2.1' }];
  apply(fake, 'c1', '10.22.0.5/16', mappings);
  apply(fake, 'c1', '10.22.0.5/16', mappings);
  apply(fake, 'c1', '10.22.0.9/16', mappings);
  assert.throws(() => apply(fake, 'c2', '10.22.0.6/16', range(85, 85)), /another container/);
});

test('what an owner has that is gone is taken over in the batch that adds, and the rest of it is left', () => {
  const fake = new FakeNftables();
  apply(fake, 'dead', '10.22.0.5/16', [...range(80, 89), { hostPort: 443, containerPort: 1 }, ...range(90, 90)]);
  apply(fake, 'alive', '10.22.0.7/16', range(100, 101));
  const key = keyOf('new');
  const warnings: string[] = [];
  const owners = {
    relationOf: (comment: string | undefined) => (comment?.includes('dead') ? 'gone' : ('other' as const)),
    warn: (message: string) => warnings.push(message),
  } as const;
  const noteWaiting = () => assert.unreachable('nothing waits');
  const surroundings = { owners, noteWaiting };
  const both = stateOf(key, '10.22.0.6/16', [...range(85, 85), ...range(100, 100)]);
  assert.throws(() => applyElements(fake.connection, key, both, surroundings), /another container/);
  assert.is(ownersOf(fake)[80], 'pods/dead/eth0');
  assert.equal(warnings, []);
  fake.asked.batches = 0;
  applyElements(fake.connection, key, stateOf(key, '10.22.0.6/16', range(85, 86)), surroundings);
  assert.is(fake.asked.batches, 1);
  assert.equal(ownersOf(fake), {
    85: 'pods/new/eth0',
    100: 'pods/alive/eth0',
    443: 'pods/dead/eth0',
  });
  assert.equal(warnings, [
    'Took over host port 80-90/tcp from container "dead" (network "pods", interface "eth0"): its interface is gone',
  ]);
  // The late DEL of the one that is gone.
  const dead = keyOf('dead');
  removeElements(
    fake.connection,
    ownedBy(dead, stateOf(dead, '10.22.0.5/16', [...range(80, 90), ...range(443, 443)]).elements),
  );
  assert.is(ownersOf(fake)[85], 'pods/new/eth0');
});

interface Interface {
  readonly key: AttachmentKey;
  readonly state: NftablesState;
  readonly waits: () => number;
  readonly remove: (...heirs: readonly Interface[]) => void;
  readonly problems: () => string[];
  readonly apply: () => void;
}

/** One of a container's interfaces, with ports. */
function addInterface(fake: FakeNftables, ifname: string, portMappings: unknown): Interface {
  const key = keyOf('c1', ifname);
  const address = `10.2${ifname.at(-1)}.0.5/16`;
  const state = stateOf(key, address, portMappings);
  let waiting: readonly NftablesState['elements'][number][] = [];
  const applyOnce = (): void => {
    const noteWaiting = (elements: typeof waiting) => {
      waiting = elements;
    };
    applyElements(fake.connection, key, state, { owners: ownersByComment(key), noteWaiting });
  };
  applyOnce();
  return {
    key,
    state,
    waits: () => waiting.length,
    apply: applyOnce,
    remove: (...heirs) => {
      const listHeirs = () => heirs.flatMap((heir) => ownedBy(heir.key, heir.state.elements));
      removeElements(fake.connection, ownedBy(key, state.elements), listHeirs);
    },
    problems: () => sentencesOf(checkElements(fake.connection, key, state)),
  };
}

const PORTS = [{ hostPort: 8080, containerPort: 80 }, ...range(90, 99)];

test('of the interfaces of a container the first has the ports, and the others get them one after the other', () => {
  const fake = new FakeNftables();
  const [first, second, third] = ['eth0', 'eth1', 'eth2'].map((ifname) => addInterface(fake, ifname, PORTS)) as [
    Interface,
    Interface,
    Interface,
  ];
  const ownedAll = ({ key }: Interface) => ({ 90: ownerComment(key), 8080: ownerComment(key) });
  assert.equal([first.waits(), second.waits(), third.waits()], [0, 2, 2]);
  assert.equal(ownersOf(fake), ownedAll(first));
  for (const { problems } of [first, second, third]) assert.equal(problems(), []);
  first.remove(second, third);
  assert.equal(ownersOf(fake), ownedAll(second));
  for (const { problems } of [second, third]) assert.equal(problems(), []);
  second.remove(third);
  assert.equal(ownersOf(fake), ownedAll(third));
  third.remove();
  assert.equal(ownersOf(fake), {});
});

test('in the other order of removal nothing changes hands', () => {
  const fake = new FakeNftables();
  const [first, second] = ['eth0', 'eth1'].map((ifname) => addInterface(fake, ifname, PORTS)) as [Interface, Interface];
  second.remove(first);
  assert.is(ownersOf(fake)[8080], ownerComment(first.key));
  first.remove();
  assert.equal(ownersOf(fake), {});
});

test('after a flush the ports are added by whoever is repaired first, and the other waits', () => {
  const fake = new FakeNftables();
  const [first, second] = ['eth0', 'eth1'].map((ifname) => addInterface(fake, ifname, PORTS)) as [Interface, Interface];
  fake.state.clear();
  fake.generation++;
  second.apply();
  assert.equal(second.problems(), []);
  first.apply();
  assert.equal([first.waits(), ownersOf(fake)[8080]], [2, ownerComment(second.key)]);
  for (const { problems } of [first, second]) assert.equal(problems(), []);
});

test('two networks that lead a port to different ports of one container are a contradiction', () => {
  const lead = (containerPort: number, hostIP = '') => [{ hostPort: 8080, containerPort, hostIP }];
  for (const [first, second] of [
    [lead(80), lead(81)],
    [lead(80), lead(81, '192.0.2.1')],
    [lead(80, '192.0.2.1'), lead(81)],
    [lead(80), range(8079, 8081)],
    [range(8079, 8081), lead(80)],
  ]) {
    const fake = new FakeNftables();
    addInterface(fake, 'eth0', first);
    const error = thrownOf(CniError, () => addInterface(fake, 'eth1', second));
    assert.is(error.code, 7);
    assert.match(
      error.message,
      /portMappings\[\d\]": host port .*cannot lead to port \d+: container "c1".*"eth0".* leads/,
    );
  }
});

test('ports that two networks claim for all addresses and for one are in both, since they lead to the same port', () => {
  const fake = new FakeNftables();
  const lead = (hostIP: string) => [{ hostPort: 8080, containerPort: 80, hostIP }];
  const first = addInterface(fake, 'eth0', lead('192.0.2.1'));
  const second = addInterface(fake, 'eth1', lead(''));
  assert.equal([first.waits(), second.waits()], [0, 0]);
  second.remove(first);
  assert.equal(first.problems(), []);
});

test('a range that overlaps one of a sibling waits whole, and the operator hears of it', () => {
  const fake = new FakeNftables();
  const first = addInterface(fake, 'eth0', range(90, 95));
  const second = addInterface(fake, 'eth1', range(93, 99));
  assert.is(second.waits(), 1);
  assert.equal(second.problems(), []);
  first.remove(second);
  assert.equal(ownersOf(fake), { 93: ownerComment(second.key) });
});

test('an attachment of which all waits makes the ruleset another generation, so that a removal sees it', () => {
  const fake = new FakeNftables();
  addInterface(fake, 'eth0', PORTS);
  const key = keyOf('c1', 'eth1');
  const { elements, ...state } = stateOf(key, '10.22.0.5/16', PORTS);
  const alone = { ...state, elements: elements.filter(({ set }) => set.data !== undefined) };
  const { generation } = fake;
  const waiting = applyElements(fake.connection, key, alone);
  assert.is(waiting.size, 2);
  assert.is(fake.generation, generation + 1);
});

test.run();
