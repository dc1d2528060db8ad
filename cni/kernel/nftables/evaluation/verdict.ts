// The fate of a packet: by one expression of a rule, and by a verdict.

import type { Attributes } from '../../netlink/reader.ts';
import {
  NF_ACCEPT,
  NF_DROP,
  NFT_GOTO,
  NFT_JUMP,
  NFT_RETURN,
  NFTA_VERDICT_CHAIN,
  NFTA_VERDICT_CODE,
} from '../constants.ts';

/** `redirect`: the connection goes to another address or port. `unknown`: something outside of the rules decides. */
export interface Verdict {
  readonly kind: 'accept' | 'drop' | 'reject' | 'redirect' | 'return' | 'jump' | 'goto' | 'unknown';
  /** Of jump and goto. */
  readonly chain?: string;
}

/** `yes`: the rule goes on. `no`: it does not match. `perhaps`: that cannot be told. */
export type Step = 'yes' | 'no' | 'perhaps' | Verdict;

export function isVerdict(step: Step): step is Verdict {
  return typeof step === 'object';
}

export function stepOf(matches: boolean | undefined): Step {
  if (matches === undefined) return 'perhaps';
  return matches ? 'yes' : 'no';
}

/** Read NFTA_DATA_VERDICT; undefined for NFT_CONTINUE, which is none. */
export function decodeVerdict(attributes: Attributes): Verdict | undefined {
  const code = attributes.be32(NFTA_VERDICT_CODE);
  const chain = attributes.string(NFTA_VERDICT_CHAIN) ?? '';
  switch (code === undefined ? undefined : code | 0) {
    case NF_ACCEPT:
      return { kind: 'accept' };
    case NF_DROP:
      return { kind: 'drop' };
    case NFT_RETURN:
      return { kind: 'return' };
    case NFT_JUMP:
      return { kind: 'jump', chain };
    case NFT_GOTO:
      return { kind: 'goto', chain };
    case NFT_CONTINUE:
      return undefined;
    default:
      // A queue of a program's, above all.
      return { kind: 'unknown' };
  }
}

/** enum nft_verdicts */
const NFT_CONTINUE = -1;
