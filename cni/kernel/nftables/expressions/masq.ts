// Replace the packet's source by the address of the link it leaves through. enum nft_masq_attributes.

import type { Expression } from './expression.ts';

const NFTA_MASQ_FLAGS = 1;

/** include/uapi/linux/netfilter/nf_nat.h: choose any free source port, instead of keeping the old one if it is free. */
export const NF_NAT_RANGE_PROTO_RANDOM_FULLY = 1 << 4;

/** Masquerade the connection. `flags`: NF_NAT_RANGE_*. Only in a nat chain of the postrouting hook. */
export function masquerade(flags: number): Expression {
  return { name: 'masq', write: (writer) => writer.attributeBe32(NFTA_MASQ_FLAGS, flags) };
}
