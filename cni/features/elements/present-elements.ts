// The elements that are in the sets already where an owner's are, or are to be: asked for one by one or, of many in one set,
// found in a list of it. So the work grows with the elements that an owner has, of thousands of ports too.

import { EINVAL, ENOENT } from '../../kernel/errno.ts';
import { generationQuery, type NftablesConnection, readGeneration } from '../../kernel/nftables/connection.ts';
import {
  type Element,
  elementQuery,
  isSameElement,
  listElements,
  placeName,
  readElementAt,
} from '../../kernel/nftables/element.ts';
import type { NamedSet } from '../../kernel/nftables/set.ts';

/** Of more elements in one set than these a list of the set is cheaper than a question for each. */
const MANY = 256;

export interface Present {
  /** The generation that the ruleset had just before it was looked at. */
  readonly generation: number;
  /**
   * For each element those that stand where it would: that contain its first or its last key. An interval that lies within
   * it entirely is not found; the kernel does not see it as an overlap either. None where somebody has put a set of
   * another type in the place of ours.
   */
  readonly present: readonly (readonly Element[])[];
}

/** Look where the elements would be. Throws NetlinkError. */
export function findPresent(nft: NftablesConnection, wanted: readonly Element[]): Present {
  const listed = listedSets(wanted);
  const places = wanted.flatMap(({ set, key, keyEnd }, i) => {
    if (listed.has(set)) return [];
    return keyEnd
      ? [
          { i, set, key },
          { i, set, key: keyEnd },
        ]
      : [{ i, set, key }];
  });
  const queries = places.map(elementQuery);
  const [generation, ...answers] = nft.askAll([generationQuery(), ...queries], [ENOENT, EINVAL]);
  const present: Element[][] = wanted.map(() => []);
  places.forEach(({ i, set }, at) => {
    const query = queries[at];
    const found = query && readElementAt(set, query, answers[at]);
    const known = present[i] ?? [];
    if (found && !known.some((other) => isSameElement(other, found))) known.push(found);
  });
  for (const set of listed) {
    const byKey = new Map(listElements(nft, set).map((element) => [placeName(element), element]));
    wanted.forEach((element, i) => {
      const found = element.set === set ? byKey.get(placeName(element)) : undefined;
      if (found) present[i]?.push(found);
    });
  }
  return { generation: readGeneration(generation), present };
}

/** Not sets of intervals: their elements are not found by their key alone, and ports that follow each other are one. */
function listedSets(wanted: readonly Element[]): ReadonlySet<NamedSet> {
  const counts = new Map<NamedSet, number>();
  for (const { set } of wanted) counts.set(set, (counts.get(set) ?? 0) + 1);
  return new Set([...counts].filter(([set, count]) => count > MANY && !set.interval).map(([set]) => set));
}
