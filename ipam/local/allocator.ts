// Which addresses an attachment gets: one of each range set, round robin.
//
// Round robin starts after the address given out last, so that a container that crashes and comes back does not meet
// its predecessor's connections. What is taken, the store knows. Gateways of any range are never given out, nor is what
// the configuration excludes.

import { formatNumber, type IpAddress, type IpFamily, parseAddress } from '../../cni/address/ip.ts';
import { type AddressSpan, subtractSpans } from '../range/address-span.ts';
import { type AttachmentOwner, IpamError } from '../errors.ts';
import { type AddressRange, isInRange } from '../range/range.ts';
import { findRange, formatRangeSet, type RangeSet } from '../range/range-set.ts';
import { describeHolder, describeTaken, type NetnsFacts, type Reservation } from '../store/reservation.ts';
import type { Store } from '../store/store.ts';

export interface AllocationPlan {
  readonly owner: AttachmentOwner;
  readonly sets: readonly RangeSet[];
  /** The address asked for by the index of its set; the sets without one get the next free address. */
  readonly requested: ReadonlyMap<number, string>;
  readonly netns?: NetnsFacts;
  readonly warn: (message: string) => void;
}

/** Every gateway of every range: none of them may become a container's address, whichever range it lies in. */
export function gatewaysOf(sets: readonly RangeSet[]): ReadonlySet<string> {
  return new Set(sets.flatMap((set) => set.ranges.map((range) => range.gateway)));
}

/** The first number from `from` to `to` that may be free, as Store.skipTaken(). */
type SkipTaken = (family: IpFamily, from: bigint, to: bigint) => bigint | undefined;

/**
 * All addresses of a range set but the excluded ones, each once, beginning after `last` if that is one of them. What
 * `skipTaken` passes over is left out; it is asked as late as can be, so that it may learn while the addresses are tried.
 */
export function* candidates(
  set: RangeSet,
  excluded: ReadonlySet<string>,
  last?: string,
  skipTaken: SkipTaken = (_, from) => from,
): Generator<string> {
  const from = last === undefined ? undefined : parseAddress(last);
  for (const [{ family, excluded: gaps }, first, end] of stretches(set, from)) {
    for (const span of subtractSpans({ start: first, end }, gaps)) {
      for (let number: bigint | undefined = span.start; number !== undefined && number <= span.end; number += 1n) {
        number = skipTaken(family, number, span.end);
        if (number === undefined) break;
        const address = formatNumber(family, number);
        if (!excluded.has(address)) yield address;
      }
    }
  }
}

/** The set's addresses as stretches in the order to try them: after `from`, the other ranges, up to `from`. */
function stretches(set: RangeSet, from: IpAddress | undefined): (readonly [AddressRange, bigint, bigint])[] {
  const whole = (range: AddressRange) => [range, range.start, range.end] as const;
  const i = from ? set.ranges.findIndex((range) => isInRange(from, range)) : -1;
  const current = set.ranges[i];
  if (from === undefined || current === undefined) return set.ranges.map(whole);
  return [
    [current, from.number + 1n, current.end],
    ...set.ranges.slice(i + 1).map(whole),
    ...set.ranges.slice(0, i).map(whole),
    [current, current.start, from.number],
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

function refuseSecondAllocation(store: Store, { owner, sets, warn }: AllocationPlan): void {
  const held = store.findByOwner(owner).filter((reservation) => {
    const address = parseAddress(reservation.address);
    return address !== undefined && sets.some((set) => findRange(set, address));
  });
  const live = held.find((reservation) => !store.isOutlived?.(reservation));
  if (live)
    throw new IpamError(
      'taken',
      `failed to allocate for range ${setIndexOf(sets, live.address)}: ${live.address} has been allocated to ${describeHolder(owner)} in network "${owner.network}" before, duplicate allocation is not allowed: delete the attachment first`,
      { owner: live },
    );
  // The runtime starts the container again after a reboot, without a DEL between: what it held then, it holds no more.
  reclaim(store, owner.network, held, warn);
}

function setIndexOf(sets: readonly RangeSet[], text: string): number {
  const address = parseAddress(text);
  return sets.findIndex((set) => address && findRange(set, address));
}

function allocateFrom(store: Store, plan: AllocationPlan, setIndex: number): string {
  const set = setAt(plan.sets, setIndex);
  const requested = plan.requested.get(setIndex);
  const last = requested === undefined ? store.getLastReserved(setIndex) : undefined;
  const excluded = gatewaysOf(plan.sets);
  const skipTaken: SkipTaken = (family, from, to) => (store.skipTaken ? store.skipTaken(family, from, to) : from);
  const choices = () => (requested === undefined ? candidates(set, excluded, last, skipTaken) : [requested]);

  let address = store.reserveFirst(choices(), plan.owner, plan.netns);
  if (address === undefined && reclaimUnneeded(store, plan, choicesFilter(set, requested)))
    address = store.reserveFirst(choices(), plan.owner, plan.netns);
  if (address === undefined) throw nothingFree(store, plan, setIndex);
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

/** Free what no container can need; only now, when there is no other address, and never silently. */
function reclaimUnneeded(store: Store, plan: AllocationPlan, isWanted: (address: string) => boolean): boolean {
  const unneeded = listReclaimable(store).filter(({ address }) => isWanted(address));
  reclaim(store, plan.owner.network, unneeded, plan.warn);
  return unneeded.length > 0;
}

/** The reservations that no container can need: of nobody, or from before this machine was last started. */
function listReclaimable(store: Store): Reservation[] {
  return store.listReclaimable ? store.listReclaimable() : store.list().filter(({ abandoned }) => abandoned);
}

function reclaim(store: Store, network: string, reservations: readonly Reservation[], warn: AllocationPlan['warn']) {
  for (const reservation of reservations) {
    store.release(reservation.address);
    const why = reservation.abandoned
      ? 'its reservation named nobody, as a crash leaves it'
      : `${describeHolder(reservation)} held it before this machine was last started`;
    warn(`Reclaimed ${reservation.address} of network "${network}": ${why}`);
  }
}

function nothingFree(store: Store, plan: AllocationPlan, setIndex: number): IpamError {
  const requested = plan.requested.get(setIndex);
  if (requested === undefined) return exhausted(plan, setIndex, describeHolder(plan.owner));
  const range = formatRangeSet(setAt(plan.sets, setIndex));
  const { network } = plan.owner;
  const owner = store.find(requested);
  const holder = owner ? describeTaken(requested) : 'it is taken';
  return new IpamError(
    'taken',
    `failed to allocate for range ${setIndex}: requested IP address ${requested} is not available in range set ${range} of network "${network}" for ${describeHolder(plan.owner)}: ${holder}`,
    owner ? { range, owner } : { range },
  );
}

function exhausted({ owner, sets }: PoolName, setIndex: number, wantedBy?: string): IpamError {
  const range = formatRangeSet(setAt(sets, setIndex));
  return new IpamError(
    'exhausted',
    `${noneAvailable(sets, setIndex)} of network "${owner.network}"${wantedBy ? ` for ${wantedBy}` : ''}: have the runtime run DEL or GC for containers that are gone, ${remedyOf(setAt(sets, setIndex))}`,
    { range },
  );
}

/** The pool of a network. */
interface PoolName {
  readonly owner: Pick<AttachmentOwner, 'network'>;
  readonly sets: readonly RangeSet[];
}

/** The reference's words for a pool that is full, which alerts look for; what podlink has to add comes behind them. */
export function noneAvailable(sets: readonly RangeSet[], setIndex: number): string {
  const range = formatRangeSet(setAt(sets, setIndex));
  return `failed to allocate for range ${setIndex}: no IP addresses available in range set: ${range}`;
}

/** Throws RangeError when there is no such set. */
export function setAt(sets: readonly RangeSet[], setIndex: number): RangeSet {
  const set = sets[setIndex];
  if (set === undefined) throw new RangeError(`No range set ${setIndex}`);
  return set;
}

/** How the configuration could have more addresses to give. */
export function remedyOf(set: RangeSet): string {
  const excluded = set.ranges.map((range) => countOf([range]) - countOf(subtractSpans(range, range.excluded)));
  const number = excluded.reduce((sum, each) => sum + each, 0n);
  if (number === 0n) return 'or configure a larger range';
  return `or configure a larger range or a shorter "exclude", which keeps back ${number} address${number === 1n ? '' : 'es'} of it`;
}

function countOf(spans: readonly AddressSpan[]): bigint {
  return spans.reduce((sum, { start, end }) => sum + end - start + 1n, 0n);
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

/**
 * Throw IpamError 'exhausted' if some range set has no address left to give, or if `thresholdPercent` of one or more are
 * taken. Reads only, needs no lock.
 */
export function ensureFreeAddress(
  store: Store,
  network: string,
  sets: readonly RangeSet[],
  thresholdPercent?: number,
): void {
  const gateways = gatewaysOf(sets);
  for (const [setIndex, set] of sets.entries()) {
    if (!hasFreeAddress(store, set, gateways)) throw exhausted({ owner: { network }, sets }, setIndex);
    if (thresholdPercent === undefined) continue;
    const { size, taken } = fillOf(store, set, gateways);
    if (BigInt(taken) * 100n < size * BigInt(thresholdPercent)) continue;
    const range = formatRangeSet(set);
    throw new IpamError(
      'exhausted',
      `${taken} of the ${size} addresses of range set ${range} of network "${network}" are taken, the mark is ${thresholdPercent} % ("ipam.statusThresholdPercent"): have the runtime run GC for containers that are gone, or configure a larger range`,
      { range },
    );
  }
}

function hasFreeAddress(store: Store, set: RangeSet, gateways: ReadonlySet<string>): boolean {
  const skipTaken: SkipTaken = (family, from, to) => (store.skipTaken ? store.skipTaken(family, from, to) : from);
  const taken = store.skipTaken ? gateways : new Set([...gateways, ...store.list().map(({ address }) => address)]);
  if (!candidates(set, taken, undefined, skipTaken).next().done) return true;
  return listReclaimable(store).some(({ address }) => choicesFilter(set, undefined)(address));
}

/** How many addresses a range set has to give, and how many of them are taken. */
export function fillOf(store: Store, set: RangeSet, gateways: ReadonlySet<string>): { size: bigint; taken: number } {
  const numbers = [...gateways].flatMap((text) => parseAddress(text) ?? []);
  const list = store.countTaken ? undefined : store.list();
  let [size, taken] = [0n, 0];
  for (const range of set.ranges) {
    const inside = numbers.filter((gateway) => isInRange(gateway, range)).map((gateway) => gateway.number);
    const gaps = [...range.excluded, ...inside.map((number) => ({ start: number, end: number }))];
    for (const { start, end } of subtractSpans(range, gaps)) {
      size += end - start + 1n;
      taken += store.countTaken ? store.countTaken(range.family, start, end) : countListed(list, range, start, end);
    }
  }
  return { size, taken };
}

function countListed(list: readonly Reservation[] = [], range: AddressRange, start: bigint, end: bigint): number {
  return list.filter(({ address }) => {
    const parsed = parseAddress(address);
    return parsed && isInRange(parsed, range) && parsed.number >= start && parsed.number <= end;
  }).length;
}
