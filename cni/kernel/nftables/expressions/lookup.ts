// Go on only if a key is in a set, or in a map, which gives the key's value. enum nft_lookup_attributes.

import type { NamedSet } from '../set.ts';
import { type Expression, NFT_REG_1 } from './expression.ts';

export const NFTA_LOOKUP_SET = 1;
export const NFTA_LOOKUP_SREG = 2;
export const NFTA_LOOKUP_DREG = 3;

/**
 * Look up the key that starts at the register.
 *
 * nft also names the set's ID within the batch (NFTA_LOOKUP_SET_ID), which only sets without a name of their own need.
 */
export function lookUp(set: NamedSet, register = NFT_REG_1): Expression {
  return {
    name: 'lookup',
    write: (writer) => writer.attributeBe32(NFTA_LOOKUP_SREG, register).attributeString(NFTA_LOOKUP_SET, set.name),
  };
}

/** Look up the key that starts at the register, and put its value in the key's place. Only in a map. */
export function mapTo(map: NamedSet, register = NFT_REG_1): Expression {
  return {
    name: 'lookup',
    write: (writer) =>
      writer
        .attributeBe32(NFTA_LOOKUP_SREG, register)
        .attributeBe32(NFTA_LOOKUP_DREG, register)
        .attributeString(NFTA_LOOKUP_SET, map.name),
  };
}
