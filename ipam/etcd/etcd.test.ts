// The driver over an etcd in memory and reservations on disk: what several nodes do to one pool.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FieldError, Fields } from '../../cni/protocol/fields.ts';
import { openDiskStore } from '../store/disk-store.ts';
import type { IpamRequest } from '../driver.ts';
import { IpamError, type IpamErrorKind } from '../errors.ts';
import { createEtcdIpam, openClaims } from './etcd.ts';
import { EtcdRefusedError } from './etcd-client.ts';
import { FakeEtcd } from './etcd-fake-gateway.ts';

const test = suite('ipam etcd');

const CLAIMS = '/podlink/networks/pods/blocks/';
/** Four blocks of four addresses; of the first one .0 and the gateway .1 are not handed out, of the last one .15. */
const POOL = { subnet: '10.1.0.0/28', blockSize: 30 };

/** Nodes, each with a disk of its own, and one etcd. */
class Cluster {
  readonly etcd = new FakeEtcd();
  readonly warnings: string[] = [];
  readonly directory = mkdtempSync(join(tmpdir(), 'podlink-etcd-'));
  readonly driver = createEtcdIpam(openDiskStore, () => this.etcd.transport);
  readonly #held = new Set<string>();

  request(node: string, containerId: string, more: object = {}): IpamRequest {
    const { cniArgs, ...ipam } = { ...POOL, ...more } as Record<string, unknown>;
    return {
      owner: { network: 'pods', containerId, ifname: 'eth0' },
      cniVersion: '1.1.0',
      ipam: new Fields({ endpoints: ['http://etcd:2379'], node, dataDir: join(this.directory, node), ...ipam }, 'ipam'),
      runtimeConfig: new Fields({}, 'runtimeConfig'),
      argsCni: new Fields({}, 'args.cni'),
      cniArgs: new Map(Object.entries((cniArgs ?? {}) as Record<string, string>)),
      lockDirectory: (path) => this.#lock(path),
      warn: (message) => this.warnings.push(message),
    };
  }

  async add(node: string, containerId: string, more: object = {}): Promise<string[]> {
    const { ips } = await this.driver.prepare(this.request(node, containerId, more)).allocate();
    return ips.map(({ address }) => address.replace(/\/.*/, ''));
  }

  async del(node: string, containerId: string, more: object = {}): Promise<void> {
    await this.driver.release(this.request(node, containerId, more));
  }

  /** The claims as `block node`, in order. */
  claims(): string[] {
    return this.etcd
      .keys(CLAIMS)
      .map((key) => `${key} ${JSON.parse(this.etcd.entries.get(CLAIMS + key)?.value ?? '{}').node}`);
  }

  claim(block: string, node: string): void {
    this.etcd.put(CLAIMS + block, JSON.stringify({ node, claimed: '2026-01-01T00:00:00Z' }));
  }

  noted(node: string): { blocks: string[]; returning: string[] } {
    return JSON.parse(readFileSync(this.#blockFile(node), 'utf8'));
  }

  /** Note what another process could have noted. */
  note(node: string, noted: { blocks: string[]; returning: string[] }): void {
    writeFileSync(this.#blockFile(node), JSON.stringify({ node, prefix: '/podlink', ...noted }));
  }

  loseNote(node: string): void {
    rmSync(this.#blockFile(node));
  }

  reserved(node: string): string[] {
    return readdirSync(join(this.directory, node, 'pods')).filter((name) => /^[0-9a-f]+[.:]/.test(name));
  }

  #blockFile(node: string): string {
    return join(this.directory, node, 'pods', '.podlink-blocks.json');
  }

  /** As flock(2) between processes, only that nobody waits. */
  #lock(path: string) {
    if (this.#held.has(path)) throw Object.assign(new Error('held'), { name: 'LockTimeoutError' });
    writeFileSync(path, '', { flag: 'a' });
    this.#held.add(path);
    return { release: () => this.#held.delete(path) };
  }

  isUnlocked(): boolean {
    return this.#held.size === 0;
  }
}

async function withCluster(work: (cluster: Cluster) => Promise<void>): Promise<void> {
  const cluster = new Cluster();
  try {
    await work(cluster);
    assert.ok(cluster.isUnlocked(), 'no lock is left held');
  } finally {
    rmSync(cluster.directory, { recursive: true });
  }
}

async function rejects(work: () => unknown, kind: IpamErrorKind, pattern: RegExp): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof IpamError)) throw error;
    assert.is(error.kind, kind, error.message);
    assert.match(error.message, pattern);
    return;
  }
  assert.unreachable(`nothing was thrown, expected: ${pattern}`);
}

test('allocate() claims a block for the first address, and asks etcd nothing for the next', () =>
  withCluster(async (cluster) => {
    const [first = ''] = await cluster.add('n1', 'c1');
    assert.is(cluster.claims().length, 1);
    assert.match(cluster.claims()[0] ?? '', /^010\.001\.000\.0\d\d\/30 n1$/);
    const asked = cluster.etcd.requests.length;
    const [second = ''] = await cluster.add('n1', 'c2');
    assert.is.not(first, second);
    assert.is(cluster.etcd.requests.length, asked);
    assert.equal(cluster.reserved('n1').sort(), [first, second].sort());
  }));

test('allocate() answers subnet, gateway, routes and dns as host-local', () =>
  withCluster(async (cluster) => {
    const { ips, routes, dns } = await cluster.driver
      .prepare(cluster.request('n1', 'c1', { routes: [{ dst: '0.0.0.0/0' }] }))
      .allocate();
    assert.match(ips[0]?.address ?? '', /^10\.1\.0\.\d+\/28$/);
    assert.is(ips[0]?.gateway, '10.1.0.1');
    assert.equal([routes, dns], [[{ dst: '0.0.0.0/0' }], {}]);
  }));

test('allocate() hands out every address of the pool once, whatever node asks, and then says who has the blocks', () =>
  withCluster(async (cluster) => {
    const seen: string[] = [];
    for (let i = 0; ; i++) {
      try {
        seen.push(...(await cluster.add(`n${1 + (i % 3)}`, `c${i}`)));
      } catch (error) {
        assert.match(
          String(error),
          /all 4 blocks are claimed, by 3 nodes: .*release the blocks of nodes that are gone/,
        );
        break;
      }
    }
    for (let i = 100; i < 113; i++) {
      for (const node of ['n1', 'n2', 'n3']) seen.push(...(await cluster.add(node, `c${i}${node}`).catch(() => [])));
    }
    // 10.1.0.0 is the network, .1 the gateway, .15 the broadcast address.
    const all = Array.from({ length: 13 }, (_, i) => `10.1.0.${i + 2}`);
    assert.equal(seen.toSorted(), all.toSorted());
    assert.is(cluster.claims().length, 4);
  }));

test('allocate() goes to another block when somebody is faster', () =>
  withCluster(async (cluster) => {
    let first = true;
    cluster.etcd.beforeCommit = () => {
      // Another node claims what this one has just seen to be free: all but one block.
      if (first) for (const start of ['000', '004', '008']) cluster.claim(`010.001.000.${start}/30`, 'n9');
      first = false;
    };
    const [address = ''] = await cluster.add('n1', 'c1');
    assert.ok(['10.1.0.12', '10.1.0.13', '10.1.0.14'].includes(address), address);
    assert.is(cluster.claims().filter((claim) => claim.endsWith(' n1')).length, 1);
  }));

test('allocate() never claims what overlaps, when the nodes disagree about the size of a block', () =>
  withCluster(async (cluster) => {
    for (const [size, existing] of [
      [30, '010.001.000.000/29'],
      [29, '010.001.000.004/30'],
      [30, '010.001.000.008/29'],
      [28, '010.001.000.012/30'],
    ] as const) {
      for (const isSeenBefore of [true, false]) {
        cluster.etcd.entries.clear();
        const claim = () => cluster.claim(existing, 'n9');
        if (isSeenBefore) claim();
        cluster.etcd.beforeCommit = isSeenBefore ? () => undefined : claim;
        const node = `n${size}-${existing.slice(12, 15)}-${isSeenBefore}`;
        const start = Number(existing.slice(12, 15));
        const count = existing.endsWith('/29') ? 8 : 4;
        for (let i = 0; i < 16; i++) {
          const [address = '10.1.0.99'] = await cluster.add(node, `c${i}`, { blockSize: size }).catch(() => []);
          const number = Number(address.slice(7));
          assert.ok(number < start || number >= start + count, `${address} is in ${existing}`);
        }
        assert.is(
          cluster.claims().filter((text) => text.endsWith(`${node}`)).length,
          size === 28 ? 0 : size === 29 ? 1 : 2,
        );
      }
    }
  }));

test("allocate() treats a claim that it cannot read as a stranger's", () =>
  withCluster(async (cluster) => {
    for (const [start, text] of [
      ['000', 'junk'],
      ['004', '{}'],
      ['008', '{"node":7}'],
      ['012', ''],
    ] as const) {
      cluster.etcd.put(`${CLAIMS}010.001.000.${start}/30`, text);
    }
    await rejects(() => cluster.add('n1', 'c1'), 'exhausted', /all 4 blocks are claimed/);
  }));

test('allocate() goes on in its own blocks while etcd is down, and then says why there is no more', () =>
  withCluster(async (cluster) => {
    await cluster.add('n1', 'c0');
    cluster.etcd.isDown = true;
    const added: string[] = [];
    for (let i = 1; i < 4; i++) {
      const address = await cluster.add('n1', `c${i}`).catch(() => undefined);
      if (address) added.push(`c${i}`);
    }
    assert.ok(added.length >= 1);
    const before = cluster.reserved('n1');
    await rejects(
      () => cluster.add('n1', 'late'),
      'exhausted',
      /blocks of node "n1".*another block cannot be claimed: etcd cannot be reached \(.*ECONNREFUSED\)/,
    );
    assert.equal(cluster.reserved('n1'), before);
    await cluster.del('n1', 'c0');
    await cluster.add('n1', 'late');
    cluster.etcd.isDown = false;
    await cluster.add('n1', 'later');
    assert.is(cluster.noted('n1').blocks.length, 2);
  }));

test('allocate() reports what etcd refuses', () =>
  withCluster(async (cluster) => {
    cluster.etcd.refusal = new EtcdRefusedError(7, 'etcdserver: permission denied');
    await rejects(() => cluster.add('n1', 'c1'), 'store', /etcd refused \(etcdserver: permission denied\)/);
  }));

test('allocate() uses the claim whose answer was lost', () =>
  withCluster(async (cluster) => {
    cluster.etcd.losesNextAnswer = true;
    await rejects(() => cluster.add('n1', 'c1'), 'exhausted', /no answer for 2000 ms/);
    assert.is(cluster.claims().length, 1);
    await cluster.add('n1', 'c1');
    assert.is(cluster.claims().length, 1);
    assert.is(cluster.noted('n1').blocks.length, 1);
  }));

test('allocate() reads the own claims back when the disk has lost them', () =>
  withCluster(async (cluster) => {
    const [held = ''] = await cluster.add('n1', 'c1');
    const { blocks } = cluster.noted('n1');
    cluster.loseNote('n1');
    const [next] = await cluster.add('n1', 'c2');
    assert.is.not(next, held);
    assert.equal(cluster.noted('n1').blocks, blocks);
    assert.is(cluster.claims().length, 1);
  }));

test('allocate() refuses to hand out of blocks that another name has claimed', () =>
  withCluster(async (cluster) => {
    await cluster.add('n1', 'c1');
    await rejects(() => cluster.add('n1', 'c2', { node: 'renamed' }), 'config', /as node "n1".*"renamed"/);
    await rejects(() => cluster.add('n1', 'c2', { prefix: '/other' }), 'config', /below "\/podlink".*"\/other"/);
  }));

test('allocate() takes one address of each set or none', () =>
  withCluster(async (cluster) => {
    const dual = {
      subnet: undefined,
      ranges: [[{ subnet: '10.1.0.0/28' }], [{ subnet: 'fd00::/64' }]],
      blockSizeIPv6: 126,
    };
    const [ipv4 = '', ipv6 = ''] = await cluster.add('n1', 'c1', dual);
    assert.match(ipv4, /^10\.1\.0\./);
    assert.match(ipv6, /^fd00::/);
    assert.is(cluster.claims().length, 2);
    await cluster.del('n1', 'c1', dual);
    assert.equal(cluster.reserved('n1'), []);
    for (const block of ['000', '004', '008', '012']) cluster.claim(`010.001.000.${block}/30`, 'n9');
    await rejects(() => cluster.add('n2', 'c2', dual), 'exhausted', /10\.1\.0\.1-10\.1\.0\.14/);
    assert.equal(cluster.reserved('n2'), []);
  }));

test('allocate() refuses a second allocation for one owner', () =>
  withCluster(async (cluster) => {
    await cluster.add('n1', 'c1');
    await rejects(() => cluster.add('n1', 'c1'), 'taken', /duplicate allocation/);
  }));

test('allocate() claims the very block of a requested address, unless another node has it', () =>
  withCluster(async (cluster) => {
    assert.equal(await cluster.add('n1', 'c1', { cniArgs: { IP: '10.1.0.9' } }), ['10.1.0.9']);
    assert.equal(cluster.claims(), ['010.001.000.008/30 n1']);
    await rejects(() => cluster.add('n1', 'c2', { cniArgs: { IP: '10.1.0.9' } }), 'taken', /held by another container/);
    await rejects(
      () => cluster.add('n2', 'c2', { cniArgs: { IP: '10.1.0.10' } }),
      'taken',
      /10\.1\.0\.10 is not available in .* of network "pods": it is in block 10\.1\.0\.8\/30, which node "n1" has claimed/,
    );
    cluster.etcd.isDown = true;
    assert.equal(await cluster.add('n1', 'c2', { cniArgs: { IP: '10.1.0.10' } }), ['10.1.0.10']);
    await rejects(() => cluster.add('n1', 'c3', { cniArgs: { IP: '10.1.0.2' } }), 'exhausted', /cannot be reached/);
    await rejects(() => cluster.add('n1', 'c3', { cniArgs: { IP: '10.9.0.2' } }), 'argument', /none of the ranges/);
  }));

test('release() returns empty blocks but one', () =>
  withCluster(async (cluster) => {
    const held: string[] = [];
    for (let i = 0; i < 13; i++) {
      await cluster.add('n1', `c${i}`);
      held.push(`c${i}`);
    }
    assert.is(cluster.claims().length, 4);
    for (const containerId of held) await cluster.del('n1', containerId);
    assert.is(cluster.claims().length, 1);
    const { blocks, returning } = cluster.noted('n1');
    assert.equal([blocks.length, returning], [1, []]);
    assert.equal(cluster.warnings, []);
    const asked = cluster.etcd.requests.length;
    await cluster.add('n1', 'again');
    assert.is(cluster.etcd.requests.length, asked, 'the block that was kept serves the next ADD');
    await cluster.add('n2', 'other');
  }));

test('release() keeps a block with a reservation', () =>
  withCluster(async (cluster) => {
    const byAddress = new Map<string, string>();
    for (let i = 0; i < 13; i++) byAddress.set((await cluster.add('n1', `c${i}`))[0] ?? '', `c${i}`);
    // One is left in each block.
    const kept = ['10.1.0.3', '10.1.0.5', '10.1.0.8', '10.1.0.12'];
    for (const [address, containerId] of byAddress) if (!kept.includes(address)) await cluster.del('n1', containerId);
    assert.is(cluster.claims().length, 4);
    assert.equal(cluster.reserved('n1').sort(), kept.toSorted());
  }));

test('release() succeeds while etcd is down, and nothing is handed out of what could not be returned', () =>
  withCluster(async (cluster) => {
    for (let i = 0; i < 13; i++) await cluster.add('n1', `c${i}`);
    cluster.etcd.isDown = true;
    const asked = cluster.etcd.requests.length;
    for (let i = 0; i < 13; i++) await cluster.del('n1', `c${i}`);
    assert.is(cluster.etcd.requests.length, asked + 3, 'once for each block that got empty, and not for every DEL');
    assert.is(cluster.claims().length, 4);
    const { blocks, returning } = cluster.noted('n1');
    assert.equal([blocks.length, returning.length], [1, 3]);
    assert.match(cluster.warnings[0] ?? '', /not compared with etcd: .*ECONNREFUSED/);
    let added = 0;
    while (await cluster.add('n1', `d${added}`).catch(() => undefined)) added++;
    assert.ok(added <= 4, `${added} addresses of one block`);
    cluster.etcd.isDown = false;
    await cluster.add('n1', 'back');
    assert.equal(cluster.noted('n1').returning, []);
    assert.is(cluster.claims().length, 2);
  }));

test('release() whose answer is lost cannot take back a block that was claimed again', () =>
  withCluster(async (cluster) => {
    const claims = openClaims(cluster.request('n1', 'x').ipam, 'pods', () => cluster.etcd.transport);
    await cluster.add('n1', 'c1');
    const [before] = await claims.list();
    assert.ok(before);
    await claims.release(before);
    await claims.claim(before.block, 'n1');
    await claims.release(before);
    assert.is(cluster.claims().length, 1, 'the request that came late hit nothing');
    cluster.loseNote('n1');
    const [known] = await claims.list();
    await cluster.add('n1', 'c2');
    if (known) await claims.release(known);
    assert.is(cluster.claims().length, 1, 'what is read back from etcd is claimed anew');
  }));

test('release() that sets a block aside while another process speaks to etcd is not undone by that', () =>
  withCluster(async (cluster) => {
    const valid = Array.from({ length: 13 }, (_, i) => ({ containerId: `c${i}`, ifname: 'eth0' }));
    for (const { containerId } of valid) await cluster.add('n1', containerId);
    const { blocks } = cluster.noted('n1');
    // So that the contact has to write to etcd before it notes what it has learnt.
    cluster.loseNote('n1');
    let isFirst = true;
    cluster.etcd.beforeCommit = () => {
      if (isFirst) cluster.note('n1', { blocks: blocks.slice(1), returning: blocks.slice(0, 1) });
      isFirst = false;
    };
    await cluster.driver.collect(cluster.request('n1', ''), valid);
    assert.is(isFirst, false);
    assert.equal(cluster.noted('n1').returning, blocks.slice(0, 1));
    assert.equal(cluster.noted('n1').blocks.toSorted(), blocks.slice(1).toSorted());
  }));

test("claim() knows its own claim again, and no other node's", () =>
  withCluster(async (cluster) => {
    const claims = openClaims(cluster.request('n1', 'x').ipam, 'pods', () => cluster.etcd.transport);
    await cluster.add('n1', 'c1');
    const [claim] = await claims.list();
    assert.ok(claim);
    assert.is(await claims.claim(claim.block, 'n1'), true, 'its answer was lost, and another endpoint asked');
    assert.is(await claims.claim(claim.block, 'n2'), false);
    assert.is(cluster.claims().length, 1);
  }));

test('release() needs no more of the configuration than dataDir', () =>
  withCluster(async (cluster) => {
    for (const broken of [
      { endpoints: 5 },
      { subnet: 'x' },
      { blockSize: 'x' },
      { caFile: '/nonexistent' },
      { node: '/' },
    ]) {
      await cluster.add('n1', 'c1');
      await cluster.del('n1', 'c1', broken);
      assert.equal(cluster.reserved('n1'), []);
      assert.match(cluster.warnings.pop() ?? '', /Empty blocks of network "pods" are not returned: Invalid "ipam\./);
    }
    await cluster.del('n7', 'never');
    assert.equal(readdirSync(cluster.directory), ['n1']);
  }));

test('a block that the operator took away is refused from the next contact on', () =>
  withCluster(async (cluster) => {
    const claims = openClaims(cluster.request('n1', 'x').ipam, 'pods', () => cluster.etcd.transport);
    const [address = ''] = await cluster.add('n1', 'c1');
    const cidr = `${address}/28`;
    await cluster.driver.check(cluster.request('n1', 'c1'), [cidr]);
    await rejects(() => claims.releaseNode('n1'), 'taken', /it was alive at 20/);
    assert.is((await claims.releaseNode('n1', { force: true })).length, 1);
    assert.equal(cluster.claims(), []);
    await cluster.driver.collect(cluster.request('n1', ''), [{ containerId: 'c1', ifname: 'eth0' }]);
    assert.match(
      cluster.warnings[0] ?? '',
      new RegExp(`no longer this node's: it was released in etcd.* remove the containers with ${address} at once`),
    );
    await rejects(
      () => cluster.driver.check(cluster.request('n1', 'c1'), [cidr]),
      'missing',
      /in no block of node "n1".*Delete the container/,
    );
    assert.equal(cluster.noted('n1').blocks, []);
    // Another node claims it, and this one gets another.
    for (const node of ['n2', 'n3', 'n4']) await cluster.add(node, 'c1');
    const [next = ''] = await cluster.add('n1', 'c2');
    assert.is.not(next, address);
    await cluster.del('n1', 'c1');
    assert.equal(cluster.reserved('n1'), [next]);
  }));

test("releaseNode() takes the blocks of a node that is dead, and nobody else's", () =>
  withCluster(async (cluster) => {
    const claims = openClaims(cluster.request('n1', 'x').ipam, 'pods', () => cluster.etcd.transport);
    await cluster.add('n1', 'c1');
    await cluster.add('n2', 'c1');
    assert.equal(
      (await claims.listNodes()).map(({ node, isAlive, blocks }) => [node, isAlive, blocks.length]),
      [
        ['n1', true, 1],
        ['n2', true, 1],
      ],
    );
    cluster.etcd.entries.delete('/podlink/nodes/n1'); // as the end of its lease does
    assert.equal((await claims.listNodes())[0]?.isAlive, false);
    assert.is((await claims.releaseNode('n1')).length, 1);
    assert.is(cluster.claims().length, 1);
    assert.match(cluster.claims()[0] ?? '', / n2$/);
    assert.equal(await claims.releaseNode('unknown'), []);
  }));

test('status() answers without etcd while there is a free address, and otherwise what an ADD would meet', () =>
  withCluster(async (cluster) => {
    const status = () => cluster.driver.status(cluster.request('n1', ''));
    await status();
    assert.equal(readdirSync(cluster.directory), []);
    assert.equal(cluster.claims(), []);
    await cluster.add('n1', 'c0');
    cluster.etcd.isDown = true;
    await status();
    for (let i = 1; i < 4; i++) await cluster.add('n1', `c${i}`).catch(() => undefined);
    await rejects(status, 'exhausted', /etcd cannot be reached/);
    cluster.etcd.isDown = false;
    await status();
    for (const block of ['000', '004', '008', '012']) {
      if (!cluster.claims().some((claim) => claim.startsWith(`010.001.000.${block}`)))
        cluster.claim(`010.001.000.${block}/30`, 'n9');
    }
    await rejects(status, 'exhausted', /every block is claimed/);
    cluster.loseNote('n1');
    await status();
  }));

test('collect() removes what is stale and returns blocks, and etcd may be down', () =>
  withCluster(async (cluster) => {
    for (let i = 0; i < 13; i++) await cluster.add('n1', `c${i}`);
    cluster.etcd.isDown = true;
    const collect = () => cluster.driver.collect(cluster.request('n1', ''), [{ containerId: 'c0', ifname: 'eth0' }]);
    assert.is((await collect()).length, 12);
    assert.is(cluster.reserved('n1').length, 1);
    assert.match(cluster.warnings[0] ?? '', /ECONNREFUSED/);
    cluster.etcd.isDown = false;
    assert.equal(await collect(), []);
    assert.is(cluster.claims().length, 2, 'the block in use and an empty one');
  }));

test('prepare() refuses a bad section by the name of the key, and asks nobody', () =>
  withCluster(async (cluster) => {
    for (const [more, path] of [
      [{ endpoints: [] }, 'ipam.endpoints'],
      [{ blockSize: 27 }, 'ipam.blockSize'],
      [{ subnet: '10.1.0.1/28' }, 'ipam.subnet'],
      [{ routes: [{}] }, 'ipam.routes[0].dst'],
      [{ resolvConf: '/nonexistent' }, 'ipam.resolvConf'],
      [{ dataDir: 'relative' }, 'ipam.dataDir'],
    ] as [object, string][]) {
      assert.throws(
        () => cluster.driver.prepare(cluster.request('n1', 'c1', more)),
        (error: unknown) => error instanceof FieldError && error.path === path,
        path,
      );
    }
    await rejects(
      () => cluster.driver.prepare(cluster.request('n1', 'c1', { subnet: undefined, blockSize: undefined })),
      'config',
      /No IP ranges.*the pool of the whole cluster/,
    );
    assert.equal([cluster.etcd.requests, readdirSync(cluster.directory)], [[], []]);
  }));

test('no address is ever held twice, whatever answers etcd loses and whatever a disk forgets', () =>
  withCluster(async (cluster) => {
    mkdirSync(join(cluster.directory, 'unused'));
    let state = 20261121;
    const below = (limit: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    const pool = { subnet: '10.1.0.0/25', blockSize: 29 };
    const held = new Map<string, { node: string; containerId: string }>();
    let refused = 0;
    for (let step = 0; step < 1050; step++) {
      cluster.etcd.isDown = below(5) === 0;
      cluster.etcd.losesNextAnswer = below(4) === 0;
      const node = `n${below(3)}`;
      if (below(60) === 0 && held.size > 0) {
        try {
          cluster.loseNote(node);
        } catch {
          // It has none yet, or has lost it already.
        }
      }
      const mine = [...held].filter(([, holder]) => holder.node === node);
      const victim = mine[below(Math.max(mine.length, 1))];
      // Full phases and empty ones, so that blocks come and go.
      if (victim && below(10) < (Math.floor(step / 150) % 2 === 0 ? 3 : 8)) {
        held.delete(victim[0]);
        await cluster.del(node, victim[1].containerId, pool);
      } else {
        const containerId = `c${step}`;
        try {
          const [address = ''] = await cluster.add(node, containerId, pool);
          assert.not.ok(held.has(address), `${address} is held twice`);
          held.set(address, { node, containerId });
        } catch (error) {
          if (!(error instanceof IpamError && error.kind === 'exhausted')) throw error;
          refused++;
        }
      }
    }
    assert.ok(held.size > 10 && refused > 10, `${held.size} held, ${refused} refused`);
    const owners = new Map(cluster.claims().map((text) => text.split(' ') as [string, string]));
    for (const [address, { node }] of held) {
      const start = String(Math.floor(Number(address.slice(7)) / 8) * 8).padStart(3, '0');
      assert.is(owners.get(`010.001.000.${start}/29`), node, `${address} lies in a block of ${node}`);
    }
  }));

test.run();
