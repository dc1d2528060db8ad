// The elements in all of podlink's tables, those of maps and of ranges too, each with its key, its value and its owner as
// nft tells them.

import type { Namespace } from './namespace.ts';

export interface OwnedElement {
  /** `inet` or `bridge`. */
  readonly family: string;
  readonly set: string;
  /** The fields of the key, ranges as `FIRST-LAST`, joined by ` . `. */
  readonly key: string;
  /** Likewise, of a map; empty for a set. */
  readonly value: string;
  /** The element's comment: `NETWORK/CONTAINERID/IFNAME`. */
  readonly owner: string;
}

interface NftSet {
  readonly family: string;
  readonly name: string;
  readonly table: string;
  readonly elem?: readonly unknown[];
}

/** Every element; none when there is no table. */
export function ownedElementsOf(namespace: Namespace): OwnedElement[] {
  const { nftables } = JSON.parse(namespace.mustRun('nft', ['-j', 'list', 'ruleset'])) as {
    nftables: { readonly set?: NftSet; readonly map?: NftSet }[];
  };
  return nftables.flatMap(({ set, map }) => {
    const holder = set ?? map;
    if (holder?.table !== 'podlink') return [];
    return (holder.elem ?? []).map((entry) => {
      const [key, value] = map ? (entry as [unknown, unknown]) : [entry, undefined];
      const { elem } = key as { elem?: { val: unknown; comment?: string } };
      return {
        family: holder.family,
        set: holder.name,
        key: textOf(elem ? elem.val : key),
        value: value === undefined ? '' : textOf(value),
        owner: elem?.comment ?? '',
      };
    });
  });
}

/** The elements of one set or map. */
export function elementsOfSet(namespace: Namespace, set: string): OwnedElement[] {
  return ownedElementsOf(namespace).filter((element) => element.set === set);
}

function textOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  const { concat, range, prefix } = value as {
    concat?: unknown[];
    range?: unknown[];
    prefix?: { addr: string; len: number };
  };
  if (concat) return concat.map(textOf).join(' . ');
  if (range) return range.map(textOf).join('-');
  if (prefix) return `${prefix.addr}/${prefix.len}`;
  return JSON.stringify(value);
}
