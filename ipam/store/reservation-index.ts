// An index beside the reservations of one network, so that an owner's addresses and a free one are found without reading
// them all. The reservations stay the truth: the index can be removed at any time, and is made again from them.
//
//   <dataDir>/.podlink/<network>/owners/ID:IFNAME   an owner's addresses, and what podlink knows of it (JSON)
//   <dataDir>/.podlink/<network>/taken/4-a0100      which addresses are taken (taken-map.ts)
//   <dataDir>/.podlink/<network>/nobody             addresses whose reservation named nobody when the index was made
//   <dataDir>/.podlink/<network>/other-boots        addresses that were reserved before the last start of this machine
//
// It is not in the network's own directory, which the reference reads as a whole on every call.
//
// Whether anyone else has changed a reservation since, one comparison tells. After each change of ours, still under the
// lock, the modification times of the network's directory and of `owners` are both set to one *mark* in the 1980s: its
// seconds are those of this boot, its milliseconds random. Whoever makes, removes or renames a file sets one of them to
// the present, within whatever tick of the clock: so do we, before anything else, so that a killed call leaves no mark
// either. Without the mark on both the index is made anew. That is also so after each boot, which is why nothing here is
// ever synced to disk.

import {
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ensureDirectory } from '../../cni/kernel/directory.ts';
import { parseAddress } from '../../cni/address/ip.ts';
import type { NodeIdentity } from './node-identity.ts';
import { type NetnsFacts, type OwnerName, parseOwner, type ReservationFacts } from './reservation.ts';
import { parseAddressName, readReservationFile, unlessMissing } from './reservation-file.ts';
import { emptyTakenMap, PAGE_BYTES, type PageChange, TakenMap } from './taken-map.ts';

/** Beside the networks' directories: a CNI network's name begins with a letter or digit. */
export const INDEX_DIRECTORY = '.podlink';

type IndexOwner = Pick<OwnerName, 'containerId'> & { readonly ifname?: string };

export interface Entry extends IndexOwner, ReservationFacts {
  readonly addresses: readonly string[];
  /** Identity of the file that the facts are about: of another file at the same address they say nothing. */
  readonly file?: string;
}

export class ReservationIndex {
  readonly #directory: string;
  readonly #root: string;
  readonly #owners: string;
  readonly #node: NodeIdentity | undefined;
  #taken: TakenMap;
  /** By name what was read since isTrusted(); undefined is an entry that is not there. */
  readonly #entries = new Map<string, Entry | undefined>();
  #isLocked = false;
  /** The page read last, open to be written. */
  #page: { readonly name: string; readonly fd: number } | undefined;

  constructor(directory: string, node: NodeIdentity | undefined) {
    this.#directory = directory;
    this.#root = `${dirname(directory)}/${INDEX_DIRECTORY}/${basename(directory)}`;
    this.#owners = `${this.#root}/owners`;
    this.#node = node;
    this.#taken = this.#openTaken();
  }

  /**
   * Whether the index agrees with the reservations. What was read of it before is forgotten.
   *
   * With the lock held it may be changed from then on, until forget().
   */
  isTrusted(isLocked: boolean): boolean {
    this.forget();
    this.#isLocked = isLocked;
    if (this.#node === undefined) return false;
    const mark = statSync(this.#directory, { throwIfNoEntry: false })?.mtimeMs;
    if (mark === undefined || Math.floor(mark / 1000) !== markSeconds(this.#node)) return false;
    return statSync(this.#owners, { throwIfNoEntry: false })?.mtimeMs === mark;
  }

  /** Forget what was read, because others may change it now. */
  forget(): void {
    this.#isLocked = false;
    this.#entries.clear();
    this.#closePage();
    this.#taken = this.#openTaken();
  }

  /** Say that index and reservations agree. Call under the lock, after all changes. */
  mark(): void {
    if (this.#node === undefined) return;
    const mark = markSeconds(this.#node) + Math.floor(Math.random() * 1000) / 1000;
    const now = Date.now() / 1000;
    utimesSync(this.#directory, now, mark);
    utimesSync(this.#owners, now, mark);
  }

  get taken(): TakenMap {
    return this.#taken;
  }

  /** What an owner has; of one without an interface in the oldest format only if there is nothing else. */
  entryOf(owner: OwnerName): Entry | undefined {
    return this.#read(owner) ?? this.#read({ containerId: owner.containerId });
  }

  /** What is known of the reservation that the file with this identity is; true whether or not the index is. */
  factsOf(owner: IndexOwner, identity: string): ReservationFacts | undefined {
    const entry = this.#readIfWhole(nameOf(owner));
    if (entry?.file !== identity) return undefined;
    const { addresses: _, file: __, containerId: ___, ifname: ____, ...facts } = entry;
    return facts;
  }

  isFromAnotherBoot(facts: ReservationFacts | undefined): boolean {
    if (facts?.boot === undefined || this.#node === undefined) return false;
    if (facts.boot === this.#node.boot) return false;
    return facts.machine !== '' && facts.machine === this.#node.machine;
  }

  /** Addresses that were worth a second look when the index was made. */
  suspects(): string[] {
    return ['nobody', 'other-boots'].flatMap((name) => {
      const text = unlessMissing(() => readFileSync(join(this.#root, name), 'utf8'));
      return text === 'missing' ? [] : (JSON.parse(text) as string[]);
    });
  }

  noteReserved(address: string, owner: OwnerName, file: string, netns: NetnsFacts): void {
    const others = this.#read(owner)?.addresses.filter((other) => other !== address) ?? [];
    this.#write({
      containerId: owner.containerId.trim(),
      ifname: owner.ifname,
      addresses: [...others, address],
      file,
      ...this.#node,
      ...netns,
      reservedAt: new Date().toISOString(),
    });
    this.#setTaken(address, true);
  }

  noteReleased(address: string, owner: IndexOwner): void {
    const entry = owner.containerId === '' ? undefined : this.#read(owner);
    const addresses = entry?.addresses.filter((other) => other !== address) ?? [];
    if (entry && addresses.length > 0) this.#write({ ...entry, addresses });
    else if (entry) this.#delete(nameOf(owner));
    this.#setTaken(address, false);
  }

  /** Make the index from the reservations, keeping what it knows of those that are still the same. Then mark it. */
  rebuild(): void {
    if (this.#node === undefined) throw new Error('The kernel does not tell its boot ID');
    this.#entries.clear();
    this.#closePage();
    ensureDirectory(this.#owners, 0o755);
    const found = readReservations(this.#directory);
    const known = new Set(readdirSync(this.#owners));
    const otherBoots: string[] = [];
    for (const [name, { owner, files }] of found.owners) {
      const old = known.delete(name) ? this.#readIfWhole(name) : undefined;
      const kept = old?.file !== undefined && [...files.values()].includes(old.file) ? old : undefined;
      const addresses = [...files.keys()];
      if (kept && this.isFromAnotherBoot(kept)) otherBoots.push(...addresses);
      const isSame = old?.file === kept?.file && old?.addresses?.join() === addresses.join();
      if (!isSame) this.#write({ ...kept, ...owner, addresses });
    }
    for (const name of known) rmSync(join(this.#owners, name), { recursive: true });
    this.#writeList('nobody', found.nobody);
    this.#writeList('other-boots', otherBoots);
    rmSync(join(this.#root, 'taken'), { recursive: true, force: true });
    for (const [name, bytes] of found.taken.entries()) this.#writePage(name, bytes);
    this.#taken = this.#openTaken();
  }

  #read(owner: IndexOwner): Entry | undefined {
    const name = nameOf(owner);
    const known = this.#entries.get(name);
    if (known || this.#entries.has(name)) return known;
    const path = `${this.#owners}/${name}`;
    // An ADD asks for two that are not there, and to throw ENOENT takes ten times as long as to say no.
    const entry = existsSync(path) ? this.#parse(name, readFileSync(path, 'utf8')) : undefined;
    this.#entries.set(name, entry);
    return entry;
  }

  #parse(name: string, text: string): Entry {
    const entry = JSON.parse(text) as Entry | null;
    if (!Array.isArray(entry?.addresses)) throw new Error(`"${name}" in "${this.#owners}" is no entry`);
    return entry;
  }

  /** An entry from before the index was last trusted, or that another process may be writing. */
  #readIfWhole(name: string): Entry | undefined {
    try {
      return JSON.parse(readFileSync(join(this.#owners, name), 'utf8')) as Entry;
    } catch {
      // Missing or torn: then nothing is known.
      return undefined;
    }
  }

  /** In place: as long as this is not done, there is no mark. */
  #write(entry: Entry): void {
    const name = nameOf(entry);
    const path = `${this.#owners}/${name}`;
    const text = JSON.stringify(entry);
    const isNew = this.#entries.has(name) && this.#entries.get(name) === undefined;
    // 'wx' makes the file: opened, written and closed by one call of Node's.
    if (isNew) writeFileSync(path, text, { flag: 'wx', mode: 0o600 });
    else writeOver(path, Buffer.from(text));
    this.#entries.set(name, entry);
  }

  #delete(name: string): void {
    unlinkSync(`${this.#owners}/${name}`);
    this.#entries.set(name, undefined);
  }

  #writeList(name: string, addresses: readonly string[]): void {
    if (addresses.length === 0) rmSync(join(this.#root, name), { force: true });
    else writeFileSync(join(this.#root, name), JSON.stringify(addresses), { mode: 0o600 });
  }

  #setTaken(text: string, taken: boolean): void {
    const address = parseAddress(text);
    if (address === undefined) return;
    const change = this.#taken.set(address.family, address.number, taken);
    if (change.isEmpty) this.#deletePage(change);
    else if (change.isNew) this.#writePage(change.name, change.bytes);
    else this.#writeByte(change);
  }

  #writePage(name: string, bytes: Buffer): void {
    const path = this.#pagePath(name);
    const write = () => writeFileSync(path, bytes, { flag: 'wx', mode: 0o600 });
    if (unlessMissing(write) !== 'missing') return;
    ensureDirectory(dirname(path), 0o755);
    write();
  }

  /** The one byte that is another: the rest of the page is as it was read. */
  #writeByte({ name, bytes, position }: PageChange): void {
    const isOpen = this.#page?.name === name;
    const fd = isOpen && this.#page ? this.#page.fd : this.#openPage(name, constants.O_RDWR);
    try {
      writeSync(fd, bytes, position, 1, position);
    } finally {
      if (isOpen) this.#page = undefined;
      closeSync(fd);
    }
  }

  #deletePage({ name, isNew }: PageChange): void {
    this.#closePage();
    if (!isNew) unlinkSync(this.#pagePath(name));
  }

  #openPage(name: string, access: number): number {
    return openSync(this.#pagePath(name), access | constants.O_NOFOLLOW);
  }

  #pagePath(name: string): string {
    return `${this.#root}/taken/${name}`;
  }

  #openTaken(): TakenMap {
    return new TakenMap({
      // Where nothing is reserved it is missing each time, and to ask before takes less than to throw ENOENT.
      read: (name) => (existsSync(this.#pagePath(name)) ? this.#readPage(name) : undefined),
      names: () => {
        const names = unlessMissing(() => readdirSync(`${this.#root}/taken`));
        return names === 'missing' ? [] : names;
      },
    });
  }

  /** With the lock held, the page read last stays open: it is the one in which a bit will be set or cleared. */
  #readPage(name: string): Buffer {
    this.#closePage();
    const fd = this.#openPage(name, this.#isLocked ? constants.O_RDWR : constants.O_RDONLY);
    let isKept = false;
    try {
      const bytes = Buffer.alloc(PAGE_BYTES + 1);
      const length = readSync(fd, bytes);
      if (length !== PAGE_BYTES) throw new Error(`"${name}" has ${length} bytes or more, must have ${PAGE_BYTES}`);
      if (this.#isLocked) this.#page = { name, fd };
      isKept = this.#isLocked;
      return bytes.subarray(0, PAGE_BYTES);
    } finally {
      if (!isKept) closeSync(fd);
    }
  }

  #closePage(): void {
    if (this.#page) closeSync(this.#page.fd);
    this.#page = undefined;
  }
}

/** Write a file over what is there. Not by truncating it first: ext4 would write it out when it is closed (0.2 ms). */
function writeOver(path: string, bytes: Buffer): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    writeFileSync(fd, bytes);
    ftruncateSync(fd, bytes.length);
  } finally {
    closeSync(fd);
  }
}

/** Even, for file systems that count in steps of two seconds; 1985 to 1990. */
function markSeconds({ boot }: NodeIdentity): number {
  let hash = 0x811c9dc5; // FNV-1a
  for (let i = 0; i < boot.length; i++) hash = Math.imul(hash ^ boot.charCodeAt(i), 0x01000193);
  return 500_000_000 + 2 * (hash & 0x3ff_ffff);
}

/** `ID:IFNAME`, `ID:` for one of the oldest format. The percent encoding leaves the colon to us. */
function nameOf({ containerId, ifname = '' }: IndexOwner): string {
  const name = `${encodeName(containerId)}:${encodeName(ifname)}`;
  if (name.length <= 255) return name;
  // Rare, and only then worth loading it.
  return `${process.getBuiltinModule('node:crypto').createHash('sha256').update(name).digest('hex')}:long`;
}

function encodeName(text: string): string {
  return encodeURIComponent(text.trim().toWellFormed());
}

interface FoundReservations {
  /** By the name of their entry; the files' identities by address. */
  readonly owners: Map<string, { owner: IndexOwner; files: Map<string, string> }>;
  readonly nobody: string[];
  readonly taken: TakenMap;
}

function readReservations(directory: string): FoundReservations {
  const found: FoundReservations = { owners: new Map(), nobody: [], taken: emptyTakenMap() };
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const address = parseAddressName(entry.name);
    if (address === undefined) continue;
    // A name is taken, whatever it is the name of.
    found.taken.set(address.family, address.number, true);
    if (!entry.isFile()) continue;
    const { text, identity } = readReservationFile(join(directory, entry.name));
    const owner = parseOwner(text);
    if (owner.containerId === '') found.nobody.push(entry.name);
    else addFile(found, owner, entry.name, identity);
  }
  return found;
}

function addFile({ owners }: FoundReservations, owner: IndexOwner, address: string, identity: string): void {
  const name = nameOf(owner);
  const files = owners.get(name)?.files ?? new Map<string, string>();
  owners.set(name, { owner, files: files.set(address, identity) });
}
