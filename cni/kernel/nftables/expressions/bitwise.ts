// Mask bits of a register: register = (register & mask) ^ 0. enum nft_bitwise_attributes.

import { NFTA_DATA_VALUE } from '../constants.ts';
import { type Expression, NFT_REG_1 } from './expression.ts';

export const NFTA_BITWISE_SREG = 1;
export const NFTA_BITWISE_DREG = 2;
export const NFTA_BITWISE_LEN = 3;
export const NFTA_BITWISE_MASK = 4;
export const NFTA_BITWISE_XOR = 5;

/** Keep the bits that are set in the mask, in as many bytes as it has. */
export function maskBits(mask: Uint8Array, register = NFT_REG_1): Expression {
  return {
    name: 'bitwise',
    write: (writer) =>
      writer
        .attributeBe32(NFTA_BITWISE_SREG, register)
        .attributeBe32(NFTA_BITWISE_DREG, register)
        .attributeBe32(NFTA_BITWISE_LEN, mask.length)
        .nested(NFTA_BITWISE_MASK, (data) => data.attributeBytes(NFTA_DATA_VALUE, mask))
        .nested(NFTA_BITWISE_XOR, (data) => data.attributeBytes(NFTA_DATA_VALUE, new Uint8Array(mask.length))),
  };
}
