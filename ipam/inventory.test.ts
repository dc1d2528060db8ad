import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fields } from '../cni/protocol/fields.ts';
import type { IpamRequest } from './driver.ts';
import { IpamError, type IpamErrorKind } from './errors.ts';
import { hostLocal } from './local/host-local.ts';
import { findHeldAddress, listNetworks, releaseAddress, takeInventory } from './inventory.ts';

const test = suite<{ dataDir: string; request(containerId?: string): IpamRequest }>('ipam inventory');

const POOL = { ranges: [[{ subnet: '10.1.0.0/28', exclude: ['10.1.0.14'] }], [{ subnet: 'fd00::/64' }]] };

test.before.each((context) => {
  context.dataDir = mkdtempSync(join(tmpdir(), 'podlink-inventory-'));
  context.request = (containerId = '') => ({
    owner: { network: 'pods', containerId, ifname: 'eth0' },
    cniVersion: '1.1.0',
    ipam: new Fields({ dataDir: context.dataDir, ...POOL }, 'ipam'),
    runtimeConfig: new Fields({}),
    argsCni: new Fields({}),
    cniArgs: new Map(),
    lockDirectory: () => ({ release: () => undefined }),
    netnsPath: `/run/netns/${containerId}`,
    netnsIdentity: '4:4026532281',
  });
});
test.after.each(({ dataDir }) => rmSync(dataDir, { recursive: true, force: true }));

const isIpamError = (kind: IpamErrorKind, pattern: RegExp) => (error: unknown) =>
  error instanceof IpamError && error.kind === kind && pattern.test(error.message);

test('takeInventory() tells who holds what, where they live, and how full the ranges are', ({ dataDir, request }) => {
  hostLocal.prepare(request('alice')).allocate();
  hostLocal.prepare(request('bob')).allocate();
  writeFileSync(join(dataDir, 'pods', '10.1.0.10'), 'foreign');
  writeFileSync(join(dataDir, 'pods', '10.9.9.9'), 'elsewhere\r\neth0');
  const { network, directory, ranges, reservations, strays } = takeInventory(request());
  assert.equal([network, directory, strays], ['pods', join(dataDir, 'pods'), []]);
  assert.equal(ranges, [
    { range: '10.1.0.1-10.1.0.14', size: 12, taken: 3 },
    { range: 'fd00::1-fd00::ffff:ffff:ffff:ffff', size: 2 ** 64, taken: 2 },
  ]);
  assert.equal(
    reservations.map(({ address, containerId, ifname, state, range, netnsPath }) =>
      [address, containerId, ifname, state, range?.slice(0, 8), netnsPath].join(' '),
    ),
    [
      '10.1.0.2 alice eth0 held 10.1.0.1 /run/netns/alice',
      '10.1.0.3 bob eth0 held 10.1.0.1 /run/netns/bob',
      '10.1.0.10 foreign  held 10.1.0.1 ',
      '10.9.9.9 elsewhere eth0 held  ',
      'fd00::2 alice eth0 held fd00::1- /run/netns/alice',
      'fd00::3 bob eth0 held fd00::1- /run/netns/bob',
    ],
  );
  assert.equal(JSON.parse(JSON.stringify(ranges)), ranges);
});

test('takeInventory() and the others make nothing where there is nothing', ({ dataDir, request }) => {
  assert.equal(takeInventory(request()).reservations, []);
  assert.equal(takeInventory(request()).strays, []);
  assert.is(findHeldAddress(request(), '10.1.0.2'), undefined);
  assert.throws(() => releaseAddress(request(), '10.1.0.2'), isIpamError('missing', /10\.1\.0\.2 of network "pods"/));
  assert.equal(listNetworks(request()), []);
  assert.equal(readdirSync(dataDir), []);
});

test('takeInventory() says what everything else in the directory is', ({ dataDir, request }) => {
  hostLocal.prepare(request('alice')).allocate();
  const path = (name: string) => join(dataDir, 'pods', name);
  for (const [name, text] of [
    ['10.1.0.4', ''],
    ['10.1.0.5', '\0\0\0\0'],
    ['.podlink-temporary', 'x'],
    ['.podlink-temporary-last', 'x'],
    ['.podlink-blocks.json', '{}'],
    ['.podlink-blocks.json.temporary', '{'],
    ['.podlink-etcd.lock', ''],
    ['last_reserved_ip.7', 'rubbish'],
    ['notes.txt', 'x'],
    ['FD00::9', 'x'],
    ['lock', ''],
  ] as const)
    writeFileSync(path(name), text);
  utimesSync(path('10.1.0.4'), 1000, 1000);
  mkdirSync(path('10.1.0.6'));
  symlinkSync('/nonexistent', path('10.1.0.7'));
  const { strays, reservations } = takeInventory(request());
  const problems = Object.fromEntries(strays.map(({ name, problem }) => [name, problem]));
  for (const [name, pattern] of [
    ['10.1.0.4', /^an empty reservation/],
    ['10.1.0.5', /^a torn reservation/],
    ['last_reserved_ip.7', /^names no address/],
    ['notes.txt', /^not a file of this directory/],
    ['FD00::9', /^an address in a spelling/],
    ['10.1.0.6', /^a directory, not a file, and nobody can get the address 10\.1\.0\.6/],
    ['10.1.0.7', /^a symbolic link, not a file, and nobody/],
  ] as const)
    assert.match(problems[name] ?? '', pattern, name);
  assert.is(strays.length, 7, 'the files of podlink itself are none');
  assert.equal(
    strays.filter(({ isReservation }) => isReservation).map(({ name }) => name),
    ['10.1.0.4', '10.1.0.5'],
  );
  assert.equal(
    reservations.filter(({ state }) => state === 'nobody').map(({ address }) => address),
    ['10.1.0.4', '10.1.0.5'],
  );
});

test("takeInventory() of a pool that a cluster shares counts in this node's blocks", ({ dataDir, request }) => {
  const ipam = new Fields({ type: 'podlink-etcd', dataDir, subnet: '10.1.0.0/24' }, 'ipam');
  const inventory = () => takeInventory({ ...request(), ipam }).ranges;
  assert.equal(inventory(), [{ range: '10.1.0.1-10.1.0.254', blocks: [], size: 0, taken: 0 }]);
  mkdirSync(join(dataDir, 'pods'));
  const noted = { node: 'n1', prefix: '/podlink', blocks: ['10.1.0.0/30', '10.1.0.64/30'], returning: ['10.1.0.8/30'] };
  writeFileSync(join(dataDir, 'pods', '.podlink-blocks.json'), JSON.stringify(noted));
  writeFileSync(join(dataDir, 'pods', '10.1.0.65'), 'alice\r\neth0');
  writeFileSync(join(dataDir, 'pods', '10.1.0.200'), 'bob\r\neth0');
  assert.equal(inventory(), [
    // .0 and the gateway .1 are nobody's.
    { range: '10.1.0.1-10.1.0.254', blocks: ['10.1.0.0/30', '10.1.0.64/30'], size: 6, taken: 1 },
  ]);
  writeFileSync(join(dataDir, 'pods', '.podlink-blocks.json'), '{');
  assert.throws(inventory, isIpamError('store', /Cannot read ".*\.podlink-blocks\.json"/));
});

test('listNetworks() leaves out what is no network', ({ dataDir, request }) => {
  hostLocal.prepare(request('alice')).allocate();
  mkdirSync(join(dataDir, 'other'));
  mkdirSync(join(dataDir, 'lost+found'));
  writeFileSync(join(dataDir, 'file'), '');
  assert.equal(listNetworks(request()), ['other', 'pods']);
  writeFileSync(join(dataDir, 'plain'), '');
  const asked = { ipam: new Fields({ dataDir: join(dataDir, 'plain') }) };
  assert.throws(() => listNetworks(asked), isIpamError('store', /Cannot list ".*plain"/));
});

test('findHeldAddress() takes any spelling, and no text that is none', ({ request }) => {
  hostLocal.prepare(request('alice')).allocate();
  assert.is(findHeldAddress(request(), 'FD00:0::2')?.containerId, 'alice');
  assert.throws(() => findHeldAddress(request(), '10.1.0'), isIpamError('argument', /"10\.1\.0" is not an IP address/));
});

test('releaseAddress() frees one address, and only if its holder is the one expected', ({ request }) => {
  hostLocal.prepare(request('alice')).allocate();
  const bob = { containerId: 'bob', ifname: 'eth0' };
  assert.throws(
    () => releaseAddress(request(), '10.1.0.2', bob),
    isIpamError('taken', /held by container "alice" \(eth0\), not by container "bob"/),
  );
  const released = releaseAddress(request(), '10.1.0.2', { ...bob, containerId: 'alice' });
  assert.is(released.containerId, 'alice');
  assert.is(findHeldAddress(request(), '10.1.0.2'), undefined);
  assert.throws(() => hostLocal.check(request('alice'), ['10.1.0.2/28']), isIpamError('missing', /10\.1\.0\.2/));
  hostLocal.check(request('alice'), ['fd00::2/64']);
});

test.run();
