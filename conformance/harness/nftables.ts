// What nft says about podlink's table: its elements with their owners, and its rules.

import type { Namespace } from './namespace.ts';

export interface NftElement {
  readonly set: string;
  /** The container's address. */
  readonly address: string;
  /** The element's comment: `NETWORK/CONTAINERID/IFNAME`. */
  readonly owner: string;
}

interface NftSet {
  readonly name: string;
  readonly table: string;
  readonly elem?: readonly { elem: { val: string | { concat: readonly [string, unknown] }; comment?: string } }[];
}

type NftObject = { readonly set?: NftSet; readonly rule?: { readonly table: string; readonly chain: string } };

function objectsOf(namespace: Namespace): NftObject[] {
  const { nftables } = JSON.parse(namespace.mustRun('nft', ['-j', 'list', 'ruleset'])) as { nftables: NftObject[] };
  return nftables;
}

/** Every element of podlink's sets; none when there is no table. */
export function elementsOf(namespace: Namespace): NftElement[] {
  return objectsOf(namespace).flatMap(({ set }) =>
    set?.table === 'podlink'
      ? (set.elem ?? []).map(({ elem: { val, comment } }) => ({
          set: set.name,
          address: typeof val === 'string' ? val : val.concat[0],
          owner: comment ?? '',
        }))
      : [],
  );
}

/** The owners of the elements, each once, sorted. */
export function elementOwnersOf(namespace: Namespace): string[] {
  return [...new Set(elementsOf(namespace).map(({ owner }) => owner))].sort();
}

/** How many rules each chain of podlink's table has. */
export function ruleCountsOf(namespace: Namespace): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { rule } of objectsOf(namespace))
    if (rule?.table === 'podlink') counts[rule.chain] = (counts[rule.chain] ?? 0) + 1;
  return counts;
}
