// Packs the executable: Node, and behind its last byte all that is ours.
//
//   | Node, as npm has it | code, configuration, two tables of program headers | note | dynamic loader | library | …
//                         ^ a PT_LOAD, R E                                     ^ a PT_LOAD, R
//
// The code is loader.c's. It takes the place of PT_INTERP, so that the executable starts on nodes without glibc, too. The
// note is Node's documented way to carry an application: it is called NODE_SEA_BLOB, and the last character of a text in
// Node, the fuse, says that it is there (https://nodejs.org/api/single-executable-applications.html).
//
// Of Node's own bytes only these change: the entry, the place and the number of the program headers, and the fuse. The
// tables that they had stay where they were. findChange() proves it, and no build succeeds without that.

import {
  architectureOf,
  encodeNote,
  encodeSegments,
  HEADER_FIELDS,
  PF_R,
  PF_X,
  PROGRAM_HEADER_BYTES,
  PT_INTERP,
  PT_LOAD,
  PT_NOTE,
  PT_PHDR,
  readFileHeader,
  readSegments,
  roundUp,
  type Segment,
  writeFileHeader,
} from './elf.ts';
import { LOADER_CODE } from './loader-code.ts';

/** Kernels for arm64 have pages of up to 64 KiB, and what is mapped from a file begins at a page. */
const ALIGNMENT = 65_536;

const NOTE_NAME = 'NODE_SEA_BLOB';
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:';
const [UNUSED = 0, USED = 0] = Buffer.from('01');

/** The contents of the dynamic loader and of every library that the program needs; libatomic is the first. */
export interface OwnLibraries {
  readonly loader: Uint8Array;
  readonly libraries: readonly Uint8Array[];
}

export interface Contents extends OwnLibraries {
  /** The application, as `node --experimental-sea-config` has written it. Node stays a plain Node without it. */
  readonly blob?: Uint8Array;
}

/** A part of the file that is added. Its address counts only for what is in a segment. */
interface Place {
  readonly offset: number;
  readonly address: number;
  readonly length: number;
}

interface Layout {
  readonly code: Place;
  readonly configuration: Place;
  /** The program headers that the dynamic loader is told of: Node's, and the note. */
  readonly programTable: Place;
  /** The program headers that the kernel maps: Node's without PT_INTERP, the code and the note. */
  readonly kernelTable: Place;
  /** Of length 0 without an application. */
  readonly note: Place;
  /** The dynamic loader, and the libraries. */
  readonly files: readonly Place[];
}

/**
 * Pack Node and what it is to carry. Returns the new file's contents, and leaves `node` as it is.
 *
 * Throws TypeError for what is no dynamically linked Node, so also for a second time.
 */
export function pack(node: Uint8Array, { blob, loader, libraries }: Contents): Uint8Array {
  const header = readFileHeader(node);
  const segments = readSegments(node, header);
  if (!segments.some(({ type }) => type === PT_INTERP))
    throw new TypeError('Cannot pack the executable: it names no dynamic loader (PT_INTERP)');
  const code = Buffer.from(LOADER_CODE[architectureOf(node)], 'base64');
  const note = blob ? encodeNote(NOTE_NAME, blob) : new Uint8Array();
  const files = [loader, ...libraries];
  const layout = layOut(node, segments, { code, note, files });

  const last = layout.files.at(-1) ?? layout.note;
  const result = new Uint8Array(last.offset + last.length);
  const parts: [Place, Uint8Array][] = [
    [layout.code, code],
    [layout.configuration, encodeConfiguration(header.entry, layout)],
    [layout.programTable, encodeSegments(programSegments(segments, layout))],
    [layout.kernelTable, encodeSegments(kernelSegments(segments, layout))],
    [layout.note, note],
    ...layout.files.map((place, i): [Place, Uint8Array] => [place, files[i] ?? new Uint8Array()]),
  ];
  result.set(node);
  for (const [{ offset }, bytes] of parts) result.set(bytes, offset);
  writeFileHeader(result, {
    entry: layout.code.address,
    headersOffset: layout.kernelTable.offset,
    headerCount: layout.kernelTable.length / PROGRAM_HEADER_BYTES,
  });
  if (blob) result[findFuse(node)] = USED;
  return result;
}

/**
 * Find a byte of Node that packing has changed and need not have. Undefined when there is none: the packed executable
 * begins with that very Node, but for the three fields of its header and the fuse.
 */
export function findChange(node: Uint8Array, packed: Uint8Array): number | undefined {
  const restored = packed.slice(0, node.length);
  const fuse = { offset: findFuse(node), length: 1 };
  for (const { offset, length } of [...Object.values(HEADER_FIELDS), fuse])
    restored.set(node.subarray(offset, offset + length), offset);
  if (Buffer.compare(restored, node) === 0) return undefined;
  const changed = node.findIndex((byte, i) => byte !== restored[i]);
  return changed < 0 ? restored.length : changed;
}

/** Where the last character of the fuse lies. Throws TypeError unless there is one fuse, and it is unused. */
function findFuse(node: Uint8Array): number {
  const bytes = Buffer.from(node.buffer, node.byteOffset, node.byteLength);
  const at = bytes.indexOf(FUSE);
  if (at < 0 || bytes.indexOf(FUSE, at + 1) >= 0)
    throw new TypeError(`Cannot pack the executable: "${FUSE}" must be in it once`);
  const offset = at + FUSE.length;
  if (bytes[offset] !== UNUSED) throw new TypeError('Cannot pack the executable: it carries an application already');
  return offset;
}

interface Added {
  readonly code: Uint8Array;
  readonly note: Uint8Array;
  readonly files: readonly Uint8Array[];
}

/** Place what is added one behind the other, and what is mapped by itself at a page. */
function layOut(node: Uint8Array, segments: readonly Segment[], { code, note, files }: Added): Layout {
  const start = roundUp(node.length, ALIGNMENT);
  const base = roundUp(Math.max(...segments.filter(isLoad).map(endOf)), ALIGNMENT);
  let end = start;
  const append = (length: number, alignment = 1): Place => {
    const offset = roundUp(end, alignment);
    end = offset + length;
    return { offset, address: base + offset - start, length };
  };
  const tableBytes = PROGRAM_HEADER_BYTES * (segments.length + (note.length > 0 ? 1 : 0));
  return {
    code: append(code.length),
    configuration: append(8 * (4 + 2 * files.length)),
    programTable: append(tableBytes),
    kernelTable: append(tableBytes),
    note: append(note.length, ALIGNMENT),
    files: files.map(({ length }) => append(length, ALIGNMENT)),
  };
}

/** Encode `struct configuration` of loader.c. */
function encodeConfiguration(entry: number, { programTable, files }: Layout): Uint8Array {
  const [loader, ...libraries] = files.map(({ offset, length }) => [offset, length]);
  const headerCount = programTable.length / PROGRAM_HEADER_BYTES;
  const words = [entry, programTable.address, headerCount, ...(loader ?? []), libraries.length, ...libraries.flat()];
  return new Uint8Array(BigUint64Array.from(words, BigInt).buffer);
}

/** List the segments as the dynamic loader is to see them, PT_INTERP included: it takes its own name from that. */
function programSegments(segments: readonly Segment[], { programTable, note }: Layout): Segment[] {
  const notes = note.length > 0 ? [segmentOf(PT_NOTE, PF_R, note)] : [];
  return [...segments.map((segment) => withTableAt(programTable, segment)), ...notes];
}

/** List the segments for the kernel, which wants its PT_LOADs in ascending order. */
function kernelSegments(segments: readonly Segment[], layout: Layout): Segment[] {
  const { code, kernelTable, note } = layout;
  const own = { ...code, length: kernelTable.offset + kernelTable.length - code.offset };
  const added = [segmentOf(PT_LOAD, PF_R | PF_X, own), ...(note.length > 0 ? [segmentOf(PT_LOAD, PF_R, note)] : [])];
  return segments
    .toSpliced(segments.findLastIndex(isLoad) + 1, 0, ...added)
    .filter(({ type }) => type !== PT_INTERP)
    .map((segment) => withTableAt(kernelTable, segment));
}

function segmentOf(type: number, flags: number, { offset, address, length }: Place): Segment {
  const alignment = type === PT_LOAD ? ALIGNMENT : 4;
  return { type, flags, offset, address, physicalAddress: address, fileBytes: length, memoryBytes: length, alignment };
}

/** PT_PHDR says where the table lies that it is in. */
function withTableAt(table: Place, segment: Segment): Segment {
  return segment.type === PT_PHDR
    ? { ...segmentOf(PT_PHDR, segment.flags, table), alignment: segment.alignment }
    : segment;
}

function isLoad({ type }: Segment): boolean {
  return type === PT_LOAD;
}

function endOf({ address, memoryBytes }: Segment): number {
  return address + memoryBytes;
}
