// The commands over an etcd in memory, and a node whose configuration and reservations are in a directory of the test.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openDiskStore } from '../../../ipam/store/disk-store.ts';
import type { IpamRequest } from '../../../ipam/driver.ts';
import { IpamError } from '../../../ipam/errors.ts';
import { createEtcdIpam } from '../../../ipam/etcd/etcd.ts';
import { FakeEtcd } from '../../../ipam/etcd/etcd-fake-gateway.ts';
import { takeInventory } from '../../../ipam/inventory.ts';
import { Context } from '../../verbs/context.ts';
import { listAddressBooks } from '../listing/address-book.ts';
import { type Call, CommandError, type Report } from '../cli/command.ts';
import { ipamNodeCommands } from './ipam-node-commands.ts';
import { PLAIN } from '../cli/text-table.ts';

const test = suite('ipam node commands');

interface PoolNode {
  readonly node: string;
  readonly isAlive: boolean;
  readonly aliveUntil: string | null;
  readonly isThisNode: boolean;
  readonly blocks: readonly string[];
}

/** Node "n1", with one network that shares its pool; eight blocks of four addresses. */
class Node {
  readonly etcd = new FakeEtcd();
  readonly folder = mkdtempSync(join(tmpdir(), 'podlink-nodes-'));
  readonly #driver = createEtcdIpam(openDiskStore, () => this.etcd.transport);

  constructor() {
    mkdirSync(join(this.folder, 'net.d'));
    const ipam = {
      ...{ type: 'podlink-etcd', endpoints: ['http://etcd:2379'], node: 'n1' },
      ...{ subnet: '10.1.0.0/27', blockSize: 30, dataDir: join(this.folder, 'ipam') },
    };
    const plugins = [{ type: 'podlink', ipam }];
    const list = { cniVersion: '1.0.0', name: 'pods', plugins };
    writeFileSync(join(this.folder, 'net.d', '10-pods.conflist'), JSON.stringify(list));
  }

  async run(command: 'nodes' | 'release-node', args: readonly string[] = [], ...switches: string[]): Promise<Report> {
    const [nodes, releaseNode] = ipamNodeCommands(() => this.etcd.transport);
    return await (command === 'nodes' ? nodes : releaseNode).run(this.call(args, switches));
  }

  async nodes(): Promise<readonly PoolNode[]> {
    const report = await this.run('nodes');
    return (report.json as readonly { nodes: readonly PoolNode[] }[])[0]?.nodes ?? [];
  }

  async add(containerId: string): Promise<void> {
    await this.#driver.prepare(this.request(containerId)).allocate();
  }

  async del(containerId: string): Promise<void> {
    await this.#driver.release(this.request(containerId));
  }

  /** What the network's configuration comes to. */
  request(containerId = ''): IpamRequest {
    const [book] = listAddressBooks(this.call());
    assert.ok(book);
    return { ...book.request, owner: { network: 'pods', containerId, ifname: 'eth0' } };
  }

  /** What another node has put into etcd. */
  claim(block: string, node: string, network = 'pods'): void {
    this.etcd.put(`/podlink/networks/${network}/blocks/${block}`, JSON.stringify({ node, claimed: '' }));
  }

  signLife(node: string, seen: string): void {
    this.etcd.put(`/podlink/nodes/${node}`, JSON.stringify({ node, seen }));
  }

  call(args: readonly string[] = [], switches: readonly string[] = []): Call {
    const env = { PODLINK_RUN_DIR: join(this.folder, 'run') };
    return {
      surroundings: { version: '1.2.3', env, isTerminal: false, readStdin: () => '' },
      args,
      context: new Context(env, () => undefined),
      isSet: (option) => switches.includes(option),
      valueOf: (option) => (option === 'conf-dir' ? join(this.folder, 'net.d') : undefined),
      valuesOf: () => [],
      warn: (message) => assert.unreachable(message),
    };
  }
}

async function withNode(work: (node: Node) => Promise<void>): Promise<void> {
  const node = new Node();
  try {
    await work(node);
  } finally {
    rmSync(node.folder, { recursive: true });
  }
}

async function mustRefuse(work: Promise<unknown>, isExpected: (error: unknown) => boolean): Promise<void> {
  try {
    await work;
  } catch (error) {
    assert.ok(isExpected(error), String(error));
    return;
  }
  assert.unreachable('nothing was thrown');
}

test('ipam nodes tells who is alive, until when, and who has which block', () =>
  withNode(async (node) => {
    await node.add('c1');
    node.claim('010.001.000.028/30', 'n2');
    node.signLife('n3', '2026-11-20T10:00:00.000Z');
    const [own, second, third] = await node.nodes();
    assert.equal([own?.node, own?.isThisNode, own?.isAlive, own?.blocks.length], ['n1', true, true, 1]);
    assert.equal(second, {
      ...{ node: 'n2', isAlive: false, aliveUntil: null, isThisNode: false, blocks: ['10.1.0.28/30'] },
    });
    assert.is(third?.aliveUntil, '2026-11-20T10:15:00.000Z');
    const text = (await node.run('nodes')).text(PLAIN);
    assert.match(text, /^pods +n1 \(this node\) +20\S+ \S+ UTC +10\.1\.0\.\d+\/30$/m);
    assert.match(text, /^pods +n2 +not alive +10\.1\.0\.28\/30$/m);
    assert.match(text, /^pods +n3 +2026-11-20 10:15:00 UTC +-$/m);
  }));

test('ipam release-node releases a node that is gone, and a living one only with --force', () =>
  withNode(async (node) => {
    node.claim('010.001.000.004/30', 'n2');
    node.claim('010.001.000.008/30', 'n3');
    node.signLife('n3', '2026-11-20T10:00:00.000Z');
    const gone = await node.run('release-node', ['n2']);
    assert.equal(
      [gone.json, gone.hasFinding],
      [{ node: 'n2', networks: [{ network: 'pods', released: ['10.1.0.4/30'], kept: [] }] }, false],
    );
    assert.is(gone.text(PLAIN), 'released 1 block of node "n2" in network "pods": 10.1.0.4/30');
    const isRefusal = (error: unknown) => error instanceof IpamError && /it was alive at 2026/.test(error.message);
    await mustRefuse(node.run('release-node', ['n3']), isRefusal);
    assert.equal(
      (await node.nodes()).map((each) => [each.node, each.blocks.length]),
      [['n3', 1]],
    );
    await node.run('release-node', ['n3'], 'force');
    assert.equal(await node.nodes(), []);
  }));

test('ipam release-node knows no node without a block and a sign of life', () =>
  withNode(async (node) => {
    node.claim('010.001.000.004/30', 'worker-2');
    const says = (pattern: RegExp) => (error: unknown) => error instanceof CommandError && pattern.test(error.message);
    await mustRefuse(node.run('release-node', ['worker-3x']), says(/^no node "worker-3x" has a block/));
    await mustRefuse(node.run('release-node', ['worker2']), says(/did you mean "worker-2"\?/));
    assert.is((await node.nodes()).length, 1);
  }));

test('ipam release-node of this node gives back its empty blocks, and says what it keeps', () =>
  withNode(async (node) => {
    for (let i = 0; i < 6; i++) await node.add(`c${i}`);
    const before = (await node.nodes())[0]?.blocks ?? [];
    assert.ok(before.length >= 2);
    const report = await node.run('release-node', ['n1']);
    assert.is(report.hasFinding, true);
    assert.match(report.text(PLAIN), /^kept 10\.1\.0\..*drain the node, or use --force$/m);
    assert.equal((await node.nodes())[0]?.blocks, before, 'all have addresses that are reserved');
    for (let i = 0; i < 6; i++) await node.del(`c${i}`);
    const last = await node.run('release-node', ['n1']);
    assert.is(last.hasFinding, false);
    assert.equal(await node.nodes(), [], 'neither a block nor a sign of life');
    const noted = JSON.parse(readFileSync(join(node.folder, 'ipam', 'pods', '.podlink-blocks.json'), 'utf8'));
    assert.equal([noted.blocks, noted.returning], [[], []]);
    await node.add('again');
    assert.is((await node.nodes())[0]?.blocks.length, 1, 'it can come back');
  }));

test('ipam release-node --force of this node leaves it nothing to hand addresses out of', () =>
  withNode(async (node) => {
    await node.add('c1');
    node.claim('010.002.000.000/30', 'n1', 'other');
    const report = await node.run('release-node', ['n1'], 'force');
    assert.is(report.hasFinding, false);
    const [own] = await node.nodes();
    assert.equal([own?.blocks, own?.isAlive], [[], true], 'it has a block in another network, and stays alive');
    assert.equal(takeInventory(node.request()).ranges[0]?.blocks, []);
  }));

test.run();
