// Ports among many: which of an attachment's claims need one that somebody else has. Found by bisection, so that the claims
// of tens of thousands of ports against as many others take no longer than to read them.

import type { ClaimedPorts } from './portmap-claim.ts';

/** By their first port. `maxLast`: the last port of that one and all before it, the largest. */
interface Sorted<Item> {
  readonly items: readonly Item[];
  readonly maxLast: readonly number[];
}

/** Ports of one family and protocol. */
interface Ports<Item> {
  readonly all: Sorted<Item>;
  /** By the host's address they are for; undefined for all addresses. */
  readonly byAddress: ReadonlyMap<string | undefined, Sorted<Item>>;
}

export class PortIndex<Item extends ClaimedPorts> {
  readonly #ports: ReadonlyMap<number, Ports<Item>>;

  constructor(items: readonly Item[]) {
    const groups = Map.groupBy(items, kindOf);
    this.#ports = new Map(
      Array.from(groups, ([kind, group]) => {
        const byAddress = Array.from(
          Map.groupBy(group, ({ hostIp }) => hostIp),
          ([hostIp, ofAddress]) => [hostIp, sort(ofAddress)] as const,
        );
        return [kind, { all: sort(group), byAddress: new Map(byAddress) }];
      }),
    );
  }

  /** The items that share a port with this, for the same address of the host or one of the two for all. */
  overlapping(ports: ClaimedPorts): Item[] {
    const found = this.#ports.get(kindOf(ports));
    if (!found) return [];
    const lists =
      ports.hostIp === undefined ? [found.all] : [found.byAddress.get(undefined), found.byAddress.get(ports.hostIp)];
    return lists.flatMap((list) => (list ? within(list, ports) : []));
  }
}

function kindOf({ family, protocol }: ClaimedPorts): number {
  return family * 256 + protocol;
}

function sort<Item extends ClaimedPorts>(group: readonly Item[]): Sorted<Item> {
  const items = group.toSorted((a, b) => a.firstPort - b.firstPort);
  let largest = 0;
  const maxLast = items.map(({ lastPort }) => {
    largest = Math.max(largest, lastPort);
    return largest;
  });
  return { items, maxLast };
}

function within<Item extends ClaimedPorts>({ items, maxLast }: Sorted<Item>, ports: ClaimedPorts): Item[] {
  const found: Item[] = [];
  for (let i = countUpTo(items, ports.lastPort) - 1; i >= 0 && (maxLast[i] ?? 0) >= ports.firstPort; i--) {
    const item = items[i];
    if (item && item.lastPort >= ports.firstPort) found.push(item);
  }
  return found;
}

/** How many begin at a port or before it. */
function countUpTo(items: readonly ClaimedPorts[], port: number): number {
  let [from, to] = [0, items.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((items[middle]?.firstPort ?? 0) <= port) from = middle + 1;
    else to = middle;
  }
  return from;
}
