// Load what connection tracking knows of the packet's connection. enum nft_ct_attributes, nft_ct_keys.

import { type Expression, NFT_REG_1 } from './expression.ts';

export const NFTA_CT_DREG = 1;
export const NFTA_CT_KEY = 2;

/** How the packet stands to its connection, four bytes in host order: the bits of NF_CT_STATE_*. */
export const NFT_CT_STATE = 0;
/** include/uapi/linux/netfilter/nf_conntrack_common.h: it belongs to no connection, and can begin none. */
export const NF_CT_STATE_INVALID_BIT = 1 << 0;
/** What has happened to the connection, four bytes in host order: the bits of IPS_*. */
export const NFT_CT_STATUS = 2;

/** include/uapi/linux/netfilter/nf_conntrack_common.h: the connection goes to another destination than was asked for. */
export const IPS_DST_NAT = 1 << 5;

/** Load a NFT_CT_*. The rule does not match when the packet belongs to no connection; NFT_CT_STATE is loaded even then. */
export function loadConntrack(key: number, register = NFT_REG_1): Expression {
  return {
    name: 'ct',
    write: (writer) => writer.attributeBe32(NFTA_CT_KEY, key).attributeBe32(NFTA_CT_DREG, register),
  };
}
