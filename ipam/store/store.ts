// Where the reservations of one network are kept. The allocator decides which addresses to try, a store knows which
// are taken: an index beside the files, or a store shared by several nodes, fits behind the same methods.

import type { IpFamily } from '../../cni/address/ip.ts';
import type { NetnsFacts, OwnerName, Reservation, ReservationFacts } from './reservation.ts';

/**
 * Take the lock that guards a directory. `path` is the lock file in it, made if it is not there.
 *
 * Throws an Error named LockTimeoutError when it was not to be had for `timeoutMs`.
 */
export type LockDirectory = (path: string, timeoutMs: number) => { release(): void };

/**
 * How long to wait for the lock. A holder needs milliseconds, so that this lets hundreds of others go first, and still
 * ends well before a kubelet gives up on the pod (2 minutes): it gets "try again later" instead of a dead call.
 */
export const LOCK_TIMEOUT_MS = 10_000;

/**
 * The reservations of one network. Addresses are canonical text.
 *
 * Call what changes something only inside `locked`. Every method throws IpamError 'store' when the medium refuses.
 */
export interface Store {
  /** Whether there is anything to look at: false as long as nothing was ever reserved. Makes nothing. */
  exists(): boolean;
  /** Run with the lock of the network held, which is released however the action ends. IpamError 'locked' on timeout. */
  locked<Result>(action: () => Result): Result;
  /**
   * Reserve the first candidate that is free; undefined when none is. From then on the reservation is there with its
   * owner, whatever happens to this process; a power loss may take it back, and with it every container of this node.
   */
  reserveFirst(candidates: Iterable<string>, owner: OwnerName, netns?: NetnsFacts): string | undefined;
  /** Remove a reservation, whoever holds it; false when there was none. */
  release(address: string): boolean;
  find(address: string): Reservation | undefined;
  /** All reservations of an owner, as selectOwned() chooses them. */
  findByOwner(owner: OwnerName): Reservation[];
  list(): Reservation[];
  /** The address that was given out last from a range set; only a hint where to go on. */
  getLastReserved(setIndex: number): string | undefined;
  setLastReserved(setIndex: number, address: string): void;
  /** Throw IpamError 'store' when nothing could be reserved here. Changes nothing. */
  ensureWritable(): void;

  // What a store may know without looking at every reservation. Where it does not, the allocator uses list().

  /** The first number from `from` to `to` that is not taken; undefined when all are. */
  skipTaken?(family: IpFamily, from: bigint, to: bigint): bigint | undefined;
  /** How many are taken from `from` to `to`, both included. */
  countTaken?(family: IpFamily, from: bigint, to: bigint): number;
  /** The reservations that no container can need: abandoned, or outlived. */
  listReclaimable?(): Reservation[];
  /** Whether it was made before this machine was last started, so that its container cannot live. Not known is false. */
  isOutlived?(reservation: Reservation): boolean;
  findFacts?(reservation: Reservation): ReservationFacts | undefined;
}

/** Open the store in a directory, which need not exist yet. */
export type OpenStore = (directory: string, lockDirectory: LockDirectory) => Store;
