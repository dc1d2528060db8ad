// Expressions that load what is known of a packet into a register: its bytes, and what the kernel knows of it.

import type { Attributes } from '../../netlink/reader.ts';
import { NFPROTO_BRIDGE, NFPROTO_IPV4 } from '../constants.ts';
import { NFT_CT_STATE, NFT_CT_STATUS, NFTA_CT_DREG, NFTA_CT_KEY } from '../expressions/ct.ts';
import {
  NFT_FIB_RESULT_ADDRTYPE,
  NFTA_FIB_DREG,
  NFTA_FIB_F_DADDR,
  NFTA_FIB_FLAGS,
  NFTA_FIB_RESULT,
  RTN_LOCAL,
} from '../expressions/fib.ts';
import {
  NFT_META_IIFNAME,
  NFT_META_IIFTYPE,
  NFT_META_L4PROTO,
  NFT_META_NFPROTO,
  NFT_META_OIFNAME,
  NFT_META_PROTOCOL,
  NFTA_META_DREG,
  NFTA_META_KEY,
} from '../expressions/meta.ts';
import {
  NFT_PAYLOAD_NETWORK_HEADER,
  NFT_PAYLOAD_TRANSPORT_HEADER,
  NFTA_PAYLOAD_BASE,
  NFTA_PAYLOAD_DREG,
  NFTA_PAYLOAD_LEN,
  NFTA_PAYLOAD_OFFSET,
} from '../expressions/payload.ts';
import type { EvaluationContext, Registers } from './context.ts';
import { connectionStatus, CT_STATE_ESTABLISHED, nameBytes, networkHeader, transportHeader } from './packet.ts';
import { hostOrder, networkOrder, paddedText, unknownBytes, type Value } from './value.ts';
import type { Step } from './verdict.ts';

// enum nft_meta_attributes, nft_meta_keys
const NFTA_META_SREG = 3;
const NFT_META_MARK = 3;
const NFT_META_OIFTYPE = 9;
const NFT_META_IIFKIND = 26;
const NFT_META_OIFKIND = 27;
// enum nft_ct_attributes, nft_ct_keys
const NFTA_CT_SREG = 4;
const NFT_CT_DIRECTION = 1;
const NFT_CT_MARK = 3;
const NFT_CT_PROTOCOL = 10;
const NFT_CT_ZONE = 17;
// enum nft_payload_attributes
const NFTA_PAYLOAD_SREG = 5;
// enum nft_fib_result, nft_fib_flags
const NFT_FIB_RESULT_OIF = 1;
const NFTA_FIB_F_SADDR = 1 << 0;
const NFTA_FIB_F_PRESENT = 1 << 5;

// include/uapi/linux/if_arp.h, if_ether.h, rtnetlink.h
const ARPHRD_ETHER = 1;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const RTN_UNICAST = 1;
const IFNAMSIZ = 16;
/** Bytes that a register has room for. */
const MOST_BYTES = 16;

/** `meta KEY`, and `meta mark set`. */
export function loadMeta(attributes: Attributes, registers: Registers, context: EvaluationContext): Step {
  const key = attributes.be32(NFTA_META_KEY);
  const source = attributes.be32(NFTA_META_SREG);
  if (source === undefined) {
    registers.store(attributes.be32(NFTA_META_DREG), metaValue(key, context));
  } else if (key === NFT_META_MARK) {
    context.marks.packet = registers.load(source, 4);
  }
  return 'yes';
}

function metaValue(key: number | undefined, { packet, table, marks }: EvaluationContext): Value {
  switch (key) {
    case NFT_META_PROTOCOL:
      return networkOrder(packet.family === NFPROTO_IPV4 ? ETH_P_IP : ETH_P_IPV6, 2);
    case NFT_META_NFPROTO:
      return [table.family === NFPROTO_BRIDGE ? NFPROTO_BRIDGE : packet.family];
    case NFT_META_L4PROTO:
      return [packet.protocol];
    case NFT_META_IIFNAME:
      return nameBytes(packet.input?.name);
    case NFT_META_OIFNAME:
      return nameBytes(packet.output?.name);
    case NFT_META_IIFTYPE:
      return packet.input?.name === undefined ? unknownBytes(2) : hostOrder(ARPHRD_ETHER, 2);
    case NFT_META_OIFTYPE:
      return packet.output?.name === undefined ? unknownBytes(2) : hostOrder(ARPHRD_ETHER, 2);
    case NFT_META_IIFKIND:
      return kindBytes(packet.input?.kind);
    case NFT_META_OIFKIND:
      return kindBytes(packet.output?.kind);
    case NFT_META_MARK:
      return marks.packet;
    default:
      return unknownBytes(MOST_BYTES);
  }
}

function kindBytes(kind: string | undefined): Value {
  return kind === undefined ? unknownBytes(IFNAMSIZ) : paddedText(kind, IFNAMSIZ);
}

/** `ct KEY`, and `ct mark set`. */
export function loadConntrack(attributes: Attributes, registers: Registers, context: EvaluationContext): Step {
  const key = attributes.be32(NFTA_CT_KEY);
  const source = attributes.be32(NFTA_CT_SREG);
  if (source === undefined) {
    registers.store(attributes.be32(NFTA_CT_DREG), conntrackValue(key, context));
  } else if (key === NFT_CT_MARK) {
    context.marks.connection = registers.load(source, 4);
  }
  return 'yes';
}

function conntrackValue(key: number | undefined, { packet, marks }: EvaluationContext): Value {
  switch (key) {
    case NFT_CT_STATE:
      return hostOrder(packet.state, 4);
    case NFT_CT_STATUS:
      return hostOrder(connectionStatus(packet), 4);
    case NFT_CT_DIRECTION:
      return [packet.state === CT_STATE_ESTABLISHED ? 1 : 0];
    case NFT_CT_MARK:
      return marks.connection;
    case NFT_CT_PROTOCOL:
      return [packet.protocol];
    case NFT_CT_ZONE:
      return [0, 0];
    default:
      return unknownBytes(MOST_BYTES);
  }
}

/** Bytes of the packet; what rules write into it is not followed. */
export function loadPayload(attributes: Attributes, registers: Registers, { packet }: EvaluationContext): Step {
  if (attributes.has(NFTA_PAYLOAD_SREG)) return 'yes';
  const [offset, length] = [attributes.be32(NFTA_PAYLOAD_OFFSET) ?? 0, attributes.be32(NFTA_PAYLOAD_LEN) ?? 0];
  const header = headerAt(attributes.be32(NFTA_PAYLOAD_BASE), packet);
  registers.store(
    attributes.be32(NFTA_PAYLOAD_DREG),
    Array.from({ length }, (_, i) => header[offset + i]),
  );
  return 'yes';
}

function headerAt(base: number | undefined, packet: EvaluationContext['packet']): Value {
  if (base === NFT_PAYLOAD_NETWORK_HEADER) return networkHeader(packet);
  return base === NFT_PAYLOAD_TRANSPORT_HEADER ? transportHeader(packet) : [];
}

/** `fib`: the type of an address, and whether there is a way back to the sender, which is assumed. */
export function loadFib(attributes: Attributes, registers: Registers, { packet }: EvaluationContext): Step {
  const flags = attributes.be32(NFTA_FIB_FLAGS) ?? 0;
  const result = attributes.be32(NFTA_FIB_RESULT);
  const end = (flags & NFTA_FIB_F_DADDR) !== 0 ? packet.to : packet.from;
  let value: Value = unknownBytes(MOST_BYTES);
  if (result === NFT_FIB_RESULT_ADDRTYPE) {
    value = hostOrder(end.isLocal ? RTN_LOCAL : RTN_UNICAST, 4);
  } else if (result === NFT_FIB_RESULT_OIF && (flags & NFTA_FIB_F_SADDR) !== 0) {
    // The index of an interface is not known, but it is not 0, which stands for none.
    value = (flags & NFTA_FIB_F_PRESENT) !== 0 ? [1, 0, 0, 0] : [undefined, 0, 0, 1];
  }
  registers.store(attributes.be32(NFTA_FIB_DREG), value);
  return 'yes';
}
