// Rules: expressions that a packet runs through in order, until one of them does not match or gives a verdict.

import type { Operation } from '../netlink/connection.ts';
import { NLM_F_APPEND, NLM_F_CREATE } from '../netlink/message.ts';
import { type Chain, describeChain } from './chain.ts';
import {
  NFT_MSG_GETRULE,
  NFT_MSG_NEWRULE,
  NFTA_RULE_CHAIN,
  NFTA_RULE_EXPRESSIONS,
  NFTA_RULE_TABLE,
  NFTA_RULE_USERDATA,
} from './constants.ts';
import { type Expression, writeExpression } from './expressions/expression.ts';
import { nftType, writeHeader } from './message.ts';
import { describeTable, type Table } from './table.ts';
import { encodeComment, RULE_COMMENT } from './userdata.ts';

export interface Rule {
  readonly expressions: readonly Expression[];
  /** Says what the rule is for; nft shows it. At most COMMENT_MAX_BYTES. */
  readonly comment: string;
}

/** Append a rule to a chain. A rule has no key: adding the same one again makes a second one. */
export function addRule(chain: Chain, rule: Rule): Operation {
  return {
    operation: `add rule "${rule.comment}" to ${describeChain(chain)}`,
    type: nftType(NFT_MSG_NEWRULE),
    flags: NLM_F_CREATE | NLM_F_APPEND,
    payload: encodeRule(chain, rule),
  };
}

/** Ask for the rules of one chain, to be dumped: in their order, none when chain or table is not there. */
export function listRules(chain: Pick<Chain, 'table' | 'name'>): Operation {
  const payload = writeHeader(chain.table.family)
    .attributeString(NFTA_RULE_TABLE, chain.table.name)
    .attributeString(NFTA_RULE_CHAIN, chain.name)
    .finish();
  return { operation: `list rules of ${describeChain(chain)}`, type: nftType(NFT_MSG_GETRULE), flags: 0, payload };
}

/** Ask for the rules of all chains of a table, to be dumped. */
export function listRulesOfTable(table: Table): Operation {
  const payload = writeHeader(table.family).attributeString(NFTA_RULE_TABLE, table.name).finish();
  return { operation: `list rules of ${describeTable(table)}`, type: nftType(NFT_MSG_GETRULE), flags: 0, payload };
}

/** The definition of a rule: what addRule() asks for and what the kernel must answer to listRules(). */
export function encodeRule({ table, name }: Chain, { expressions, comment }: Rule): Uint8Array {
  return writeHeader(table.family)
    .attributeString(NFTA_RULE_TABLE, table.name)
    .attributeString(NFTA_RULE_CHAIN, name)
    .nested(NFTA_RULE_EXPRESSIONS, (list) => {
      for (const expression of expressions) writeExpression(list, expression);
    })
    .attributeBytes(NFTA_RULE_USERDATA, encodeComment(RULE_COMMENT, comment))
    .finish();
}
