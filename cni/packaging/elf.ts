// The ELF-64 object file format, as far as packing needs it: the file header, the program headers, each a segment, and
// the section headers.
//
// File header (64 bytes)                    Program header (56 bytes)
//    0  e_ident     4 magic, class, order      0  p_type    u32
//   16  e_type      u16                        4  p_flags   u32
//   18  e_machine   u16                        8  p_offset  u64
//   24  e_entry     u64                       16  p_vaddr   u64
//   32  e_phoff     u64                       24  p_paddr   u64
//   40  e_shoff     u64                       32  p_filesz  u64
//   56  e_phnum     u16                       40  p_memsz   u64
//   60  e_shnum     u16                       48  p_align   u64
//   62  e_shstrndx  u16
//
// Source: include/uapi/linux/elf.h (v6.12). Little-endian, as both architectures are.

export const PT_LOAD = 1;
export const PT_INTERP = 3;
export const PT_PHDR = 6;
export const PF_X = 1;
export const PF_R = 4;

const EM_X86_64 = 62;
const EM_AARCH64 = 183;
const FILE_HEADER_BYTES = 64;

/** sizeof(struct elf64_shdr): sh_name u32 0, sh_offset u64 24, sh_size u64 32. */
const SECTION_HEADER_BYTES = 64;

/** sizeof(struct elf64_phdr). */
export const PROGRAM_HEADER_BYTES = 56;

/** Where in the file header the fields lie that FileHeader has: offset and length in bytes. */
const HEADER_FIELDS = {
  entry: { offset: 24, length: 8 },
  headersOffset: { offset: 32, length: 8 },
  headerCount: { offset: 56, length: 2 },
} as const;

export type Architecture = 'x64' | 'arm64';

export interface FileHeader {
  /** e_entry: address of the first instruction. */
  readonly entry: number;
  /** e_phoff: where in the file the program headers begin. */
  readonly headersOffset: number;
  /** e_phnum. */
  readonly headerCount: number;
}

export interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly physicalAddress: number;
  /** p_filesz, p_memsz. */
  readonly fileBytes: number;
  readonly memoryBytes: number;
  readonly alignment: number;
}

/** Tell the architecture of an ELF file. Throws TypeError for what is no ELF file of a supported architecture. */
export function architectureOf(file: Uint8Array): Architecture {
  const view = viewOf(file);
  if (file.length < FILE_HEADER_BYTES || view.getUint32(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1)
    throw new TypeError('Cannot read the executable: not a little-endian ELF-64 file');
  const machine = view.getUint16(18, true);
  if (machine === EM_X86_64) return 'x64';
  if (machine === EM_AARCH64) return 'arm64';
  throw new TypeError(`Cannot read the executable: machine ${machine} is neither x86-64 (62) nor AArch64 (183)`);
}

/** Read the file header. Throws TypeError as architectureOf() does. */
export function readFileHeader(file: Uint8Array): FileHeader {
  architectureOf(file);
  const view = viewOf(file);
  return {
    entry: readU64(view, HEADER_FIELDS.entry.offset),
    headersOffset: readU64(view, HEADER_FIELDS.headersOffset.offset),
    headerCount: view.getUint16(HEADER_FIELDS.headerCount.offset, true),
  };
}

/** Overwrite the three fields in a file that has a file header. */
export function writeFileHeader(file: Uint8Array, header: FileHeader): void {
  const view = viewOf(file);
  view.setBigUint64(HEADER_FIELDS.entry.offset, BigInt(header.entry), true);
  view.setBigUint64(HEADER_FIELDS.headersOffset.offset, BigInt(header.headersOffset), true);
  view.setUint16(HEADER_FIELDS.headerCount.offset, header.headerCount, true);
}

/** Read the segments that a file header names. Throws TypeError when the file ends before. */
export function readSegments(file: Uint8Array, { headersOffset, headerCount }: FileHeader): Segment[] {
  if (headersOffset + headerCount * PROGRAM_HEADER_BYTES > file.length)
    throw new TypeError('Cannot read the executable: the file ends before its program headers do');
  const view = viewOf(file);
  return Array.from({ length: headerCount }, (_, i) => readSegment(view, headersOffset + i * PROGRAM_HEADER_BYTES));
}

function readSegment(view: DataView, at: number): Segment {
  return {
    type: view.getUint32(at, true),
    flags: view.getUint32(at + 4, true),
    offset: readU64(view, at + 8),
    address: readU64(view, at + 16),
    physicalAddress: readU64(view, at + 24),
    fileBytes: readU64(view, at + 32),
    memoryBytes: readU64(view, at + 40),
    alignment: readU64(view, at + 48),
  };
}

/** Encode segments as a table of program headers. */
export function encodeSegments(segments: readonly Segment[]): Uint8Array {
  const bytes = new Uint8Array(segments.length * PROGRAM_HEADER_BYTES);
  const view = viewOf(bytes);
  segments.forEach((segment, i) => {
    const at = i * PROGRAM_HEADER_BYTES;
    view.setUint32(at, segment.type, true);
    view.setUint32(at + 4, segment.flags, true);
    const { offset, address, physicalAddress, fileBytes, memoryBytes, alignment } = segment;
    [offset, address, physicalAddress, fileBytes, memoryBytes, alignment].forEach((value, k) => {
      view.setBigUint64(at + 8 + 8 * k, BigInt(value), true);
    });
  });
  return bytes;
}

/** A part of a file that the linker has named. */
export interface Section {
  readonly name: string;
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
}

/** Read the sections. Throws TypeError as architectureOf() does, and when the file ends before its section headers do. */
export function readSections(file: Uint8Array): Section[] {
  architectureOf(file);
  const view = viewOf(file);
  const [offset, count, namesIndex] = [readU64(view, 40), view.getUint16(60, true), view.getUint16(62, true)];
  if (offset + count * SECTION_HEADER_BYTES > file.length)
    throw new TypeError('Cannot read the executable: the file ends before its section headers do');
  const at = (i: number): number => offset + i * SECTION_HEADER_BYTES;
  const names = file.subarray(readU64(view, at(namesIndex) + 24));
  return Array.from({ length: count }, (_, i) => ({
    name: textAt(names, view.getUint32(at(i), true)),
    offset: readU64(view, at(i) + 24),
    length: readU64(view, at(i) + 32),
  }));
}

/** Read the text up to the next zero. */
function textAt(bytes: Uint8Array, start: number): string {
  return new TextDecoder().decode(bytes.subarray(start, bytes.indexOf(0, start)));
}

/** Round up to a multiple. */
export function roundUp(position: number, multiple: number): number {
  return Math.ceil(position / multiple) * multiple;
}

function readU64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
