// Blocks: equal parts of a pool, each of which one node claims for itself. A block is aligned to its own size, whatever
// pool it is cut from, so that two blocks either are disjoint or one lies within the other.

import { Address4, Address6 } from 'ip-address';
import { formatNumber, type IpAddress, type IpFamily, parseAddress, parseCidr } from '../../cni/address/ip.ts';
import { subtractSpans } from '../range/address-span.ts';
import { gatewaysOf } from '../local/allocator.ts';
import type { AddressRange } from '../range/range.ts';
import type { RangeSet } from '../range/range-set.ts';

export interface Block {
  readonly family: IpFamily;
  /** First and last address, both included. */
  readonly start: bigint;
  readonly end: bigint;
  readonly prefixLength: number;
}

/** Prefix length of a block, by family. */
export type BlockSizes = Readonly<Record<IpFamily, number>>;

/** A block has at most 65,536 addresses: the largest there may be, which bounds where an overlapping one can begin. */
export const SHORTEST_PREFIX: BlockSizes = { 4: 16, 6: 112 };

const ADDRESS_BITS: BlockSizes = { 4: 32, 6: 128 };

/** The block of this prefix length that an address lies in. */
export function blockAt(family: IpFamily, address: bigint, prefixLength: number): Block {
  const hostBits = BigInt(ADDRESS_BITS[family] - prefixLength);
  const start = (address >> hostBits) << hostBits;
  return { family, start, end: start + (1n << hostBits) - 1n, prefixLength };
}

/** `10.22.0.64/26` */
export function formatBlock(block: Block): string {
  return `${formatNumber(block.family, block.start)}/${block.prefixLength}`;
}

/** Parse what formatBlock() wrote; undefined for anything else. */
export function parseBlock(text: string): Block | undefined {
  const cidr = parseCidr(text);
  if (cidr === undefined || cidr.prefixLength < SHORTEST_PREFIX[cidr.family]) return undefined;
  const block = blockAt(cidr.family, cidr.number, cidr.prefixLength);
  return block.start === cidr.number ? block : undefined;
}

/** Text of an address that sorts as its number does: `010.022.000.064`, `fd00:0000:…:0040`. */
export function sortableAddress(family: IpFamily, number: bigint): string {
  if (family === 6) return Address6.fromBigInt(number).canonicalForm();
  return Address4.fromBigInt(number)
    .correctForm()
    .split('.')
    .map((part) => part.padStart(3, '0'))
    .join('.');
}

/** `010.022.000.064/26` */
export function formatSortable(block: Block): string {
  return `${sortableAddress(block.family, block.start)}/${block.prefixLength}`;
}

/** Parse what formatSortable() wrote; undefined for anything else. */
export function parseSortable(text: string): Block | undefined {
  const plain = text.includes(':') ? text : text.replace(/\b0+(?=\d+[./])/g, '');
  const [address = '', length = ''] = plain.split('/');
  const parsed = parseAddress(address);
  const block = parsed && parseBlock(`${formatNumber(parsed.family, parsed.number)}/${length}`);
  return block && formatSortable(block) === text ? block : undefined;
}

/** The larger blocks that the block lies in and that begin before it. */
export function blocksAround(block: Block): Block[] {
  const around: Block[] = [];
  for (let length = SHORTEST_PREFIX[block.family]; length < block.prefixLength; length++) {
    const outer = blockAt(block.family, block.start, length);
    if (outer.start < block.start) around.push(outer);
  }
  return around;
}

export function blocksOverlap(a: Block, b: Block): boolean {
  return a.family === b.family && a.start <= b.end && b.start <= a.end;
}

export function isInBlock(address: IpAddress, block: Block): boolean {
  const number = address.number;
  return address.family === block.family && number >= block.start && number <= block.end;
}

/**
 * The part of a range set that lies in these blocks, without what is never handed out: the gateways of all sets and what
 * the configuration excludes.
 */
export function restrictToBlocks(set: RangeSet, blocks: readonly Block[], sets: readonly RangeSet[]): RangeSet {
  const reserved = gatewaySpans(sets);
  const ranges = set.ranges.flatMap((range) =>
    blocks.flatMap((block) => usableSpans(range, block, reserved).map((span) => ({ ...range, ...span, excluded: [] }))),
  );
  return { path: set.path, ranges };
}

interface ReservedSpan {
  readonly family: IpFamily;
  readonly start: bigint;
  readonly end: bigint;
}

function gatewaySpans(sets: readonly RangeSet[]): ReservedSpan[] {
  return [...gatewaysOf(sets)].flatMap((text) => {
    const address = parseAddress(text);
    return address ? [{ family: address.family, start: address.number, end: address.number }] : [];
  });
}

function usableSpans(range: AddressRange, block: Block, reserved: readonly ReservedSpan[]) {
  const start = block.start > range.start ? block.start : range.start;
  const end = block.end < range.end ? block.end : range.end;
  if (range.family !== block.family || start > end) return [];
  return subtractSpans({ start, end }, [
    ...range.excluded,
    ...reserved.filter(({ family }) => family === block.family),
  ]);
}

/** Whether a block has an address that a set may hand out. */
export function isUsable(block: Block, set: RangeSet, sets: readonly RangeSet[]): boolean {
  return restrictToBlocks(set, [block], sets).ranges.length > 0;
}

/**
 * All blocks of a range set, each once. `seed` says where in each range to begin: nodes that begin in different places
 * do not compete for the same block.
 */
export function* blocksOf(set: RangeSet, sizes: BlockSizes, seed: bigint): Generator<Block> {
  for (const range of set.ranges) {
    const size = sizes[range.family];
    const hostBits = BigInt(ADDRESS_BITS[range.family] - size);
    const first = range.start >> hostBits;
    const count = (range.end >> hostBits) - first + 1n;
    const offset = seed % count;
    for (let i = 0n; i < count; i += 1n) {
      yield blockAt(range.family, (first + ((offset + i) % count)) << hostBits, size);
    }
  }
}
