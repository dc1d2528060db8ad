// Ask the routing tables about one of the packet's addresses. enum nft_fib_attributes, nft_fib_result, nft_fib_flags.

import { type Expression, NFT_REG_1 } from './expression.ts';

export const NFTA_FIB_DREG = 1;
export const NFTA_FIB_RESULT = 2;
export const NFTA_FIB_FLAGS = 3;
export const NFT_FIB_RESULT_ADDRTYPE = 3;
export const NFTA_FIB_F_DADDR = 1 << 1;

/** include/uapi/linux/rtnetlink.h: an address of this host. In host order, as loadDestinationType() gives it. */
export const RTN_LOCAL = 2;

/** Load the type of the destination address: RTN_*, four bytes in host order. In prerouting, input and output hooks. */
export function loadDestinationType(register = NFT_REG_1): Expression {
  return {
    name: 'fib',
    write: (writer) =>
      writer
        .attributeBe32(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR)
        .attributeBe32(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE)
        .attributeBe32(NFTA_FIB_DREG, register),
  };
}
