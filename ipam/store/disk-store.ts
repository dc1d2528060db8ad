// The reference host-local's directory of one network, so that either plugin can take over from the other:
//
//   <dataDir>/<network>/10.1.2.3             a reservation, named by the canonical address; reservation.ts has its text
//   <dataDir>/<network>/last_reserved_ip.0   the last address given out of range set 0
//   <dataDir>/<network>/lock                 empty, flock'ed while anything changes
//
// The reference creates a reservation and then writes it, so that a crash between leaves an empty file that holds the
// address for ever (containernetworking/plugins#498). Here the text is on disk before the name is: temporary file,
// fsync, link(2), which fails if the name exists, unlink. The addresses of one owner are names of one file, so that one
// fsync serves them all. It is the only one: the names may get lost with the power, for then the containers do too.
// The temporary files have fixed names, which no one takes for an address: the lock allows one writer, and the next to
// take it removes what a crash left. Whether one can have left anything, the index tells: who makes a temporary file
// takes the mark (reservation-index.ts) off the directory by that, and it is set again only when the file is gone. Should
// one be there all the same, whoever makes the next removes it.
//
// In a process of milliseconds each call of node:fs counts (15-40 µs, and 50-100 µs more when it throws): an ADD makes
// about 25 for its address, a DEL 20. What a section has learnt under the lock it does not ask for again.

import { accessSync, constants, linkSync, readdirSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { ensureDirectory } from '../../cni/kernel/directory.ts';
import { type IpFamily, parseAddress } from '../../cni/address/ip.ts';
import { IpamError } from '../errors.ts';
import { LAST_RESERVED_PREFIX, overwriteSameLength, readLastReserved, replaceFile } from './last-reserved.ts';
import { readNodeIdentity } from './node-identity.ts';
import {
  formatOwner,
  type NetnsFacts,
  type OwnerName,
  parseOwner,
  type Reservation,
  type ReservationFacts,
  selectOwned,
} from './reservation.ts';
import {
  hasCode,
  identityAt,
  parseAddressName,
  readReservationFile,
  unlessMissing,
  writeNewFile,
} from './reservation-file.ts';
import { ReservationIndex } from './reservation-index.ts';
import { LOCK_TIMEOUT_MS, type LockDirectory, type Store } from './store.ts';
import { emptyTakenMap, type TakenMap } from './taken-map.ts';

export const LOCK_FILE = 'lock';
/** Begins the names of all other files that are podlink's own, and no reservations. */
export const OWN_FILE_PREFIX = '.podlink-';
const TEMPORARY_FILE = '.podlink-temporary';
/** Apart, because the other one may still be the second name of a reservation. */
const TEMPORARY_LAST_FILE = '.podlink-temporary-last';

/**
 * A reservation that names nobody is no one's: under the lock nobody is writing it, the ADD that made it never came to
 * its end, or the machine has gone down since. But the reference goes on when it cannot take the lock, so that a young
 * one may yet be written; after a minute that call has ended.
 */
const ABANDONED_AFTER_MS = 60_000;

/** What one holder of the lock has done so far. */
interface Section {
  /** Whether the index agrees with the reservations: it does, it must be made anew, or it cannot be had. */
  index: 'agrees' | 'outdated' | 'useless';
  isRebuilt: boolean;
  isChanged: boolean;
  /** The text in the temporary file, and its identity. */
  temporary?: { readonly text: string; readonly identity: string };
  /** The owners that the index told of by address, each as certain as if its file had been read. */
  readonly owners: Map<string, Pick<Reservation, 'containerId' | 'ifname'>>;
  /** How many bytes the files of the addresses given out last have, by range set. */
  readonly lastLengths: Map<number, number>;
}

/** Open the store in a directory; nothing is made before something is reserved. */
export function openDiskStore(directory: string, lockDirectory: LockDirectory, readNode = readNodeIdentity): Store {
  return new DiskStore(directory, lockDirectory, new ReservationIndex(directory, readNode()));
}

class DiskStore implements Store {
  readonly #directory: string;
  readonly #lockDirectory: LockDirectory;
  readonly #index: ReservationIndex;
  #section: Section | undefined;

  constructor(directory: string, lockDirectory: LockDirectory, index: ReservationIndex) {
    this.#directory = directory;
    this.#lockDirectory = lockDirectory;
    this.#index = index;
  }

  exists(): boolean {
    return this.#try('look into', () => {
      try {
        return statSync(this.#directory, { throwIfNoEntry: false }) !== undefined;
      } catch (error) {
        // Too long a path was never a directory, nor was one below a file.
        if (hasCode(error, 'ENAMETOOLONG') || hasCode(error, 'ENOTDIR')) return false;
        throw error;
      }
    });
  }

  locked<Result>(action: () => Result): Result {
    const lock = this.#try('lock', () => this.#lock());
    try {
      const agrees = this.#isIndexTrusted(true);
      if (!agrees) this.#makeReady();
      this.#section = {
        index: agrees ? 'agrees' : 'outdated',
        isRebuilt: false,
        isChanged: false,
        owners: new Map(),
        lastLengths: new Map(),
      };
      return action();
    } finally {
      this.#endSection();
      lock.release();
    }
  }

  reserveFirst(candidates: Iterable<string>, owner: OwnerName, netns: NetnsFacts = {}): string | undefined {
    return this.#try('reserve an address in', () => {
      for (const address of candidates) {
        const identity = this.#writeTemporary(formatOwner(owner));
        if (this.#link(address)) {
          this.#maintainIndex((index) => index.noteReserved(address, owner, identity, netns));
          return address;
        }
      }
      return undefined;
    });
  }

  release(address: string): boolean {
    return this.#try(`release ${address} in`, () => {
      const owner = this.#section?.index === 'agrees' ? this.#ownerOf(address, this.#section) : undefined;
      // No fsync: should a power loss bring the file back, its owner is gone all the more, and GC or a new DEL removes it.
      if (unlessMissing(() => unlinkSync(this.#path(address))) === 'missing') return false;
      if (this.#section) this.#section.isChanged = true;
      this.#section?.owners.delete(address);
      this.#maintainIndex((index) => index.noteReleased(address, owner ?? { containerId: '' }));
      return true;
    });
  }

  find(address: string): Reservation | undefined {
    return this.#try(`read the reservation of ${address} in`, () => {
      const found = unlessMissing(() => readReservationFile(this.#path(address)));
      if (found === 'missing') return undefined;
      const owner = parseOwner(found.text);
      return { address, ...owner, abandoned: owner.containerId === '' && found.ageMs > ABANDONED_AFTER_MS };
    });
  }

  findByOwner(owner: OwnerName): Reservation[] {
    const found = this.#useIndex((index) => ({ entry: index.entryOf(owner) }));
    if (found === undefined) return selectOwned(this.list(), owner);
    const { addresses = [], file } = found.entry ?? {};
    if (addresses.length === 0) return [];
    const owned = selectOwned(
      addresses.flatMap((address) => this.#confirm(address, owner, file) ?? []),
      owner,
    );
    if (owned.length === addresses.length) return owned;
    // Somebody has touched the index: what it leaves out, nobody knows.
    if (!this.#section) return selectOwned(this.list(), owner);
    this.#distrustIndex();
    return this.findByOwner(owner);
  }

  list(): Reservation[] {
    const entries = this.#try('list', () => unlessMissing(() => readdirSync(this.#directory, { withFileTypes: true })));
    if (entries === 'missing') return [];
    return entries
      .filter((entry) => entry.isFile() && parseAddressName(entry.name))
      .flatMap(({ name }) => this.find(name) ?? []);
  }

  getLastReserved(setIndex: number): string | undefined {
    const last = readLastReserved(this.#path(`${LAST_RESERVED_PREFIX}${setIndex}`));
    if (last) this.#section?.lastLengths.set(setIndex, last.bytes);
    return last?.address;
  }

  setLastReserved(setIndex: number, address: string): void {
    this.#try(`note the last address given out (${address}) in`, () => {
      const path = this.#path(`${LAST_RESERVED_PREFIX}${setIndex}`);
      const bytes = this.#section?.lastLengths.get(setIndex);
      this.#section?.lastLengths.delete(setIndex);
      if (overwriteSameLength(path, address, bytes)) return;
      if (this.#section) this.#section.isChanged = true;
      replaceFile(path, this.#path(TEMPORARY_LAST_FILE), address);
    });
  }

  ensureWritable(): void {
    this.#try('write to', () => {
      let existing = this.#directory;
      while (statSync(existing, { throwIfNoEntry: false }) === undefined) existing = dirname(existing);
      if (!statSync(existing).isDirectory()) throw new Error(`"${existing}" is not a directory`);
      accessSync(existing, constants.W_OK | constants.X_OK);
    });
  }

  skipTaken(family: IpFamily, from: bigint, to: bigint): bigint | undefined {
    const found = this.#useIndex((index) => ({ number: index.taken.skipTaken(family, from, to) }));
    if (found) return found.number;
    return this.#section ? from : this.#takenByName().skipTaken(family, from, to);
  }

  countTaken(family: IpFamily, from: bigint, to: bigint): number {
    return (
      this.#useIndex((index) => index.taken.countTaken(family, from, to)) ??
      this.#takenByName().countTaken(family, from, to)
    );
  }

  listReclaimable(): Reservation[] {
    const suspects = this.#useIndex((index) => index.suspects());
    const reservations = suspects ? suspects.flatMap((address) => this.find(address) ?? []) : this.list();
    return reservations.filter((reservation) => reservation.abandoned || this.isOutlived(reservation));
  }

  isOutlived(reservation: Reservation): boolean {
    return this.#index.isFromAnotherBoot(this.findFacts(reservation));
  }

  findFacts(reservation: Reservation): ReservationFacts | undefined {
    return this.#try(`read the reservation of ${reservation.address} in`, () => {
      const file = unlessMissing(() => readReservationFile(this.#path(reservation.address)));
      return file === 'missing' ? undefined : this.#index.factsOf(reservation, file.identity);
    });
  }

  #path(name: string): string {
    return `${this.#directory}/${name}`;
  }

  #lock(): ReturnType<LockDirectory> {
    const take = () => this.#lockDirectory(this.#path(LOCK_FILE), LOCK_TIMEOUT_MS);
    try {
      return take();
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
      ensureDirectory(this.#directory, 0o755);
      return take();
    }
  }

  /** Under the lock nobody is writing: a temporary file that is there was left by a writer that was killed. */
  #makeReady(): void {
    // A lock need not be a file in it.
    this.#try('lock', () => ensureDirectory(this.#directory, 0o755));
    this.#try('clean up', () => this.#removeTemporaries());
  }

  /**
   * What an owner's entry says of an address, confirmed: of the file that the entry is about, its identity alone says that
   * it holds the owner's text, for nothing else was ever written to it.
   */
  #confirm(address: string, owner: OwnerName, file: string | undefined): Reservation | undefined {
    const isSame = file !== undefined && this.#try('look into', () => identityAt(this.#path(address)) === file);
    if (!isSame) return this.find(address);
    const holder = { containerId: owner.containerId.trim(), ifname: owner.ifname };
    this.#section?.owners.set(address, holder);
    return { address, ...holder, abandoned: false };
  }

  #removeTemporaries(): void {
    for (const name of [TEMPORARY_FILE, TEMPORARY_LAST_FILE]) rmSync(this.#path(name), { force: true });
  }

  /** Have the text on disk, durably, under no address's name. Returns the file's identity. */
  #writeTemporary(text: string): string {
    const there = this.#section?.temporary;
    if (there?.text === text) return there.identity;
    if (this.#section) this.#section.isChanged = true;
    const identity = writeNewFile(this.#path(TEMPORARY_FILE), text, true);
    if (this.#section) this.#section.temporary = { text, identity };
    return identity;
  }

  /** Give the temporary file an address's name; false when that is taken. */
  #link(address: string): boolean {
    try {
      linkSync(this.#path(TEMPORARY_FILE), this.#path(address));
      return true;
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
      if (this.#useIndex((index) => isTaken(index.taken, address)) === false) this.#distrustIndex();
      return false;
    }
  }

  #ownerOf(address: string, { owners }: Section): Pick<Reservation, 'containerId' | 'ifname'> | undefined {
    const known = owners.get(address);
    if (known) return known;
    try {
      return parseOwner(readReservationFile(this.#path(address)).text);
    } catch {
      // Missing or no file: of nobody.
      return undefined;
    }
  }

  #endSection(): void {
    const section = this.#section;
    this.#section = undefined;
    try {
      if (section?.temporary) unlinkSync(this.#path(TEMPORARY_FILE));
      if (section?.isChanged && section.index === 'agrees') this.#index.mark();
    } catch {
      // The next to take the lock finds no mark: it removes the file, and makes the index anew.
    }
    this.#index.forget();
  }

  #isIndexTrusted(isLocked: boolean): boolean {
    try {
      return this.#index.isTrusted(isLocked);
    } catch {
      // An index that cannot be looked at is none.
      return false;
    }
  }

  /** Ask the index, which is made anew if need be and the lock is held. Undefined when none is to be had. */
  #useIndex<Result>(ask: (index: ReservationIndex) => Result): Result | undefined {
    const section = this.#section;
    if (section?.index === 'useless' || (!section && !this.#isIndexTrusted(false))) return undefined;
    try {
      if (section?.index === 'outdated') this.#rebuildIndex(section);
      return ask(this.#index);
    } catch {
      // It cannot be read or written, or is damaged: the reservations themselves tell all, only later.
      if (!section) return undefined;
      this.#distrustIndex();
      return this.#useIndex(ask);
    }
  }

  #rebuildIndex(section: Section): void {
    section.isRebuilt = true;
    section.isChanged = true;
    this.#index.rebuild();
    section.index = 'agrees';
  }

  /** Enter a change of ours in the index, if that knows everything up to it. */
  #maintainIndex(enter: (index: ReservationIndex) => void): void {
    if (this.#section?.index !== 'agrees') return;
    try {
      enter(this.#index);
    } catch {
      // The change is made, and that is what counts: without a mark the next call makes the index anew.
      this.#section.index = 'useless';
    }
  }

  /** Make the index anew before the next question; once in a section. */
  #distrustIndex(): void {
    if (this.#section) this.#section.index = this.#section.isRebuilt ? 'useless' : 'outdated';
  }

  #takenByName(): TakenMap {
    return this.#try('list', () => {
      const taken = emptyTakenMap();
      const names = unlessMissing(() => readdirSync(this.#directory));
      for (const name of names === 'missing' ? [] : names) {
        const address = parseAddressName(name);
        if (address) taken.set(address.family, address.number, true);
      }
      return taken;
    });
  }

  #try<Result>(action: string, work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      if (error instanceof Error && error.name === 'LockTimeoutError')
        throw new IpamError(
          'locked',
          `Cannot lock "${this.#directory}": another process has held its lock for ${LOCK_TIMEOUT_MS / 1000} s; try again`,
          { cause: error },
        );
      const reason = error instanceof Error ? error.message : String(error);
      throw new IpamError('store', `Cannot ${action} "${this.#directory}": ${reason}`, { cause: error });
    }
  }
}

function isTaken(taken: TakenMap, text: string): boolean {
  const address = parseAddress(text);
  return address !== undefined && taken.isTaken(address.family, address.number);
}
