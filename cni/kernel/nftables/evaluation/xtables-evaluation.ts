// Matches and targets of iptables, which iptables-nft puts into rules of nftables where these have no expression of their
// own: a name, a revision, and the structure that the kernel's module reads.
//
// Source: include/uapi/linux/netfilter/xt_*.h (v6.12). Host byte order, but for addresses and ports in packets.

import type { Attributes } from '../../netlink/reader.ts';
import { ByteReader, MalformedMessageError } from '../../netlink/reader.ts';
import { RTN_LOCAL } from '../expressions/fib.ts';
import { type EvaluationContext, isMarked, type Registers } from './context.ts';
import { connectionStatus, type Packet } from './packet.ts';
import { hostOrder, numberOf, unknownBytes } from './value.ts';
import { type Step, stepOf } from './verdict.ts';

// enum nft_match_attributes, nft_target_attributes
const NFTA_XT_NAME = 1;
const NFTA_XT_REV = 2;
const NFTA_XT_INFO = 3;

// xt_conntrack.h: struct xt_conntrack_mtinfo2 and 3, from match_flags on
const XT_CONNTRACK_FLAGS_OFFSET = 146;
const XT_CONNTRACK_STATE = 1 << 0;
const XT_CONNTRACK_STATUS = 1 << 6;
const XT_CONNTRACK_STATE_ALIAS = 1 << 13;
const XT_CONNTRACK_STATE_DNAT = 1 << 7;
// xt_addrtype.h: struct xt_addrtype_info_v1
const XT_ADDRTYPE_INVERT_SOURCE = 1 << 0;
const XT_ADDRTYPE_INVERT_DEST = 1 << 1;
const XT_ADDRTYPE_LIMITS = (1 << 2) | (1 << 3);
const RTN_UNICAST = 1;
// xt_tcpudp.h, xt_multiport.h
const XT_TCP_INV_SRCPT = 0x01;
const XT_TCP_INV_DSTPT = 0x02;
const XT_MULTI_PORTS = 15;
// xt_physdev.h
const XT_PHYSDEV_NAMES_BYTES = 64;
const XT_PHYSDEV_OP_BRIDGED = 0x04;

type Reader = (info: ByteReader, context: EvaluationContext, revision: number) => boolean | undefined;

const MATCHES: Readonly<Record<string, Reader>> = {
  comment: () => true,
  conntrack,
  state: (info, { packet }) => (info.u32() & packet.state) !== 0,
  addrtype,
  mark: (info, { marks }) => markMatch(info, marks.packet),
  connmark: (info, { marks }) => markMatch(info, marks.connection),
  tcp: (info, { packet }) => portsMatch(info, packet, 4),
  udp: (info, { packet }) => portsMatch(info, packet, 0),
  multiport,
  physdev: (info, { packet }) => {
    info.skip(XT_PHYSDEV_NAMES_BYTES);
    const [invert, wanted] = [info.u8(), info.u8()];
    if (wanted !== XT_PHYSDEV_OP_BRIDGED) return packet.isBridged ? undefined : isNotBridged(invert, wanted);
    return packet.isBridged !== ((invert & XT_PHYSDEV_OP_BRIDGED) !== 0);
  },
};

/** Of other protocols than TCP and UDP, or of headers that the packet does not have: they do not match, inverted or not. */
const OTHER_PROTOCOLS = ['icmp', 'icmp6', 'sctp', 'dccp', 'ah', 'esp', 'rt', 'frag', 'hbh', 'dst', 'mh'];

/** Targets that change or tell something, and let the packet go on to the next rule. */
const HARMLESS_TARGETS = [
  ...['LOG', 'NFLOG', 'TCPMSS', 'CT', 'NOTRACK', 'CHECKSUM', 'CLASSIFY', 'TOS', 'DSCP', 'TTL', 'HL', 'SET', 'TRACE'],
  ...['AUDIT', 'SECMARK', 'CONNSECMARK', 'ECN', 'TCPOPTSTRIP', 'LED', 'RATEEST', 'IDLETIMER', 'TEE'],
];

/** A match of iptables: one that is not known here may match or not. */
export function evaluateMatch(attributes: Attributes, _registers: Registers, context: EvaluationContext): Step {
  const { name, revision, info } = readExtension(attributes);
  if (OTHER_PROTOCOLS.includes(name)) return 'no';
  const match = Object.hasOwn(MATCHES, name) ? MATCHES[name] : undefined;
  try {
    return stepOf(match?.(new ByteReader(info), context, revision));
  } catch (error) {
    // Another revision, of another size than the one that is known.
    if (error instanceof MalformedMessageError) return 'perhaps';
    throw error;
  }
}

export function evaluateTarget(attributes: Attributes, _registers: Registers, { marks }: EvaluationContext): Step {
  const { name, info } = readExtension(attributes);
  if (HARMLESS_TARGETS.includes(name)) return 'yes';
  switch (name) {
    case 'REJECT':
      return { kind: 'reject' };
    case 'DNAT':
    case 'REDIRECT':
    case 'NETMAP':
      return { kind: 'redirect' };
    case 'MASQUERADE':
    case 'SNAT':
      return { kind: 'accept' };
    case 'MARK':
      marks.packet = marked(marks.packet, info);
      return 'yes';
    case 'CONNMARK':
      // It saves or restores the one mark by the other.
      marks.packet = unknownBytes(4);
      marks.connection = unknownBytes(4);
      return 'yes';
    default:
      return { kind: 'unknown' };
  }
}

function readExtension(attributes: Attributes): { name: string; revision: number; info: Uint8Array } {
  return {
    name: attributes.string(NFTA_XT_NAME) ?? '',
    revision: attributes.be32(NFTA_XT_REV) ?? 0,
    info: attributes.bytes(NFTA_XT_INFO) ?? new Uint8Array(),
  };
}

/** struct xt_mark_tginfo2: mark = (mark & ~mask) ^ value. */
function marked(mark: readonly (number | undefined)[], info: Uint8Array) {
  const old = numberOf(mark);
  if (old === undefined || info.length < 8) return unknownBytes(4);
  const reader = new ByteReader(info);
  const [value, mask] = [reader.u32(), reader.u32()];
  return hostOrder(((old & ~mask) ^ value) >>> 0, 4);
}

/** struct xt_mark_mtinfo1, xt_connmark_mtinfo1. */
function markMatch(info: ByteReader, mark: readonly (number | undefined)[]): boolean | undefined {
  const [wanted, mask, invert] = [info.u32(), info.u32(), info.u8()];
  const answer = isMarked(mark, wanted, mask);
  return answer === undefined ? undefined : answer !== (invert !== 0);
}

function conntrack(info: ByteReader, { packet }: EvaluationContext, revision: number): boolean | undefined {
  if (revision !== 2 && revision !== 3) return undefined;
  info.skip(XT_CONNTRACK_FLAGS_OFFSET);
  const [flags, invert, states, statuses] = [info.u16(), info.u16(), info.u16(), info.u16()];
  const known = XT_CONNTRACK_STATE | XT_CONNTRACK_STATUS | XT_CONNTRACK_STATE_ALIAS;
  if ((flags & XT_CONNTRACK_STATE) !== 0) {
    const bits = packet.state | (packet.isRedirected ? XT_CONNTRACK_STATE_DNAT : 0);
    if (((states & bits) !== 0) === ((invert & XT_CONNTRACK_STATE) !== 0)) return false;
  }
  if ((flags & XT_CONNTRACK_STATUS) !== 0) {
    const isOne = (statuses & connectionStatus(packet)) !== 0;
    if (isOne === ((invert & XT_CONNTRACK_STATUS) !== 0)) return false;
  }
  return (flags & ~known) === 0 ? true : undefined;
}

function addrtype(info: ByteReader, { packet }: EvaluationContext, revision: number): boolean | undefined {
  if (revision !== 1) return undefined;
  const [source, destination, flags] = [info.u16(), info.u16(), info.u32()];
  const isOf = (mask: number, isLocal: boolean) => (mask & (1 << (isLocal ? RTN_LOCAL : RTN_UNICAST))) !== 0;
  if (source !== 0 && isOf(source, packet.from.isLocal) === ((flags & XT_ADDRTYPE_INVERT_SOURCE) !== 0)) return false;
  if (destination !== 0 && isOf(destination, packet.to.isLocal) === ((flags & XT_ADDRTYPE_INVERT_DEST) !== 0)) {
    return false;
  }
  return (flags & XT_ADDRTYPE_LIMITS) === 0 ? true : undefined;
}

/** struct xt_tcp, xt_udp: two ranges of ports; of TCP `between` bytes about options and flags follow, then what is inverted. */
function portsMatch(info: ByteReader, { from, to }: Packet, between: number): boolean | undefined {
  const [sourceFirst, sourceLast, first, last] = [info.u16(), info.u16(), info.u16(), info.u16()];
  const rest = between === 0 ? 0 : info.u8() | (info.u8() << 8) | (info.u8() << 16);
  const invert = info.u8();
  const answers = [
    isWithin(from.port, sourceFirst, sourceLast, (invert & XT_TCP_INV_SRCPT) !== 0),
    isWithin(to.port, first, last, (invert & XT_TCP_INV_DSTPT) !== 0),
    rest === 0 ? true : undefined,
  ];
  if (answers.includes(false)) return false;
  return answers.includes(undefined) ? undefined : true;
}

function isWithin(port: number | undefined, first: number, last: number, isInverted: boolean): boolean | undefined {
  if (first === 0 && last === 0xffff) return !isInverted;
  return port === undefined ? undefined : (port >= first && port <= last) !== isInverted;
}

/** struct xt_multiport_v1. */
function multiport(info: ByteReader, { packet }: EvaluationContext, revision: number): boolean | undefined {
  if (revision !== 1) return undefined;
  const [kind, count] = [info.u8(), info.u8()];
  const ports = Array.from({ length: XT_MULTI_PORTS }, () => info.u16());
  const hasEnd = Array.from({ length: XT_MULTI_PORTS }, () => info.u8() !== 0);
  const isInverted = info.u8() !== 0;
  const ends = [packet.from.port, packet.to.port].filter((_, i) => kind === 2 || kind === i);
  if (ends.includes(undefined)) return undefined;
  const isListed = ends.some((port = 0) =>
    ports.slice(0, count).some((first, i) => {
      if (i > 0 && hasEnd[i - 1]) return false;
      const last = hasEnd[i] ? (ports[i + 1] ?? first) : first;
      return port >= first && port <= last;
    }),
  );
  return isListed !== isInverted;
}

/** Of a packet that does not go from port to port only the inverted questions have an answer (xt_physdev.c). */
function isNotBridged(invert: number, wanted: number): boolean {
  return (wanted & ~invert & 0x1f) === 0;
}
