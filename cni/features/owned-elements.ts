// Elements of nftables that belong to an attachment: all that an attachment is there. The rules that look them up are
// the same for all attachments.
//
// Whose is an element that two attachments have named? It belongs to whom its comment names. An ADD takes over what it
// finds: IPAM has given the address to it, so the element was left behind (by a node that lost its records, or by a
// plugin that was killed between releasing an address and removing its elements); unless a feature says that it must
// not, as for ports. A removal takes only elements with its owner's comment, so that the late DEL of a container which
// had the address before does no harm to the one that has it now. Between looking and changing nobody can slip in: the
// batch names the generation of the ruleset that was looked at, and is refused if there has been another since.

import { isErrno } from '../kernel/errno.ts';
import type { Operation } from '../kernel/netlink/connection.ts';
import { isOutdated, type NftablesConnection } from '../kernel/nftables/connection.ts';
import {
  addElement,
  deleteElement,
  describeElement,
  type Element,
  findElement,
  findElementsAt,
  isSameElement,
  listElements,
} from '../kernel/nftables/element.ts';
import {
  checkRuleset,
  expectRulesets,
  hasAllRules,
  repairRuleset,
  replaceRulesets,
  type Ruleset,
} from '../kernel/nftables/ruleset.ts';
import type { NftablesState } from './feature.ts';
import { type ElementOwner, ownerComment } from './podlink-table.ts';

/**
 * How often a change is tried again because somebody else has changed the ruleset meanwhile. Each time somebody has got
 * on, so that of N processes none waits for more than N changes.
 */
const ATTEMPTS = 200;

/** What several features want, as one. */
export function joinStates(states: readonly NftablesState[]): NftablesState {
  const refusals = states.flatMap(({ refuse }) => refuse ?? []);
  return {
    rulesets: [...new Set(states.flatMap(({ rulesets }) => rulesets))],
    elements: states.flatMap(({ elements }) => elements),
    ...(refusals.length > 0 && {
      // All have to look, and the first of them saw the oldest.
      refuse: (nft: NftablesConnection) => refusals.map((refuse) => refuse(nft))[0] ?? nft.getGeneration(),
    }),
  };
}

/**
 * Add an owner's elements in one batch, together with the rules if they are not there yet, or not any more. Without
 * elements only the rules are seen to.
 *
 * Doing it again changes nothing. Throws NetlinkError, or what the state refuses with; nothing has changed then.
 */
export function applyElements(nft: NftablesConnection, owner: ElementOwner, state: NftablesState): void {
  const wanted = ownedBy(owner, state.elements);
  if (wanted.length === 0 && state.rulesets.length === 0) return;
  let isRulesetMissing = false;
  let mayReplace = false;
  retryWhileOutdated(() => {
    const generation = state.refuse?.(nft) ?? (mayReplace ? nft.getGeneration() : undefined);
    const changes = wanted.flatMap((element) => (mayReplace ? replaceElement(nft, element) : [addElement(element)]));
    const rules = isRulesetMissing ? replaceRulesets(state.rulesets) : expectRulesets(state.rulesets);
    try {
      nft.commit([...rules, ...changes], generation);
      return true;
    } catch (error) {
      // The common case, an address that is new in a ruleset that is there, is over by now: it looks at nothing.
      if (isErrno(error, 'ENOENT') && !isRulesetMissing) isRulesetMissing = true;
      // ENOTEMPTY: an interval that overlaps another only in part.
      else if (isErrno(error, 'EEXIST', 'ENOTEMPTY') && !mayReplace) mayReplace = true;
      else throw error;
      return false;
    }
  });
  if (!isRulesetMissing) repairRulesets(nft, state.rulesets);
}

/**
 * Put the rules back as they were made, whatever has become of them: nft, for one, loads a ruleset that it has listed
 * with other expressions of the same meaning. Elements stay as they are. For a repair: it looks at each rule.
 */
export function restoreRulesets(nft: NftablesConnection, rulesets: readonly Ruleset[]): void {
  for (const ruleset of rulesets) if (checkRuleset(nft, ruleset).length > 0) repairRuleset(nft, ruleset);
}

/** Make the rules whole again if somebody has deleted some of them. Elements stay as they are. */
function repairRulesets(nft: NftablesConnection, rulesets: readonly Ruleset[]): void {
  if (!hasAllRules(nft, rulesets)) for (const ruleset of rulesets) repairRuleset(nft, ruleset);
}

/**
 * Remove elements, each only if it still has the comment given with it: what has got another owner since stays. What is
 * not there, the table included, is fine. Throws NetlinkError.
 */
export function removeElements(nft: NftablesConnection, elements: readonly Element[]): void {
  retryWhileOutdated(() => {
    const { generation, elements: present } = findElementsAt(nft, elements);
    const deletions = present.flatMap((found, i) =>
      found && found.comment === elements[i]?.comment ? [deleteElement(found)] : [],
    );
    nft.commit(deletions, generation);
    return true;
  });
}

/** Undefined, too, when somebody has put a set of another type in the place of ours: then the element is gone. */
function findIfThere(nft: NftablesConnection, set: Element['set'], key: Uint8Array): Element | undefined {
  try {
    return findElement(nft, set, key);
  } catch (error) {
    if (isErrno(error, 'EINVAL')) return undefined;
    throw error;
  }
}

/**
 * The elements whose comment begins like this, among all there are: an owner's whole comment, or a network's.
 *
 * For a removal that is told nothing: the record, prevResult and the interface are all gone.
 */
export function findElements(nft: NftablesConnection, rulesets: readonly Ruleset[], comment: string): Element[] {
  return setsOf(rulesets).flatMap((set) => listElements(nft, set, comment));
}

/** Say what keeps an owner's elements from being as applyElements() would have them; nothing when all is well. */
export function checkElements(nft: NftablesConnection, owner: ElementOwner, state: NftablesState): string[] {
  const problems = ownedBy(owner, state.elements).map((wanted) => {
    const found = findPresent(nft, wanted)[0];
    const name = `element ${describeElement(wanted)} of set ${wanted.set.name}`;
    if (!found) return `${name} is missing`;
    if (!isSameElement(found, wanted)) return `${name} is ${describeElement(found)} instead`;
    return found.comment === wanted.comment ? undefined : `${name} belongs to ${found.comment ?? 'nobody'}`;
  });
  return [
    ...state.rulesets.flatMap((ruleset) => checkRuleset(nft, ruleset)),
    ...problems.filter((problem) => problem !== undefined),
  ];
}

/** The elements with their owner's comment. */
export function ownedBy(owner: ElementOwner, elements: readonly Element[]): (Element & { readonly comment: string })[] {
  const comment = ownerComment(owner);
  return elements.map((element) => ({ ...element, comment }));
}

function setsOf(rulesets: readonly Ruleset[]): Element['set'][] {
  return rulesets.flatMap(({ sets }) => sets);
}

/** The operations after which an element is there as wanted, whatever is there now. */
function replaceElement(nft: NftablesConnection, wanted: Element): Operation[] {
  const present = findPresent(nft, wanted);
  const [first] = present;
  if (first && present.length === 1 && first.comment === wanted.comment && isSameElement(first, wanted)) return [];
  return [...present.map(deleteElement), addElement(wanted)];
}

/**
 * The elements that stand where this one would: those that contain its first or its last key. One interval that lies
 * within the other entirely is not found; the kernel does not see it as an overlap either.
 */
function findPresent(nft: NftablesConnection, { set, key, keyEnd }: Element): Element[] {
  const atStart = findIfThere(nft, set, key);
  const atEnd = keyEnd && findIfThere(nft, set, keyEnd);
  const found = [atStart, atEnd].filter((element) => element !== undefined);
  return found.length === 2 && atStart && atEnd && isSameElement(atStart, atEnd) ? [atStart] : found;
}

/** Run `attempt` until it is done (true), also when its batch came too late for the generation it names. */
function retryWhileOutdated(attempt: () => boolean): void {
  for (let left = ATTEMPTS; ; left--) {
    try {
      if (attempt()) return;
    } catch (error) {
      if (!isOutdated(error) || left === 1) throw error;
    }
  }
}
