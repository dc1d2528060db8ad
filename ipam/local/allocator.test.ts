import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fields } from '../../cni/protocol/fields.ts';
import { allocate, candidates, ensureFreeAddress, gatewaysOf } from './allocator.ts';
import { IpamError, type IpamErrorKind } from '../errors.ts';
import { FakeStore } from '../store/fake-store.ts';
import { parseRangeSets } from '../range/range-set.ts';

const test = suite('ipam allocator');

const setsOf = (ranges: unknown) =>
  parseRangeSets({ ipam: new Fields({ ranges }, 'ipam'), runtimeConfig: new Fields({}), cniVersion: '1.1.0' });
const owner = { network: 'pods', containerId: 'alice', ifname: 'eth0' };

interface Situation {
  ranges: unknown;
  used?: string[];
  abandoned?: string[];
  last?: string;
  requested?: [number, string][];
}

function situation({ ranges, used = [], abandoned = [], last, requested = [] }: Situation) {
  const store = new FakeStore();
  for (const address of used) store.plant(address, 'other\r\neth0');
  for (const address of abandoned) store.plant(address, '');
  if (last !== undefined) store.locked(() => store.setLastReserved(0, last));
  const warnings: string[] = [];
  const warn = (message: string) => void warnings.push(message);
  const sets = setsOf(ranges);
  const run = () => store.locked(() => allocate(store, { owner, sets, requested: new Map(requested), warn }));
  return { store, sets, warnings, run };
}

const isIpamError = (kind: IpamErrorKind, pattern: RegExp) => (error: unknown) =>
  error instanceof IpamError && error.kind === kind && pattern.test(error.message);

const small = [[{ subnet: '10.1.0.0/29' }]];
const two = [[{ subnet: '10.1.0.0/30' }, { subnet: '10.2.0.0/29', rangeStart: '10.2.0.4', rangeEnd: '10.2.0.5' }]];

const table: readonly [title: string, situation: Situation, expected: string[]][] = [
  ['the gateway is skipped', { ranges: small }, ['10.1.0.2']],
  ['a gateway elsewhere leaves .1 free', { ranges: [[{ subnet: '10.1.0.0/29', gateway: '10.1.0.6' }]] }, ['10.1.0.1']],
  ['after the last one', { ranges: small, last: '10.1.0.3' }, ['10.1.0.4']],
  [
    'after the last one, if that is taken the next',
    { ranges: small, last: '10.1.0.3', used: ['10.1.0.4'] },
    ['10.1.0.5'],
  ],
  ['round to the start', { ranges: small, last: '10.1.0.6' }, ['10.1.0.2']],
  [
    'round to the last one itself',
    { ranges: small, last: '10.1.0.4', used: ['10.1.0.2', '10.1.0.3', '10.1.0.5', '10.1.0.6'] },
    ['10.1.0.4'],
  ],
  ['last outside the set', { ranges: small, last: '10.9.0.4' }, ['10.1.0.2']],
  ['last is the gateway', { ranges: small, last: '10.1.0.1' }, ['10.1.0.2']],
  ['last is no address', { ranges: small, last: 'rubbish' }, ['10.1.0.2']],
  ['last of the other family', { ranges: small, last: '::a01:3' }, ['10.1.0.2']],
  ['second range when the first is full', { ranges: two, used: ['10.1.0.2'] }, ['10.2.0.4']],
  ['second range after the end of the first', { ranges: two, last: '10.1.0.2' }, ['10.2.0.4']],
  ['from the second range back to the first', { ranges: two, last: '10.2.0.5' }, ['10.1.0.2']],
  ['one of each set', { ranges: [...small, [{ subnet: 'fd00::/64' }]] }, ['10.1.0.2', 'fd00::2']],
  [
    "another set's gateway in this range",
    { ranges: [...small, [{ subnet: '10.2.0.0/24', gateway: '10.1.0.2' }]] },
    ['10.1.0.3', '10.2.0.1'],
  ],
  ['IPv6 to the very last address', { ranges: [[{ subnet: 'fd00::/126' }]], last: 'fd00::2' }, ['fd00::3']],
  ['IPv6 in ::/96 stays IPv6', { ranges: [[{ subnet: '::a00:0/112' }]] }, ['::a00:2']],
  ['across a byte', { ranges: [[{ subnet: '10.1.0.0/16' }]], last: '10.1.0.255' }, ['10.1.1.0']],
  ['requested before round robin', { ranges: small, last: '10.1.0.3', requested: [[0, '10.1.0.6']] }, ['10.1.0.6']],
  [
    'requested in one set, next in the other',
    { ranges: [...small, [{ subnet: 'fd00::/64' }]], requested: [[1, 'fd00::9']] },
    ['10.1.0.2', 'fd00::9'],
  ],
  ['free before abandoned', { ranges: small, abandoned: ['10.1.0.2', '10.1.0.3'] }, ['10.1.0.4']],
  ['requested and abandoned', { ranges: small, abandoned: ['10.1.0.2'], requested: [[0, '10.1.0.2']] }, ['10.1.0.2']],
];
for (const [title, given, expected] of table) {
  test(`allocate() gives the next address: ${title}`, () => {
    const { run, store } = situation(given);
    assert.equal(run(), expected);
    for (const [i, address] of expected.entries()) {
      assert.equal(store.find(address), { address, containerId: 'alice', ifname: 'eth0', abandoned: false });
      assert.is(store.getLastReserved(i), address);
    }
  });
}

test('allocate() hands out every address once and then says the pool is exhausted', () => {
  const { store, sets } = situation({ ranges: two });
  const give = (i: number) =>
    store.locked(() =>
      allocate(store, {
        owner: { ...owner, containerId: `c${i}` },
        sets,
        requested: new Map(),
        warn: assert.unreachable,
      }),
    );
  assert.equal([give(1), give(2), give(3)].flat(), ['10.1.0.2', '10.2.0.4', '10.2.0.5']);
  assert.throws(() => ensureFreeAddress(store, 'pods', sets), isIpamError('exhausted', /network "pods"/));
  assert.throws(
    () => give(4),
    isIpamError(
      'exhausted',
      /^failed to allocate for range 0: no IP addresses available in range set: 10\.1\.0\.1-10\.1\.0\.2,10\.2\.0\.4-10\.2\.0\.5 of network "pods" for container "c4" \(eth0\)/,
    ),
  );
});

test('allocate() says of an exhausted range how much of it "exclude" keeps back', () => {
  const exclude = ['10.1.0.3', '10.1.0.4-10.1.0.5', '10.1.0.4'];
  const used = ['10.1.0.2', '10.1.0.6'];
  const { run } = situation({ ranges: [[{ subnet: '10.1.0.0/29', exclude }]], used });
  assert.throws(
    run,
    isIpamError('exhausted', /larger range or a shorter "exclude", which keeps back 3 addresses of it$/),
  );
  const plain = situation({ ranges: small, used: [...used, ...['3', '4', '5'].map((last) => `10.1.0.${last}`)] });
  assert.throws(plain.run, isIpamError('exhausted', /or configure a larger range$/));
});

test('allocate() refuses a requested address that is taken and names who has it', () => {
  const { run, store } = situation({ ranges: small, used: ['10.1.0.4'], requested: [[0, '10.1.0.4']] });
  assert.throws(run, (error: unknown) => {
    assert.ok(
      isIpamError(
        'taken',
        /^failed to allocate for range 0: requested IP address 10\.1\.0\.4 is not available in range set \S+ of network "pods" for container "alice" \(eth0\): it is held by another container/,
      )(error),
    );
    assert.is((error as IpamError).owner?.containerId, 'other');
    assert.is((error as IpamError).range, '10.1.0.1-10.1.0.6');
    return true;
  });
  assert.is(store.list().length, 1);
});

test('allocate() refuses a second allocation for one owner, requested or not, and names what it holds', () => {
  for (const requested of [[], [[0, '10.1.0.5']]] as [number, string][][]) {
    const { run, store } = situation({ ranges: small, requested });
    store.plant('10.1.0.3', 'alice\r\neth0');
    assert.throws(
      run,
      isIpamError(
        'taken',
        /10\.1\.0\.3 has been allocated to container "alice" \(eth0\).*duplicate allocation is not allowed/,
      ),
    );
    assert.is(store.list().length, 1);
  }
});

test("allocate() counts a reservation of the oldest format as the owner's, and none outside its sets", () => {
  const old = situation({ ranges: small });
  old.store.plant('10.1.0.3', 'alice');
  assert.throws(old.run, isIpamError('taken', /10\.1\.0\.3 has been allocated/));
  const elsewhere = situation({ ranges: small });
  elsewhere.store.plant('10.9.0.3', 'alice\r\neth0');
  elsewhere.store.plant('10.1.0.2', 'alice\r\neth1');
  assert.equal(elsewhere.run(), ['10.1.0.3']);
});

test('allocate() releases what it took when a later set fails', () => {
  const used = ['fd00::2', 'fd00::3'];
  const { run, store } = situation({ ranges: [...small, [{ subnet: 'fd00::/126' }]], used });
  assert.throws(run, isIpamError('exhausted', /^failed to allocate for range 1: .* range set: fd00::1-fd00::3 /));
  assert.equal(
    store.list().map(({ address }) => address),
    used,
  );
});

test('allocate() keeps the first failure when the release after it fails too, and warns of what stays', () => {
  const { run, store, warnings } = situation({
    ranges: [...small, [{ subnet: 'fd00::/126' }]],
    used: ['fd00::2', 'fd00::3'],
  });
  store.failures.set('release', new IpamError('store', 'read-only'));
  assert.throws(run, isIpamError('exhausted', /fd00/));
  assert.equal(warnings, ['10.1.0.2 stays reserved: read-only']);
});

test('allocate() keeps the reservation when the last address cannot be noted', () => {
  const { run, store, warnings } = situation({ ranges: small });
  store.failures.set('setLastReserved', new IpamError('store', 'disk full'));
  assert.equal(run(), ['10.1.0.2']);
  assert.ok(store.find('10.1.0.2'));
  assert.equal(warnings, ['disk full']);
});

test('allocate() reclaims abandoned reservations only when nothing else is free, and says so', () => {
  const used = ['10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6'];
  const { run, store, sets, warnings } = situation({ ranges: small, used, abandoned: ['10.1.0.2', '10.9.0.9'] });
  ensureFreeAddress(store, 'pods', sets);
  assert.equal(run(), ['10.1.0.2']);
  assert.match(warnings.join('\n'), /^Reclaimed 10\.1\.0\.2 of network "pods"[^\n]*$/);
  assert.ok(store.find('10.9.0.9'), 'one outside the set is not touched');
});

test('allocate() does not take a nameless reservation that may yet be written', () => {
  const { run, store, sets } = situation({ ranges: small, used: ['10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6'] });
  store.plant('10.1.0.2', '', false);
  assert.throws(() => ensureFreeAddress(store, 'pods', sets), isIpamError('exhausted', /./));
  assert.throws(run, isIpamError('exhausted', /10\.1\.0\.1-10\.1\.0\.6/));
  assert.is(store.find('10.1.0.2')?.containerId, '');
});

test('candidates() gives each address of the set once from wherever it begins', () => {
  const sets = setsOf(two);
  const [set] = sets;
  assert.ok(set);
  const every = ['10.1.0.2', '10.2.0.4', '10.2.0.5'];
  for (const last of [undefined, '10.1.0.1', '10.1.0.2', '10.2.0.4', '10.2.0.5', '10.2.0.1', 'x']) {
    assert.equal([...candidates(set, gatewaysOf(sets), last)].sort(), every, last);
  }
});

test('ensureFreeAddress() looks at every set', () => {
  const { store, sets } = situation({ ranges: [...small, [{ subnet: 'fd00::/126' }]], used: ['fd00::2', 'fd00::3'] });
  assert.throws(
    () => ensureFreeAddress(store, 'pods', sets),
    isIpamError('exhausted', /^failed to allocate for range 1: .* range set: fd00::1-fd00::3 of network "pods": /),
  );
  store.locked(() => store.release('fd00::3'));
  ensureFreeAddress(store, 'pods', sets);
});

test.run();
