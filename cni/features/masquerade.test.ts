import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { addElement, deleteElement } from '../kernel/nftables/element.ts';
import { FakeNftables } from '../kernel/nftables/fake-nftables.ts';
import { Fields } from '../protocol/fields.ts';
import { applyMasquerade, checkMasquerade, parseMasquerade, removeMasquerade, repairMasquerade } from './masquerade.ts';
import { MASQUERADE_V4 } from './masquerade-ruleset.ts';

const test = suite('masquerade');
const OWNER = { network: 'pods', containerId: 'c1', ifname: 'eth0' };
const OTHER = { network: 'pods', containerId: 'c2', ifname: 'eth0' };
const CIDRS = ['10.22.0.5/16', 'fd00::5/64'];

const SETS = ['masquerade_v4', 'masquerade_except_v4', 'masquerade_v6', 'masquerade_except_v6'];

/** All elements there are: key in hexadecimal, comment. */
function elementsOf(fake: FakeNftables): [string, string | undefined][] {
  return SETS.flatMap((set) => Object.entries(fake.elementsOf('podlink', set)));
}

const V6 = 'fd000000000000000000000000000005';
const V6_NETWORK = 'fd000000000000000000000000000000';
const KEYS = ['0a160005', '0a1600050a160000', V6, V6 + V6_NETWORK];

test('applyMasquerade() makes the rules and the elements of its owner in one batch more than the first try', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake),
    KEYS.map((key) => [key, 'pods/c1/eth0']),
  );
  assert.equal(fake.asked, { batches: 2, questions: 0 });
  assert.is(fake.generation, 2);
});

test('applyMasquerade() is one batch and no question when the rules are there', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OTHER, ['10.22.0.6/16']);
  const before = { ...fake.asked };
  applyMasquerade(fake.connection, OWNER, CIDRS);
  assert.equal([fake.asked.batches - before.batches, fake.asked.questions - before.questions], [1, 0]);
});

test('applyMasquerade() does nothing for no addresses', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OWNER, []);
  assert.equal(fake.asked, { batches: 0, questions: 0 });
});

test('applyMasquerade() again changes nothing', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OWNER, CIDRS);
  applyMasquerade(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake),
    KEYS.map((key) => [key, 'pods/c1/eth0']),
  );
});

test('applyMasquerade() takes over what another owner has left, also with another network', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OTHER, ['10.22.0.5/24', 'fd00::5/48']);
  applyMasquerade(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake),
    KEYS.map((key) => [key, 'pods/c1/eth0']),
  );
  assert.equal(checkMasquerade(fake.connection, OWNER, CIDRS), []);
});

test('applyMasquerade() takes one address once, with the widest of its networks', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OWNER, ['10.22.0.5/24', '10.22.0.5/16', '10.22.0.5/32']);
  assert.equal(
    elementsOf(fake).map(([key]) => key),
    KEYS.slice(0, 2),
  );
  assert.equal(checkMasquerade(fake.connection, OWNER, ['10.22.0.5/16']), []);
});

test('applyMasquerade() refuses what is no CIDR before it changes anything', () => {
  for (const cidr of ['10.22.0.5/33', '10.22.0/16', 'fd00::5/x', '']) {
    const fake = new FakeNftables();
    assert.throws(() => applyMasquerade(fake.connection, OWNER, ['10.22.0.6/16', cidr]), undefined, cidr);
    assert.equal(fake.asked, { batches: 0, questions: 0 });
  }
});

test('applyMasquerade() looks again when somebody else has changed the ruleset meanwhile', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OTHER, ['10.22.0.5/16']);
  let changes = 0;
  fake.beforeBatch = () => {
    // The other's element vanishes between look and batch: deleting it again would fail the batch.
    if (changes++ !== 1) return;
    for (const set of fake.state.get('podlink')?.sets.values() ?? []) set.elements = [];
    fake.generation++;
  };
  applyMasquerade(fake.connection, OWNER, ['10.22.0.5/16']);
  assert.equal(
    elementsOf(fake),
    KEYS.slice(0, 2).map((key) => [key, 'pods/c1/eth0']),
  );
});

test('applyMasquerade() gives up when the ruleset never stays as it is', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OTHER, ['10.22.0.5/16']);
  fake.beforeBatch = () => fake.generation++;
  assert.throws(() => applyMasquerade(fake.connection, OWNER, ['10.22.0.5/16']), /Cannot commit a batch/);
});

test('removeMasquerade() takes the elements of its owner away', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OWNER, CIDRS);
  applyMasquerade(fake.connection, OTHER, ['10.22.0.6/16']);
  removeMasquerade(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake).map(([, comment]) => comment),
    ['pods/c2/eth0', 'pods/c2/eth0'],
  );
});

test('removeMasquerade() succeeds when elements or the table are gone', () => {
  const fake = new FakeNftables();
  removeMasquerade(fake.connection, OWNER, CIDRS);
  assert.is(fake.state.size, 0);
  applyMasquerade(fake.connection, OWNER, ['10.22.0.5/16']);
  removeMasquerade(fake.connection, OWNER, CIDRS);
  removeMasquerade(fake.connection, OWNER, CIDRS);
  assert.equal(elementsOf(fake), []);
});

test('removeMasquerade() leaves an address alone that another container has by now', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OWNER, CIDRS);
  applyMasquerade(fake.connection, OTHER, CIDRS);
  removeMasquerade(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake),
    KEYS.map((key) => [key, 'pods/c2/eth0']),
  );
});

test('removeMasquerade() leaves an address alone that another container gets between look and batch', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OWNER, CIDRS);
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
  removeMasquerade(fake.connection, OWNER, CIDRS);
  assert.equal(
    elementsOf(fake),
    KEYS.map((key) => [key, 'pods/c2/eth0']),
  );
});

test('attachments whose names run into each other are different owners', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, { network: 'ab', containerId: 'c', ifname: 'eth0' }, CIDRS);
  removeMasquerade(fake.connection, { network: 'a', containerId: 'bc', ifname: 'eth0' }, CIDRS);
  assert.is(elementsOf(fake).length, 4);
});

test('checkMasquerade() names every element that is missing, another or another owner’s', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OTHER, ['10.22.0.5/24', 'fd00::5/64']);
  assert.equal(checkMasquerade(fake.connection, OWNER, ['10.22.0.5/16', '10.22.0.7/32']), [
    'element 10.22.0.5 of set masquerade_v4 belongs to pods/c2/eth0',
    'element 10.22.0.5 . 10.22.0.0-10.22.255.255 of set masquerade_except_v4 is 10.22.0.5 . 10.22.0.0-10.22.0.255 instead',
    'element 10.22.0.7 of set masquerade_v4 is missing',
    'element 10.22.0.7 . 10.22.0.7 of set masquerade_except_v4 is missing',
  ]);
});

test('checkMasquerade() says that an element belongs to nobody', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OWNER, ['10.22.0.5/16']);
  const element = { set: MASQUERADE_V4.sources, key: Uint8Array.of(10, 22, 0, 5) };
  fake.connection.commit([deleteElement(element), addElement(element)]);
  assert.equal(checkMasquerade(fake.connection, OWNER, ['10.22.0.5/16']), [
    'element 10.22.0.5 of set masquerade_v4 belongs to nobody',
  ]);
});

test('repairMasquerade() brings back rules that somebody has flushed', () => {
  const fake = new FakeNftables();
  applyMasquerade(fake.connection, OWNER, CIDRS);
  for (const chain of fake.state.get('podlink')?.chains.values() ?? []) chain.rules = [];
  assert.is(checkMasquerade(fake.connection, OWNER, CIDRS).length, 3);
  repairMasquerade(fake.connection);
  assert.equal(checkMasquerade(fake.connection, OWNER, CIDRS), []);
});

function parse(config: object): { isWanted: boolean; warnings: string[] } {
  const warnings: string[] = [];
  return { isWanted: parseMasquerade(new Fields(config), (message) => warnings.push(message)), warnings };
}

test('parseMasquerade() is off unless the configuration asks for it', () => {
  assert.equal(parse({}), { isWanted: false, warnings: [] });
  assert.equal(parse({ ipMasq: false, ipMasqBackend: 'iptables' }), { isWanted: false, warnings: [] });
  assert.equal(parse({ ipMasq: true, ipMasqBackend: 'nftables' }), { isWanted: true, warnings: [] });
});

test('parseMasquerade() says that it does not use iptables', () => {
  const { isWanted, warnings } = parse({ ipMasq: true, ipMasqBackend: 'iptables' });
  assert.ok(isWanted);
  assert.equal(warnings, ['"ipMasqBackend" is "iptables", but masquerading is done with nftables']);
});

test('parseMasquerade() names a key with a wrong value', () => {
  assert.throws(() => parse({ ipMasq: 'yes' }), /Invalid "ipMasq": must be true or false/);
  assert.throws(() => parse({ ipMasq: true, ipMasqBackend: 'pf' }), /Invalid "ipMasqBackend": must be one of/);
});

test.run();
