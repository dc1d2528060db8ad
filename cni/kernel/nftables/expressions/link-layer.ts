// MAC addresses of a packet, as steps of a rule: in the Ethernet header, and what ARP says of its sender.
// Offsets: struct ethhdr (include/uapi/linux/if_ether.h), RFC 826.

import { compare, NFT_CMP_EQ } from './cmp.ts';
import type { Expression } from './expression.ts';
import { loadMeta, NFT_META_IIFTYPE, NFT_META_PROTOCOL } from './meta.ts';
import { loadPayload, NFT_PAYLOAD_LL_HEADER, NFT_PAYLOAD_NETWORK_HEADER } from './payload.ts';

const ETH_ALEN = 6;
/** include/uapi/linux/if_ether.h, network order. */
const ETH_P_ARP = Uint8Array.of(0x08, 0x06);
/** include/uapi/linux/if_arp.h, host order. */
const ARPHRD_ETHER = Uint8Array.of(1, 0);

/** Go on only with packets that came in as Ethernet frames. A rule of an inet table must ask before it looks at a MAC. */
export function matchEthernet(): Expression[] {
  return [loadMeta(NFT_META_IIFTYPE), compare(NFT_CMP_EQ, ARPHRD_ETHER)];
}

/** Go on only with frames that carry ARP (`NFT_CMP_EQ`) or only with others (`NFT_CMP_NEQ`). */
export function matchArp(op: number): Expression[] {
  return [loadMeta(NFT_META_PROTOCOL), compare(op, ETH_P_ARP)];
}

/** Load the MAC address a frame was sent to. */
export function loadEtherDestination(register?: number): Expression {
  return loadPayload({ base: NFT_PAYLOAD_LL_HEADER, offset: 0, bytes: ETH_ALEN }, register);
}

/** Load the MAC address a frame says that it comes from. A router between has put its own in the place. */
export function loadEtherSource(register?: number): Expression {
  return loadPayload({ base: NFT_PAYLOAD_LL_HEADER, offset: 6, bytes: ETH_ALEN }, register);
}

/** Load the sender hardware address of an ARP packet: where those who hear it will send to. */
export function loadArpSender(register?: number): Expression {
  return loadPayload({ base: NFT_PAYLOAD_NETWORK_HEADER, offset: 8, bytes: ETH_ALEN }, register);
}
