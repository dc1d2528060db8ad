// Load what the kernel knows of a packet beside its bytes. enum nft_meta_attributes, nft_meta_keys.

import { type Expression, NFT_REG_1 } from './expression.ts';

export const NFTA_META_DREG = 1;
export const NFTA_META_KEY = 2;

/** The ETH_P_* of what the frame carries, two bytes in network order; inside of a VLAN tag. */
export const NFT_META_PROTOCOL = 1;
/** The index of the interface the packet came in by, four bytes in host order. */
export const NFT_META_IIF = 4;
/** The name of the interface the packet came in by, as a field IFNAME. No match where there is none. */
export const NFT_META_IIFNAME = 6;
/** Of the one it goes out by. */
export const NFT_META_OIFNAME = 7;
/** The ARPHRD_* of the interface the packet came in by, two bytes in host order. */
export const NFT_META_IIFTYPE = 8;
/** The packet's NFPROTO_IPV4 or NFPROTO_IPV6, one byte. */
export const NFT_META_NFPROTO = 15;
/** The packet's IPPROTO_* behind all extension headers, as a field INET_PROTOCOL. */
export const NFT_META_L4PROTO = 16;

/** Load a NFT_META_*. */
export function loadMeta(key: number, register = NFT_REG_1): Expression {
  return {
    name: 'meta',
    write: (writer) => writer.attributeBe32(NFTA_META_KEY, key).attributeBe32(NFTA_META_DREG, register),
  };
}
