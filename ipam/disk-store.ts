// The reference host-local's directory of one network, so that either plugin can take over from the other:
//
//   <dataDir>/<network>/10.1.2.3             a reservation, named by the canonical address; reservation.ts has its text
//   <dataDir>/<network>/last_reserved_ip.0   the last address given out of range set 0
//   <dataDir>/<network>/lock                 empty, flock'ed while anything changes
//
// The reference creates a reservation and then writes it, so that a crash between leaves an empty file that holds the
// address for ever (containernetworking/plugins#498). Here the text is on disk before the name is: temporary file,
// fsync, link(2), which fails if the name exists, unlink, fsync of the directory. The temporary file has one fixed name,
// which no one takes for an address: the lock allows one writer, and the next to take it removes what a crash left.

import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { ensureDirectory } from '../cni/kernel/directory.ts';
import { formatAddress, parseAddress } from './address.ts';
import { IpamError } from './errors.ts';
import { formatOwner, type OwnerName, parseOwner, type Reservation, selectOwned } from './reservation.ts';
import { LOCK_TIMEOUT_MS, type LockDirectory, type Store } from './store.ts';

const LOCK_FILE = 'lock';
const TEMPORARY_FILE = '.podlink-temporary';
const LAST_RESERVED_PREFIX = 'last_reserved_ip.';

/**
 * A reservation that names nobody is no one's: under the lock nobody is writing it, the ADD that made it never came to
 * its end, or the machine has gone down since. But the reference goes on when it cannot take the lock, so that a young
 * one may yet be written; after a minute that call has ended.
 */
const ABANDONED_AFTER_MS = 60_000;

/** Open the store in a directory; nothing is made before something is reserved. */
export function openDiskStore(directory: string, lockDirectory: LockDirectory): Store {
  return new DiskStore(directory, lockDirectory);
}

class DiskStore implements Store {
  readonly #directory: string;
  readonly #lockDirectory: LockDirectory;

  constructor(directory: string, lockDirectory: LockDirectory) {
    this.#directory = directory;
    this.#lockDirectory = lockDirectory;
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
    const lock = this.#try('lock', () => {
      ensureDirectory(this.#directory, 0o755);
      return this.#lockDirectory(this.#path(LOCK_FILE), LOCK_TIMEOUT_MS);
    });
    try {
      // Under the lock nobody is writing: one that is there was left by a writer that was killed.
      this.#try('clean up', () => rmSync(this.#path(TEMPORARY_FILE), { force: true }));
      return action();
    } finally {
      lock.release();
    }
  }

  reserveFirst(candidates: Iterable<string>, owner: OwnerName): string | undefined {
    const temporary = this.#path(TEMPORARY_FILE);
    let reserved: string | undefined;
    return this.#try('reserve an address in', () => {
      try {
        writeNewFile(temporary, formatOwner(owner), true);
        reserved = linkFirst(temporary, candidates, (address) => this.#path(address));
        unlinkSync(temporary);
        if (reserved !== undefined) this.#syncDirectory();
        return reserved;
      } catch (error) {
        rmSync(temporary, { force: true });
        if (reserved !== undefined) rmSync(this.#path(reserved), { force: true });
        throw error;
      }
    });
  }

  release(address: string): boolean {
    // No fsync: should a power loss bring the file back, its owner is gone all the more, and GC or a new DEL removes it.
    return this.#try(`release ${address} in`, () => unlessMissing(() => unlinkSync(this.#path(address))) !== 'missing');
  }

  find(address: string): Reservation | undefined {
    return this.#try(`read the reservation of ${address} in`, () => {
      const found = unlessMissing(() => readWithAge(this.#path(address)));
      if (found === 'missing') return undefined;
      const owner = parseOwner(found.text);
      return { address, ...owner, abandoned: owner.containerId === '' && found.ageMs > ABANDONED_AFTER_MS };
    });
  }

  findByOwner(owner: OwnerName): Reservation[] {
    return selectOwned(this.list(), owner);
  }

  list(): Reservation[] {
    const entries = this.#try('list', () => unlessMissing(() => readdirSync(this.#directory, { withFileTypes: true })));
    if (entries === 'missing') return [];
    return entries
      .filter((entry) => entry.isFile() && isAddress(entry.name))
      .flatMap(({ name }) => this.find(name) ?? []);
  }

  getLastReserved(setIndex: number): string | undefined {
    try {
      return readFileSync(this.#path(`${LAST_RESERVED_PREFIX}${setIndex}`), 'utf8').trim();
    } catch {
      // A hint that is missing or unreadable costs the order of addresses this once, nothing else.
      return undefined;
    }
  }

  setLastReserved(setIndex: number, address: string): void {
    this.#try(`note the last address given out (${address}) in`, () => {
      const temporary = this.#path(TEMPORARY_FILE);
      try {
        writeNewFile(temporary, address, false);
        renameSync(temporary, this.#path(`${LAST_RESERVED_PREFIX}${setIndex}`));
      } catch (error) {
        rmSync(temporary, { force: true });
        throw error;
      }
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

  #path(name: string): string {
    return join(this.#directory, name);
  }

  #syncDirectory(): void {
    const fd = openSync(this.#directory, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(fd);
    } catch (error) {
      // Some file systems have no fsync for directories and say EINVAL; they keep names as well as they can.
      if (!hasCode(error, 'EINVAL')) throw error;
    } finally {
      closeSync(fd);
    }
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

/** Only canonical text: both plugins name files by it, and what is named otherwise is not a reservation of theirs. */
function isAddress(name: string): boolean {
  const address = parseAddress(name);
  return address !== undefined && formatAddress(address) === name;
}

function writeNewFile(path: string, text: string, durable: boolean): void {
  // Remove, never truncate: what a crash left may be the second name of a reservation that is in use.
  rmSync(path, { force: true });
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    writeFileSync(fd, text);
    if (durable) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function linkFirst(
  file: string,
  candidates: Iterable<string>,
  pathOf: (address: string) => string,
): string | undefined {
  for (const address of candidates) {
    try {
      linkSync(file, pathOf(address));
      return address;
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
  }
  return undefined;
}

function readWithAge(path: string): { text: string; ageMs: number } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return { text: readFileSync(fd, 'utf8'), ageMs: Date.now() - fstatSync(fd).mtimeMs };
  } finally {
    closeSync(fd);
  }
}

function unlessMissing<Result>(work: () => Result): Result | 'missing' {
  try {
    return work();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return 'missing';
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
