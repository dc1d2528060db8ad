import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError, Fields } from '../../cni/protocol/fields.ts';
import type { IpamRequest } from '../driver.ts';
import { IpamError, type IpamErrorKind } from '../errors.ts';
import { FakeStore } from '../store/fake-store.ts';
import { createHostLocal, hostLocal } from './host-local.ts';

const test = suite('ipam host-local');

interface Asked {
  ipam?: object;
  containerId?: string;
  ifname?: string;
  runtimeConfig?: object;
  argsCni?: object;
  cniArgs?: [string, string][];
  cniVersion?: string;
  warn?: (message: string) => void;
}

const POOL = { ranges: [[{ subnet: '10.1.0.0/29' }], [{ subnet: 'fd00::/64' }]] };

function request({
  ipam = POOL,
  containerId = 'alice',
  ifname = 'eth0',
  cniVersion = '1.1.0',
  ...more
}: Asked = {}): IpamRequest {
  return {
    owner: { network: 'pods', containerId, ifname },
    cniVersion,
    ipam: new Fields(ipam, 'ipam'),
    runtimeConfig: new Fields(more.runtimeConfig ?? {}, 'runtimeConfig'),
    argsCni: new Fields(more.argsCni ?? {}, 'args.cni'),
    cniArgs: new Map(more.cniArgs),
    lockDirectory: () => ({ release: () => undefined }),
    ...(more.warn ? { warn: more.warn } : {}),
  };
}

function setUp() {
  const store = new FakeStore();
  const directories: string[] = [];
  const driver = createHostLocal((directory) => {
    directories.push(directory);
    return store;
  });
  const held = () => store.list().map(({ address }) => address);
  return { store, driver, directories, held };
}

const isIpamError = (kind: IpamErrorKind, pattern: RegExp) => (error: unknown) =>
  error instanceof IpamError && error.kind === kind && pattern.test(error.message);
const isFieldError = (path: string) => (error: unknown) => error instanceof FieldError && error.path === path;

test('prepare() changes nothing, allocate() answers addresses, routes and dns', () => {
  const { driver, held, directories } = setUp();
  const prepared = driver.prepare(
    request({ ipam: { ...POOL, routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0', gw: 'fd00::1' }] } }),
  );
  assert.equal(held(), []);
  assert.equal(prepared.allocate(), {
    ips: [
      { address: '10.1.0.2/29', gateway: '10.1.0.1' },
      { address: 'fd00::2/64', gateway: 'fd00::1' },
    ],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0', gw: 'fd00::1' }],
    dns: {},
  });
  assert.equal(held(), ['10.1.0.2', 'fd00::2']);
  assert.equal(directories, ['/var/lib/cni/networks/pods']);
});

test('prepare() takes requested addresses from all three places', () => {
  const { driver } = setUp();
  const { ips } = driver
    .prepare(request({ cniArgs: [['IP', '10.1.0.5']], runtimeConfig: { ips: ['fd00::77/64'] } }))
    .allocate();
  assert.equal(
    ips.map(({ address }) => address),
    ['10.1.0.5/29', 'fd00::77/64'],
  );
});

test('prepare() refuses every bad section with its path, and nothing is opened', () => {
  for (const [asked, path] of [
    [{ ipam: { ...POOL, dataDir: 'relative' } }, 'ipam.dataDir'],
    [{ ipam: { ...POOL, dataDir: 5 } }, 'ipam.dataDir'],
    [{ ipam: { ...POOL, resolvConf: '/nonexistent/resolv.conf' } }, 'ipam.resolvConf'],
    [{ ipam: { ...POOL, routes: [{}] } }, 'ipam.routes[0].dst'],
    [{ ipam: { ranges: [[{ subnet: '10.1.0.1/29' }]] } }, 'ipam.ranges[0][0].subnet'],
    [{ runtimeConfig: { ipRanges: [[]] } }, 'runtimeConfig.ipRanges[0]'],
    [{ argsCni: { ips: ['x'] } }, 'args.cni.ips[0]'],
  ] as [Asked, string][]) {
    const { driver, directories } = setUp();
    assert.throws(() => driver.prepare(request(asked)), isFieldError(path), path);
    assert.equal(directories, []);
  }
  const { driver } = setUp();
  assert.throws(
    () => driver.prepare(request({ ipam: {} })),
    isIpamError('config', /No IP ranges specified for network "pods"/),
  );
  assert.throws(
    () => driver.prepare(request({ cniArgs: [['IP', '10.7.0.1']] })),
    isIpamError('argument', /in none of the ranges/),
  );
});

test('release() removes all addresses of this owner and of nobody else, and succeeds without any', () => {
  const { driver, held } = setUp();
  driver.release(request());
  driver.prepare(request()).allocate();
  driver.prepare(request({ ifname: 'eth1' })).allocate();
  driver.prepare(request({ containerId: 'bob' })).allocate();
  driver.release(request());
  assert.equal(held(), ['10.1.0.3', 'fd00::3', '10.1.0.4', 'fd00::4']);
  driver.release(request());
  assert.is(held().length, 4);
});

test('release() works with any configuration that still says where', () => {
  for (const ipam of [
    {},
    { ranges: 'broken' },
    { ranges: [[{ subnet: 'x' }]] },
    { resolvConf: '/nonexistent', routes: 7 },
  ]) {
    const { driver, held } = setUp();
    driver.prepare(request()).allocate();
    driver.release(request({ ipam, argsCni: { ips: 5 }, runtimeConfig: { ips: [{}] }, cniArgs: [['IP', 'x']] }));
    assert.equal(held(), []);
  }
});

test('release() goes on after a failure and reports it', () => {
  const { driver, store, held } = setUp();
  driver.prepare(request()).allocate();
  store.failures.set('release', new IpamError('store', 'input/output error'));
  assert.throws(() => driver.release(request()), isIpamError('store', /input\/output error/));
  assert.equal(held(), ['10.1.0.2'], 'the second address is gone all the same');
});

test('check() wants exactly these addresses for this owner', () => {
  const { driver, store } = setUp();
  driver.prepare(request()).allocate();
  driver.check(request(), ['10.1.0.2/29', { address: 'FD00::2/64', gateway: 'fd00::1' }]);
  assert.throws(
    () => driver.check(request(), ['10.1.0.2/29', '10.1.0.3/29']),
    isIpamError(
      'missing',
      /Address 10\.1\.0\.3 is not reserved for container "alice" \(eth0\) in network "pods": nobody/,
    ),
  );
  assert.throws(
    () => driver.check(request({ containerId: 'bob' }), ['10.1.0.2/29']),
    (error: unknown) =>
      isIpamError('missing', /held by another container/)(error) && (error as IpamError).owner?.containerId === 'alice',
  );
  assert.throws(
    () => driver.check(request({ ifname: 'eth1' }), ['10.1.0.2/29']),
    isIpamError('missing', /held by another/),
  );
  assert.throws(() => driver.check(request(), ['10.1.0.2']), isFieldError('ips'));
  store.plant('10.1.0.6', 'alice');
  driver.check(request(), ['10.1.0.6/29']);
});

test('check() without addresses wants at least one reservation, as the reference', () => {
  const { driver } = setUp();
  assert.throws(() => driver.check(request(), []), isIpamError('missing', /No address is reserved/));
  driver.prepare(request({ containerId: 'bob' })).allocate();
  assert.throws(
    () => driver.check(request(), []),
    isIpamError('missing', /No address is reserved for container "alice"/),
  );
  driver.prepare(request()).allocate();
  driver.check(request(), []);
});

test('status() answers what an allocation would', () => {
  const { driver, store } = setUp();
  driver.status(request());
  assert.is(store.exists(), false);
  // A network whose ranges come from the runtime cannot be judged without them.
  driver.status(request({ ipam: {} }));
  assert.throws(() => driver.status(request({ ipam: { ranges: 5 } })), isFieldError('ipam.ranges'));
  assert.throws(() => driver.status(request({ ipam: { ...POOL, routes: [{}] } })), isFieldError('ipam.routes[0].dst'));
  for (const i of [2, 3, 4, 5, 6]) store.plant(`10.1.0.${i}`, 'other\r\neth0');
  assert.throws(() => driver.status(request()), isIpamError('exhausted', /10\.1\.0\.1-10\.1\.0\.6/));
  store.failures.set('ensureWritable', new IpamError('store', 'read-only'));
  assert.throws(() => driver.status(request()), isIpamError('store', /read-only/));
});

test('status() fails from the configured share of taken addresses on, and names both', () => {
  const { driver, store } = setUp();
  // 10.1.0.1-10.1.0.6 without the gateway and the excluded one: 4 addresses.
  const ipam = { ...POOL, exclude: ['10.1.0.6'], statusThresholdPercent: 75 };
  for (const i of [2, 3, 6]) store.plant(`10.1.0.${i}`, 'other\r\neth0');
  driver.status(request({ ipam }));
  store.plant('10.1.0.4', 'other\r\neth0');
  assert.throws(
    () => driver.status(request({ ipam })),
    isIpamError('exhausted', /3 of the 4 addresses of range set 10\.1\.0\.1-10\.1\.0\.6 .* the mark is 75 %/),
  );
  driver.status(request({ ipam: { ...ipam, statusThresholdPercent: 76 } }));
  for (const statusThresholdPercent of [0, 101, 50.5, '50'])
    for (const call of [driver.status, driver.prepare])
      assert.throws(
        () => call(request({ ipam: { ...POOL, statusThresholdPercent } })),
        isFieldError('ipam.statusThresholdPercent'),
      );
});

test('status() is content while what is outlived can be reclaimed', () => {
  const { driver, store } = setUp();
  for (const i of [2, 3, 4, 5, 6]) store.plant(`10.1.0.${i}`, 'other\r\neth0');
  assert.throws(() => driver.status(request()), isIpamError('exhausted', /10\.1\.0\.1/));
  store.outlived.add('10.1.0.4');
  driver.status(request());
});

test('allocate() takes over what the same container held before a reboot, and what others did when all is taken', () => {
  const warnings: string[] = [];
  const { driver, store, held } = setUp();
  const ask = (containerId: string) =>
    driver.prepare(request({ containerId, warn: (message) => void warnings.push(message) })).allocate().ips[0]?.address;
  assert.is(ask('alice'), '10.1.0.2/29');
  assert.throws(() => ask('alice'), isIpamError('taken', /10\.1\.0\.2 has been allocated to container "alice"/));
  for (const address of ['10.1.0.2', 'fd00::2']) store.outlived.add(address);
  assert.is(ask('alice'), '10.1.0.3/29', 'not the one freed a moment ago');
  assert.match(warnings[0] ?? '', /Reclaimed 10\.1\.0\.2 .*container "alice" \(eth0\) held it before this machine/);
  for (const i of [2, 4, 5, 6]) store.plant(`10.1.0.${i}`, 'other\r\neth0');
  assert.throws(() => ask('bob'), isIpamError('exhausted', /10\.1\.0\.1/));
  store.outlived.add('10.1.0.5');
  assert.is(ask('bob'), '10.1.0.5/29');
  assert.ok(held().includes('10.1.0.4'));
});

test('a requested address is refused where the configuration excludes it', () => {
  const { driver } = setUp();
  const ipam = { ranges: [[{ subnet: '10.1.0.0/24', exclude: ['10.1.0.8/29'] }]] };
  assert.throws(
    () => driver.prepare(request({ ipam, cniArgs: [['IP', '10.1.0.9']] })),
    isIpamError('argument', /Requested IP 10\.1\.0\.9 is excluded by the configuration/),
  );
  assert.is(driver.prepare(request({ ipam, cniArgs: [['IP', '10.1.0.7']] })).allocate().ips[0]?.address, '10.1.0.7/24');
});

test('collect() releases what no valid attachment owns and tells what that was', () => {
  const { driver, store, held } = setUp();
  assert.equal(driver.collect(request(), []), []);
  store.plant('10.1.0.2', 'alive\r\neth0');
  store.plant('10.1.0.3', 'alive\r\neth1');
  store.plant('10.1.0.4', 'gone\r\neth0');
  store.plant('10.1.0.5', 'alive');
  store.plant('10.1.0.6', 'gone-old');
  store.plant('fd00::2', '');
  store.plant('fd00::3', '', false);
  const collected = driver.collect(request({ ipam: { ranges: 'broken' } }), [{ containerId: 'alive', ifname: 'eth0' }]);
  assert.equal(collected, [
    { address: '10.1.0.3', containerId: 'alive', ifname: 'eth1' },
    { address: '10.1.0.4', containerId: 'gone', ifname: 'eth0' },
    { address: '10.1.0.6', containerId: 'gone-old' },
    { address: 'fd00::2', containerId: '' },
  ]);
  assert.equal(held(), ['10.1.0.2', '10.1.0.5', 'fd00::3']);
});

test('collect() goes on after failures and reports them all', () => {
  const { driver, store, held } = setUp();
  for (const i of [2, 3, 4]) store.plant(`10.1.0.${i}`, 'gone\r\neth0');
  const refuse = store.release.bind(store);
  store.release = (address) => {
    if (address === '10.1.0.4') return refuse(address);
    throw new IpamError('store', `${address} refused`);
  };
  assert.throws(
    () => driver.collect(request(), []),
    (error: unknown) =>
      error instanceof AggregateError &&
      error.errors.length === 2 &&
      /2 addresses of network "pods"/.test(error.message),
  );
  assert.equal(held(), ['10.1.0.2', '10.1.0.3']);
});

test('every method gives the lock back when it fails', () => {
  const { driver, store } = setUp();
  driver.prepare(request()).allocate();
  for (const call of [
    () => driver.prepare(request()).allocate(),
    () => driver.check(request(), ['10.1.0.9/29']),
    () => {
      store.failures.set('release', new Error('on purpose'));
      driver.release(request());
    },
  ]) {
    assert.throws(call);
    assert.is(store.isLocked, false);
  }
});

test('allocate() ends in "locked" when another process keeps the lock', () => {
  const directory = mkdtempSync(join(tmpdir(), 'podlink-host-local-'));
  mkdirSync(join(directory, 'pods'));
  try {
    const busy: IpamRequest = {
      ...request({ ipam: { ...POOL, dataDir: directory } }),
      lockDirectory: () => {
        throw Object.assign(new Error('held'), { name: 'LockTimeoutError' });
      },
    };
    assert.throws(() => hostLocal.prepare(busy).allocate(), isIpamError('locked', /held its lock/));
    assert.equal(readdirSync(join(directory, 'pods')), []);
    assert.throws(() => hostLocal.release(busy), isIpamError('locked', /held its lock/));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('release(), check() and collect() make no directory where there is none', () => {
  const directory = mkdtempSync(join(tmpdir(), 'podlink-host-local-'));
  try {
    const asked = request({ ipam: { ...POOL, dataDir: join(directory, 'networks') } });
    hostLocal.release(asked);
    assert.equal(hostLocal.collect(asked, []), []);
    assert.throws(() => hostLocal.check(asked, ['10.1.0.2/29']), isIpamError('missing', /10\.1\.0\.2/));
    assert.equal(readdirSync(directory), []);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('hostLocal keeps its files below dataDir and reads resolvConf', () => {
  const directory = mkdtempSync(join(tmpdir(), 'podlink-host-local-'));
  try {
    const resolvConf = join(directory, 'resolv.conf');
    writeFileSync(resolvConf, 'nameserver 192.0.2.1\nsearch a.example\n');
    const asked = request({ ipam: { ...POOL, dataDir: join(directory, 'networks'), resolvConf } });
    assert.equal(hostLocal.prepare(asked).allocate().dns, { nameservers: ['192.0.2.1'], search: ['a.example'] });
    const files = () => readdirSync(join(directory, 'networks', 'pods')).sort();
    assert.equal(files(), ['10.1.0.2', 'fd00::2', 'last_reserved_ip.0', 'last_reserved_ip.1']);
    hostLocal.check(asked, ['10.1.0.2/29', 'fd00::2/64']);
    hostLocal.status(asked);
    assert.is(hostLocal.collect(asked, [asked.owner]).length, 0);
    hostLocal.release(asked);
    assert.equal(files(), ['last_reserved_ip.0', 'last_reserved_ip.1']);
    assert.throws(() => hostLocal.release({ ...asked, owner: { ...asked.owner, network: '../x' } }), RangeError);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test.run();
