// The code cache in a startup snapshot: what V8 compiled of Node's own modules, 4 MB for all 491 of them. Node copies all
// of it at every start, and a call uses none of it. Node's configuration of executables has no key to leave it out ("withoutCodeCache" is
// one of --build-snapshot-config alone), so it is cut out of what Node has made.

/** `SnapshotData::kMagic`: src/env.h of Node. */
const SNAPSHOT_MAGIC = 0x143da19;

/**
 * Leave the code cache out of a blob for an executable ("--experimental-sea-config") that holds a snapshot. Both formats
 * are those of Node 26: a string is its length (u64) and its bytes, a vector the number of its elements (u64) and these,
 * in the machine's byte order; the snapshot is one string of the blob, and the caches, a vector of an id and bytes each,
 * are its last field (SnapshotData::FromBlob in src/node_snapshotable.cc).
 *
 * Throws Error when the blob is made otherwise.
 */
export function withoutCodeCache(blob: Uint8Array): Uint8Array {
  const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength);
  const start = findSnapshot(bytes);
  const end = start + lengthAt(bytes, start - 8);
  const snapshot = bytes.subarray(start, end);
  const kept = Buffer.concat([snapshot.subarray(0, findCaches(snapshot)), u64(0)]);
  return Buffer.concat([bytes.subarray(0, start - 8), u64(kept.length), kept, bytes.subarray(end)]);
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

/**
 * Where the last vector of a snapshot begins, whose place nothing names: the first that can be read, and ends where the
 * snapshot does.
 */
function findCaches(snapshot: Buffer): number {
  // Behind V8's own part, which begins after the header, and is preceded by its length (int).
  const header = [0, 1, 2].reduce((at) => at + 8 + lengthAt(snapshot, at), 5) + 4;
  const behindV8 = header + 4 + snapshot.readUInt32LE(header);
  for (let offset = behindV8; offset + 8 <= snapshot.length; offset++) if (areCaches(snapshot, offset)) return offset;
  throw new Error('There are no code caches in the snapshot');
}

/** Whether what begins there is a vector of caches, and the last of all. */
function areCaches(snapshot: Buffer, offset: number): boolean {
  const count = lengthAt(snapshot, offset);
  if (count === 0 || count > 10_000) return false;
  let at = offset + 8;
  for (let i = 0; i < count; i++) {
    const idEnd = at + 8 + lengthAt(snapshot, at);
    const end = idEnd + 8 + lengthAt(snapshot, idEnd);
    const id = snapshot.toString('latin1', at + 8, Math.min(idEnd, at + 208));
    if (!(end <= snapshot.length) || !/^[\w/.-]+$/.test(id)) return false;
    at = end;
  }
  return at === snapshot.length;
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
