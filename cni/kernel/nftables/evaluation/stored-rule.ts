// Rules of any table as the kernel keeps them, read back: whoever made them, and with whatever expressions.

import { type Operation, understand } from '../../netlink/connection.ts';
import type { Message } from '../../netlink/message.ts';
import { Attributes } from '../../netlink/reader.ts';
import type { Chain } from '../chain.ts';
import type { NftablesConnection } from '../connection.ts';
import { NFTA_LIST_ELEM, NFTA_RULE_EXPRESSIONS } from '../constants.ts';
import { NFTA_EXPR_DATA, NFTA_EXPR_NAME } from '../expressions/expression.ts';
import { attributesOf } from '../message.ts';
import { listRules } from '../rule.ts';

/** enum nft_rule_attributes. */
const NFTA_RULE_HANDLE = 3;

const NO_ATTRIBUTES = new Attributes(new Uint8Array());

export interface StoredExpression {
  /** The kernel's name for the kind. */
  readonly name: string;
  readonly attributes: Attributes;
}

export interface StoredRule {
  /** The number that `nft -a list ruleset` shows. */
  readonly handle: bigint;
  readonly expressions: readonly StoredExpression[];
}

/** List the rules of a chain in their order; none when it is not there. Throws NetlinkError. */
export function listStoredRules(nft: NftablesConnection, chain: Pick<Chain, 'table' | 'name'>): StoredRule[] {
  const operation: Operation = listRules(chain);
  return nft.dump(operation).map((message) => understand(operation, () => decodeStoredRule(message)));
}

/** Read an NFT_MSG_NEWRULE. Throws MalformedMessageError. */
function decodeStoredRule(message: Message): StoredRule {
  const attributes = attributesOf(message);
  const list = attributes.nested(NFTA_RULE_EXPRESSIONS)?.all ?? [];
  return {
    handle: attributes.be64(NFTA_RULE_HANDLE) ?? 0n,
    expressions: list.filter(({ type }) => type === NFTA_LIST_ELEM).map(({ payload }) => decodeExpression(payload)),
  };
}

function decodeExpression(payload: Uint8Array): StoredExpression {
  const attributes = new Attributes(payload);
  return {
    name: attributes.string(NFTA_EXPR_NAME) ?? '',
    attributes: attributes.nested(NFTA_EXPR_DATA) ?? NO_ATTRIBUTES,
  };
}
