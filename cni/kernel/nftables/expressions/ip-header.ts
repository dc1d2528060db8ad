// The addresses of IPv4 and IPv6 packets, as steps of a rule. Offsets: RFC 791 §3.1, RFC 8200 §3.

import type { IpFamily } from '../../../address/ip.ts';
import { NFPROTO_IPV4, NFPROTO_IPV6 } from '../constants.ts';
import { compare, NFT_CMP_EQ } from './cmp.ts';
import type { Expression } from './expression.ts';
import { loadMeta, NFT_META_NFPROTO } from './meta.ts';
import { loadPayload, NFT_PAYLOAD_NETWORK_HEADER, type PayloadRange } from './payload.ts';

/** Go on only with packets of a family. A rule of an inet table must ask before it looks into the header. */
export function matchFamily(family: IpFamily): Expression[] {
  return [loadMeta(NFT_META_NFPROTO), compare(NFT_CMP_EQ, Uint8Array.of(nfprotoOf(family)))];
}

/** Load the source address, or its first bytes. */
export function loadSource(family: IpFamily, register?: number, bytes = addressBytes(family)): Expression {
  return loadPayload(network(family === 4 ? 12 : 8, bytes), register);
}

/** Load the destination address, or its first bytes. */
export function loadDestination(family: IpFamily, register?: number, bytes = addressBytes(family)): Expression {
  return loadPayload(network(family === 4 ? 16 : 24, bytes), register);
}

/** The kernel's number of a family: NFPROTO_IPV4 or NFPROTO_IPV6. */
export function nfprotoOf(family: IpFamily): number {
  return family === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}

function addressBytes(family: IpFamily): number {
  return family === 4 ? 4 : 16;
}

function network(offset: number, bytes: number): PayloadRange {
  return { base: NFT_PAYLOAD_NETWORK_HEADER, offset, bytes };
}
