import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ENOENT } from '../errno.ts';
import { thrownOf } from '../testing/thrown.ts';
import { absentTransport } from './absent-transport.ts';
import { addChain, getChain } from './chain.ts';
import { NftablesConnection } from './connection.ts';
import { NF_ACCEPT, NF_INET_POST_ROUTING, NFPROTO_BRIDGE, NFPROTO_INET } from './constants.ts';
import { addElement, elementQuery, listElements } from './element.ts';
import { doNotTrack } from './expressions/notrack.ts';
import { loadConntrack, NFT_CT_STATE } from './expressions/ct.ts';
import { loadDestinationType } from './expressions/fib.ts';
import { masquerade } from './expressions/masq.ts';
import { sendTo } from './expressions/nat.ts';
import { NFT_REG_1 } from './expressions/expression.ts';
import { FakeNftables } from './fake-nftables.ts';
import { IPV4_ADDR } from './key.ts';
import { describeRefusal, MissingKernelPartError } from './kernel-part.ts';
import { checkRuleset, findMissingParts, rehearseRulesets, replaceRulesets, type Ruleset } from './ruleset.ts';
import { listSets } from './set.ts';
import { addTable } from './table.ts';

const test = suite('parts of nf_tables');

const table = { family: NFPROTO_INET, name: 't' };
const set = { table, name: 's', key: [IPV4_ADDR], interval: false, comment: 'c' };
const hook = { type: 'nat', number: NF_INET_POST_ROUTING, priority: 100, policy: NF_ACCEPT } as const;
const chain = { table, name: 'out', hook };
const expressions = [
  loadConntrack(NFT_CT_STATE),
  doNotTrack(),
  loadDestinationType(),
  masquerade(0),
  sendTo(4, { address: NFT_REG_1 }),
];
const rules = expressions.map((expression) => ({ expressions: [expression], comment: `with ${expression.name}` }));
const RULESET: Ruleset = { table, name: 'feature', version: 1, sets: [set], chains: [{ chain, rules }] };

/** The part that the kernel lacks, and how the error for the whole ruleset names it. */
const LACKS: readonly [kind: string, part: string, about: string][] = [
  ['ct', 'nft_ct (CONFIG_NFT_CT)', 'add rule "with ct" to chain out of table inet t'],
  ['notrack', 'nft_ct (CONFIG_NFT_CT)', 'add rule "with notrack" to chain out of table inet t'],
  ['fib', 'nft_fib_inet (CONFIG_NFT_FIB_INET)', 'add rule "with fib" to chain out of table inet t'],
  ['masq', 'nft_masq (CONFIG_NFT_MASQ)', 'add rule "with masq" to chain out of table inet t'],
  ['nat', 'nft_nat (CONFIG_NFT_NAT)', 'add rule "with nat" to chain out of table inet t'],
  ['chain nat', 'nft_chain_nat (CONFIG_NFT_NAT)', 'add chain out of table inet t'],
];

for (const [kind, part, about] of LACKS) {
  test(`commit() says that the kernel has no ${part} when it lacks ${kind}, and rehearse() likewise`, () => {
    const fake = new FakeNftables();
    fake.lacks.add(kind);
    const operations = replaceRulesets([RULESET]);
    const error = thrownOf(MissingKernelPartError, () => fake.connection.commit(operations));
    assert.is(error.message, `Cannot ${about} (the kernel has no ${part}): ENOENT`);
    assert.is(fake.connection.rehearse(operations)[0]?.message, error.message);
    const parts = findMissingParts(fake.connection, [RULESET]).map(({ name, option }) => `${name} (${option})`);
    assert.is(parts[0], part);
    assert.is(fake.state.size, 0);
  });
}

test('rehearse() names all that is missing, and changes nothing', () => {
  const fake = new FakeNftables();
  for (const kind of ['masq', 'fib']) fake.lacks.add(kind);
  const { generation } = fake;
  assert.equal(
    rehearseRulesets(fake.connection, [RULESET]).map(({ name }) => name),
    ['nft_fib_inet', 'nft_masq'],
  );
  fake.lacks.clear();
  assert.equal(fake.connection.rehearse(replaceRulesets([RULESET])), []);
  assert.equal([fake.generation, fake.state.size], [generation, 0]);
});

test('findMissingParts() asks for the marker alone when the rules are in place', () => {
  const fake = new FakeNftables();
  fake.connection.commit(replaceRulesets([RULESET]));
  fake.lacks.add('masq');
  const { batches } = fake.asked;
  assert.equal(findMissingParts(fake.connection, [RULESET]), []);
  assert.is(fake.asked.batches, batches);
});

test('the type of a chain tells the family that is missing', () => {
  for (const [family, option] of [
    [NFPROTO_INET, 'CONFIG_NF_TABLES_INET'],
    [NFPROTO_BRIDGE, 'CONFIG_NF_TABLES_BRIDGE'],
  ] as const) {
    const fake = new FakeNftables();
    fake.lacks.add('chain filter');
    const filter = { table: { family, name: 't' }, name: 'in', hook: { ...hook, type: 'filter' as const } };
    const add = () => fake.connection.commit([addTable(filter.table), addChain(filter)]);
    assert.is(thrownOf(MissingKernelPartError, add).part.option, option);
  }
});

test('an older kernel does not point at the type of the chain, and at the name of a table that is not there it does', () => {
  const refusalOf = (offset: number | undefined, operation = addChain(chain)) =>
    describeRefusal(operation, operation, { errno: ENOENT, text: undefined, offset, missingType: undefined });
  const parts = [undefined, 20, 28, 36].map((offset) => {
    const refusal = refusalOf(offset);
    return refusal instanceof MissingKernelPartError ? refusal.part.name : undefined;
  });
  assert.equal(parts, ['nft_chain_nat', undefined, undefined, 'nft_chain_nat']);
  // One without a hook has no type.
  assert.not(refusalOf(undefined, addChain({ table, name: 'jumped' })) instanceof MissingKernelPartError);
});

const WITHOUT: readonly [title: string, connect: () => NftablesConnection][] = [
  [
    'nf_tables',
    () => {
      const fake = new FakeNftables();
      fake.lacks.add('nf_tables');
      return fake.connection;
    },
  ],
  ['nfnetlink', () => new NftablesConnection(absentTransport())],
];
for (const [title, connect] of WITHOUT) {
  test(`without ${title} questions find nothing, and changes say why`, () => {
    const nft = connect();
    const element = { set, key: Uint8Array.of(10, 0, 0, 5) };
    const queries = [elementQuery(element), elementQuery(element)];
    assert.equal(nft.askAll(queries), [undefined, undefined]);
    assert.equal(listElements(nft, set), []);
    assert.equal(listSets(nft, table), []);
    assert.equal(checkRuleset(nft, RULESET), [{ part: 'table', name: 't', table, state: 'missing' }]);
    const says = /\(the kernel has no nf_tables \(CONFIG_NF_TABLES\)\)/;
    for (const change of [
      () => nft.commit([addElement(element)]),
      () => nft.commit([addElement(element)], 0),
      () => nft.getGeneration(),
      () => nft.execute(getChain(chain)),
    ]) {
      assert.match(thrownOf(MissingKernelPartError, change).message, says);
    }
    assert.equal(
      findMissingParts(nft, [RULESET]).map(({ name }) => name),
      ['nf_tables'],
    );
  });
}

test.run();
