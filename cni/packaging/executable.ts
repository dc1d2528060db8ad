// Makes an executable independent of the node's libraries: behind its last byte come a dynamic loader and the libraries.
//
//   | Node with the application, as pkg makes it | code, configuration, two tables of program headers | dynamic loader | library | …
//                                                ^ a PT_LOAD, R E
//
// The code is loader.c's. It takes the place of PT_INTERP, so that the executable starts on nodes without glibc, too.
//
// Node is npm's. Only these of its bytes change: the tables for the dynamic linker, which postject writes anew for the segment
// with the application; the file header, and the fuse, which says that there is an application
// (https://nodejs.org/api/single-executable-applications.html). findChange() proves it, and no build succeeds without that.

import {
  architectureOf,
  encodeSegments,
  PF_R,
  PF_X,
  PROGRAM_HEADER_BYTES,
  PT_INTERP,
  PT_LOAD,
  PT_PHDR,
  readFileHeader,
  readSections,
  readSegments,
  roundUp,
  type Segment,
  writeFileHeader,
} from './elf.ts';
import { LOADER_CODE } from './loader-code.ts';

/** Kernels for arm64 have pages of up to 64 KiB, and what is mapped from a file begins at a page. */
const ALIGNMENT = 65_536;

/** A colon and a digit follow it in Node, which say whether there is an application. */
export const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** The contents of the dynamic loader and of every library that the program needs; libatomic is the first. */
export interface OwnLibraries {
  readonly loader: Uint8Array;
  readonly libraries: readonly Uint8Array[];
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
  /** The program headers that the dynamic loader is told of: Node's. */
  readonly programTable: Place;
  /** The program headers that the kernel maps: Node's without PT_INTERP, and the code. */
  readonly kernelTable: Place;
  /** The dynamic loader, and the libraries. */
  readonly files: readonly Place[];
}

/**
 * Add a dynamic loader and libraries to an executable. Returns the new file's contents, and leaves `executable` as it is.
 *
 * Throws TypeError for what is no dynamically linked executable, so also for a second time.
 */
export function withOwnLibraries(executable: Uint8Array, { loader, libraries }: OwnLibraries): Uint8Array {
  const header = readFileHeader(executable);
  const segments = readSegments(executable, header);
  if (!segments.some(({ type }) => type === PT_INTERP))
    throw new TypeError('Cannot add libraries to the executable: it names no dynamic loader (PT_INTERP)');
  const code = Buffer.from(LOADER_CODE[architectureOf(executable)], 'base64');
  const files = [loader, ...libraries];
  const layout = layOut(executable, segments, { code, files });

  const last = layout.files.at(-1) ?? layout.kernelTable;
  const result = new Uint8Array(last.offset + last.length);
  const parts: [Place, Uint8Array][] = [
    [layout.code, code],
    [layout.configuration, encodeConfiguration(header.entry, layout)],
    [layout.programTable, encodeSegments(programSegments(segments, layout))],
    [layout.kernelTable, encodeSegments(kernelSegments(segments, layout))],
    ...layout.files.map((place, i): [Place, Uint8Array] => [place, files[i] ?? new Uint8Array()]),
  ];
  result.set(executable);
  for (const [{ offset }, bytes] of parts) result.set(bytes, offset);
  writeFileHeader(result, {
    entry: layout.code.address,
    headersOffset: layout.kernelTable.offset,
    headerCount: layout.kernelTable.length / PROGRAM_HEADER_BYTES,
  });
  return result;
}

/** The sections that postject writes anew: how the dynamic linker finds symbols and relocations, and the notes. */
const LINKING = /^\.(interp|dynamic|dynsym|dynstr|hash|gnu\.(hash|version(_[dr])?)|rela\.(dyn|plt)|note\..*)$/;

/**
 * Find a byte that a program sees at its place in Node and not in the packed executable; undefined when there is none. What
 * must change, changes: the headers at the beginning, the sections of LINKING, and the fuse.
 *
 * Throws TypeError for files that are no ELF.
 */
export function findChange(node: Uint8Array, packed: Uint8Array): number | undefined {
  const header = readFileHeader(node);
  const segments = readSegments(node, header);
  const mayChange: Range[] = [
    { offset: 0, length: header.headersOffset + header.headerCount * PROGRAM_HEADER_BYTES },
    { offset: findFuse(node), length: 1 },
    ...readSections(node).filter(({ name }) => LINKING.test(name)),
  ];
  const mapped = readSegments(packed, readFileHeader(packed)).filter(isLoad);
  for (const { offset, address, fileBytes } of segments.filter(isLoad)) {
    const own = mapped.find((each) => each.address <= address && endOfFile(each) >= address + fileBytes);
    if (!own) return offset;
    const start = own.offset + address - own.address;
    const there = packed.slice(start, start + fileBytes);
    for (const range of mayChange) copyRange(node, there, range, offset);
    const here = node.subarray(offset, offset + fileBytes);
    if (Buffer.compare(here, there) !== 0) return offset + here.findIndex((byte, i) => byte !== there[i]);
  }
  return undefined;
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

/** Copy as much of a range of a file as lies in a part of it, which begins at `start`. */
function copyRange(file: Uint8Array, part: Uint8Array, { offset, length }: Range, start: number): void {
  const from = Math.max(offset, start);
  const to = Math.min(offset + length, start + part.length);
  if (from < to) part.set(file.subarray(from, to), from - start);
}

/** Find the digit behind the fuse. Throws TypeError unless there is one fuse. */
function findFuse(node: Uint8Array): number {
  const bytes = Buffer.from(node.buffer, node.byteOffset, node.byteLength);
  const text = `${FUSE}:`;
  const at = bytes.indexOf(text);
  if (at < 0 || bytes.indexOf(text, at + 1) >= 0) throw new TypeError(`"${text}" must be in Node once`);
  return at + text.length;
}

interface Added {
  readonly code: Uint8Array;
  readonly files: readonly Uint8Array[];
}

/** Place what is added one behind the other, and what is mapped by itself at a page. */
function layOut(node: Uint8Array, segments: readonly Segment[], { code, files }: Added): Layout {
  const start = roundUp(node.length, ALIGNMENT);
  const base = roundUp(Math.max(...segments.filter(isLoad).map(endOf)), ALIGNMENT);
  let end = start;
  const append = (length: number, alignment = 1): Place => {
    const offset = roundUp(end, alignment);
    end = offset + length;
    return { offset, address: base + offset - start, length };
  };
  const tableBytes = PROGRAM_HEADER_BYTES * segments.length;
  return {
    code: append(code.length),
    configuration: append(8 * (4 + 2 * files.length)),
    programTable: append(tableBytes),
    kernelTable: append(tableBytes),
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
function programSegments(segments: readonly Segment[], { programTable }: Layout): Segment[] {
  return segments.map((segment) => withTableAt(programTable, segment));
}

/** List the segments for the kernel, which wants its PT_LOADs in ascending order. The code takes the place of PT_INTERP. */
function kernelSegments(segments: readonly Segment[], { code, kernelTable }: Layout): Segment[] {
  const own = { ...code, length: kernelTable.offset + kernelTable.length - code.offset };
  return segments
    .toSpliced(segments.findLastIndex(isLoad) + 1, 0, segmentOf(PT_LOAD, PF_R | PF_X, own))
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

/** The address behind the last byte that comes from the file. */
function endOfFile({ address, fileBytes }: Segment): number {
  return address + fileBytes;
}
