// Base chains of all tables, whoever made them: what decides on a packet beside our own.

import { type Operation, understand } from '../netlink/connection.ts';
import type { Message } from '../netlink/message.ts';
import { ByteReader } from '../netlink/reader.ts';
import type { Chain, Hook } from './chain.ts';
import type { NftablesConnection } from './connection.ts';
import {
  NFT_MSG_GETCHAIN,
  NFTA_CHAIN_HOOK,
  NFTA_CHAIN_NAME,
  NFTA_CHAIN_POLICY,
  NFTA_CHAIN_TABLE,
  NFTA_CHAIN_TYPE,
  NFTA_HOOK_HOOKNUM,
  NFTA_HOOK_PRIORITY,
} from './constants.ts';
import { attributesOf, nftType, writeHeader } from './message.ts';

/** NFPROTO_UNSPEC: tables of every family. */
const ANY_FAMILY = 0;

/** A base chain of whatever table, without its rules. */
export interface BaseChain extends Pick<Chain, 'table' | 'name'> {
  readonly hook: Omit<Hook, 'type'> & { readonly type: string };
}

/**
 * List the base chains of all tables, without their rules. For the rare call: the answer grows with foreign tables.
 *
 * Not among them is what iptables-legacy made, which is no part of nftables.
 */
export function listBaseChains(nft: NftablesConnection): BaseChain[] {
  const operation: Operation = {
    operation: 'list the base chains of all tables',
    type: nftType(NFT_MSG_GETCHAIN),
    flags: 0,
    payload: writeHeader(ANY_FAMILY).finish(),
  };
  return nft.dump(operation).flatMap((message) => understand(operation, () => decodeBaseChain(message)) ?? []);
}

/** Read an NFT_MSG_NEWCHAIN; undefined for a chain that hangs on no hook. Throws MalformedMessageError. */
export function decodeBaseChain(message: Message): BaseChain | undefined {
  const attributes = attributesOf(message);
  const place = attributes.nested(NFTA_CHAIN_HOOK);
  const number = place?.be32(NFTA_HOOK_HOOKNUM);
  const policy = attributes.be32(NFTA_CHAIN_POLICY);
  if (number === undefined || policy === undefined) return undefined;
  const table = {
    family: new ByteReader(message.payload).u8(),
    name: attributes.string(NFTA_CHAIN_TABLE) ?? '',
  };
  const hook = {
    type: attributes.string(NFTA_CHAIN_TYPE) ?? '',
    number,
    priority: (place?.be32(NFTA_HOOK_PRIORITY) ?? 0) | 0,
    policy,
  };
  return { table, name: attributes.string(NFTA_CHAIN_NAME) ?? '', hook };
}
