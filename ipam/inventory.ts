// What an operator asks of the reservations on disk: who holds what, how full the ranges are, what does not belong there,
// and to have one address free again. No configuration but the place is needed; with ranges, their fill is told too.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { formatAddress, parseAddress } from '../cni/address/ip.ts';
import { fillOf, gatewaysOf } from './local/allocator.ts';
import { formatBlock, restrictToBlocks } from './etcd/block.ts';
import { findNotedBlocks } from './etcd/block-file.ts';
import { LOCK_FILE, openDiskStore, OWN_FILE_PREFIX } from './store/disk-store.ts';
import type { IpamNetworkRequest } from './driver.ts';
import { IpamError } from './errors.ts';
import { dataDirOf, directoryOf } from './local/host-local.ts';
import { findRange, formatRangeSet, parseRangeSets, type RangeSet } from './range/range-set.ts';
import {
  describeHolder,
  type OwnerName,
  parseOwner,
  type Reservation,
  type ReservationFacts,
} from './store/reservation.ts';
import { LAST_RESERVED_PREFIX } from './store/last-reserved.ts';
import { parseAddressName, readReservationFile, unlessMissing } from './store/reservation-file.ts';
import type { Store } from './store/store.ts';

export interface HeldAddress extends ReservationFacts {
  readonly address: string;
  /** Empty when the reservation names nobody. */
  readonly containerId: string;
  readonly ifname?: string;
  /** nobody: a crash left it. outlived: this machine has been started anew since. Either is reclaimed when need be. */
  readonly state: 'held' | 'nobody' | 'outlived';
  /** The range set that has it; missing when none of the configuration has. */
  readonly range?: string;
}

export interface RangeSetFill {
  readonly range: string;
  /** Of a pool for the whole cluster, this node's blocks in it: what it has and what is taken is counted in those alone. */
  readonly blocks?: readonly string[];
  /** Addresses it has to give, without gateways and excluded ones; above 2^53 the nearest number that JSON has. */
  readonly size: number;
  readonly taken: number;
}

/** Something in the directory that is no reservation with its owner. */
export interface StrayFile {
  readonly name: string;
  readonly problem: string;
  /** Whether it is a reservation that names nobody, as a crash leaves it. */
  readonly isReservation: boolean;
}

export interface NetworkInventory {
  readonly network: string;
  readonly directory: string;
  readonly ranges: readonly RangeSetFill[];
  readonly reservations: readonly HeldAddress[];
  readonly strays: readonly StrayFile[];
}

/** A network's name (CNI spec, section 1): what is called otherwise, `lost+found` or our index, is no network. */
const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** The networks that have reservations in a configuration's `dataDir`, by name. Throws FieldError, IpamError 'store'. */
export function listNetworks(request: Pick<IpamNetworkRequest, 'ipam'>): string[] {
  const dataDir = dataDirOf(request);
  const entries = reading(dataDir, () => unlessMissing(() => readdirSync(dataDir, { withFileTypes: true })));
  if (entries === 'missing') return [];
  return entries
    .filter((entry) => entry.isDirectory() && NETWORK_NAME.test(entry.name))
    .map(({ name }) => name)
    .sort();
}

/** Take stock of one network, without its lock: calls that run meanwhile may be seen half. Throws as a driver does. */
export function takeInventory(request: IpamNetworkRequest): NetworkInventory {
  const sets = parseRangeSets(request);
  const directory = directoryOf(request);
  const store = openDiskStore(directory, request.lockDirectory);
  const gateways = gatewaysOf(sets);
  const blocks = isClusterPool(request) ? (findNotedBlocks(directory)?.blocks ?? []) : undefined;
  return {
    network: request.owner.network,
    directory,
    ranges: sets.map((set) => {
      const own = blocks?.filter((block) => restrictToBlocks(set, [block], sets).ranges.length > 0);
      const { size, taken } = fillOf(store, own ? restrictToBlocks(set, own, sets) : set, gateways);
      return {
        range: formatRangeSet(set),
        ...(own && { blocks: own.map(formatBlock) }),
        size: Number(size),
        taken,
      };
    }),
    reservations: store
      .list()
      .map((reservation) => describe(store, reservation, sets))
      .sort(byAddress),
    strays: reading(directory, () => listStrays(directory)),
  };
}

/** Whether the ranges are for the whole cluster, so that a node hands out those of its own blocks alone. */
export function isClusterPool({ ipam }: Pick<IpamNetworkRequest, 'ipam'>): boolean {
  return ipam.string('type') === 'podlink-etcd';
}

/** Find who holds an address; undefined when nobody does. Any spelling of the address will do. */
export function findHeldAddress(request: IpamNetworkRequest, address: string): HeldAddress | undefined {
  const store = openDiskStore(directoryOf(request), request.lockDirectory);
  const reservation = store.find(canonical(address));
  return reservation && describe(store, reservation, parseRangeSets(request));
}

/**
 * Release one address, under the network's lock, and tell what it was. With `expected`, only if that is its holder still.
 *
 * Throws IpamError 'missing' when it is not reserved, 'taken' when somebody else than expected holds it.
 */
export function releaseAddress(request: IpamNetworkRequest, address: string, expected?: OwnerName): HeldAddress {
  const { network } = request.owner;
  const store = openDiskStore(directoryOf(request), request.lockDirectory);
  const text = canonical(address);
  const missing = () => new IpamError('missing', `Address ${text} of network "${network}" is not reserved`);
  if (!store.exists()) throw missing();
  return store.locked(() => {
    const reservation = store.find(text);
    if (reservation === undefined) throw missing();
    if (expected && !isHolder(reservation, expected))
      throw new IpamError(
        'taken',
        `Address ${text} of network "${network}" is held by ${describeHolder(reservation)}, not by ${describeHolder(expected)}: it stays reserved`,
        { owner: reservation },
      );
    const held = describe(store, reservation, []);
    store.release(text);
    return held;
  });
}

function isHolder(reservation: Reservation, owner: OwnerName): boolean {
  if (reservation.containerId !== owner.containerId) return false;
  return reservation.ifname === undefined || reservation.ifname === owner.ifname;
}

function describe(store: Store, reservation: Reservation, sets: readonly RangeSet[]): HeldAddress {
  const { abandoned, ...holder } = reservation;
  const address = parseAddress(reservation.address);
  const set = address && sets.find((each) => findRange(each, address));
  const isOutlived = store.isOutlived?.(reservation) ?? false;
  return {
    ...holder,
    ...store.findFacts?.(reservation),
    state: abandoned || holder.containerId === '' ? 'nobody' : isOutlived ? 'outlived' : 'held',
    ...(set && { range: formatRangeSet(set) }),
  };
}

/** Say what everything is that neither the reference nor podlink leaves in a directory when all goes well. */
function listStrays(directory: string): StrayFile[] {
  const entries = unlessMissing(() => readdirSync(directory, { withFileTypes: true }));
  if (entries === 'missing') return [];
  return entries.flatMap((entry) => {
    const { name } = entry;
    const problem = entry.isFile() ? problemOfFile(directory, name) : `a ${kindOf(entry)}, not a file`;
    if (problem === undefined) return [];
    const isAddress = parseAddressName(name) !== undefined;
    const blocks = !entry.isFile() && isAddress ? `, and nobody can get the address ${name}` : '';
    return [{ name, problem: `${problem}${blocks}`, isReservation: entry.isFile() && isAddress }];
  });
}

function problemOfFile(directory: string, name: string): string | undefined {
  // What a call that was killed left under such a name, the next one removes or writes anew.
  if (name === LOCK_FILE || name.startsWith(OWN_FILE_PREFIX)) return undefined;
  const path = join(directory, name);
  if (name.startsWith(LAST_RESERVED_PREFIX) && /^\d+$/.test(name.slice(LAST_RESERVED_PREFIX.length))) {
    const found = unlessMissing(() => readReservationFile(path));
    return found === 'missing' || parseAddress(found.text.trim()) ? undefined : 'names no address; it is written anew';
  }
  if (parseAddressName(name) === undefined) {
    return parseAddress(name)
      ? 'an address in a spelling that no plugin uses: it reserves nothing'
      : 'not a file of this directory';
  }
  const found = unlessMissing(() => readReservationFile(path));
  if (found === 'missing' || parseOwner(found.text).containerId !== '') return undefined;
  const state = statSync(path, { throwIfNoEntry: false })?.size === 0 ? 'an empty' : 'a torn';
  return `${state} reservation, as a crash leaves it: reclaimed when the range is full, and by GC`;
}

function kindOf(entry: { isDirectory(): boolean; isSymbolicLink(): boolean }): string {
  return entry.isDirectory() ? 'directory' : entry.isSymbolicLink() ? 'symbolic link' : 'special file';
}

function canonical(text: string): string {
  const address = parseAddress(text);
  if (address) return formatAddress(address);
  throw new IpamError('argument', `"${text}" is not an IP address`);
}

/** IPv4 first, then by number. */
function byAddress(a: HeldAddress, b: HeldAddress): number {
  const [one, other] = [parseAddress(a.address), parseAddress(b.address)];
  if (!one || !other) return 0;
  const family = Number(a.address.includes(':')) - Number(b.address.includes(':'));
  return family || (one.number < other.number ? -1 : 1);
}

function reading<Result>(directory: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new IpamError('store', `Cannot list "${directory}": ${reason}`, { cause: error });
  }
}
