// Which addresses are taken, a bit each, so that the next free one is found without walking over those that are not.
//
// A page is 4096 neighbouring addresses in 512 bytes, named by family and the address's number without its last 12 bits:
// `4-a0100` is 10.16.0.0-10.16.15.255. A page without any bit does not exist: a /64 costs what is used of it. Bit n of a
// page is bit n % 8 of byte n / 8.

import type { IpFamily } from '../../cni/address/ip.ts';

const PAGE_BITS = 12n;
const PAGE_SIZE = 1 << Number(PAGE_BITS);
export const PAGE_BYTES = PAGE_SIZE / 8;
/** Beyond this many pages, ask which there are instead of trying each. */
const FEW_PAGES = 64n;

/** Where the pages are kept. */
export interface PageSource {
  /** The page's bytes, PAGE_BYTES long; undefined when there is none. */
  read(name: string): Buffer | undefined;
  /** The names of all pages. */
  names(): readonly string[];
}

/** A page of which one byte is another now. */
export interface PageChange {
  readonly name: string;
  readonly bytes: Buffer;
  /** Of the byte that has changed. */
  readonly position: number;
  /** Whether the source has no such page yet. */
  readonly isNew: boolean;
  /** Whether no bit is left in it, so that it is not to be kept. */
  readonly isEmpty: boolean;
}

export class TakenMap {
  readonly #source: PageSource;
  readonly #pages = new Map<string, Buffer | undefined>();

  constructor(source: PageSource) {
    this.#source = source;
  }

  /** Find the first number from `from` to `to` whose bit is clear. */
  skipTaken(family: IpFamily, from: bigint, to: bigint): bigint | undefined {
    for (let number = from; number <= to; number = ((number >> PAGE_BITS) + 1n) << PAGE_BITS) {
      const page = this.#page(pageName(family, number));
      if (page === undefined) return number;
      const bit = firstClear(page, bitOf(number));
      const found = ((number >> PAGE_BITS) << PAGE_BITS) + BigInt(bit);
      if (bit < PAGE_SIZE) return found <= to ? found : undefined;
    }
    return undefined;
  }

  /** Count the bits set from `from` to `to`, both included. */
  countTaken(family: IpFamily, from: bigint, to: bigint): number {
    const [first, last] = [from >> PAGE_BITS, to >> PAGE_BITS];
    let count = 0;
    for (const page of this.#pagesBetween(family, first, last)) {
      const bytes = this.#page(`${family}-${page.toString(16)}`);
      const start = page === first ? bitOf(from) : 0;
      const end = page === last ? bitOf(to) : PAGE_SIZE - 1;
      if (bytes) count += countSet(bytes, start, end);
    }
    return count;
  }

  isTaken(family: IpFamily, number: bigint): boolean {
    const page = this.#page(pageName(family, number));
    return page !== undefined && isSet(page, bitOf(number));
  }

  /** Set or clear a bit. Returns what to keep. */
  set(family: IpFamily, number: bigint, taken: boolean): PageChange {
    const name = pageName(family, number);
    const page = this.#page(name);
    const bytes = page ?? Buffer.alloc(PAGE_BYTES);
    const bit = bitOf(number);
    const position = bit >> 3;
    const byte = bytes[position] ?? 0;
    bytes[position] = taken ? byte | (1 << (bit & 7)) : byte & ~(1 << (bit & 7));
    const isEmpty = bytes[position] === 0 && bytes.equals(Buffer.alloc(PAGE_BYTES));
    this.#pages.set(name, isEmpty ? undefined : bytes);
    return { name, bytes, position, isNew: page === undefined, isEmpty };
  }

  /** The pages that are in memory and not empty: all that were touched. */
  entries(): [string, Buffer][] {
    return [...this.#pages].flatMap(([name, bytes]) => (bytes ? [[name, bytes] as [string, Buffer]] : []));
  }

  #page(name: string): Buffer | undefined {
    if (!this.#pages.has(name)) this.#pages.set(name, this.#source.read(name));
    return this.#pages.get(name);
  }

  #pagesBetween(family: IpFamily, first: bigint, last: bigint): bigint[] {
    if (last - first < FEW_PAGES) return Array.from({ length: Number(last - first) + 1 }, (_, i) => first + BigInt(i));
    const names = new Set([...this.#source.names(), ...this.#pages.keys()]);
    return [...names]
      .filter((name) => name.startsWith(`${family}-`))
      .map((name) => BigInt(`0x${name.slice(2)}`))
      .filter((page) => page >= first && page <= last);
  }
}

/** A map in memory alone, to be filled. */
export function emptyTakenMap(): TakenMap {
  return new TakenMap({ read: () => undefined, names: () => [] });
}

function pageName(family: IpFamily, number: bigint): string {
  return `${family}-${(number >> PAGE_BITS).toString(16)}`;
}

function bitOf(number: bigint): number {
  return Number(number & BigInt(PAGE_SIZE - 1));
}

function isSet(page: Buffer, bit: number): boolean {
  return (((page[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1;
}

/** PAGE_SIZE when every bit from `bit` on is set. */
function firstClear(page: Buffer, bit: number): number {
  let i = bit;
  while (i < PAGE_SIZE) {
    if ((i & 7) === 0 && page[i >> 3] === 0xff) i += 8;
    else if (isSet(page, i)) i++;
    else return i;
  }
  return PAGE_SIZE;
}

function countSet(page: Buffer, start: number, end: number): number {
  let count = 0;
  for (let i = start; i <= end; i++) {
    if ((i & 7) === 0 && page[i >> 3] === 0) i += 7;
    else if (isSet(page, i)) count++;
  }
  return count;
}
