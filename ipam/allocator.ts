// Which addresses an attachment gets: one of each range set, round robin.
//
// Round robin starts after the address given out last, so that a container that crashes and comes back does not meet
// its predecessor's connections. What is taken, the store knows. Gateways of any range are never given out.

import { formatNumber, type IpAddress, parseAddress } from './address.ts';
import { type AttachmentOwner, IpamError } from './errors.ts';
import { type AddressRange, isInRange } from './range.ts';
import { findRange, formatRangeSet, type RangeSet } from './range-set.ts';
import { describeHolder } from './reservation.ts';
import type { Store } from './store.ts';

export interface AllocationPlan {
  readonly owner: AttachmentOwner;
  readonly sets: readonly RangeSet[];
  /** The address asked for by the index of its set; the sets without one get the next free address. */
  readonly requested: ReadonlyMap<number, string>;
  readonly warn: (message: string) => void;
}

/** Every gateway of every range: none of them may become a container's address, whichever range it lies in. */
export function gatewaysOf(sets: readonly RangeSet[]): ReadonlySet<string> {
  return new Set(sets.flatMap((set) => set.ranges.map((range) => range.gateway)));
}

/** All addresses of a range set but the excluded ones, each once, beginning after `last` if that is one of them. */
export function* candidates(set: RangeSet, excluded: ReadonlySet<string>, last?: string): Generator<string> {
  const from = last === undefined ? undefined : parseAddress(last);
  for (const [range, start, end] of spans(set, from)) {
    for (let number = start; number <= end; number += 1n) {
      const address = formatNumber(range.family, number);
      if (!excluded.has(address)) yield address;
    }
  }
}

/** The set's addresses as stretches in the order to try them: after `from`, the other ranges, up to `from`. */
function spans(set: RangeSet, from: IpAddress | undefined): (readonly [AddressRange, bigint, bigint])[] {
  const whole = (range: AddressRange) => [range, range.start, range.end] as const;
  const i = from ? set.ranges.findIndex((range) => isInRange(from, range)) : -1;
  const current = set.ranges[i];
  if (from === undefined || current === undefined) return set.ranges.map(whole);
  return [
    [current, from.bigInt() + 1n, current.end],
    ...set.ranges.slice(i + 1).map(whole),
    ...set.ranges.slice(0, i).map(whole),
    [current, current.start, from.bigInt()],
  ];
}

/**
 * Reserve one address of each range set, in their order. Call with the store locked.
 *
 * Throws IpamError 'taken' (also when the owner holds an address of these sets already: that is the runtime adding twice),
 * 'exhausted' or 'store'; then none of the addresses taken by this call stays reserved.
 */
export function allocate(store: Store, plan: AllocationPlan): string[] {
  refuseSecondAllocation(store, plan);
  const taken: string[] = [];
  try {
    for (const setIndex of plan.sets.keys()) taken.push(allocateFrom(store, plan, setIndex));
    return taken;
  } catch (error) {
    releaseAll(store, taken, plan);
    throw error;
  }
}

function refuseSecondAllocation(store: Store, { owner, sets }: AllocationPlan): void {
  const held = store.findByOwner(owner).find((reservation) => {
    const address = parseAddress(reservation.address);
    return address !== undefined && sets.some((set) => findRange(set, address));
  });
  if (held)
    throw new IpamError(
      'taken',
      `${held.address} has been allocated to ${describeHolder(owner)} in network "${owner.network}" before, duplicate allocation is not allowed: delete the attachment first`,
      { owner: held },
    );
}

function allocateFrom(store: Store, plan: AllocationPlan, setIndex: number): string {
  const set = plan.sets[setIndex];
  if (set === undefined) throw new RangeError(`No range set ${setIndex}`);
  const requested = plan.requested.get(setIndex);
  const last = requested === undefined ? store.getLastReserved(setIndex) : undefined;
  const excluded = gatewaysOf(plan.sets);
  const choices = () => (requested === undefined ? candidates(set, excluded, last) : [requested]);

  let address = store.reserveFirst(choices(), plan.owner);
  if (address === undefined && reclaimAbandoned(store, plan, choicesFilter(set, requested)))
    address = store.reserveFirst(choices(), plan.owner);
  if (address === undefined) throw nothingFree(store, plan, set, requested);
  try {
    store.setLastReserved(setIndex, address);
  } catch (error) {
    // The address is reserved, and only the order of the next ones suffers: no reason to fail the container.
    plan.warn(error instanceof Error ? error.message : String(error));
  }
  return address;
}

function choicesFilter(set: RangeSet, requested: string | undefined): (address: string) => boolean {
  return (text) => {
    const address = parseAddress(text);
    return requested === undefined
      ? address !== undefined && findRange(set, address) !== undefined
      : text === requested;
  };
}

/** Free what a crash left reserved for nobody; only now, when there is no other address, and never silently. */
function reclaimAbandoned(store: Store, plan: AllocationPlan, isWanted: (address: string) => boolean): boolean {
  const abandoned = store.list().filter((reservation) => reservation.abandoned && isWanted(reservation.address));
  for (const { address } of abandoned) {
    store.release(address);
    plan.warn(
      `Reclaimed ${address} of network "${plan.owner.network}": its reservation named nobody, as a crash leaves it`,
    );
  }
  return abandoned.length > 0;
}

function nothingFree(store: Store, plan: AllocationPlan, set: RangeSet, requested: string | undefined): IpamError {
  const range = formatRangeSet(set);
  const { network } = plan.owner;
  if (requested === undefined) return exhausted(network, set, describeHolder(plan.owner));
  const owner = store.find(requested);
  const holder = owner ? `it is held by ${describeHolder(owner)}` : 'it is taken';
  return new IpamError(
    'taken',
    `Requested IP address ${requested} is not available for ${describeHolder(plan.owner)} in range set ${range} of network "${network}": ${holder}`,
    owner ? { range, owner } : { range },
  );
}

function exhausted(network: string, set: RangeSet, wantedBy?: string): IpamError {
  const range = formatRangeSet(set);
  return new IpamError(
    'exhausted',
    `No IP addresses available in range set ${range} of network "${network}"${wantedBy ? ` for ${wantedBy}` : ''}: have the runtime run DEL or GC for containers that are gone, or configure a larger range`,
    { range },
  );
}

function releaseAll(store: Store, addresses: readonly string[], plan: AllocationPlan): void {
  for (const address of addresses) {
    try {
      store.release(address);
    } catch (error) {
      // The failure that brought us here is the one to throw; DEL or GC find this address by its owner.
      plan.warn(`${address} stays reserved: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/** Throw IpamError 'exhausted' if some range set has no free address left. Reads only, needs no lock. */
export function ensureFreeAddress(store: Store, network: string, sets: readonly RangeSet[]): void {
  const taken = new Set(gatewaysOf(sets));
  for (const { address, abandoned } of store.list()) if (!abandoned) taken.add(address);
  for (const set of sets) if (candidates(set, taken).next().done) throw exhausted(network, set);
}
