// Send a connection elsewhere than it asks for. enum nft_nat_attributes, nft_nat_types.

import type { Expression } from './expression.ts';
import type { IpFamily } from '../../../address/ip.ts';
import { nfprotoOf } from './ip-header.ts';

export const NFTA_NAT_TYPE = 1;
const NFTA_NAT_FAMILY = 2;
const NFTA_NAT_REG_ADDR_MIN = 3;
const NFTA_NAT_REG_PROTO_MIN = 5;
export const NFT_NAT_DNAT = 1;

/** Where the new destination is. */
export interface NatRegisters {
  readonly address: number;
  /** Without it the port stays as it is. */
  readonly port?: number;
}

/**
 * Replace the connection's destination. Only in nat chains of the prerouting and output hooks.
 *
 * The port is replaced by the register's: nftables has no way to add to the packet's own. The kernel's NAT knows such
 * shifts (NF_NAT_RANGE_PROTO_OFFSET), but nft_nat has no attribute for the port to count from
 * (net/netfilter/nft_nat.c, v6.12).
 */
export function sendTo(family: IpFamily, { address, port }: NatRegisters): Expression {
  return {
    name: 'nat',
    write: (writer) => {
      writer
        .attributeBe32(NFTA_NAT_TYPE, NFT_NAT_DNAT)
        .attributeBe32(NFTA_NAT_FAMILY, nfprotoOf(family))
        .attributeBe32(NFTA_NAT_REG_ADDR_MIN, address);
      if (port !== undefined) writer.attributeBe32(NFTA_NAT_REG_PROTO_MIN, port);
    },
  };
}
