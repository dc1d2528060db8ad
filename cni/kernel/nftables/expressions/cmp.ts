// Go on only if a register compares as wanted to a value. enum nft_cmp_attributes, nft_cmp_ops.

import { NFTA_DATA_VALUE } from '../constants.ts';
import { type Expression, NFT_REG_1 } from './expression.ts';

export const NFTA_CMP_SREG = 1;
export const NFTA_CMP_OP = 2;
export const NFTA_CMP_DATA = 3;

export const NFT_CMP_EQ = 0;
export const NFT_CMP_NEQ = 1;

/** Compare as many bytes of the register as the value has. `op`: NFT_CMP_*. */
export function compare(op: number, value: Uint8Array, register = NFT_REG_1): Expression {
  return {
    name: 'cmp',
    write: (writer) =>
      writer
        .attributeBe32(NFTA_CMP_SREG, register)
        .attributeBe32(NFTA_CMP_OP, op)
        .nested(NFTA_CMP_DATA, (data) => data.attributeBytes(NFTA_DATA_VALUE, value)),
  };
}
