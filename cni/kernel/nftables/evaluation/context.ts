// The state of an evaluation of rules: the packet, what rules have changed of it so far, and the registers.

import { numberOf, unknownBytes, type Value } from './value.ts';
import type { NftablesConnection } from '../connection.ts';
import type { Table } from '../table.ts';
import { NFT_REG_1, NFT_REG32_00 } from '../expressions/expression.ts';
import type { Packet } from './packet.ts';

/** NFT_REG_SIZE and NFT_REG32_SIZE: the large registers lie over the small ones. */
const LARGE_BYTES = 16;
const SMALL_BYTES = 4;
const BYTES = 64;

/** Marks that rules put on the packet, and on its connection, while it passes chain after chain. */
export interface Marks {
  packet: Value;
  connection: Value;
}

/** The marks of a packet that no rule has seen yet. */
export function noMarks(): Marks {
  return { packet: [0, 0, 0, 0], connection: [0, 0, 0, 0] };
}

export interface EvaluationContext {
  readonly nft: NftablesConnection;
  readonly table: Table;
  readonly packet: Packet;
  readonly marks: Marks;
}

/** The registers of one rule: nothing is known of them when it begins. */
export class Registers {
  #bytes: (number | undefined)[] = [...unknownBytes(BYTES)];

  load(register: number | undefined, length: number): Value {
    const start = startOf(register);
    return Array.from({ length }, (_, i) => this.#bytes[start + i]);
  }

  /** Store a value, its last word filled up with zeros as the kernel does. */
  store(register: number | undefined, value: Value): void {
    const start = startOf(register);
    const end = Math.ceil(value.length / SMALL_BYTES) * SMALL_BYTES;
    for (let i = 0; i < end; i++) this.#bytes[start + i] = i < value.length ? value[i] : 0;
  }

  /** An expression that is not understood may have written anything. */
  forget(): void {
    this.#bytes = [...unknownBytes(BYTES)];
  }
}

function startOf(register: number | undefined): number {
  if (register === undefined) throw new RangeError('An expression names no register');
  if (register >= NFT_REG32_00) return (register - NFT_REG32_00) * SMALL_BYTES;
  return (register - NFT_REG_1) * LARGE_BYTES;
}

/** Whether a mark compares as wanted under a mask; undefined when that is not known. */
export function isMarked(mark: Value, wanted: number, mask: number): boolean | undefined {
  const number = numberOf(mark);
  return number === undefined ? undefined : (number & mask) >>> 0 === wanted >>> 0;
}
