// Give a verdict: where the packet goes from here. enum nft_immediate_attributes.

import type { Chain } from '../chain.ts';
import { NFT_GOTO, NFTA_DATA_VERDICT, NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE } from '../constants.ts';
import { type Expression, NFT_REG_VERDICT } from './expression.ts';

export const NFTA_IMMEDIATE_DREG = 1;
export const NFTA_IMMEDIATE_DATA = 2;

/** End the rule with a verdict: NFT_RETURN, NF_ACCEPT, NF_DROP; NFT_JUMP and NFT_GOTO with the chain. */
export function giveVerdict(code: number, chain?: Chain): Expression {
  return {
    name: 'immediate',
    write: (writer) =>
      writer.attributeBe32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT).nested(NFTA_IMMEDIATE_DATA, (data) =>
        data.nested(NFTA_DATA_VERDICT, (verdict) => {
          verdict.attributeBe32(NFTA_VERDICT_CODE, code >>> 0);
          if (chain) verdict.attributeString(NFTA_VERDICT_CHAIN, chain.name);
        }),
      ),
  };
}

/** Go on in another chain and do not come back: at its end the packet leaves the one that led there, too. */
export function goTo(chain: Chain): Expression {
  return giveVerdict(NFT_GOTO, chain);
}
