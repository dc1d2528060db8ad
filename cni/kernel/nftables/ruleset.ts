// A feature's fixed part of a table: sets, chains and the rules that look into the sets. Attachments then come and go
// as elements, and no rule is touched again.
//
// How the rules come exactly once, without a lock and without looking first:
//   * a batch that needs the ruleset begins with expectRulesets(), which fails it with ENOENT when the ruleset is not
//     there (first use, or someone flushed the node's rules);
//   * it is then sent again with replaceRulesets() before it, which adds what is missing, empties the chains and fills
//     them anew. The kernel carries out one batch after the other, so however many processes do this at once, each
//     leaves one copy of every rule, and elements of the others stay.
//
// What expectRulesets() looks for is an empty set that carries the version in its name. A version makes the markers of
// all versions before it too: an older executable on the same node (another runtime's) then finds its own, and does
// not put its older rules in the place of the newer. So a new version may change rules and add objects, but must not
// change the definition of a set or chain: for that the object gets a new name.

import { isErrno } from '../errno.ts';
import { type Operation, understand } from '../netlink/connection.ts';
import { MalformedMessageError } from '../netlink/reader.ts';
import { align4, HOST_IS_LITTLE_ENDIAN, NLA_TYPE_MASK } from '../netlink/writer.ts';
import type { Message } from '../netlink/message.ts';
import { addChain, type Chain, deleteChain, encodeChain, flushChain, getChain } from './chain.ts';
import type { NftablesConnection } from './connection.ts';
import { isAsDefined } from './definition.ts';
import { NFTA_RULE_CHAIN } from './constants.ts';
import { type KernelPart, MissingKernelPartError } from './kernel-part.ts';
import { IPV4_ADDR } from './key.ts';
import { attributeBytesOf, NFGENMSG_BYTES } from './message.ts';
import { addRule, encodeRule, listRules, listRulesOfTable, type Rule } from './rule.ts';
import { addSet, encodeSetDefinition, expectSet, getSet, type NamedSet } from './set.ts';
import { addTable, describeTable, encodeTable, getTable, type Table } from './table.ts';

export interface ChainWithRules {
  readonly chain: Chain;
  readonly rules: readonly Rule[];
}

export interface Ruleset {
  readonly table: Table;
  /** Begins the names of the markers. */
  readonly name: string;
  /** Starts with 1 and goes up with every change to the rules. */
  readonly version: number;
  readonly sets: readonly NamedSet[];
  /** A chain stands before those whose rules lead to it. */
  readonly chains: readonly ChainWithRules[];
}

/** Fail the batch with ENOENT when one of the rulesets is not there in this version or a later one. */
export function expectRulesets(rulesets: readonly Ruleset[]): Operation[] {
  return rulesets.map((ruleset, i) => expectSet(marker(ruleset, ruleset.version), i + 1));
}

/** Make rulesets whole: tables, sets and chains if they are missing, the rules in any case. Elements stay. */
export function replaceRulesets(rulesets: readonly Ruleset[]): Operation[] {
  const sets = rulesets.flatMap(allSets);
  const chains = rulesets.flatMap((ruleset) => ruleset.chains);
  return [
    ...rulesets.map(({ table }) => addTable(table)),
    ...sets.map((set, i) => addSet(set, i + 1)),
    ...chains.flatMap(({ chain }) => [addChain(chain), flushChain(chain)]),
    ...chains.flatMap(({ chain, rules }) => rules.map((rule) => addRule(chain, rule))),
  ];
}

/**
 * Name the parts of nf_tables that the kernel lacks for the rulesets, without a change to anything.
 *
 * Rulesets that are in place have all they need: only of others the kernel is asked, which costs as much as to make them.
 */
export function findMissingParts(nft: NftablesConnection, rulesets: readonly Ruleset[]): KernelPart[] {
  const markers = nft.askAll(rulesets.map((ruleset) => getSet(marker(ruleset, ruleset.version))));
  const unmade = rulesets.filter((_, i) => !markers[i]);
  return rehearseRulesets(nft, unmade);
}

/** Likewise, and of rulesets that are in place as well: a module may be gone since. */
export function rehearseRulesets(nft: NftablesConnection, rulesets: readonly Ruleset[]): KernelPart[] {
  const failures = nft.rehearse(replaceRulesets(rulesets));
  const parts = failures.flatMap((failure) => (failure instanceof MissingKernelPartError ? [failure.part] : []));
  return [...new Set(parts)];
}

/**
 * Whether every chain has as many rules as it was made with: enough to see that somebody flushed one, at the price of
 * one question for each table, whose answer does not grow with the attachments. checkRuleset() looks at all there is.
 */
export function hasAllRules(nft: NftablesConnection, rulesets: readonly Ruleset[]): boolean {
  const countsOfTables = new Map<string, Map<string, number>>();
  return rulesets.every(({ table, chains }) => {
    const name = describeTable(table);
    const counts = countsOfTables.get(name) ?? countRules(nft, table);
    countsOfTables.set(name, counts);
    return chains.every(({ chain, rules }) => (counts.get(chain.name) ?? 0) === rules.length);
  });
}

/** The rules of a table, by the name of their chain. */
function countRules(nft: NftablesConnection, table: Table): Map<string, number> {
  const counts = new Map<string, number>();
  const list = listRulesOfTable(table);
  for (const { payload } of nft.dump(list)) {
    const chain = understand(list, () => chainNameOf(payload));
    counts.set(chain, (counts.get(chain) ?? 0) + 1);
  }
  return counts;
}

/** Not by attributesOf(): all attributes of 38 rules take 0.5 ms to decode, the name is the second of them. */
function chainNameOf(payload: Uint8Array): string {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  for (let at = NFGENMSG_BYTES; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, HOST_IS_LITTLE_ENDIAN);
    if (length < 4 || at + length > bytes.length) break;
    // Less the terminating zero. Names of chains are ASCII, or no chain of ours.
    if ((view.getUint16(at + 2, HOST_IS_LITTLE_ENDIAN) & NLA_TYPE_MASK) === NFTA_RULE_CHAIN) {
      return bytes.toString('latin1', at + 4, at + length - 1);
    }
    at += align4(length);
  }
  throw new MalformedMessageError('A rule has no chain');
}

/** A part of a ruleset that is not as it should be. */
export interface RulesetFault {
  /** rules: those of a chain that is there itself. */
  readonly part: 'table' | 'set' | 'chain' | 'rules';
  /** The set's or the chain's; the table's where that is the part. */
  readonly name: string;
  readonly table: Table;
  /** missing: it is not there. changed: it is not as it was made. */
  readonly state: 'missing' | 'changed';
}

/**
 * Find what of the ruleset is missing or not as it was made, an empty list when all is well. Of a table that is missing
 * nothing else is told.
 *
 * Asks for the known objects one by one and for the rules of the known chains; other tables are not looked at.
 */
export function checkRuleset(nft: NftablesConnection, ruleset: Ruleset): RulesetFault[] {
  const { table, chains } = ruleset;
  const ofTable = checkObject(nft, { part: 'table', name: table.name, table }, getTable(table), encodeTable(table));
  if (ofTable?.state === 'missing') return [ofTable];
  return [
    ofTable,
    ...allSets(ruleset).map((set) => checkObject(nft, { part: 'set', ...set }, getSet(set), encodeSetDefinition(set))),
    ...chains.map((each) => checkChain(nft, each)),
  ].filter((fault) => fault !== undefined);
}

/** Find what is wrong with one chain and its rules; undefined when nothing is. */
export function checkChain(nft: NftablesConnection, { chain, rules }: ChainWithRules): RulesetFault | undefined {
  return (
    checkObject(nft, { part: 'chain', ...chain }, getChain(chain), encodeChain(chain)) ?? checkRules(nft, chain, rules)
  );
}

/**
 * Make the ruleset whole again, whatever was done to it. Elements stay.
 *
 * Two batches: the kernel does not let chains change in the one that wakes up a dormant table.
 * Unlike replaceRulesets() it also makes chains anew that someone has replaced by others. Throws NetlinkError EEXIST
 * for a set with another key: with it, its elements would have to go.
 */
export function repairRuleset(nft: NftablesConnection, ruleset: Ruleset): void {
  const chains = ruleset.chains.map(({ chain }) => chain);
  nft.commit([addTable(ruleset.table)]);
  nft.commit([
    // Added by name alone, which succeeds whether there is none, the right or a wrong one; then there is one to delete.
    ...chains.map(({ table, name }) => addChain({ table, name })),
    ...chains.map(flushChain),
    ...chains.map(deleteChain),
    ...replaceRulesets([ruleset]),
  ]);
}

function checkObject(
  nft: NftablesConnection,
  { part, name, table }: Pick<RulesetFault, 'part' | 'name' | 'table'>,
  get: Operation,
  wanted: Uint8Array,
): RulesetFault | undefined {
  try {
    const [message] = nft.execute(get);
    if (message && isMessageAsDefined(get, wanted, message)) return undefined;
    return { part, name, table, state: 'changed' };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { part, name, table, state: 'missing' };
    throw error;
  }
}

function checkRules(nft: NftablesConnection, chain: Chain, rules: readonly Rule[]): RulesetFault | undefined {
  const list = listRules(chain);
  const messages = nft.dump(list);
  const isAsMade =
    messages.length === rules.length &&
    rules.every((rule, i) => {
      const message = messages[i];
      return message && isMessageAsDefined(list, encodeRule(chain, rule), message);
    });
  return isAsMade ? undefined : { part: 'rules', name: chain.name, table: chain.table, state: 'changed' };
}

function isMessageAsDefined(operation: Operation, wanted: Uint8Array, message: Message): boolean {
  return understand(operation, () => isAsDefined(attributeBytesOf(wanted), attributeBytesOf(message.payload)));
}

function allSets(ruleset: Ruleset): NamedSet[] {
  const markers = Array.from({ length: ruleset.version }, (_, i) => marker(ruleset, i + 1));
  return [...ruleset.sets, ...markers];
}

function marker({ table, name }: Ruleset, version: number): NamedSet {
  const comment = `the rules for ${name} are in place`;
  return { table, name: `${name}_rules_${version}`, key: [IPV4_ADDR], interval: false, comment };
}
