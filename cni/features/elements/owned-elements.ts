// Elements of nftables that belong to an attachment: all that an attachment is there. The rules that look them up are
// the same for all attachments.
//
// Whose is an element that two attachments have named? It belongs to whom its comment names. An ADD takes over what it
// finds: IPAM has given the address to it, so the element was left behind (by a node that lost its records, or by a
// plugin that was killed between releasing an address and removing its elements); unless the owner is connected, since two
// networks have the same addresses then, or a feature says otherwise, as for ports: see element-owners.ts. A removal takes only elements with its owner's comment, so that the late DEL of a
// container which had the address before does no harm to the one that has it now. Between looking and changing nobody
// can slip in: the batch names the generation of the ruleset that was looked at, and is refused if there has been
// another since.
//
// Where two interfaces of one container want the same element, the first has it and the other waits: with the removal of
// the one the other's is added, in one batch.

import { type AttachmentDiagnosis, diagnose } from '../../diagnosis/attachment-diagnosis.ts';
import type { AttachmentKey } from '../../protocol/config.ts';
import { isErrno } from '../../kernel/errno.ts';
import type { Operation } from '../../kernel/netlink/connection.ts';
import { isOutdated, type NftablesConnection } from '../../kernel/nftables/connection.ts';
import {
  addElements,
  deleteElements,
  describeElement,
  type Element,
  isSameElement,
  listElements,
  placeName,
  withoutRepetition,
} from '../../kernel/nftables/element.ts';
import {
  checkRuleset,
  expectRulesets,
  hasAllRules,
  repairRuleset,
  replaceRulesets,
  type Ruleset,
  type RulesetFault,
} from '../../kernel/nftables/ruleset.ts';
import { listSets } from '../../kernel/nftables/set.ts';
import { describeTable, tableWords } from '../../kernel/nftables/table.ts';
import { type ElementClaim, type Owners, ownersByComment } from './element-owners.ts';
import type { NftablesState } from '../feature.ts';
import { ownerComment } from '../../attachment/marks.ts';
import { findPresent } from './present-elements.ts';

/**
 * How often a change is tried again because somebody else has changed the ruleset meanwhile. Each time somebody has got
 * on, so that of N processes none waits for more than N changes.
 */
const ATTEMPTS = 200;
/** To remove thousands of elements takes so long that somebody always comes in between: then half of them are tried. */
const ATTEMPTS_BEFORE_HALVING = 10;

/** What several features want, as one. */
export function joinStates(states: readonly NftablesState[]): NftablesState {
  const claims = states.flatMap(({ claim }) => claim ?? []);
  return {
    rulesets: [...new Set(states.flatMap(({ rulesets }) => rulesets))],
    elements: states.flatMap(({ elements }) => elements),
    ...(claims.length > 0 && { claim: (nft, owners) => joinClaims(claims.map((claim) => claim(nft, owners))) }),
    isServedBy: (wanted, found) => states.some(({ isServedBy }) => isServedBy?.(wanted, found)),
  };
}

function joinClaims(claims: readonly ElementClaim[]): ElementClaim {
  return {
    // The first of them saw the oldest. (There is one for every state that has a claim.)
    generation: claims[0]?.generation ?? 0,
    waiting: claims.flatMap(({ waiting }) => waiting),
    abandoned: claims.flatMap(({ abandoned }) => abandoned),
    notices: claims.flatMap(({ notices }) => notices),
  };
}

/** The questions and messages of applyElements(). */
export interface Surroundings {
  readonly owners: Owners;
  /** Put on record that these elements wait. Called before anything is changed, and again when others wait after all. */
  noteWaiting(elements: readonly Element[]): void;
  /** Throw for an element whose owner must keep it. Asked only of elements of others that stand in the way. */
  refuseToTake?(element: Element): void;
}

/**
 * Add an owner's elements in one batch, together with the rules if they are not there yet, or not any more. Without
 * elements only the rules are seen to. Returns those of the state's elements that wait for a sibling.
 *
 * Doing it again changes nothing. Throws NetlinkError, or what the state's claim or `refuseToTake` throws; nothing has changed
 * then.
 */
export function applyElements(
  nft: NftablesConnection,
  owner: AttachmentKey,
  state: NftablesState,
  { owners, noteWaiting, refuseToTake }: Surroundings = {
    owners: ownersByComment(owner),
    noteWaiting: () => undefined,
  },
): ReadonlySet<Element> {
  const wanted = ownedBy(owner, state.elements);
  if (wanted.length === 0 && state.rulesets.length === 0) return new Set();
  // Before the look, after which nobody should come in between.
  const allAdditions = addElements(wanted);
  let isRulesetMissing = false;
  let mayReplace = false;
  let waiting: ReadonlySet<Element> = new Set();
  let notices: readonly string[] = [];
  retryWhileOutdated(() => {
    const claim = state.claim?.(nft, owners);
    if (claim && !isSameList(claim.waiting, waiting)) {
      waiting = new Set(claim.waiting);
      noteWaiting(claim.waiting);
    }
    notices = claim?.notices ?? [];
    const { abandoned = [] } = claim ?? {};
    const own = waiting.size === 0 ? wanted : wanted.filter((_, i) => !waiting.has(state.elements[i] as Element));
    const replaced = mayReplace ? findReplacements(nft, own, { abandoned, refuseToTake }) : undefined;
    const generation = claim?.generation ?? replaced?.generation;
    const additions = waiting.size === 0 ? allAdditions : addElements(own);
    const changes = replaced?.changes ?? [...deleteElements(abandoned), ...additions];
    // Whoever removes the element that is waited for must see that the ruleset has changed since he looked for heirs.
    const mustRenew = waiting.size > 0 && changes.length === 0;
    const rules = isRulesetMissing || mustRenew ? replaceRulesets(state.rulesets) : expectRulesets(state.rulesets);
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
  }, ATTEMPTS);
  for (const notice of notices) owners.warn(notice);
  if (!isRulesetMissing) repairRulesets(nft, state.rulesets);
  return waiting;
}

function isSameList(list: readonly Element[], set: ReadonlySet<Element>): boolean {
  return list.length === set.size && list.every((element) => set.has(element));
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

/** The operations after which elements are there as wanted, whatever is there now, and others are not. */
function findReplacements(
  nft: NftablesConnection,
  wanted: readonly Element[],
  others: { readonly abandoned: readonly Element[]; readonly refuseToTake: Surroundings['refuseToTake'] | undefined },
): { generation: number; changes: Operation[] } {
  const { abandoned, refuseToTake } = others;
  const { generation, present } = findPresent(nft, wanted);
  wanted.forEach(({ comment }, i) => {
    for (const found of present[i] ?? []) if (found.comment !== comment) refuseToTake?.(found);
  });
  const isRight = wanted.map((element, i) => {
    const [first, ...more] = present[i] ?? [];
    return first && more.length === 0 && first.comment === element.comment && isSameElement(first, element);
  });
  const deletions = withoutRepetition([...abandoned, ...present.filter((_, i) => !isRight[i]).flat()]);
  return {
    generation,
    changes: [...deleteElements(deletions), ...addElements(wanted.filter((_, i) => !isRight[i]))],
  };
}

/**
 * Remove elements, each only if it still has the comment given with it: what has got another owner since stays. What is
 * not there, the table included, is fine.
 *
 * `listHeirs`: elements, with their owners' comments, that wait; who comes first gets the place that becomes free.
 * Throws NetlinkError.
 */
export function removeElements(
  nft: NftablesConnection,
  elements: readonly Element[],
  listHeirs: () => readonly Element[] = () => [],
): void {
  const attempts = elements.length > 1 ? ATTEMPTS_BEFORE_HALVING : ATTEMPTS;
  try {
    retryWhileOutdated(() => removeOnce(nft, elements, listHeirs), attempts);
  } catch (error) {
    if (!isOutdated(error) || elements.length <= 1) throw error;
    const middle = Math.ceil(elements.length / 2);
    removeElements(nft, elements.slice(0, middle), listHeirs);
    removeElements(nft, elements.slice(middle), listHeirs);
  }
}

function removeOnce(nft: NftablesConnection, elements: readonly Element[], listHeirs: () => readonly Element[]): true {
  const { generation, present } = findPresent(nft, elements);
  const deletions = withoutRepetition(
    present.flatMap((found, i) => found.filter(({ comment }) => comment === elements[i]?.comment)),
  );
  if (deletions.length === 0) return true;
  const removal = deleteElements(deletions);
  // After the look: whoever begins to wait now changes the generation.
  const additions = addElements(findHeirs(nft, deletions, listHeirs()));
  try {
    nft.commit([...removal, ...additions], generation);
  } catch (error) {
    if (additions.length === 0 || isOutdated(error)) throw error;
    // To remove is what must not fail. The heirs' CHECK says what they lack, and repair adds it.
    nft.commit(removal, generation);
  }
  return true;
}

/** Of those that wait, the first for each place that becomes free with the deletions. */
function findHeirs(nft: NftablesConnection, deletions: readonly Element[], waiting: readonly Element[]): Element[] {
  if (waiting.length === 0) return [];
  const freed = new Set(deletions.map(placeName));
  const candidates = withoutRepetition(waiting);
  const { present } = findPresent(nft, candidates);
  return candidates.filter((_, i) => {
    const found = present[i] ?? [];
    return found.length > 0 && found.every((element) => freed.has(placeName(element)));
  });
}

/**
 * The elements whose comment begins like this, among all there are: an owner's whole comment, or a network's. They are
 * looked for in all sets of the rulesets' tables, since another version of podlink may have had others.
 *
 * For a removal that cannot go by a record.
 */
export function findElements(nft: NftablesConnection, rulesets: readonly Ruleset[], comment: string): Element[] {
  const sets = setsOf(rulesets);
  const isKnown = ({ table, name }: Element['set']): boolean =>
    sets.some((set) => set.name === name && set.table.family === table.family);
  const tables = new Map(rulesets.map(({ table }) => [describeTable(table), table]));
  const others = [...tables.values()].flatMap((table) => listSets(nft, table)).filter((set) => !isKnown(set));
  return [...sets, ...others].flatMap((set) => listElements(nft, set, comment));
}

/** Of more elements that are not as they should be than these a message gives the number. */
const MAX_PROBLEMS = 64;

/** Find what keeps an owner's elements from being as applyElements() would have them; nothing when all is well. */
export function checkElements(
  nft: NftablesConnection,
  owner: AttachmentKey,
  state: NftablesState,
  owners: Owners = ownersByComment(owner),
): AttachmentDiagnosis[] {
  const wanted = ownedBy(owner, state.elements);
  const { present } = findPresent(nft, wanted);
  const problems = wanted.flatMap((element, i) => diagnoseElement(element, present[i]?.[0], state, owners) ?? []);
  const more = problems.length - MAX_PROBLEMS;
  return [
    ...state.rulesets.flatMap((ruleset) => checkRuleset(nft, ruleset).map(diagnoseFault)),
    ...problems.slice(0, MAX_PROBLEMS),
    ...(more > 0 ? [diagnose('more-elements-differ', { found: more })] : []),
  ];
}

/** State what is wrong with a part of a ruleset. */
export function diagnoseFault({ part, name, table, state }: RulesetFault): AttachmentDiagnosis {
  const of = tableWords(table);
  if (part === 'table') return diagnose(state === 'missing' ? 'table-gone' : 'table-differs', { subject: of });
  if (part === 'rules') return diagnose('rules-differ', { subject: name, of });
  return diagnose(state === 'missing' ? `${part}-gone` : `${part}-differs`, { subject: name, of });
}

function diagnoseElement(
  wanted: Element,
  found: Element | undefined,
  state: NftablesState,
  owners: Owners,
): AttachmentDiagnosis | undefined {
  const parts = () => ({
    subject: describeElement(wanted),
    object: wanted.set.name,
    of: tableWords(wanted.set.table),
  });
  if (!found) return diagnose('element-gone', parts());
  const isOwn = found.comment === wanted.comment;
  if (isOwn && isSameElement(found, wanted)) return undefined;
  if (!isOwn && owners.relationOf(found.comment) === 'sibling' && state.isServedBy?.(wanted, found)) return undefined;
  if (!isSameElement(found, wanted)) return diagnose('element-differs', { ...parts(), found: describeElement(found) });
  const { subject, object } = parts();
  owners.warn(`element ${subject} of set ${object} belongs to ${found.comment ?? 'nobody'}`);
  return diagnose('element-is-anothers', parts());
}

/** The elements with their owner's comment. */
export function ownedBy(
  owner: AttachmentKey,
  elements: readonly Element[],
): (Element & { readonly comment: string })[] {
  const comment = ownerComment(owner);
  return elements.map((element) => ({ ...element, comment }));
}

function setsOf(rulesets: readonly Ruleset[]): Element['set'][] {
  return rulesets.flatMap(({ sets }) => sets);
}

/** Run `attempt` until it is done (true), also when its batch came too late for the generation it names. */
function retryWhileOutdated(attempt: () => boolean, attempts: number): void {
  for (let left = attempts; ; left--) {
    try {
      if (attempt()) return;
    } catch (error) {
      if (!isOutdated(error) || left === 1) throw error;
    }
  }
}
