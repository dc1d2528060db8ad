// One step of a rule. Each kind has its own file here: a function that takes what nft's language would name and gives
// an Expression. A new kind needs no more than such a file, and a test with the bytes that nft sends for it.
//
// Expressions work on registers: 16 of four bytes (NFT_REG32_00 …), or, overlapping them, 4 of sixteen (NFT_REG_1 …).

import type { MessageWriter } from '../../netlink/writer.ts';
import { NFTA_LIST_ELEM } from '../constants.ts';

// enum nft_registers
export const NFT_REG_VERDICT = 0;
export const NFT_REG_1 = 1;
export const NFT_REG32_00 = 8;

// enum nft_expr_attributes
export const NFTA_EXPR_NAME = 1;
export const NFTA_EXPR_DATA = 2;

export interface Expression {
  /** The kernel's name for the kind. */
  readonly name: string;
  /** Write the kind's own attributes; absent for one that has none. */
  readonly write?: (writer: MessageWriter) => void;
}

/**
 * The register that starts so many bytes after the first: where the next field of a key that is looked up goes.
 *
 * A multiple of 16 gives a large register, as in the kernel's own dumps.
 */
export function registerAt(offset: number): number {
  if (offset % 4 !== 0 || offset < 0 || offset > 60) throw new RangeError(`There is no register at byte ${offset}`);
  return offset % 16 === 0 ? NFT_REG_1 + offset / 16 : NFT_REG32_00 + offset / 4;
}

/** Write one item of a list of expressions. */
export function writeExpression(writer: MessageWriter, { name, write }: Expression): void {
  writer.nested(NFTA_LIST_ELEM, (item) => {
    item.attributeString(NFTA_EXPR_NAME, name);
    if (write) item.nested(NFTA_EXPR_DATA, (attributes) => write(attributes));
  });
}
