import { sentencesOf } from '../diagnosis/attachment-diagnosis.ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkElements, ownedBy, removeElements } from '../features/elements/owned-elements.ts';
import { ALL_RULESETS, FEATURES } from '../features/feature-registry.ts';
import { masqueradeElements } from '../features/masquerade/masquerade-elements.ts';
import { MASQUERADE_RULESET } from '../features/masquerade/masquerade-ruleset.ts';
import { FakeNftables } from '../kernel/nftables/fake-nftables.ts';
import { replaceRulesets } from '../kernel/nftables/ruleset.ts';
import { thrownOf } from '../kernel/testing/thrown.ts';
import { CniError } from '../protocol/errors.ts';
import type { Context } from './context.ts';
import { refuseMissingParts } from './missing-part.ts';

const test = suite('a kernel without parts of nf_tables');

const KEY = { network: 'pods', containerId: 'c', ifname: 'eth0' };

function kernel(...lacks: readonly string[]): { fake: FakeNftables; refusalOf(name: string): string } {
  const fake = new FakeNftables();
  for (const kind of lacks) fake.lacks.add(kind);
  const context = { nft: fake.connection } as Context;
  const refusalOf = (name: string): string => {
    const features = FEATURES.filter((feature) => feature.name === name);
    assert.is(features.length, 1, name);
    try {
      refuseMissingParts(context, features);
    } catch (error) {
      if (error instanceof CniError) return `${error.code} ${error.message}`;
      throw error;
    }
    return '';
  };
  return { fake, refusalOf };
}

/** For each lack the features that can be had all the same; the other ones are refused with these words. */
const LACKS: readonly [kind: string, served: readonly string[], part: string][] = [
  ['nf_tables', ['tuning', 'bandwidth'], 'nf_tables (CONFIG_NF_TABLES)'],
  ['masq', ['tuning', 'bandwidth', 'isolation', 'macspoof', 'bridged-gateway'], 'nft_masq (CONFIG_NFT_MASQ)'],
  ['chain nat', ['tuning', 'bandwidth', 'isolation', 'macspoof', 'bridged-gateway'], 'nft_chain_nat (CONFIG_NFT_NAT)'],
  [
    'nat',
    ['tuning', 'bandwidth', 'masquerade', 'isolation', 'macspoof', 'bridged-gateway'],
    'nft_nat (CONFIG_NFT_NAT)',
  ],
  [
    'fib',
    ['tuning', 'bandwidth', 'masquerade', 'isolation', 'macspoof', 'bridged-gateway'],
    'nft_fib_inet (CONFIG_NFT_FIB_INET)',
  ],
];

for (const [kind, served, part] of LACKS) {
  test(`without ${part} ADD is refused for the features that need it, and for no other`, () => {
    const { fake, refusalOf } = kernel(kind);
    const refused = FEATURES.filter(({ name }) => refusalOf(name) !== '').map(({ name }) => name);
    const expected = FEATURES.filter(({ name }) => !served.includes(name)).map(({ name }) => name);
    assert.equal(refused, expected);
    for (const name of refused) {
      assert.is(
        refusalOf(name),
        `100 the kernel has no ${part}, which the rules for ${name} need: nothing was changed`,
      );
    }
    assert.is(fake.state.size, 0);
  });
}

test('where all is there nothing is refused, and nothing made', () => {
  const { fake, refusalOf } = kernel();
  for (const { name } of FEATURES) assert.is(refusalOf(name), '');
  assert.is(fake.state.size, 0);
});

test('rules that are in place are asked for, and not rehearsed', () => {
  const { fake, refusalOf } = kernel();
  fake.connection.commit(replaceRulesets(ALL_RULESETS));
  const { batches } = fake.asked;
  for (const { name } of FEATURES) refusalOf(name);
  assert.is(fake.asked.batches, batches);
});

test('without nf_tables a removal has nothing to do, and CHECK names what is missing', () => {
  const { connection } = kernel('nf_tables').fake;
  const elements = masqueradeElements(['10.22.0.5/16']);
  removeElements(connection, ownedBy(KEY, elements));
  const state = { rulesets: [MASQUERADE_RULESET], elements };
  assert.ok(sentencesOf(checkElements(connection, KEY, state)).includes('table inet podlink is missing'));
  assert.is(
    thrownOf(CniError, () =>
      refuseMissingParts(
        { nft: connection } as Context,
        FEATURES.filter(({ name }) => name === 'masquerade'),
      ),
    ).details,
    'podlink doctor lists what the kernel lacks',
  );
});

test.run();
