// The blocks of this node: what its disk says, and how that is brought in line with what etcd says.
//
// Two locks, always in this order: the contact lock, held while this node speaks to etcd about its blocks, so that of many
// ADDs that find no address one claims a block and the others use it; and the store's, held for file work only. An ADD that
// finds an address needs the second alone.
//
// Whatever stops this process between etcd and the disk, nothing is lost and nothing is given out twice: a claim that is
// not noted yet is found in etcd at the next contact; a block is noted as returning before its claim is given up, and
// nothing is handed out of it from then on until etcd has shown that it is no longer ours.

import { statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { formatAddress, parseAddress } from '../../cni/address/ip.ts';
import { noneAvailable, remedyOf } from '../local/allocator.ts';
import { type Block, blockAt, type BlockSizes, blocksOverlap, formatBlock, isInBlock } from './block.ts';
import { type BlockScope, type NotedBlocks, readBlocks, writeBlocks } from './block-file.ts';
import { IpamError } from '../errors.ts';
import { type Claim, type EtcdClaims, freeBlocks, SIGN_OF_LIFE_SECONDS } from './etcd-claims.ts';
import { formatRangeSet, type RangeSet } from '../range/range-set.ts';
import { LOCK_TIMEOUT_MS, type LockDirectory, type Store } from '../store/store.ts';

/** What an allocation lacks: any block of a set, or the one that has the address asked for. */
export interface Want {
  readonly set: RangeSet;
  readonly sets: readonly RangeSet[];
  readonly sizes: BlockSizes;
  readonly address?: string | undefined;
}

export interface LedgerPlace {
  readonly network: string;
  readonly directory: string;
  readonly store: Store;
  readonly lockDirectory: LockDirectory;
  readonly warn: (message: string) => void;
}

/** What a node that leaves has given back, and the blocks it keeps, since addresses of them are reserved. */
export interface LeftBlocks {
  readonly released: readonly string[];
  readonly kept: readonly string[];
}

const LOCK_FILE = '.podlink-etcd.lock';
const NOTHING: NotedBlocks = { blocks: [], returning: [] };

export class BlockLedger {
  readonly #place: LedgerPlace;
  readonly #scope: BlockScope;
  readonly #claims: EtcdClaims;

  constructor(place: LedgerPlace, scope: BlockScope, claims: EtcdClaims) {
    this.#place = place;
    this.#scope = scope;
    this.#claims = claims;
  }

  /** The blocks to hand addresses out of, as noted; undefined when nothing is noted. Call with the store locked. */
  find(): readonly Block[] | undefined {
    return readBlocks(this.#place.directory, this.#scope)?.blocks;
  }

  /**
   * Claim the block that is wanted, unless it turns out that the want is satisfied: another process may have claimed one
   * meanwhile, and etcd may know of one that the disk has lost.
   *
   * Throws IpamError 'exhausted' when there is no block left, 'taken' when another node has the one asked for, 'locked'
   * when another process has the contact lock for too long; and what EtcdClient throws.
   */
  async extend(want: Want, isSatisfied: () => boolean): Promise<void> {
    await this.#withContactLock(LOCK_TIMEOUT_MS, async () => {
      if (isSatisfied()) return;
      const claims = await this.#reconcile();
      if (isSatisfied()) return;
      const block = await this.#claimFirst(want, claims);
      this.#change((noted) => ({ ...noted, blocks: [...noted.blocks, block] }));
      await this.#claims.signLife(this.#scope.node).catch(() => undefined); // it is for the operator to look at
    });
  }

  /**
   * Bring disk and etcd in line: what was returned, lost, or taken away by the operator. Gives a sign of life.
   * Throws as extend(); `waitMs` is for the contact lock.
   */
  async settle(waitMs: number): Promise<void> {
    await this.#withContactLock(waitMs, async () => {
      await this.#reconcile();
      await this.#claims.signLife(this.#scope.node);
    });
  }

  /**
   * Give back the empty blocks, all of them, for a node that leaves the cluster; with `force` also those with addresses
   * that are reserved. The sign of life goes with the last block. Throws as extend().
   */
  async leave({ force = false } = {}): Promise<LeftBlocks> {
    const { store, directory } = this.#place;
    store.locked(() => undefined); // makes the directory that the contact lock is in
    let left: LeftBlocks = { released: [], kept: [] };
    await this.#withContactLock(LOCK_TIMEOUT_MS, async () => {
      // The disk may have lost a claim.
      await this.#reconcile();
      const released = store.locked(() => {
        const noted = readBlocks(directory, this.#scope) ?? NOTHING;
        const leaving = force ? noted.blocks : this.#emptyOf(noted.blocks);
        const blocks = without(noted.blocks, leaving);
        writeBlocks(directory, this.#scope, { blocks, returning: [...noted.returning, ...leaving] });
        return leaving;
      });
      const claims = await this.#reconcile();
      const kept = claims.filter(({ node }) => node === this.#scope.node).map(({ block }) => formatBlock(block));
      left = { released: released.map(formatBlock), kept };
      if (kept.length === 0) await this.#claims.removeSignOfLife(this.#scope.node);
    });
    return left;
  }

  /** Whether a block could be claimed now. Changes nothing. Throws what EtcdClient throws. */
  async hasFreeBlock(want: Want): Promise<boolean> {
    const claims = await this.#claims.list();
    const noted = this.find() ?? [];
    // Claimed by this node and not on its disk: that is as good as free.
    const own = claims.some(
      ({ node, block }) => node === this.#scope.node && isOfSet(block, want.set) && !includes(noted, block),
    );
    return own || !freeBlocks(claims, { ...want, node: this.#scope.node }).next().done;
  }

  /**
   * Note as returning all empty blocks but one of each set; of those that belong to no set any more, all. Returns whether
   * there were any: what etcd did not hear of at its time waits for the next contact, or every DEL would wait for an etcd
   * that is down. Call with the store locked.
   */
  setAsideEmpty(sets: readonly RangeSet[]): boolean {
    const noted = readBlocks(this.#place.directory, this.#scope);
    if (noted === undefined) return false;
    const groups = Map.groupBy(noted.blocks, (block) => sets.findIndex((set) => isOfSet(block, set)));
    const surplus = [...groups].flatMap(([setIndex, blocks]) => {
      const kept = setIndex < 0 ? 0 : 1;
      return blocks.length > kept ? this.#emptyOf(blocks).slice(kept) : [];
    });
    if (surplus.length === 0) return false;
    writeBlocks(this.#place.directory, this.#scope, {
      blocks: without(noted.blocks, surplus),
      returning: [...noted.returning, ...surplus],
    });
    return true;
  }

  /** Whether it is time to give a sign of life: three within the time one lasts, and no more, should etcd be down. */
  isContactDue(): boolean {
    const stamp = statSync(this.#lockPath(), { throwIfNoEntry: false });
    return stamp === undefined || Date.now() - stamp.mtimeMs > (SIGN_OF_LIFE_SECONDS * 1000) / 3;
  }

  #emptyOf(blocks: readonly Block[]): Block[] {
    const { store } = this.#place;
    const candidates = blocks.filter(({ family, start, end }) => !store.countTaken?.(family, start, end));
    if (candidates.length === 0) return [];
    // What decides is the reservations themselves: an index that is wrong would give away an address in use.
    const reserved = this.#reservedAddresses();
    return candidates.filter((block) => !reserved.some((address) => isInBlock(address, block)));
  }

  #reservedAddresses() {
    return this.#place.store.list().flatMap(({ address }) => parseAddress(address) ?? []);
  }

  async #claimFirst(want: Want, claims: readonly Claim[]): Promise<Block> {
    const { node } = this.#scope;
    const wanted = want.address === undefined ? undefined : blockOfAddress(want.address, want.sizes);
    for (const block of wanted ? [wanted] : freeBlocks(claims, { ...want, node })) {
      if (await this.#claims.claim(block, node)) return block;
    }
    throw wanted ? this.#heldByAnother(want, wanted, claims) : this.#exhausted(want, claims);
  }

  #heldByAnother({ set, sets, address }: Want, block: Block, claims: readonly Claim[]): IpamError {
    const holder = claims.find((claim) => blocksOverlap(claim.block, block));
    return new IpamError(
      'taken',
      `failed to allocate for range ${sets.indexOf(set)}: requested IP address ${address} is not available in range set ${formatRangeSet(set)} of network "${this.#place.network}": it is in block ${formatBlock(holder?.block ?? block)}, which ${holder ? `node "${holder.node}"` : 'another node'} has claimed, and not this node "${this.#scope.node}"`,
      { range: formatRangeSet(set) },
    );
  }

  #exhausted({ set, sets }: Want, claims: readonly Claim[]): IpamError {
    const ofSet = claims.filter(({ block }) => isOfSet(block, set));
    const nodes = new Set(ofSet.map(({ node }) => node));
    const range = formatRangeSet(set);
    return new IpamError(
      'exhausted',
      `${noneAvailable(sets, sets.indexOf(set))} of network "${this.#place.network}" for node "${this.#scope.node}": its blocks are full, and all ${ofSet.length} blocks are claimed, by ${nodes.size} nodes: have the runtime run DEL or GC for containers that are gone, release the blocks of nodes that are gone ("podlink ipam release-node"), ${remedyOf(set)}`,
      { range },
    );
  }

  /** Make disk and etcd agree, and return all claims of the network. */
  async #reconcile(): Promise<Claim[]> {
    const { store, directory } = this.#place;
    const claims = await this.#claims.list();
    const { blocks, returning } = store.locked(() => readBlocks(directory, this.#scope) ?? NOTHING);
    const own: Block[] = [];
    const left: Claim[] = [];
    for (const claim of claims) {
      const isOwn = claim.node === this.#scope.node;
      const isReturning = isOwn && includes(returning, claim.block);
      if (isReturning) await this.#claims.release(claim);
      else left.push(claim);
      if (!isOwn || isReturning) continue;
      // The disk may have lost that it was to be returned, and that request be on its way yet.
      if (includes(blocks, claim.block) || (await this.#claims.renew(claim))) own.push(claim.block);
    }
    this.#change((noted) => {
      // Others may have been set aside since: only those that were asked about have come to their end.
      const stillReturning = without(noted.returning, returning);
      this.#warnOfLost(without(noted.blocks, own));
      return { blocks: without(own, stillReturning), returning: stillReturning };
    });
    return left;
  }

  #warnOfLost(blocks: readonly Block[]): void {
    const reserved = blocks.length > 0 ? this.#reservedAddresses() : [];
    for (const block of blocks) {
      const inUse = reserved.filter((address) => isInBlock(address, block)).map(formatAddress);
      const containers = inUse.length > 0 ? `; remove the containers with ${inUse.join(', ')} at once` : '';
      this.#place.warn(
        `Block ${formatBlock(block)} of network "${this.#place.network}" is no longer this node's: it was released in etcd, and others may use its addresses${containers}`,
      );
    }
  }

  #change(change: (noted: NotedBlocks) => NotedBlocks): void {
    const { store, directory } = this.#place;
    store.locked(() => {
      const noted = readBlocks(directory, this.#scope);
      const changed = change(noted ?? NOTHING);
      if (noted === undefined || !isSame(noted, changed)) writeBlocks(directory, this.#scope, changed);
    });
  }

  async #withContactLock(waitMs: number, work: () => Promise<void>): Promise<void> {
    const path = this.#lockPath();
    const lock = this.#lock(path, waitMs);
    try {
      await work();
    } finally {
      stamp(path);
      lock.release();
    }
  }

  #lock(path: string, waitMs: number) {
    try {
      return this.#place.lockDirectory(path, waitMs);
    } catch (error) {
      if (!(error instanceof Error && error.name === 'LockTimeoutError')) throw error;
      throw new IpamError(
        'locked',
        `Cannot speak to etcd about the blocks of network "${this.#place.network}": another process of this node has been doing so for ${waitMs / 1000} s; try again`,
        { cause: error },
      );
    }
  }

  #lockPath(): string {
    return join(this.#place.directory, LOCK_FILE);
  }
}

function stamp(path: string): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch {
    // It only says when to give the next sign of life: that then comes earlier.
  }
}

function isOfSet(block: Block, set: RangeSet): boolean {
  return set.ranges.some(
    (range) => range.family === block.family && range.start <= block.end && block.start <= range.end,
  );
}

function blockOfAddress(text: string, sizes: BlockSizes): Block {
  const address = parseAddress(text);
  if (address === undefined) throw new RangeError(`Not an address: "${text}"`);
  const family = text.includes(':') ? 6 : 4;
  return blockAt(family, address.number, sizes[family]);
}

function includes(blocks: readonly Block[], wanted: Block): boolean {
  return blocks.some((block) => formatBlock(block) === formatBlock(wanted));
}

function without(blocks: readonly Block[], removed: readonly Block[]): Block[] {
  return blocks.filter((block) => !includes(removed, block));
}

function isSame(a: NotedBlocks, b: NotedBlocks): boolean {
  const text = ({ blocks, returning }: NotedBlocks) =>
    [blocks, returning].map((list) => list.map(formatBlock)).join(';');
  return text(a) === text(b);
}
