// Chains: lists of rules. A base chain hangs on a hook of the packet path, a regular one is jumped to.

import type { Operation } from '../netlink/connection.ts';
import { NLM_F_CREATE } from '../netlink/message.ts';
import {
  NFT_MSG_DELCHAIN,
  NFT_MSG_DELRULE,
  NFT_MSG_GETCHAIN,
  NFT_MSG_NEWCHAIN,
  NFTA_CHAIN_HOOK,
  NFTA_CHAIN_NAME,
  NFTA_CHAIN_POLICY,
  NFTA_CHAIN_TABLE,
  NFTA_CHAIN_TYPE,
  NFTA_HOOK_HOOKNUM,
  NFTA_HOOK_PRIORITY,
  NFTA_RULE_CHAIN,
  NFTA_RULE_TABLE,
} from './constants.ts';
import { nftType, writeHeader } from './message.ts';
import { describeTable, type Table } from './table.ts';

/** Where a base chain hangs. */
export interface Hook {
  readonly type: 'filter' | 'nat' | 'route';
  /** NF_INET_*. */
  readonly number: number;
  /** Chains of a hook run in ascending order, e.g. NF_IP_PRI_NAT_SRC. */
  readonly priority: number;
  /** What happens to a packet no rule decides on: NF_ACCEPT or NF_DROP. */
  readonly policy: number;
}

/** `name` must not be a word of nft's language, such as "masquerade": the operator could not type it. */
export interface Chain {
  readonly table: Table;
  readonly name: string;
  /** Present for a base chain. */
  readonly hook?: Hook;
}

/** Name a chain in an error: `chain nat_out of table inet podlink`. */
export function describeChain({ table, name }: Pick<Chain, 'table' | 'name'>): string {
  return `chain ${name} of ${describeTable(table)}`;
}

/** Add a chain; nothing changes when the same one is there. Refused when it is there with another hook. */
export function addChain(chain: Chain): Operation {
  return operation({ verb: 'add', type: NFT_MSG_NEWCHAIN, flags: NLM_F_CREATE }, chain, encodeChain(chain));
}

/** Delete a chain without rules. EBUSY while a rule or element points to it, ENOENT when it is not there. */
export function deleteChain(chain: Chain): Operation {
  return operation({ verb: 'delete', type: NFT_MSG_DELCHAIN }, chain, encodeName(chain));
}

/** Ask for a chain. ENOENT when it is not there. */
export function getChain(chain: Chain): Operation {
  return operation({ verb: 'get', type: NFT_MSG_GETCHAIN }, chain, encodeName(chain));
}

/** Delete all rules of a chain, if it has any. ENOENT when the chain is not there. */
export function flushChain(chain: Chain): Operation {
  const payload = writeHeader(chain.table.family)
    .attributeString(NFTA_RULE_TABLE, chain.table.name)
    .attributeString(NFTA_RULE_CHAIN, chain.name)
    .finish();
  return operation({ verb: 'flush', type: NFT_MSG_DELRULE }, chain, payload);
}

/** The definition of a chain: what addChain() asks for and what the kernel must answer to getChain(). */
export function encodeChain({ table, name, hook }: Chain): Uint8Array {
  const writer = writeHeader(table.family)
    .attributeString(NFTA_CHAIN_TABLE, table.name)
    .attributeString(NFTA_CHAIN_NAME, name);
  if (hook) {
    writer
      .attributeString(NFTA_CHAIN_TYPE, hook.type)
      .attributeBe32(NFTA_CHAIN_POLICY, hook.policy)
      .nested(NFTA_CHAIN_HOOK, (nested) =>
        nested
          .attributeBe32(NFTA_HOOK_HOOKNUM, hook.number)
          // A signed number: priorities before 0 are the earlier ones.
          .attributeBe32(NFTA_HOOK_PRIORITY, hook.priority >>> 0),
      );
  }
  return writer.finish();
}

function encodeName({ table, name }: Chain): Uint8Array {
  return writeHeader(table.family)
    .attributeString(NFTA_CHAIN_TABLE, table.name)
    .attributeString(NFTA_CHAIN_NAME, name)
    .finish();
}

function operation(
  { verb, type, flags = 0 }: { readonly verb: string; readonly type: number; readonly flags?: number },
  chain: Chain,
  payload: Uint8Array,
): Operation {
  return { operation: `${verb} ${describeChain(chain)}`, type: nftType(type), flags, payload };
}
