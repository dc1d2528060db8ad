// Load what the kernel knows of a packet beside its bytes. enum nft_meta_attributes, nft_meta_keys.

import { type Expression, NFT_REG_1 } from './expression.ts';

const NFTA_META_DREG = 1;
const NFTA_META_KEY = 2;

/** The packet's NFPROTO_IPV4 or NFPROTO_IPV6, one byte. */
export const NFT_META_NFPROTO = 15;

/** Load a NFT_META_*. */
export function loadMeta(key: number, register = NFT_REG_1): Expression {
  return {
    name: 'meta',
    write: (writer) => writer.attributeBe32(NFTA_META_KEY, key).attributeBe32(NFTA_META_DREG, register),
  };
}
