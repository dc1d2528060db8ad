// The messages of this folder against the kernel, with nft as the referee.

import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeAddress } from '../netlink/address-bytes.ts';
import { isErrno } from '../errno.ts';
import { type Netns, openNetns } from '../netns.ts';
import { addChain, type Hook } from './chain.ts';
import { isOutdated, type NftablesConnection, openNftables } from './connection.ts';
import { NF_ACCEPT, NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC, NFPROTO_INET, NFT_JUMP } from './constants.ts';
import { addElement, deleteElement, type Element, findElement, findElementsAt } from './element.ts';
import { giveVerdict } from './expressions/immediate.ts';
import { loadSource, matchFamily } from './expressions/ip-header.ts';
import { lookUp } from './expressions/lookup.ts';
import { masquerade } from './expressions/masq.ts';
import { encodeKey, IPV4_ADDR, IPV6_ADDR } from './key.ts';
import { addRule } from './rule.ts';
import { checkRuleset, repairRuleset, replaceRulesets, type Ruleset, type RulesetFault } from './ruleset.ts';
import { addSet, expectSet, getSet, listSets, type NamedSet, readElementCount } from './set.ts';
import { addTable, deleteTable, getTable } from './table.ts';
import { COMMENT_MAX_BYTES } from './userdata.ts';

interface World {
  name: string;
  netns: Netns;
  nft: NftablesConnection;
}

const test = suite<World>('nftables in the kernel');

const table = { family: NFPROTO_INET, name: 't' };
const ADDRESSES: NamedSet = { table, name: 'addresses', key: [IPV4_ADDR], interval: false, comment: 'single' };
const NETWORKS: NamedSet = { table, name: 'networks', key: [IPV6_ADDR, IPV6_ADDR], interval: true, comment: 'ranges' };
const hook: Hook = { type: 'nat', number: NF_INET_POST_ROUTING, priority: NF_IP_PRI_NAT_SRC, policy: NF_ACCEPT };
const chain = { table, name: 'out', hook };
const rule = {
  expressions: [...matchFamily(4), loadSource(4), lookUp(ADDRESSES), masquerade(0)],
  comment: 'why',
};
const RULESET: Ruleset = {
  table,
  name: 'feature',
  version: 2,
  sets: [ADDRESSES, NETWORKS],
  chains: [{ chain, rules: [rule] }],
};

test.before.each((world) => {
  world.name = `plnft-${process.pid}-k`;
  execFileSync('ip', ['netns', 'add', world.name]);
  world.netns = openNetns(`/run/netns/${world.name}`);
  world.nft = openNftables(world.netns);
});

test.after.each((world) => {
  world.nft.close();
  world.netns.close();
  execFileSync('ip', ['netns', 'del', world.name]);
});

function nftTool({ name }: World, ...args: string[]): string {
  return execFileSync('ip', ['netns', 'exec', name, 'nft', ...args], { encoding: 'utf8', stdio: 'pipe' });
}

/** The objects of a kind, as nft lists them, without their handles. */
function listed(world: World, kind: string): Record<string, unknown>[] {
  const { nftables } = JSON.parse(nftTool(world, '-j', 'list', 'ruleset'));
  return nftables
    .filter((object: object) => kind in object)
    .map((object: Record<string, { handle: number }>) => {
      const { handle: _, ...rest } = object[kind] ?? { handle: 0 };
      return rest;
    });
}

function address(ip: string, comment?: string): Element {
  return { set: ADDRESSES, key: encodeKey([IPV4_ADDR], [encodeAddress(ip)]), ...(comment && { comment }) };
}

function network(ip: string, first: string, last: string, comment: string): Element {
  const [key, keyEnd] = [first, last].map((end) => encodeKey(NETWORKS.key, [encodeAddress(ip), encodeAddress(end)]));
  return { set: NETWORKS, key: key ?? new Uint8Array(), keyEnd: keyEnd ?? new Uint8Array(), comment };
}

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  throw new Error('nothing was thrown');
}

test('nft lists what replaceRulesets() and addElement() have made', (world) => {
  const range = network('fd00::5', 'fd00::', 'fd00::ffff:ffff:ffff:ffff', 'net/c1/eth0');
  world.nft.commit([...replaceRulesets([RULESET]), addElement(address('10.0.0.5', 'net/c1/eth0')), addElement(range)]);
  const inTable = { family: 'inet', table: 't' };
  const elem = (val: unknown) => [{ elem: { val, comment: 'net/c1/eth0' } }];
  assert.equal(listed(world, 'set'), [
    { ...inTable, name: 'addresses', type: 'ipv4_addr', comment: 'single', elem: elem('10.0.0.5') },
    {
      ...inTable,
      name: 'networks',
      type: ['ipv6_addr', 'ipv6_addr'],
      flags: ['interval'],
      comment: 'ranges',
      elem: elem({ concat: ['fd00::5', { prefix: { addr: 'fd00::', len: 64 } }] }),
    },
    ...[1, 2].map((version) => ({
      ...inTable,
      name: `feature_rules_${version}`,
      type: 'ipv4_addr',
      comment: 'the rules for feature are in place',
    })),
  ]);
  assert.equal(listed(world, 'chain'), [
    { ...inTable, name: 'out', type: 'nat', hook: 'postrouting', prio: 100, policy: 'accept' },
  ]);
  assert.equal(listed(world, 'rule'), [
    {
      ...inTable,
      chain: 'out',
      comment: 'why',
      expr: [
        { match: { op: '==', left: { payload: { protocol: 'ip', field: 'saddr' } }, right: '@addresses' } },
        { masquerade: null },
      ],
    },
  ]);
});

test('nft reads back what it lists of us, the longest comment included', (world) => {
  const comment = 'x'.repeat(COMMENT_MAX_BYTES);
  world.nft.commit([...replaceRulesets([RULESET]), addElement(address('10.0.0.5', comment))]);
  const before = nftTool(world, 'list', 'ruleset');
  nftTool(world, 'delete', 'table', 'inet', 't');
  execFileSync('ip', ['netns', 'exec', world.name, 'nft', '-f', '-'], { input: before });
  assert.is(nftTool(world, 'list', 'ruleset'), before);
});

test('findElement() reads what nft has made, and finds a range by a point in it', (world) => {
  world.nft.commit(replaceRulesets([RULESET]));
  nftTool(world, 'add', 'element', 'inet', 't', 'addresses', '{ 10.0.0.5 comment "abc", 10.0.0.6 }');
  nftTool(world, 'add', 'element', 'inet', 't', 'networks', '{ fd00::5 . fd00::/64 comment "abc" }');
  const find = (element: Element) => findElement(world.nft, element.set, element.key);
  assert.equal(find(address('10.0.0.5')), address('10.0.0.5', 'abc'));
  assert.equal(find(address('10.0.0.6')), address('10.0.0.6'));
  assert.is(find(address('10.0.0.7')), undefined);
  const range = network('fd00::5', 'fd00::', 'fd00::ffff:ffff:ffff:ffff', 'abc');
  assert.equal(find(network('fd00::5', 'fd00::77', 'fd00::77', '')), range);
  assert.is(find(network('fd00::5', 'fd00:1::', 'fd00:1::', '')), undefined);
  assert.is(find(network('fd00::6', 'fd00::77', 'fd00::77', '')), undefined);
});

test('commit() leaves nothing of a batch that is refused, and names the object', (world) => {
  const element = address('10.0.0.5', 'abc');
  const operations = [addTable(table), addSet(ADDRESSES, 1), addElement(element), addElement(element)];
  assert.is(
    messageOf(() => world.nft.commit(operations)),
    'Cannot add element 10.0.0.5 to set addresses: EEXIST',
  );
  assert.is(nftTool(world, 'list', 'ruleset'), '');
  world.nft.commit(operations.slice(0, 3));
  assert.is(
    messageOf(() => world.nft.commit(operations.slice(3))),
    'Cannot add element 10.0.0.5 to set addresses: EEXIST',
  );
  assert.is(
    messageOf(() => world.nft.commit([deleteElement(element), deleteElement(address('10.0.0.6'))])),
    'Cannot delete element 10.0.0.6 from set addresses: ENOENT',
  );
  assert.equal(listed(world, 'set')[0]?.elem, [{ elem: { val: '10.0.0.5', comment: 'abc' } }]);
});

test('commit() names what is missing', (world) => {
  assert.is(
    messageOf(() => world.nft.commit([addSet(ADDRESSES, 1)])),
    'Cannot add set addresses of table inet t: ENOENT',
  );
  world.nft.commit([addTable(table)]);
  assert.is(
    messageOf(() => world.nft.commit([expectSet(ADDRESSES, 1)])),
    'Cannot find set addresses of table inet t: ENOENT',
  );
  assert.match(
    messageOf(() => world.nft.commit([addRule(chain, rule)])),
    'Cannot add rule "why" to chain out of table inet t',
  );
  assert.equal(listed(world, 'set'), []);
});

test('commit() reports an error of the batch as a whole and can be used afterwards', (world) => {
  const loop = { table, name: 'loop' };
  const intoItself = { expressions: [giveVerdict(NFT_JUMP, loop)], comment: 'for ever' };
  const entry = { expressions: [giveVerdict(NFT_JUMP, loop)], comment: 'entry' };
  const batch = [addTable(table), addChain(chain), addChain(loop), addRule(loop, intoItself), addRule(chain, entry)];
  assert.match(
    messageOf(() => world.nft.commit(batch)),
    /ELOOP|EMLINK/,
  );
  assert.is(nftTool(world, 'list', 'ruleset'), '');
  world.nft.commit([addTable(table)]);
  assert.is(world.nft.execute(getTable(table)).length, 1);
});

test('commit() refuses a batch made for another generation, and takes one made for this', (world) => {
  const before = world.nft.getGeneration();
  nftTool(world, 'add', 'table', 'inet', 'other');
  let refusal: unknown;
  try {
    world.nft.commit([addTable(table)], before);
  } catch (error) {
    refusal = error;
  }
  assert.ok(isOutdated(refusal));
  assert.equal(
    listed(world, 'table').map(({ name }) => name),
    ['other'],
  );
  world.nft.commit([addTable(table)], world.nft.getGeneration());
  assert.equal(
    listed(world, 'table').map(({ name }) => name),
    ['other', 't'],
  );
});

test('rehearse() says what would be refused, and nothing of it is there afterwards', (world) => {
  const before = world.nft.getGeneration();
  assert.equal(world.nft.rehearse([addTable(table), addSet(ADDRESSES, 1)]), []);
  const [refusal, ...more] = world.nft.rehearse([addTable(table), deleteElement(address('10.1.0.1'))]);
  assert.is(refusal?.message, 'Cannot delete element 10.1.0.1 from set addresses: ENOENT');
  assert.equal(more, []);
  assert.is(nftTool(world, 'list', 'ruleset'), '');
  assert.is(world.nft.getGeneration(), before);
  world.nft.commit([addTable(table)], before);
});

test('commit() finds the first error among more than the receive buffer holds', (world) => {
  const absent = Array.from({ length: 30_000 }, (_, i) => deleteElement(address(`10.1.${i >> 8}.${i & 255}`)));
  world.nft.commit([addTable(table), addSet(ADDRESSES, 1)]);
  assert.is(
    messageOf(() => world.nft.commit(absent)),
    'Cannot delete element 10.1.0.0 from set addresses: ENOENT',
  );
  assert.match(
    messageOf(() => world.nft.commit([addTable(table)])),
    /full of errors of an earlier batch.*ENOBUFS/,
  );
});

test('commit() takes 1,000 elements at once, and 6,000, which are more than a usual send buffer', (world) => {
  const elements = (count: number) =>
    Array.from({ length: count }, (_, i) =>
      address(`10.${1 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`, 'net/0123456789/eth0'),
    );
  world.nft.commit([addTable(table), addSet(ADDRESSES, 1)]);
  for (const count of [1000, 6000]) {
    world.nft.commit(elements(count).map(addElement));
    assert.is([listed(world, 'set')[0]?.elem].flat().length, count);
    world.nft.commit(elements(count).map(deleteElement));
    assert.is(listed(world, 'set')[0]?.elem, undefined);
  }
});

test('replaceRulesets() again leaves one copy of every rule', (world) => {
  for (let i = 0; i < 3; i++) world.nft.commit(replaceRulesets([RULESET]));
  assert.is(listed(world, 'rule').length, 1);
});

const DAMAGES: [what: string, command: string[], fault: Omit<RulesetFault, 'table'>][] = [
  ['a flushed chain', ['flush', 'chain', 'inet', 't', 'out'], { part: 'rules', name: 'out', state: 'changed' }],
  ['a flushed table', ['flush', 'table', 'inet', 't'], { part: 'rules', name: 'out', state: 'changed' }],
  ['a foreign rule', ['add', 'rule', 'inet', 't', 'out', 'drop'], { part: 'rules', name: 'out', state: 'changed' }],
  [
    'a deleted chain',
    ['flush chain inet t out; delete chain inet t out'],
    { part: 'chain', name: 'out', state: 'missing' },
  ],
  [
    'a chain on another hook',
    ['flush chain inet t out; delete chain inet t out; add chain inet t out { type nat hook prerouting priority 0; }'],
    { part: 'chain', name: 'out', state: 'changed' },
  ],
  [
    'a chain that drops',
    ['add', 'chain', 'inet', 't', 'out', '{ policy drop; }'],
    { part: 'chain', name: 'out', state: 'changed' },
  ],
  [
    'a dormant table',
    ['add', 'table', 'inet', 't', '{ flags dormant; }'],
    { part: 'table', name: 't', state: 'changed' },
  ],
  ['a deleted set', ['delete', 'set', 'inet', 't', 'networks'], { part: 'set', name: 'networks', state: 'missing' }],
];

for (const [what, command, fault] of DAMAGES) {
  test(`checkRuleset() finds ${what}, repairRuleset() puts it right and keeps the elements`, (world) => {
    world.nft.commit([...replaceRulesets([RULESET]), addElement(address('10.0.0.5', 'abc'))]);
    assert.equal(checkRuleset(world.nft, RULESET), []);
    nftTool(world, ...command);
    assert.equal(checkRuleset(world.nft, RULESET), [{ ...fault, table: RULESET.table }]);
    repairRuleset(world.nft, RULESET);
    assert.equal(checkRuleset(world.nft, RULESET), []);
    assert.is(listed(world, 'rule').length, 1);
    assert.ok(findElement(world.nft, ADDRESSES, address('10.0.0.5').key));
  });
}

test('repairRuleset() refuses to lose the elements of a set that is another one now', (world) => {
  nftTool(world, 'add table inet t; add set inet t networks { type ipv4_addr; elements = { 10.0.0.1 }; }');
  assert.equal(checkRuleset(world.nft, RULESET)[1], {
    part: 'set',
    name: 'networks',
    table: RULESET.table,
    state: 'changed',
  });
  assert.throws(
    () => repairRuleset(world.nft, RULESET),
    (error: unknown) => isErrno(error, 'EEXIST') && /set networks/.test((error as Error).message),
  );
  assert.is(listed(world, 'chain').length, 0);
});

test('deleteTable() removes the table with all in it', (world) => {
  world.nft.commit([...replaceRulesets([RULESET]), addElement(address('10.0.0.5'))]);
  world.nft.commit([deleteTable(table)]);
  assert.is(nftTool(world, 'list', 'ruleset'), '');
  assert.throws(
    () => world.nft.commit([deleteTable(table)]),
    (error: unknown) => isErrno(error, 'ENOENT'),
  );
});

test('findElementsAt() finds many at once, and the generation that a batch is bound to', (world) => {
  const { nft } = world;
  const present = Array.from({ length: 50 }, (_, i) => address(`10.0.0.${i}`, `owner ${i}`));
  nft.commit([...replaceRulesets([RULESET]), ...present.map(addElement)]);
  const places = present.flatMap((element, i) => [element, address(`10.0.1.${i}`)]);
  const { generation, elements } = findElementsAt(nft, places);
  assert.equal(
    elements,
    present.flatMap((element) => [element, undefined]),
  );
  assert.is(generation, nft.getGeneration());
  nftTool(world, 'add', 'table', 'ip', 'other');
  try {
    nft.commit([deleteElement(address('10.0.0.1'))], generation);
    assert.unreachable();
  } catch (error) {
    assert.ok(isOutdated(error));
  }
});

test('findElementsAt() finds nothing in a set of another type, nor in none, nor without a table', (world) => {
  const { nft } = world;
  const range = network('fd00::5', 'fd00::', 'fd00::ff', 'owner');
  const places = [address('10.0.0.5'), range];
  assert.equal(findElementsAt(nft, places).elements, [undefined, undefined]);
  nft.commit([addTable(table)]);
  assert.equal(findElementsAt(nft, places).elements, [undefined, undefined]);
  nft.commit([addSet({ ...ADDRESSES, key: [IPV6_ADDR] }, 1), addSet(NETWORKS, 2), addElement(range)]);
  assert.equal(findElementsAt(nft, places).elements, [undefined, range]);
});

test('listSets() finds the named sets of a table and whether they have ranges, and none without a table', ({ nft }) => {
  assert.equal(listSets(nft, table), []);
  nft.commit(replaceRulesets([RULESET]));
  const listed = listSets(nft, table);
  for (const { name, interval } of RULESET.sets) {
    assert.equal(
      listed.find((set) => set.name === name),
      { table, name, key: [], interval, comment: '' },
    );
  }
});

test('readElementCount() is the number of elements, or unknown to the kernel', ({ nft }) => {
  const count = () => readElementCount(nft.askAll([getSet(ADDRESSES)])[0]);
  assert.is(count(), 0);
  nft.commit(replaceRulesets([RULESET]));
  const isTold = count() !== undefined;
  assert.is(count(), isTold ? 0 : undefined);
  nft.commit([addElement(address('10.0.0.5')), addElement(address('10.0.0.6'))]);
  assert.is(count(), isTold ? 2 : undefined);
  nft.commit([deleteElement(address('10.0.0.5')), deleteElement(address('10.0.0.6'))]);
  assert.is(count(), isTold ? 0 : undefined);
});

test('a batch of thousands of operations goes through a socket that was small', ({ nft }) => {
  const elements = Array.from({ length: 5000 }, (_, i) => address(`10.1.${i >> 8}.${i & 255}`, 'x'.repeat(100)));
  nft.commit([...replaceRulesets([RULESET]), ...elements.map(addElement)]);
  const again = messageOf(() => nft.commit(elements.map(addElement)));
  assert.match(again, 'add element 10.1.0.0 to set addresses');
  assert.is(findElementsAt(nft, [address('10.1.19.135')]).elements[0]?.comment?.length, 100);
});

test.run();
