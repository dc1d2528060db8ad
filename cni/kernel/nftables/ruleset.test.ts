import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isErrno } from '../errno.ts';
import { addChain, deleteChain, flushChain } from './chain.ts';
import { NFPROTO_INET, NFT_RETURN } from './constants.ts';
import { addElement } from './element.ts';
import { giveVerdict } from './expressions/immediate.ts';
import { FakeNftables } from './fake-nftables.ts';
import { IPV4_ADDR } from './key.ts';
import { addRule } from './rule.ts';
import { checkRuleset, expectRulesets, repairRuleset, replaceRulesets, type Ruleset } from './ruleset.ts';
import { addTable } from './table.ts';

const test = suite('nftables ruleset');
const table = { family: NFPROTO_INET, name: 't' };
const set = { table, name: 's', key: [IPV4_ADDR], interval: false, comment: 'c' };
const chain = { table, name: 'out' };
const rules = ['first', 'second'].map((comment) => ({ expressions: [giveVerdict(NFT_RETURN)], comment }));
const RULESET: Ruleset = { table, name: 'feature', version: 1, sets: [set], chains: [{ chain, rules }] };
const element = { set, key: Uint8Array.of(10, 0, 0, 5), comment: 'owner' };

function made(ruleset = RULESET): FakeNftables {
  const fake = new FakeNftables();
  fake.connection.commit([...replaceRulesets([ruleset]), addElement(element)]);
  return fake;
}

test('expectRulesets() fails the batch until the ruleset is there', () => {
  const fake = new FakeNftables();
  assert.throws(
    () => fake.connection.commit(expectRulesets([RULESET])),
    (error: unknown) => isErrno(error, 'ENOENT'),
  );
  fake.connection.commit(replaceRulesets([RULESET]));
  fake.connection.commit(expectRulesets([RULESET]));
});

test('replaceRulesets() again leaves one copy of every rule, and the elements', () => {
  const fake = made();
  fake.connection.commit(replaceRulesets([RULESET]));
  assert.is(fake.state.get('t')?.chains.get('out')?.rules.length, 2);
  assert.equal(fake.elementsOf('t', 's'), { '0a000005': 'owner' });
});

test('an older version takes a newer one for its own, a newer one does not take an older one', () => {
  const newer = { ...RULESET, version: 2 };
  made(newer).connection.commit(expectRulesets([RULESET]));
  assert.throws(() => made(RULESET).connection.commit(expectRulesets([newer])));
});

test('checkRuleset() finds nothing wrong with what replaceRulesets() made', () => {
  assert.equal(checkRuleset(made().connection, RULESET), []);
});

test('checkRuleset() says what is missing', () => {
  const fake = new FakeNftables();
  assert.equal(checkRuleset(fake.connection, RULESET), [{ part: 'table', name: 't', table, state: 'missing' }]);
  fake.connection.commit([addTable(table)]);
  assert.equal(checkRuleset(fake.connection, RULESET), [
    { part: 'set', name: 's', table, state: 'missing' },
    { part: 'set', name: 'feature_rules_1', table, state: 'missing' },
    { part: 'chain', name: 'out', table, state: 'missing' },
  ]);
});

for (const [what, changed] of [
  ['deleted', rules.slice(1)],
  ['added', [...rules, ...rules.slice(1)]],
  ['in another order', rules.toReversed()],
] as const) {
  test(`checkRuleset() finds rules that were ${what}, repairRuleset() puts them right and keeps the elements`, () => {
    const fake = made();
    fake.connection.commit([flushChain(chain), ...changed.map((rule) => addRule(chain, rule))]);
    assert.equal(checkRuleset(fake.connection, RULESET), [{ part: 'rules', name: 'out', table, state: 'changed' }]);
    repairRuleset(fake.connection, RULESET);
    assert.equal(checkRuleset(fake.connection, RULESET), []);
    assert.equal(fake.elementsOf('t', 's'), { '0a000005': 'owner' });
  });
}

test('repairRuleset() makes a chain anew that is another one now', () => {
  const fake = made();
  const hook = { type: 'filter', number: 0, priority: 0, policy: 1 } as const;
  const withHook = { ...RULESET, chains: [{ chain: { ...chain, hook }, rules }] };
  assert.equal(checkRuleset(fake.connection, withHook), [{ part: 'chain', name: 'out', table, state: 'changed' }]);
  repairRuleset(fake.connection, withHook);
  assert.equal(checkRuleset(fake.connection, withHook), []);
});

test('repairRuleset() makes everything where there is nothing', () => {
  const fake = made();
  fake.connection.commit([flushChain(chain), deleteChain(chain)]);
  repairRuleset(fake.connection, RULESET);
  assert.equal(checkRuleset(fake.connection, RULESET), []);
  const empty = new FakeNftables();
  repairRuleset(empty.connection, RULESET);
  assert.equal(checkRuleset(empty.connection, RULESET), []);
});

test('a batch that is refused leaves nothing of it', () => {
  const fake = made();
  const { generation } = fake;
  assert.throws(() => fake.connection.commit([addChain({ table, name: 'new' }), addElement(element)]), /EEXIST/);
  assert.equal([...(fake.state.get('t')?.chains.keys() ?? [])], ['out']);
  assert.equal(fake.elementsOf('t', 's'), { '0a000005': 'owner' });
  assert.is(fake.generation, generation);
});

test.run();
