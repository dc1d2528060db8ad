// Who has which block of a network's pool, as etcd knows it.
//
//   <prefix>/networks/<network>/blocks/010.022.000.064/26   {"node":"n1","claimed":"2026-11-20T10:00:00.000Z"}
//   <prefix>/nodes/n1                                       {"node":"n1","seen":"…"}, under a lease
//
// A claim is made by one transaction that requires that neither the block nor anything inside or around it is claimed, so
// that it is safe also while the nodes' configurations differ in `blockSize`. It has no lease and no end of its own: a
// node that is cut off from etcd goes on handing out the addresses of its blocks, and nobody else can tell that from its
// being dead. Were claims to die with a lease, its blocks would go to others while its containers still use them. So only
// the node returns a block, or the operator takes the blocks of a node away, who can know that it is off (releaseNode).
//
// The key under the lease is no more than a sign of life, for the operator to look at. A node renews it when it speaks to
// etcd anyway, on GC, and on STATUS.

import { isObject } from '../../cni/protocol/fields.ts';
import {
  type Block,
  blocksAround,
  blocksOf,
  blocksOverlap,
  type BlockSizes,
  formatBlock,
  formatSortable,
  isUsable,
  parseSortable,
  sortableAddress,
} from './block.ts';
import type { EtcdClient, EtcdCompare } from './etcd-client.ts';
import { EtcdRefusedError, NOT_FOUND } from './etcd-client.ts';
import { IpamError } from '../errors.ts';
import type { RangeSet } from '../range/range-set.ts';

export interface Claim {
  readonly block: Block;
  /** Empty when the claim's text is not ours. */
  readonly node: string;
  /** ISO 8601; empty like `node`. */
  readonly claimed: string;
  readonly modRevision: string;
}

export interface NodeState {
  readonly node: string;
  /** Whether it has given a sign of life within SIGN_OF_LIFE_SECONDS. */
  readonly isAlive: boolean;
  /** When it last did, ISO 8601, as long as it is alive. */
  readonly seen?: string;
  /** The blocks it has claimed in the network. */
  readonly blocks: readonly string[];
}

export const SIGN_OF_LIFE_SECONDS = 15 * 60;

/** The claims of one network. */
export class EtcdClaims {
  readonly #client: EtcdClient;
  readonly #blocks: string;
  readonly #nodes: string;
  readonly #prefix: string;

  constructor(client: EtcdClient, prefix: string, network: string) {
    this.#client = client;
    this.#prefix = prefix;
    this.#blocks = `${prefix}/networks/${network}/blocks/`;
    this.#nodes = `${prefix}/nodes/`;
  }

  /** All claims, in the order of their addresses. */
  async list(): Promise<Claim[]> {
    const entries = await this.#client.list(this.#blocks);
    return entries.flatMap(({ key, value, modRevision }) => {
      const block = parseSortable(key.slice(this.#blocks.length));
      return block ? [{ block, modRevision, ...parseClaim(value) }] : [];
    });
  }

  /** Claim a block; false when it, a part of it or what it is a part of is another's. One's own claim is a success. */
  async claim(block: Block, node: string): Promise<boolean> {
    const key = this.#keyOf(block);
    const value = JSON.stringify({ node, claimed: new Date().toISOString() });
    const first = `${this.#blocks}${sortableAddress(block.family, block.start)}/`;
    const last = `${this.#blocks}${sortableAddress(block.family, block.end)}/`;
    const compare: EtcdCompare[] = [
      { absent: first, rangeEnd: `${last.slice(0, -1)}0` },
      ...blocksAround(block).map((outer) => ({ absent: this.#keyOf(outer) })),
    ];
    const { succeeded, found } = await this.#client.commit({
      compare,
      write: [{ put: key, value }],
      otherwiseGet: key,
    });
    // The answer to an earlier request may have been lost on its way, and another endpoint been asked again.
    return succeeded || (found !== undefined && parseClaim(found.value).node === node);
  }

  /**
   * Write an own claim again, so that a request to give it up which is still on its way misses it. False when it is no
   * longer there.
   */
  async renew({ block, node, claimed, modRevision }: Claim): Promise<boolean> {
    const key = this.#keyOf(block);
    const { succeeded } = await this.#client.commit({
      compare: [{ key, modRevision }],
      write: [{ put: key, value: JSON.stringify({ node, claimed }) }],
    });
    return succeeded;
  }

  /** Give a claim up, if it is still the one that was read: a request that arrives late cannot hit a newer claim. */
  async release({ block, modRevision }: Claim): Promise<void> {
    const key = this.#keyOf(block);
    await this.#client.commit({ compare: [{ key, modRevision }], write: [{ delete: key }] });
  }

  /** Renew the node's sign of life. */
  async signLife(node: string): Promise<void> {
    const lease = leaseOf(this.#prefix, node);
    const write = () =>
      this.#client.commit({
        compare: [],
        write: [
          { put: `${this.#nodes}${node}`, value: JSON.stringify({ node, seen: new Date().toISOString() }), lease },
        ],
      });
    if (!(await this.#client.keepAlive(lease))) await this.#client.grantLease(lease, SIGN_OF_LIFE_SECONDS);
    try {
      await write();
    } catch (error) {
      // It ended between the two requests.
      if (!(error instanceof EtcdRefusedError && error.code === NOT_FOUND)) throw error;
      await this.#client.grantLease(lease, SIGN_OF_LIFE_SECONDS);
      await write();
    }
  }

  /** All nodes that have given a sign of life, or have claimed a block of this network, by name. */
  async listNodes(): Promise<NodeState[]> {
    const alive = new Map<string, string>();
    for (const { key, value } of await this.#client.list(this.#nodes)) {
      alive.set(key.slice(this.#nodes.length), textAt(parseObject(value), 'seen'));
    }
    const claims = await this.list();
    const names = [...new Set([...alive.keys(), ...claims.map(({ node }) => node)])].sort();
    return names.map((node) => {
      const seen = alive.get(node);
      const blocks = claims.filter((claim) => claim.node === node).map(({ block }) => formatBlock(block));
      return { node, isAlive: seen !== undefined, ...(seen ? { seen } : {}), blocks };
    });
  }

  /**
   * Take all blocks of a node away, so that others can claim them, and return them. Only the operator may decide this, who
   * knows that no container of the node runs any more: it would go on using its address.
   *
   * Throws IpamError 'taken' for a node that is alive, unless forced.
   */
  async releaseNode(node: string, { force = false } = {}): Promise<string[]> {
    const state = (await this.listNodes()).find((each) => each.node === node);
    if (state?.isAlive && !force)
      throw new IpamError(
        'taken',
        `Cannot release the blocks of node "${node}": it was alive at ${state.seen}. Switch it off, wait ${SIGN_OF_LIFE_SECONDS / 60} minutes, or force it`,
      );
    const claims = (await this.list()).filter((claim) => claim.node === node);
    for (const claim of claims) await this.release(claim);
    await this.removeSignOfLife(node);
    return claims.map(({ block }) => formatBlock(block));
  }

  /** Take a node's sign of life away, unless it has a block left in some network, whose addresses it may be using. */
  async removeSignOfLife(node: string): Promise<void> {
    const claims = await this.#client.list(`${this.#prefix}/networks/`);
    if (claims.some(({ value }) => parseClaim(value).node === node)) return;
    await this.#client.commit({ compare: [], write: [{ delete: `${this.#nodes}${node}` }] });
  }

  #keyOf(block: Block): string {
    return `${this.#blocks}${formatSortable(block)}`;
  }
}

/** Where a node begins to look for a free block. */
function seedOf(node: string): bigint {
  return process.getBuiltinModule('node:crypto').createHash('sha256').update(node).digest().readBigUInt64BE();
}

/** The blocks of a set that nobody has claimed and that have an address to hand out, in the order to try them. */
export function* freeBlocks(
  claims: readonly Claim[],
  wanted: {
    readonly set: RangeSet;
    readonly sets: readonly RangeSet[];
    readonly sizes: BlockSizes;
    readonly node: string;
  },
): Generator<Block> {
  const { set, sets, sizes, node } = wanted;
  const isOfSize = ({ block }: Claim) => block.prefixLength === sizes[block.family];
  const claimed = new Set(claims.filter(isOfSize).map(({ block }) => formatBlock(block)));
  const others = claims.filter((claim) => !isOfSize(claim));
  for (const block of blocksOf(set, sizes, seedOf(node))) {
    const isFree = !claimed.has(formatBlock(block)) && !others.some((other) => blocksOverlap(other.block, block));
    if (isFree && isUsable(block, set, sets)) yield block;
  }
}

/** A node's lease has an ID of its own choice, so that nobody has to remember it: 63 bits, and not 0. */
function leaseOf(prefix: string, node: string): string {
  const bits = process
    .getBuiltinModule('node:crypto')
    .createHash('sha256')
    .update(`${prefix}\0${node}`)
    .digest()
    .readBigUInt64BE();
  return String(BigInt.asUintN(63, bits) || 1n);
}

function parseClaim(value: string): { node: string; claimed: string } {
  const claim = parseObject(value);
  return { node: textAt(claim, 'node'), claimed: textAt(claim, 'claimed') };
}

function parseObject(value: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(value);
    return isObject(parsed) ? parsed : {};
  } catch {
    // Not ours, and then nobody of ours can have written it: the block counts as claimed by a stranger.
    return {};
  }
}

function textAt(object: Readonly<Record<string, unknown>>, key: string): string {
  const value = object[key];
  return typeof value === 'string' ? value : '';
}
