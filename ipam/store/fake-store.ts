// A Store in memory, for tests. It obeys the same suite as the one on disk (store.test.ts).

import { IpamError } from '../errors.ts';
import { formatOwner, type OwnerName, parseOwner, type Reservation, selectOwned } from './reservation.ts';
import type { Store } from './store.ts';

export class FakeStore implements Store {
  readonly #texts = new Map<string, { text: string; abandoned: boolean }>();
  readonly #lastReserved = new Map<number, string>();
  /** Addresses that count as reserved before the last start of the machine. */
  readonly outlived = new Set<string>();
  isLocked = false;
  /** What the next call of the named method throws, once. */
  readonly failures = new Map<keyof Store, Error>();

  /** Put in what another program could have left: any text, old or just now written. */
  plant(address: string, text: string, isOld = true): void {
    this.#texts.set(address, { text, abandoned: isOld && parseOwner(text).containerId === '' });
  }

  exists(): boolean {
    return this.#texts.size > 0 || this.#lastReserved.size > 0;
  }

  locked<Result>(action: () => Result): Result {
    this.#failIfAsked('locked');
    if (this.isLocked) throw new IpamError('locked', 'Cannot lock the fake store: it is locked');
    this.isLocked = true;
    try {
      return action();
    } finally {
      this.isLocked = false;
    }
  }

  reserveFirst(candidates: Iterable<string>, owner: OwnerName): string | undefined {
    this.#requireLock();
    this.#failIfAsked('reserveFirst');
    for (const address of candidates) {
      if (this.#texts.has(address)) continue;
      this.#texts.set(address, { text: formatOwner(owner), abandoned: false });
      return address;
    }
    return undefined;
  }

  release(address: string): boolean {
    this.#requireLock();
    this.#failIfAsked('release');
    this.outlived.delete(address);
    return this.#texts.delete(address);
  }

  find(address: string): Reservation | undefined {
    const entry = this.#texts.get(address);
    return entry && { address, ...parseOwner(entry.text), abandoned: entry.abandoned };
  }

  findByOwner(owner: OwnerName): Reservation[] {
    return selectOwned(this.list(), owner);
  }

  list(): Reservation[] {
    return [...this.#texts.keys()].flatMap((address) => this.find(address) ?? []);
  }

  getLastReserved(setIndex: number): string | undefined {
    return this.#lastReserved.get(setIndex);
  }

  setLastReserved(setIndex: number, address: string): void {
    this.#requireLock();
    this.#failIfAsked('setLastReserved');
    this.#lastReserved.set(setIndex, address);
  }

  ensureWritable(): void {
    this.#failIfAsked('ensureWritable');
  }

  isOutlived({ address }: Reservation): boolean {
    return this.outlived.has(address);
  }

  listReclaimable(): Reservation[] {
    return this.list().filter((reservation) => reservation.abandoned || this.isOutlived(reservation));
  }

  #requireLock(): void {
    if (!this.isLocked) throw new TypeError('Cannot change the store: the lock is not held');
  }

  #failIfAsked(method: keyof Store): void {
    const failure = this.failures.get(method);
    this.failures.delete(method);
    if (failure) throw failure;
  }
}
