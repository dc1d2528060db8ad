// Chains, followed as a packet would follow them, jumps included. Where it cannot be told whether a rule matches, both ways
// are followed: the answer is all that may become of the packet.

import type { BaseChain } from '../base-chain.ts';
import type { Chain } from '../chain.ts';
import type { NftablesConnection } from '../connection.ts';
import { NF_ACCEPT } from '../constants.ts';
import { type EvaluationContext, type Marks, Registers } from './context.ts';
import { evaluateExpression } from './expression-evaluation.ts';
import type { Packet } from './packet.ts';
import { listStoredRules, type StoredRule } from './stored-rule.ts';
import { unknownBytes } from './value.ts';
import { isVerdict, type Verdict } from './verdict.ts';

/** NFT_JUMP_STACK_SIZE: the kernel refuses deeper ones. */
const MAX_DEPTH = 16;

export type Fate = 'accept' | 'drop' | 'reject' | 'redirect' | 'unknown';

/** A fate of a packet, and the rule or policy that decides it. */
export interface Outcome {
  readonly fate: Fate;
  /** The chain that decides. */
  readonly chain: string;
  /** Undefined when it is the policy of the base chain. */
  readonly handle: bigint | undefined;
}

/** Outcomes by their fate; the last rule that leads to one stands for all. `continue`: the end of the chain, or a return. */
type Outcomes = Map<Fate | 'continue', Outcome | undefined>;

/** The rules of chains, read once however many packets meet them. */
export class StoredChains {
  readonly nft: NftablesConnection;
  readonly #rules = new Map<string, readonly StoredRule[]>();

  constructor(nft: NftablesConnection) {
    this.nft = nft;
  }

  rulesOf(chain: Pick<Chain, 'table' | 'name'>): readonly StoredRule[] {
    const key = JSON.stringify([chain.table.family, chain.table.name, chain.name]);
    const known = this.#rules.get(key);
    if (known) return known;
    const rules = listStoredRules(this.nft, chain);
    this.#rules.set(key, rules);
    return rules;
  }
}

/** All that may become of a packet in a base chain: at least one. Changes the marks as the rules do. Throws NetlinkError. */
export function evaluateBaseChain(chains: StoredChains, chain: BaseChain, packet: Packet, marks: Marks): Outcome[] {
  const { table, name, hook } = chain;
  const outcomes = new Walk(chains, { nft: chains.nft, table, packet, marks }).follow(name, 0);
  if (outcomes.delete('continue')) {
    const fate = hook.policy === NF_ACCEPT ? 'accept' : 'drop';
    outcomes.set(fate, { fate, chain: name, handle: undefined });
  }
  return [...outcomes.values()].filter((outcome) => outcome !== undefined);
}

/** One packet's way through the chains of a table. */
class Walk {
  readonly #chains: StoredChains;
  readonly #context: EvaluationContext;

  constructor(chains: StoredChains, context: EvaluationContext) {
    this.#chains = chains;
    this.#context = context;
  }

  /** Follow a chain to its end. `depth`: how many jumps led to it. */
  follow(name: string, depth: number): Outcomes {
    const outcomes: Outcomes = new Map();
    const { table, marks } = this.#context;
    if (depth > MAX_DEPTH) return outcomes.set('unknown', { fate: 'unknown', chain: name, handle: undefined });
    for (const rule of this.#chains.rulesOf({ table, name })) {
      const { isCertain, verdict } = applyRule(rule, this.#context);
      if (!verdict) continue;
      const before = { ...marks };
      const results = this.#obey(verdict, { chain: name, handle: rule.handle }, depth);
      if (!isCertain) blurMarks(marks, before);
      const isBack = results.delete('continue');
      for (const [fate, outcome] of results) outcomes.set(fate, outcome);
      if (verdict.kind === 'jump') {
        if (isCertain && !isBack) return outcomes;
        continue;
      }
      // A return, or a goto whose chain comes to its end, leaves this chain.
      if (isBack) outcomes.set('continue', undefined);
      if (isCertain) return outcomes;
    }
    return outcomes.set('continue', undefined);
  }

  #obey({ kind, chain = '' }: Verdict, place: Omit<Outcome, 'fate'>, depth: number): Outcomes {
    if (kind === 'jump' || kind === 'goto') return this.follow(chain, depth + 1);
    if (kind === 'return') return new Map([['continue', undefined]]);
    return new Map([[kind, { fate: kind, ...place }]]);
  }
}

/** Apply a rule's expressions. No verdict: the rule does not match, or gives none. */
function applyRule(
  rule: StoredRule,
  context: EvaluationContext,
): { readonly isCertain: boolean; readonly verdict?: Verdict } {
  const registers = new Registers();
  let isCertain = true;
  for (const expression of rule.expressions) {
    const before = { ...context.marks };
    const step = evaluateExpression(expression, registers, context);
    if (!isCertain) blurMarks(context.marks, before);
    if (step === 'no') return { isCertain };
    if (step === 'perhaps') isCertain = false;
    if (isVerdict(step)) return { isCertain, verdict: step };
  }
  return { isCertain };
}

/** A mark that a rule has set which may not match is not known any more. */
function blurMarks(marks: Marks, before: Marks): void {
  if (marks.packet !== before.packet) marks.packet = unknownBytes(4);
  if (marks.connection !== before.connection) marks.connection = unknownBytes(4);
}
