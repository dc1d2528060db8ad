// The parts of nf_tables that a kernel may have been built without, or whose module it cannot load, and how a refusal
// tells which of them is missing.
//
//   begin message of a batch, EOPNOTSUPP    nf_tables itself (nfnetlink_rcv_batch(); a question gets EINVAL, and a socket
//                                           EPROTONOSUPPORT where nfnetlink is missing as well)
//   NFT_MSG_NEWCHAIN, ENOENT                the type of the chain in the table's family (nf_tables_chain_type_lookup())
//   NFT_MSG_NEWRULE, ENOENT                 the kind of an expression (nft_expr_type_get()); the offset is the expression's
//
// An ENOENT with the offset of another attribute is about a table, chain or set that is not there.
// Source: net/netfilter/nf_tables_api.c, nfnetlink.c, v5.10 to v6.12.

import { ENOENT, EOPNOTSUPP } from '../errno.ts';
import type { Operation } from '../netlink/connection.ts';
import { NetlinkError } from '../netlink/error.ts';
import { type Acknowledgement, NLMSG_HDRLEN } from '../netlink/message.ts';
import { Attributes, MalformedMessageError } from '../netlink/reader.ts';
import { align4 } from '../netlink/writer.ts';
import {
  NFPROTO_BRIDGE,
  NFPROTO_INET,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_NEWRULE,
  NFTA_CHAIN_TYPE,
  NFTA_RULE_EXPRESSIONS,
} from './constants.ts';
import { NFTA_EXPR_NAME } from './expressions/expression.ts';
import { attributeBytesOf, NFGENMSG_BYTES, nftType } from './message.ts';

/** A part of nf_tables, as the kernel's build knows it. */
export interface KernelPart {
  /** Of its module, or as people call it. */
  readonly name: string;
  readonly option: string;
}

export const NF_TABLES: KernelPart = { name: 'nf_tables', option: 'CONFIG_NF_TABLES' };
export const NF_TABLES_INET: KernelPart = { name: 'nf_tables inet', option: 'CONFIG_NF_TABLES_INET' };
export const NF_TABLES_BRIDGE: KernelPart = { name: 'nf_tables bridge', option: 'CONFIG_NF_TABLES_BRIDGE' };
export const NFT_CHAIN_NAT: KernelPart = { name: 'nft_chain_nat', option: 'CONFIG_NFT_NAT' };
export const NFT_NAT: KernelPart = { name: 'nft_nat', option: 'CONFIG_NFT_NAT' };
export const NFT_MASQ: KernelPart = { name: 'nft_masq', option: 'CONFIG_NFT_MASQ' };
export const NFT_CT: KernelPart = { name: 'nft_ct', option: 'CONFIG_NFT_CT' };
export const NFT_FIB_INET: KernelPart = { name: 'nft_fib_inet', option: 'CONFIG_NFT_FIB_INET' };

/** All of them: the rules of podlink need each. */
export const KERNEL_PARTS: readonly KernelPart[] = [
  NF_TABLES,
  NF_TABLES_INET,
  NF_TABLES_BRIDGE,
  NFT_CHAIN_NAT,
  NFT_NAT,
  NFT_MASQ,
  NFT_CT,
  NFT_FIB_INET,
];

/** By the kernel's name of the expression. All others that podlink uses are part of nf_tables itself. */
const OF_EXPRESSIONS: ReadonlyMap<string, KernelPart> = new Map([
  ['ct', NFT_CT],
  ['notrack', NFT_CT],
  ['fib', NFT_FIB_INET],
  ['masq', NFT_MASQ],
  ['nat', NFT_NAT],
]);

/** The kernel refused what it lacks a part of nf_tables for. */
export class MissingKernelPartError extends NetlinkError {
  readonly part: KernelPart;

  constructor(operation: string, part: KernelPart, errno: number) {
    super(operation, { errno, text: `the kernel has no ${part.name} (${part.option})` });
    this.part = part;
  }
}

/** The error for an operation of a batch that was refused; `undefined`: the batch itself was. */
export function describeRefusal(
  { operation }: Pick<Operation, 'operation'>,
  refused: Operation | undefined,
  acknowledgement: Acknowledgement,
): NetlinkError {
  const part = missingPart(refused, acknowledgement);
  return part
    ? new MissingKernelPartError(operation, part, acknowledgement.errno)
    : new NetlinkError(operation, acknowledgement);
}

function missingPart(refused: Operation | undefined, { errno, offset }: Acknowledgement): KernelPart | undefined {
  if (!refused) return errno === EOPNOTSUPP ? NF_TABLES : undefined;
  if (errno !== ENOENT || offset === undefined) return undefined;
  try {
    if (refused.type === nftType(NFT_MSG_NEWCHAIN)) return partOfChain(refused.payload, offset);
    if (refused.type === nftType(NFT_MSG_NEWRULE)) return partOfRule(refused.payload, offset);
  } catch (error) {
    // An offset that fits no attribute says nothing.
    if (!(error instanceof MalformedMessageError)) throw error;
  }
  return undefined;
}

function partOfChain(payload: Uint8Array, offset: number): KernelPart | undefined {
  const at = offsetsOf(attributeBytesOf(payload), NLMSG_HDRLEN + NFGENMSG_BYTES).find((each) => each.offset === offset);
  const type = new Attributes(attributeBytesOf(payload)).string(NFTA_CHAIN_TYPE);
  if (at?.type !== NFTA_CHAIN_TYPE) return undefined;
  if (type === 'nat') return NFT_CHAIN_NAT;
  return payload[0] === NFPROTO_INET ? NF_TABLES_INET : payload[0] === NFPROTO_BRIDGE ? NF_TABLES_BRIDGE : undefined;
}

function partOfRule(payload: Uint8Array, offset: number): KernelPart | undefined {
  const attributes = offsetsOf(attributeBytesOf(payload), NLMSG_HDRLEN + NFGENMSG_BYTES);
  const list = attributes.find(({ type }) => type === NFTA_RULE_EXPRESSIONS);
  const expression = list && offsetsOf(list.payload, list.offset + 4).find((each) => each.offset === offset);
  const name = expression && new Attributes(expression.payload).string(NFTA_EXPR_NAME);
  return name === undefined ? undefined : OF_EXPRESSIONS.get(name);
}

/** Attributes with the offset of each, of which the first has `start`. */
function offsetsOf(bytes: Uint8Array, start: number): { offset: number; type: number; payload: Uint8Array }[] {
  let offset = start;
  return new Attributes(bytes).all.map(({ type, payload }) => {
    const at = offset;
    offset += align4(4 + payload.length);
    return { offset: at, type, payload };
  });
}
