// Load bytes of the packet. enum nft_payload_attributes, nft_payload_bases.

import { type Expression, NFT_REG_1 } from './expression.ts';

export const NFTA_PAYLOAD_DREG = 1;
export const NFTA_PAYLOAD_BASE = 2;
export const NFTA_PAYLOAD_OFFSET = 3;
export const NFTA_PAYLOAD_LEN = 4;

export const NFT_PAYLOAD_LL_HEADER = 0;
export const NFT_PAYLOAD_NETWORK_HEADER = 1;
export const NFT_PAYLOAD_TRANSPORT_HEADER = 2;

export interface PayloadRange {
  /** Header to count from, NFT_PAYLOAD_*_HEADER. */
  readonly base: number;
  readonly offset: number;
  readonly bytes: number;
}

/** Load bytes of a header; the rule does not match when the packet does not have them. */
export function loadPayload({ base, offset, bytes }: PayloadRange, register = NFT_REG_1): Expression {
  return {
    name: 'payload',
    write: (writer) =>
      writer
        .attributeBe32(NFTA_PAYLOAD_DREG, register)
        .attributeBe32(NFTA_PAYLOAD_BASE, base)
        .attributeBe32(NFTA_PAYLOAD_OFFSET, offset)
        .attributeBe32(NFTA_PAYLOAD_LEN, bytes),
  };
}
