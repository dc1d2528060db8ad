// The code cache in a startup snapshot: what V8 compiled of Node's own modules, 4 MB for all 491 of them. Node copies all
// of it at every start, to use four. Node's configuration of executables has no key to leave it out ("withoutCodeCache" is
// one of --build-snapshot-config alone), so it is cut out of what Node has made.

/** `SnapshotData::kMagic`: src/env.h of Node. */
const SNAPSHOT_MAGIC = 0x143da19;

interface Entry {
  readonly id: string;
  /** The id, the length of the data, and the data, as they lie in the blob. */
  readonly bytes: Uint8Array;
}

/**
 * Leave only the code caches of the named modules in a blob for an executable ("--experimental-sea-config") that holds a
 * snapshot. Both formats are those of Node 26: a string is its length (u64) and its bytes, a vector the number of its
 * elements (u64) and these, in the machine's byte order; the snapshot is one string of the blob, and the caches, a vector
 * of an id and bytes each, are its last field (SnapshotData::FromBlob in src/node_snapshotable.cc).
 *
 * Throws Error when the blob is made otherwise, or has no cache of a module that is named.
 */
export function keepCodeCaches(blob: Uint8Array, moduleIds: readonly string[]): Uint8Array {
  const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength);
  const start = findSnapshot(bytes);
  const end = start + lengthAt(bytes, start - 8);
  const caches = findCaches(bytes.subarray(start, end));
  const kept = caches.entries.filter(({ id }) => moduleIds.includes(id));
  const missing = moduleIds.filter((id) => !kept.some((entry) => entry.id === id));
  if (missing.length > 0) throw new Error(`The snapshot has no code cache of ${missing.join(', ')}`);
  const snapshot = Buffer.concat([
    bytes.subarray(start, start + caches.offset),
    u64(kept.length),
    ...kept.map((entry) => entry.bytes),
  ]);
  return Buffer.concat([bytes.subarray(0, start - 8), u64(snapshot.length), snapshot, bytes.subarray(end)]);
}

/** Where the snapshot begins: the magic number, behind a length that ends in the blob. */
function findSnapshot(blob: Buffer): number {
  const magic = Buffer.alloc(4);
  magic.writeUInt32LE(SNAPSHOT_MAGIC);
  for (let at = blob.indexOf(magic, 8); at >= 0; at = blob.indexOf(magic, at + 1)) {
    const length = lengthAt(blob, at - 8);
    if (length > 0 && at + length <= blob.length) return at;
  }
  throw new Error('There is no startup snapshot in the blob');
}

/** The last vector of a snapshot, whose place nothing names: the first that can be read, and ends where the snapshot does. */
function findCaches(snapshot: Buffer): { offset: number; entries: Entry[] } {
  // Behind V8's own part, which begins after the header, and is preceded by its length (int).
  const header = [0, 1, 2].reduce((at) => at + 8 + lengthAt(snapshot, at), 5) + 4;
  const behindV8 = header + 4 + snapshot.readUInt32LE(header);
  for (let offset = behindV8; offset + 8 <= snapshot.length; offset++) {
    const entries = readCaches(snapshot, offset);
    if (entries) return { offset, entries };
  }
  throw new Error('There are no code caches in the snapshot');
}

function readCaches(snapshot: Buffer, offset: number): Entry[] | undefined {
  const count = lengthAt(snapshot, offset);
  if (count === 0 || count > 10_000) return undefined;
  const entries: Entry[] = [];
  let at = offset + 8;
  for (let i = 0; i < count; i++) {
    const idEnd = at + 8 + lengthAt(snapshot, at);
    const end = idEnd + 8 + lengthAt(snapshot, idEnd);
    const id = snapshot.toString('latin1', at + 8, Math.min(idEnd, at + 208));
    if (!(end <= snapshot.length) || !/^[\w/.-]+$/.test(id)) return undefined;
    entries.push({ id, bytes: snapshot.subarray(at, end) });
    at = end;
  }
  return at === snapshot.length ? entries : undefined;
}

/** A u64, or NaN where there is none. */
function lengthAt(bytes: Buffer, offset: number): number {
  return offset >= 0 && offset + 8 <= bytes.length ? Number(bytes.readBigUInt64LE(offset)) : Number.NaN;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
