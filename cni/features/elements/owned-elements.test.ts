import { sentencesOf } from '../../diagnosis/attachment-diagnosis.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { addElement, deleteElement } from '../../kernel/nftables/element.ts';
import { FakeNftables } from '../../kernel/nftables/fake-nftables.ts';
import type { NftablesConnection } from '../../kernel/nftables/connection.ts';
import { CniError } from '../../protocol/errors.ts';
import { type ElementClaim, ownersByComment } from './element-owners.ts';
import type { NftablesState } from '../feature.ts';
import { masqueradeElements } from '../masquerade/masquerade-elements.ts';
import { MASQUERADE_RULESET, MASQUERADE_V4 } from '../masquerade/masquerade-ruleset.ts';
import { applyElements, checkElements, joinStates, ownedBy, removeElements } from './owned-elements.ts';

const test = suite('owned elements');
const OWNER = { network: 'pods', containerId: 'c1', ifname: 'eth0' };
const OTHER = { network: 'pods', containerId: 'c2', ifname: 'eth0' };
const CIDRS = ['10.22.0.5/16', 'fd00::5/64'];

/** What masquerading these addresses wants: the example of all the tests here. */
function masquerading(cidrs: readonly string[]): NftablesState {
  return { rulesets: [MASQUERADE_RULESET], elements: masqueradeElements(cidrs) };
}

function apply(nft: NftablesConnection, owner: AttachmentKey, cidrs: readonly string[]): void {
  applyElements(nft, owner, masquerading(cidrs));
}

function remove(nft: NftablesConnection, owner: AttachmentKey, cidrs: readonly string[]): void {
  removeElements(nft, ownedBy(owner, masqueradeElements(cidrs)));
}

function check(nft: NftablesConnection, owner: AttachmentKey, cidrs: readonly string[]): string[] {
  return sentencesOf(checkElements(nft, owner, masquerading(cidrs)));
}

const SETS = ['masquerade_v4', 'masquerade_except_v4', 'masquerade_v6', 'masquerade_except_v6'];

/** All elements there are: key in hexadecimal, comment. */
function elementsOf(fake: FakeNftables): [string, string | undefined][] {
  return SETS.flatMap((set) => Object.entries(fake.elementsOf('podlink', set)));
}

const V6 = 'fd000000000000000000000000000005';
const V6_NETWORK = 'fd000000000000000000000000000000';
const KEYS = ['0a160005', '0a1600050a160000', V6, V6 + V6_NETWORK];

test('applyElements() makes the rules and the elements of its owner in one batch more than the first try', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake),
    KEYS.map((key) => [key, 'pods/c1/eth0']),
  );
  assert.equal(fake.asked, { batches: 2, questions: 0 });
  assert.is(fake.generation, 2);
});

test('applyElements() is one batch, and one question whether the rules are all there', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OTHER, ['10.22.0.6/16']);
  const before = { ...fake.asked };
  apply(fake.connection, OWNER, CIDRS);
  assert.equal([fake.asked.batches - before.batches, fake.asked.questions - before.questions], [1, 1]);
});

test('applyElements() without elements puts only the rules there, without rules nothing', () => {
  const fake = new FakeNftables();
  applyElements(fake.connection, OWNER, { rulesets: [], elements: [] });
  assert.equal(fake.asked, { batches: 0, questions: 0 });
  apply(fake.connection, OWNER, []);
  assert.equal(elementsOf(fake), []);
  assert.equal(check(fake.connection, OWNER, []), []);
});

test('applyElements() again changes nothing', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OWNER, CIDRS);
  apply(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake),
    KEYS.map((key) => [key, 'pods/c1/eth0']),
  );
});

test('applyElements() takes over what another owner has left, also with another network', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OTHER, ['10.22.0.5/24', 'fd00::5/48']);
  apply(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake),
    KEYS.map((key) => [key, 'pods/c1/eth0']),
  );
  assert.equal(check(fake.connection, OWNER, CIDRS), []);
});

test('applyElements() takes one address once, with the widest of its networks', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OWNER, ['10.22.0.5/24', '10.22.0.5/16', '10.22.0.5/32']);
  assert.equal(
    elementsOf(fake).map(([key]) => key),
    KEYS.slice(0, 2),
  );
  assert.equal(check(fake.connection, OWNER, ['10.22.0.5/16']), []);
});

test('applyElements() refuses what is no CIDR before it changes anything', () => {
  for (const cidr of ['10.22.0.5/33', '10.22.0/16', 'fd00::5/x', '']) {
    const fake = new FakeNftables();
    assert.throws(() => apply(fake.connection, OWNER, ['10.22.0.6/16', cidr]), undefined, cidr);
    assert.equal(fake.asked, { batches: 0, questions: 0 });
  }
});

test('applyElements() looks again when somebody else has changed the ruleset meanwhile', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OTHER, ['10.22.0.5/16']);
  let changes = 0;
  fake.beforeBatch = () => {
    // The other's element vanishes between look and batch: deleting it again would fail the batch.
    if (changes++ !== 1) return;
    for (const set of fake.state.get('podlink')?.sets.values() ?? []) set.elements = [];
    fake.generation++;
  };
  apply(fake.connection, OWNER, ['10.22.0.5/16']);
  assert.equal(
    elementsOf(fake),
    KEYS.slice(0, 2).map((key) => [key, 'pods/c1/eth0']),
  );
});

test('applyElements() gives up when the ruleset never stays as it is', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OTHER, ['10.22.0.5/16']);
  fake.beforeBatch = () => fake.generation++;
  assert.throws(() => apply(fake.connection, OWNER, ['10.22.0.5/16']), /Cannot commit a batch/);
});

test('removeElements() takes the elements of its owner away', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OWNER, CIDRS);
  apply(fake.connection, OTHER, ['10.22.0.6/16']);
  remove(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake).map(([, comment]) => comment),
    ['pods/c2/eth0', 'pods/c2/eth0'],
  );
});

test('removeElements() succeeds when elements or the table are gone', () => {
  const fake = new FakeNftables();
  remove(fake.connection, OWNER, CIDRS);
  assert.is(fake.state.size, 0);
  apply(fake.connection, OWNER, ['10.22.0.5/16']);
  remove(fake.connection, OWNER, CIDRS);
  remove(fake.connection, OWNER, CIDRS);
  assert.equal(elementsOf(fake), []);
});

test('removeElements() leaves an address alone that another container has by now', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OWNER, CIDRS);
  apply(fake.connection, OTHER, CIDRS);
  remove(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake),
    KEYS.map((key) => [key, 'pods/c2/eth0']),
  );
});

test('removeElements() leaves an address alone that another container gets between look and batch', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OWNER, CIDRS);
  fake.beforeBatch = () => {
    fake.beforeBatch = () => undefined;
    for (const set of fake.state.get('podlink')?.sets.values() ?? []) {
      set.elements = set.elements.map((element) => ({
        ...element,
        comment: 'pods/c2/eth0',
        bytes: new Uint8Array(Buffer.from(Buffer.from(element.bytes).toString('latin1').replace('c1', 'c2'), 'latin1')),
      }));
    }
    fake.generation++;
  };
  remove(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake),
    KEYS.map((key) => [key, 'pods/c2/eth0']),
  );
});

test('attachments whose names run into each other are different owners', () => {
  const fake = new FakeNftables();
  apply(fake.connection, { network: 'ab', containerId: 'c', ifname: 'eth0' }, CIDRS);
  remove(fake.connection, { network: 'a', containerId: 'bc', ifname: 'eth0' }, CIDRS);
  assert.is(elementsOf(fake).length, 4);
});

test('checkElements() names every element that is missing, another or another owner’s', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OTHER, ['10.22.0.5/24', 'fd00::5/64']);
  assert.equal(check(fake.connection, OWNER, ['10.22.0.5/16', '10.22.0.7/32']), [
    'element 10.22.0.5 of set masquerade_v4 belongs to another attachment',
    'element 10.22.0.5 . 10.22.0.0-10.22.255.255 of set masquerade_except_v4 is 10.22.0.5 . 10.22.0.0-10.22.0.255 instead',
    'element 10.22.0.7 of set masquerade_v4 is missing',
    'element 10.22.0.7 . 10.22.0.7 of set masquerade_except_v4 is missing',
  ]);
});

test('checkElements() says that an element belongs to nobody', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OWNER, ['10.22.0.5/16']);
  const element = { set: MASQUERADE_V4.sources, key: Uint8Array.of(10, 22, 0, 5) };
  fake.connection.commit([deleteElement(element), addElement(element)]);
  assert.equal(check(fake.connection, OWNER, ['10.22.0.5/16']), [
    'element 10.22.0.5 of set masquerade_v4 belongs to another attachment',
  ]);
});

test('applyElements() brings back rules that somebody has flushed, and leaves the elements of others', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OTHER, ['10.22.0.6/16']);
  for (const chain of fake.state.get('podlink')?.chains.values() ?? []) chain.rules = [];
  apply(fake.connection, OWNER, CIDRS);
  assert.equal(check(fake.connection, OWNER, CIDRS), []);
  assert.equal(check(fake.connection, OTHER, ['10.22.0.6/16']), []);
});

const NOTHING_CLAIMED: ElementClaim = { generation: 0, waiting: [], abandoned: [], notices: [] };

test('applyElements() adds nothing when the state refuses, and asks it about the generation it commits to', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OTHER, ['10.22.0.6/16']);
  const refusal = new CniError(11, 'taken');
  const refuse = () => {
    throw refusal;
  };
  assert.throws(
    () => applyElements(fake.connection, OWNER, { ...masquerading(CIDRS), claim: refuse }),
    (error: unknown) => error === refusal,
  );
  assert.is(elementsOf(fake).length, 2);
  // Somebody else changes the ruleset after the first look.
  let looks = 0;
  fake.beforeBatch = () => {
    if (looks === 1) fake.generation++;
  };
  applyElements(fake.connection, OWNER, {
    ...masquerading(CIDRS),
    claim(nft) {
      looks++;
      return { ...NOTHING_CLAIMED, generation: nft.getGeneration() };
    },
  });
  assert.is(looks, 2);
  assert.is(elementsOf(fake).length, 6);
});

test('joinStates() names each ruleset once, and joins what the states claim', () => {
  const first = masquerading(['10.22.0.5/16']);
  const claim = (generation: number) => () => ({ ...NOTHING_CLAIMED, generation, waiting: first.elements.slice(0, 1) });
  const joined = joinStates([
    { ...first, claim: claim(7) },
    { ...masquerading(['10.22.0.6/16']), claim: claim(8) },
  ]);
  assert.equal([joined.rulesets.length, joined.elements.length], [1, 4]);
  const { generation, waiting } = joined.claim?.(new FakeNftables().connection, ownersByComment(OWNER)) ?? {};
  assert.equal([generation, waiting?.length], [7, 2]);
  assert.is(joinStates([masquerading(CIDRS)]).claim, undefined);
});

test('removeElements() gives the place to the first of those that wait for it, and to none for another place', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OWNER, CIDRS);
  const heir = { network: 'others', containerId: 'c1', ifname: 'eth1' };
  const waiting = [heir, OTHER].flatMap((owner) =>
    ownedBy(owner, masqueradeElements(['10.22.0.5/16', '10.22.0.9/16'])),
  );
  removeElements(fake.connection, ownedBy(OWNER, masqueradeElements(CIDRS)), () => waiting);
  assert.equal(
    elementsOf(fake),
    KEYS.slice(0, 2).map((key) => [key, 'others/c1/eth1']),
  );
  // Somebody else has the place by now.
  removeElements(fake.connection, ownedBy(OWNER, masqueradeElements(CIDRS)), () => ownedBy(OTHER, waiting));
  assert.equal(elementsOf(fake).length, 2);
});

test('removeElements() reads again who waits when the ruleset has changed meanwhile', () => {
  const fake = new FakeNftables();
  apply(fake.connection, OWNER, CIDRS);
  let reads = 0;
  fake.beforeBatch = () => {
    if (reads === 1) fake.generation++;
  };
  removeElements(fake.connection, ownedBy(OWNER, masqueradeElements(CIDRS)), () => {
    reads++;
    return reads === 1 ? [] : ownedBy(OTHER, masqueradeElements(['10.22.0.5/16']));
  });
  assert.is(reads, 2);
  assert.equal(
    elementsOf(fake),
    KEYS.slice(0, 2).map((key) => [key, 'pods/c2/eth0']),
  );
});

test('removeElements() removes half of them where somebody always comes in between', () => {
  const fake = new FakeNftables();
  const cidrs = Array.from({ length: 100 }, (_, i) => `10.22.1.${i}/16`);
  apply(fake.connection, OWNER, cidrs);
  let batches = 0;
  fake.beforeBatch = () => {
    batches++;
    if (batches <= 25) fake.generation++;
  };
  remove(fake.connection, OWNER, cidrs);
  assert.equal(elementsOf(fake), []);
});

/** How often the kernel is asked about so many elements of one set. */
function costOf(count: number): { batches: number; questions: number } {
  const fake = new FakeNftables();
  const cidrs = Array.from({ length: count }, (_, i) => `10.22.${i >> 8}.${i & 255}/16`);
  const { elements, ...state } = masquerading(cidrs);
  const ofOneSet = { ...state, elements: elements.filter(({ set }) => !set.interval) };
  applyElements(fake.connection, OWNER, ofOneSet);
  applyElements(fake.connection, OWNER, ofOneSet);
  assert.equal(checkElements(fake.connection, OWNER, ofOneSet), []);
  removeElements(fake.connection, ownedBy(OWNER, ofOneSet.elements));
  assert.equal(elementsOf(fake), []);
  return fake.asked;
}

test('of many elements as much is asked as of fewer', () => {
  assert.equal(costOf(1200), costOf(400));
});

test('checkElements() names some of many that are missing, and how many there are', () => {
  const fake = new FakeNftables();
  const cidrs = Array.from({ length: 300 }, (_, i) => `10.22.${i >> 8}.${i & 255}/16`);
  apply(fake.connection, OWNER, ['10.22.0.5/16']);
  const problems = check(fake.connection, OWNER, cidrs);
  assert.is(problems.length, 65);
  assert.is(problems.at(-1), '534 more elements are not as they were made');
});

test.run();
